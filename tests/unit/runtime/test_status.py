"""What readers are told of runs that have not finished."""

import json
import os
import socket

import pytest

from deep_cnn.runtime.lock import held
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.runtime.status import Status, read_status, seen_status, unfinished


@pytest.fixture
def files(tmp_path):
    files = RunFiles(tmp_path / "outputs", "run")
    files.make_folders()
    return files


def says(files, state):
    status = Status(files)
    status.claim()
    status.note(epoch=0, step=3, steps=10)
    status.say(state)


def test_a_run_is_running_while_a_process_holds_it(files):
    with held(files):
        says(files, "running")
        assert unfinished(seen_status(files)) == "still running (3 of 10 steps)"
    assert unfinished(seen_status(files)) == "killed; the same command resumes it (3 of 10 steps)"
    assert read_status(files)["state"] == "running"  # for job scripts and the run itself


def test_a_dead_process_leaves_its_lock(files):
    says(files, "running")
    holder = {"host": socket.gethostname(), "pid": 99999999, "started": "1", "job": None}
    files.lock.parent.mkdir(parents=True, exist_ok=True)
    files.lock.write_text(json.dumps(holder))
    assert seen_status(files)["state"] == "killed"
    files.lock.write_text(json.dumps(holder | {"host": "another-node"}))
    assert seen_status(files)["state"] == "running"
    os.utime(files.lock, (1, 1))  # no sign of life for years
    assert seen_status(files)["state"] == "killed"


@pytest.mark.parametrize("state", ["finished", "stopped", "failed", "mistake"])
def test_what_a_run_said_at_its_end_is_kept(files, state):
    says(files, state)
    assert seen_status(files)["state"] == state


def test_a_cross_validation_is_running_while_one_of_its_folds_is(files):
    says(files, "running")
    fold = RunFiles(files.outputs, "run-fold2")
    fold.make_folders()
    with held(fold):
        assert seen_status(files)["state"] == "running"
    assert seen_status(files)["state"] == "killed"
