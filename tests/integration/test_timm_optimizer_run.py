"""A whole run with an optimizer of timm: stopped in the middle and resumed, it gives the bits of an uninterrupted one."""

import os
import signal
import sys

import pytest
import torch

from deep_cnn.models import checkpoint
from deep_cnn.training.checkpointing import Checkpointer

pytest.importorskip("timm.optim")


@pytest.mark.skipif(os.name != "posix", reason="sends itself a signal")
@pytest.mark.parametrize("name", ["timm/lion", "timm/lookahead_adamw"])
def test_stopped_and_resumed_it_is_the_uninterrupted_run(train, monkeypatch, name):
    flags = {"optimizer": name, "lr": 1e-4, "epochs": 2, "precision": "fp32", "save_every": 1}
    code, whole = train(run_name="whole", **flags)
    assert code == 0
    calls, after_step = [], Checkpointer.after_step

    def stopped_once(self):
        calls.append(1)
        if len(calls) == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        after_step(self)

    monkeypatch.setattr(Checkpointer, "after_step", stopped_once)
    assert train(run_name="parts", **flags)[0] == 75 and len(calls) == 4
    code, parts = train(run_name="parts", **flags)
    assert code == 0
    ours, theirs = checkpoint.load(parts.last), checkpoint.load(whole.last)
    assert all(torch.equal(ours["weights"][key], theirs["weights"][key]) for key in theirs["weights"])
    assert (parts.results / "metrics.csv").read_bytes() == (whole.results / "metrics.csv").read_bytes()
    states = [state["optimizer"]["state"] for state in (ours, theirs)]
    assert [sorted(state) for state in states[0].values()] == [sorted(state) for state in states[1].values()]


def test_a_wrong_name_ends_before_the_data_is_read(train, capsys):
    assert train(optimizer="timm/lionn")[0] == 2
    said = capsys.readouterr().err
    assert "has no such optimizer. Did you mean timm/lion?" in said and "Task:" not in said


def test_without_timm_it_is_one_line(train, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm.optim", None)
    assert train(optimizer="timm/lion")[0] == 2
    assert "--optimizer=timm/lion: timm is not installed; pip install timm" in capsys.readouterr().err


def test_the_range_test_takes_it(train, monkeypatch):
    monkeypatch.setattr("deep_cnn.training.optim.range_test.STEPS", 12)
    code, files = train(optimizer="timm/adamc", lr="auto")
    groups = checkpoint.load(files.last)["optimizer"]["param_groups"]
    assert code == 0 and all(group["max_lr_snapshot"] == group["base_lr"] < 1 for group in groups)
