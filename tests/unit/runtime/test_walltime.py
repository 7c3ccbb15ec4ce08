"""The time limit, and when a run will be done."""

import os
import time

import pytest

from deep_cnn.runtime import scheduler, walltime
from deep_cnn.runtime.errors import ConfigError
from deep_cnn.runtime.scheduler import pbs_seconds_left, slurm_seconds_left
from deep_cnn.runtime.walltime import Deadline, Forecast, forecast_text


def qstat(start: float, used: str | None, walltime: str = "24:00:00") -> str:
    lines = [
        "Job Id: 123.pbs",
        f"    Resource_List.walltime = {walltime}",
        "    Variable_List = PBS_O_HOME=/home/a,\n\tPBS_O_LANG=en",
    ]
    lines += [f"    resources_used.walltime = {used}"] if used else []
    lines += [f"    stime = {time.strftime('%a %b %d %H:%M:%S %Y', time.localtime(start))}"]
    return "\n".join(lines)


def test_pbs_time_is_counted_from_the_start_of_the_job():
    now = 1_800_000_000.0
    # the server heard of the time used 100 s ago
    assert pbs_seconds_left(qstat(now - 700, "00:10:00"), now) == 86400 - 700
    assert pbs_seconds_left(qstat(now - 30, None), now) == 86400 - 30
    # a node whose clock is an hour off: what the server reports counts
    assert pbs_seconds_left(qstat(now - 700 - 3600, "00:10:00"), now) == 86400 - 600
    assert pbs_seconds_left(qstat(now + 3600, "00:10:00"), now) == 86400 - 600
    assert pbs_seconds_left("Resource_List.walltime = 00:01:00", now) == 60
    assert pbs_seconds_left("no limit here", now) is None


def test_slurm_time():
    seconds = [slurm_seconds_left(text) for text in ("1-02:03:04\n", "2:03:04", "03:04", "UNLIMITED", "")]
    assert seconds == [93784, 7384, 184, None, None]


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({"TASK_ID": "7", "TASK_MIN": "3", "TASK_STEP": "2", "TASK_COUNT": "4"}, (3, 4)),
        ({"TASK_ID": "2", "TASK_COUNT": "4"}, (3, 4)),
        ({"TASK_ID": "3"}, "SLURM_ARRAY_TASK_COUNT=: not a whole number"),
        ({"TASK_ID": "x", "TASK_COUNT": "4"}, "SLURM_ARRAY_TASK_ID=x: not a whole number"),
        ({"TASK_ID": ""}, "SLURM_ARRAY_TASK_ID=: not a whole number"),
        ({"TASK_ID": "1", "TASK_COUNT": "0"}, "SLURM_ARRAY_TASK_ID=1: not in an array of 0"),
        ({"TASK_ID": "1", "TASK_MIN": "2", "TASK_STEP": "0", "TASK_COUNT": "2"}, "SLURM_ARRAY_TASK_ID=1: not in"),
    ],
)
def test_the_place_in_a_slurm_array(monkeypatch, variables, place):
    for name, value in variables.items():
        monkeypatch.setenv(f"SLURM_ARRAY_{name}", value)
    if isinstance(place, tuple):
        assert scheduler.array_place() == place
    else:
        with pytest.raises(ConfigError, match=f"{place}.*--shard=i/n"):
            scheduler.array_place()


def test_the_place_in_a_pbs_array(monkeypatch):
    monkeypatch.setenv("PBS_ARRAY_INDEX", "x")
    with pytest.raises(ConfigError, match=r"PBS_ARRAY_INDEX=x: not a whole number.*--shard=i/n"):
        scheduler.array_place()


@pytest.mark.skipif(os.name != "posix", reason="the scheduler is a shell script here")
def test_the_scheduler_is_asked_and_the_earlier_end_counts(tmp_path, monkeypatch):
    (tmp_path / "qstat").write_text("#!/bin/sh\n[ $1 = -f ] && echo '  Resource_List.walltime = 01:00:00'\n")
    (tmp_path / "qstat").chmod(0o755)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv("PBS_JOBID", "5")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    seconds, source = scheduler.granted_time()
    assert seconds == pytest.approx(3600 + time.monotonic() - walltime._started, abs=2) and source == "qstat of job 5"
    assert walltime.time_limit(None).left() == pytest.approx(3600, abs=5)
    assert walltime.time_limit(10 * 3600).left() == pytest.approx(3600, abs=5)
    early = time.monotonic() - walltime._started + 60
    assert walltime.time_limit(early).left() == pytest.approx(60, abs=5)
    monkeypatch.setenv("PATH", "")
    assert scheduler.granted_time() is None  # said in the log
    monkeypatch.delenv("PBS_JOBID")
    assert walltime.time_limit(None).left() is None


def test_it_stops_with_time_for_a_step_and_a_save_to_spare():
    clock = [0.0]
    deadline = Deadline(1000, lambda: clock[0], started=0.0)
    deadline.note_save(20)
    deadline.note_save(10)
    deadline.note_step("training", 300)  # compilation
    for _ in range(60):
        deadline.note_step("training", 4)
    for _ in range(60):
        deadline.note_step("scoring", 1)  # a training step may come next
    margin = 2 * 4 + 2 * 20 + 2
    clock[0] = 1000 - margin - 0.1
    assert not deadline.near()
    clock[0] = 1000 - margin
    assert deadline.near()
    assert not Deadline(None).near()


def test_the_forecast_is_the_measured_pace_times_what_is_left():
    forecast = Forecast(steps=100, epochs=10)
    assert forecast.seconds_left(0) is None
    said = []
    now = 50.0  # the first step may compile: it is not measured
    for _ in range(100):
        said.append(forecast.trained_step(now, epoch=0))
        now += 2.0
    assert said.index(True) == 30 and sum(said) == 1  # after a minute, once
    assert forecast.seconds_left(100) == 900 * 2
    forecast.validated(30)
    assert forecast.seconds_left(100) == 900 * 2 + 9 * 30
    assert forecast.seconds_left(150) == 850 * 2 + 9 * 30
    assert (
        not forecast.trained_step(now + 1000, epoch=9) and forecast.seconds_left(999) == 2 + 30
    )  # nor is the pause between epochs


def test_the_forecast_knows_that_small_epochs_are_shorter():
    forecast = Forecast(steps=10, epochs=4, work=lambda epoch: 0.5 if epoch < 2 else 1.0)
    for step in range(11):
        forecast.trained_step(float(step), epoch=0)
    assert forecast.seconds_left(10) == 10 + 20 + 20
    assert forecast.seconds_left(15) == 5 + 20 + 20
    forecast.validated(0.0)
    for step in range(11):
        forecast.trained_step(100 + 2.0 * step, epoch=2)  # whole images take twice as long, as was expected
    assert forecast.seconds_left(35) == pytest.approx(5 * 2)


def test_what_the_log_says():
    text = forecast_text(3 * 3600 + 20 * 60, None, now=time.mktime((2026, 11, 21, 0, 50, 0, 0, 0, -1)))
    assert text == "about 3h 20m left, done about Sat 21 Nov 04:10"
    assert forecast_text(7200, 3600).endswith(
        "; the time limit is reached first, in 1h 00m: run the same command then to continue"
    )
    assert "limit" not in forecast_text(3600, 7200)
