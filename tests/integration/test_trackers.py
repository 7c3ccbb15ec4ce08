"""Trackers: what TensorBoard's own reader finds, what wandb leaves behind, and that neither can end a run."""

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import PLACES, TINY

from deep_cnn.config.registries import TRACKERS, Row
from deep_cnn.config.schema import Config
from deep_cnn.reporting.trackers import trackers
from deep_cnn.reporting.trackers.interface import Epoch
from deep_cnn.reporting.trackers.wandb import WandbTracker
from deep_cnn.runtime.run_files import RunFiles

KEY = "f00dfacef00dfacef00dfacef00dfacef00dface"


def read_events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    return events


def test_tensorboard_reads_what_metrics_csv_says(train):
    import pandas as pd

    code, files = train(tensorboard=True, epochs=3)
    assert code == 0
    events, table = read_events(files.tensorboard), pd.read_csv(files.results / "metrics.csv")
    for tag, column in (("train/loss", "train_loss"), ("validation/top1", "val_top1"), ("training/lr", "lr")):
        points = events.Scalars(tag)
        assert [p.step for p in points] == [0, 1, 2]
        assert [p.value for p in points] == pytest.approx(table[column].tolist(), rel=1e-6)  # float32
    assert len(events.Scalars("training/images_per_second")) == 3
    assert len(events.Images("validation examples")) == 3
    result = json.loads((files.results / "test.json").read_text())
    assert events.Scalars("hparam/test/top1")[0].value == pytest.approx(result["top1"])
    assert {"network/text_summary", "config/text_summary"} <= set(events.Tags()["tensors"])
    assert any("hparams" in name for name in events.summary_metadata)


def test_a_resumed_run_shows_each_epoch_once(tmp_path):
    config = {"epochs": 3}
    from deep_cnn.reporting.trackers.tensorboard import TensorBoardTracker

    files = RunFiles(tmp_path, "r")

    def epochs(numbers, start, value):
        tracker = TensorBoardTracker(config, files, "network", start)
        for number in numbers:
            tracker.log(Epoch({"epoch": number, "train_loss": value}, 1.0, lambda: []))
        tracker.close("stopped", None)

    epochs([0, 1], 0, 1.0)
    time.sleep(1.1)  # event files are told apart by seconds
    epochs([1, 2], 1, 2.0)  # killed before epoch 1 was saved
    assert [(p.step, p.value) for p in read_events(files.tensorboard).Scalars("train/loss")] == [
        (0, 1.0),
        (1, 2.0),
        (2, 2.0),
    ]


def test_a_tracker_that_fails_is_left_out_and_said(caplog):
    caplog.set_level(logging.WARNING, "deep_cnn")
    calls = []
    good = SimpleNamespace(log=calls.append, close=lambda *a: calls.append(a))
    bad = SimpleNamespace(log=lambda epoch: 1 / 0, close=lambda *a: calls.append("never"))
    both = trackers.Trackers([bad, good])
    both.log("a")
    both.log("b")
    both.close("finished", None)
    assert calls == ["a", "b", ("finished", None)]
    assert [r.message.count("ZeroDivisionError") for r in caplog.records] == [1]


def files_with(folder, words: str) -> list:
    return [p for p in folder.rglob("*") if p.is_file() and words.encode() in p.read_bytes()]


@pytest.fixture
def wandb_environment(monkeypatch):
    for name in ("WB_KEY", "WANDB_API_KEY", "WANDB_MODE", "PBS_JOBID", "SLURM_JOB_ID", "LSB_JOBID", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WB_KEY", KEY)
    monkeypatch.setenv("PBS_JOBID", "17.server")  # offline, though there is a key
    return monkeypatch


def test_wandb_offline_in_a_job_and_resumed(tmp_path, wandb_environment, caplog):
    caplog.set_level(logging.INFO, "deep_cnn")
    files = RunFiles(tmp_path / "outputs", "r")
    files.make_folders()
    (files.results / "metrics.csv").write_text("epoch,val_top1,val_r2\n0,0.25,\n1,0.5,\n")
    for start in (0, 2):
        tracker = WandbTracker({"lr": 1e-3}, files)
        for epoch in (start, start + 1):
            image = SimpleNamespace(image=np.zeros((8, 8, 3), np.uint8), caption="a: b, predicted c")
            tracker.log(Epoch({"epoch": epoch, "val_top1": 0.5}, 9.0, lambda shown=image: [shown]))
        tracker.close("stopped" if start == 0 else "finished", {"top1": 0.75, "best_epoch": 1} if start else None)
    assert tracker._row(1) == {"epoch": 1.0, "val_top1": 0.5} and tracker._row(None) == {}
    state = json.loads((files.results / "wandb.json").read_text())
    assert len(state["offline"]) == 2
    for piece in state["offline"]:
        assert piece.endswith(state["id"])  # the same run
        assert list((files.outputs / piece).glob("run-*.wandb"))
    (line,) = [r.message for r in caplog.records[-1:] if "wandb sync" in r.message]
    assert all(str(files.outputs / piece) in line for piece in state["offline"])
    assert "PBS_JOBID" in caplog.text and KEY not in caplog.text
    assert files_with(tmp_path, KEY) == []


@pytest.mark.slow
def test_a_server_that_never_answers_costs_no_step_and_no_key(tmp_path, wandb_environment):
    """30 seconds: the library gives up; then the run is offline, whole, and the process ends."""
    server = socket.create_server(("127.0.0.1", 0))
    kept = []
    threading.Thread(target=lambda: [kept.append(server.accept()) for _ in range(100)], daemon=True).start()
    environment = {**os.environ, "WB_KEY": KEY, "WANDB_BASE_URL": f"http://127.0.0.1:{server.getsockname()[1]}"}
    environment.pop("PBS_JOBID")
    flags = TINY | {"data_dir": PLACES, "root_dir": tmp_path, "wandb": True}
    command = [sys.executable, "-m", "deep_cnn", *(f"--{name}={value}" for name, value in flags.items())]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0 and "wandb sync" in done.stdout and KEY not in done.stdout + done.stderr
    assert (tmp_path / "outputs/results/default/test.json").exists() and files_with(tmp_path, KEY) == []


def test_wandb_false_opens_nothing(tmp_path):
    assert trackers.open_trackers(Config(), RunFiles(tmp_path, "r"), "", 0) == []


class Notebook:
    """A tracker of the test below."""

    def __init__(self, config, files, summary, epoch):
        self.given = (config["epochs"], files.name, summary, epoch)


def test_a_row_is_all_that_a_tracker_needs(tmp_path, monkeypatch):
    monkeypatch.setitem(TRACKERS, "notebook", Row("notebook", "", f"{__name__}:Notebook"))
    config = SimpleNamespace(trackers=("notebook",), to_dict=lambda: {"epochs": 3})
    (tracker,) = trackers.open_trackers(config, RunFiles(tmp_path, "r"), "net", 2)
    assert isinstance(tracker, sys.modules[__name__].Notebook) and tracker.given == (3, "r", "net", 2)
