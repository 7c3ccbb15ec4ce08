"""The other commands in several processes: predict, search, verify_resume."""

import csv
import json
import os
import signal
import subprocess
import sys

import pytest
import several
from conftest import PLACES, ROOT
from several import BATCHNORM

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks processes")


def test_predict_makes_the_table_of_one(server, tmp_path):
    several.finish(server, [*BATCHNORM, "--epochs=1", "--precision=fp32"], tmp_path, 1)
    broken = tmp_path / "images" / "broken.jpg"
    broken.parent.mkdir()
    for number, image in enumerate(sorted(PLACES.rglob("*.jpg"))):
        (broken.parent / f"{number:02}.jpg").symlink_to(image)
    broken.write_bytes(b"\xff\xd8\xff no image")
    flags = [f"--images={broken.parent}"]
    run = several.Several(server, [*flags, f"--output={tmp_path / 'one.csv'}"], tmp_path, 1, "predict")
    assert run.ended() == [3], run.words()  # done, but an image cannot be read
    for name in ("three", "three"):  # the second time it was finished before
        _, words = several.finish(server, [*flags, f"--output={tmp_path / name}.csv"], tmp_path, 3, "predict")
    assert "The table is already complete" in words[0]
    for name in ("csv", "failed.csv"):
        assert (tmp_path / f"one.{name}").read_bytes() == (tmp_path / f"three.{name}").read_bytes()
    assert not list(tmp_path.glob("three.shard*"))
    with open(tmp_path / "three.csv", encoding="utf-8", newline="") as table:
        assert len(list(csv.DictReader(table))) == 70
    # a table of other images has this name
    run = several.Several(server, [f"--images={PLACES}", f"--output={tmp_path / 'three.csv'}"], tmp_path, 2, "predict")
    assert set(run.ended()) == {2} and "different: list" in run.words()


def test_predict_is_stopped_together(server, tmp_path):
    several.finish(server, [*BATCHNORM, "--epochs=1", "--precision=fp32"], tmp_path, 1)
    flags = [f"--images={PLACES}", f"--output={tmp_path / 'a.csv'}"]
    run = several.Several(server, flags, tmp_path, 2, "predict")
    first = run.children[0]
    first.wait_until(lambda: "Predicting" in first.words())
    for child in run.children:
        child.kill(signal.SIGTERM)
    assert run.ended() == [0, 0], run.words()
    _, words = several.finish(server, flags, tmp_path, 2, "predict")
    assert "70 images predicted" in words[0]


def command(*words: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        timeout=400,
        env=os.environ | {"NCPUS": "2"} | environment,
    )


@pytest.mark.slow
def test_a_search_gives_each_trial_two_processes(tmp_path):
    done = command(
        "deep_cnn",
        "search",
        *BATCHNORM[:-2],
        "--epochs=1",
        "--trials=1",
        "--processes_per_trial=2",
        "--sampler=random",
        "--space=lr=1e-4..1e-2:log",
        f"--root_dir={tmp_path}",
        "--run_name=s",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / "outputs" / "search" / "s"
    with open(folder / "trials.csv", encoding="utf-8", newline="") as table:
        trials = list(csv.DictReader(table))
    assert [trial["state"] for trial in trials] == ["finished"], trials
    results = folder / "results" / "trial_0000"
    assert json.loads((results / "outcome.json").read_text(encoding="utf-8"))["kind"] == "done"
    assert json.loads((results / "config.json").read_text(encoding="utf-8"))["decisions"]["processes"] == 2
    mistake = command(
        "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "deep_cnn", "search", "--space=lr=1..2"
    )
    assert mistake.returncode == 1 and mistake.stderr.count("--processes_per_trial") == 1, mistake.stderr


@pytest.mark.slow
def test_verify_resume_kills_one_of_two(tmp_path):
    done = command(
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "-m",
        "deep_cnn",
        "verify_resume",
        *BATCHNORM,
        f"--root_dir={tmp_path}",
        "--kills=2",
        "--kill_seed=3",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("  killed ") == 2
    assert done.stdout.count("identical: weights, metrics.csv, test.json and predictions_test.csv") == 1
