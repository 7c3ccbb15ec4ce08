"""Who holds a run's name: a dead process does not, on this machine or another."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from deep_cnn.runtime import lock, scheduler
from deep_cnn.runtime.errors import MachineError
from deep_cnn.runtime.lock import held
from deep_cnn.runtime.run_files import RunFiles


@pytest.fixture
def files(tmp_path, monkeypatch):
    for name in ("PBS_JOBID", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    files = RunFiles(tmp_path, "run")
    files.make_folders()
    return files


def plant(files: RunFiles, silent: float = 0.0, **holder) -> None:
    """A lock of another process, without a sign of life for so many seconds."""
    files.lock.write_text(json.dumps({"host": "elsewhere", "pid": 12, "started": "1", "job": None} | holder))
    then = time.time() - silent
    os.utime(files.lock, (then, then))


def patient(monkeypatch, heartbeat: float) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT", heartbeat)
    monkeypatch.setattr(lock, "DEAD_AFTER", 10 * heartbeat)


def test_held_and_given_back(files):
    with held(files) as ours:
        ours.check()
        with (
            pytest.raises(MachineError, match=f"in use by process {os.getpid()} on {socket.gethostname()}; wait"),
            held(files),
        ):
            pass
    assert not files.lock.exists()
    assert not list(files.lock.parent.glob("*.tmp"))
    with contextlib.suppress(KeyError), held(files):
        raise KeyError  # given back when the run fails, too
    assert not files.lock.exists()


def test_a_dead_process_of_this_machine_holds_nothing(files):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = lock._started(process.pid)
    plant(files, host=socket.gethostname(), pid=process.pid, started=started)
    with pytest.raises(MachineError, match=f"process {process.pid}"), held(files):
        pass
    process.kill()
    for _ in range(100):  # a zombie is dead, too
        if lock._started(process.pid) is None:
            break
        time.sleep(0.02)
    with held(files):
        pass
    process.communicate()


def test_another_process_with_the_number_of_a_dead_one(files):
    plant(files, host=socket.gethostname(), pid=os.getpid(), started="an earlier one")
    with held(files):
        pass


def test_a_living_process_elsewhere_shows_it_while_we_wait(files, monkeypatch):
    patient(monkeypatch, 0.05)
    plant(files, silent=0.3)
    done = threading.Event()

    def live():
        while not done.wait(0.05):
            os.utime(files.lock)

    thread = threading.Thread(target=live)
    thread.start()
    try:
        with pytest.raises(MachineError, match="process 12 on elsewhere"), held(files):
            pass
    finally:
        done.set()
        thread.join()


@pytest.fixture
def slept(monkeypatch):
    """A clock for the lock that sleeping alone moves; the list of the sleeps, in seconds."""
    sleeps: list[float] = []
    clock = SimpleNamespace(monotonic=lambda: sum(sleeps), sleep=sleeps.append, time=time.time)
    monkeypatch.setattr(lock, "time", clock)
    return sleeps


def test_a_silent_process_elsewhere_is_waited_for_and_then_taken_for_dead(files, monkeypatch, slept):
    patient(monkeypatch, 10)
    plant(files, silent=40)  # dead after 100
    with held(files):
        assert 50 < sum(slept) < 70
    plant(files, silent=1000)
    slept.clear()
    with held(files):
        assert not slept


def test_this_very_job_on_another_node_is_given_less_time(files, monkeypatch, slept):
    patient(monkeypatch, 10)
    monkeypatch.setenv("PBS_JOBID", "77.server")
    monkeypatch.setattr(scheduler, "job_is_over", lambda job: pytest.fail("this job is not over"))
    plant(files, job="77.server")  # dead after 20 instead of 100
    with held(files):
        assert 15 < sum(slept) < 30


@pytest.mark.skipif(os.name != "posix", reason="the scheduler is a shell script here")
def test_a_job_that_the_scheduler_knows_no_more_holds_nothing(files, monkeypatch, tmp_path):
    for name, code in (("gone", 153), ("there", 0)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "qstat").write_text(f"#!/bin/sh\nexit {code}\n")
        (folder / "qstat").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'gone'}{os.pathsep}{os.environ['PATH']}")
    plant(files, job="76.server")
    with held(files):
        pass
    monkeypatch.setenv("PATH", f"{tmp_path / 'there'}{os.pathsep}{os.environ['PATH']}")
    assert not scheduler.job_is_over("76.server")
    monkeypatch.setenv("PATH", "")
    assert not scheduler.job_is_over("76.server")  # nobody to ask


def test_steal_lock_takes_it_and_the_robbed_process_saves_nothing_more(files):
    with held(files) as robbed:
        with held(files, steal=True) as thief:
            thief.check()
            # the same process, so the same name: as if the thief were another
            files.lock.write_text(json.dumps({"host": "elsewhere", "pid": 5}))
            with pytest.raises(
                MachineError, match="taken by process 5 on elsewhere; this process stops without saving"
            ):
                robbed.check()
        assert files.lock.exists()  # neither gives back what is another's


def test_of_many_that_find_a_dead_lock_one_gets_it(files):
    """Processes that all try at once to clear a dead lock: never do two hold the name."""
    plant(files, host=socket.gethostname(), pid=99999999, started="1")
    script = (
        "import sys, time; from pathlib import Path; from deep_cnn.runtime.lock import held; from deep_cnn.runtime.run_files import "
        "RunFiles; from deep_cnn.runtime.errors import MachineError\n"
        "files = RunFiles(Path(sys.argv[1]), 'run')\n"
        "at = float(sys.argv[2]); time.sleep(max(0, at - time.time() - 0.02))\n"
        "while time.time() < at: pass\n"
        "try:\n    with held(files): print('held'); time.sleep(1)\n"
        "except MachineError: print('refused')\n"
    )
    at = str(time.time() + 1.5)
    command = [sys.executable, "-c", script, str(files.outputs), at]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    said = [process.communicate()[0].strip() for process in processes]
    assert sorted(said) == ["held"] + ["refused"] * 5


@pytest.mark.parametrize("deleted", ["lock", "outputs"])
def test_deleted_outputs_are_not_taken_for_another_process(tmp_path, deleted):
    files = RunFiles(tmp_path / "outputs", "run")
    files.make_folders()
    with held(files) as ours:
        shutil.rmtree(files.outputs) if deleted == "outputs" else files.lock.unlink()
        with pytest.raises(MachineError, match="was deleted while the run was going on") as mistake:
            ours.check()
        assert "taken" not in str(mistake.value)
