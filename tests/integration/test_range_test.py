"""--lr=auto finds a rate that trains, and is then the very run that was given this rate."""

import json

import numpy as np
import pytest

from deep_cnn.cli.parser import parse_flags
from deep_cnn.config.schema import Config
from deep_cnn.models import checkpoint
from deep_cnn.runtime.errors import ConfigError
from deep_cnn.training.optim.range_test import smoothed, suggest


def test_suggestion_is_a_tenth_of_the_rate_with_the_lowest_loss():
    rates = 10.0 ** np.linspace(-6, 0, 61)
    losses = 2 - np.exp(-((np.log10(rates) + 2) ** 2))  # lowest at 1e-2
    assert suggest(rates, losses) == pytest.approx(1e-3)
    assert suggest(rates, np.linspace(2, 3, 61)) == 1e-3  # no rate helped


def test_smoothing_has_no_bias_at_its_start():
    assert smoothed(np.full(5, 2.3)) == pytest.approx(np.full(5, 2.3))
    assert len(smoothed(np.array([1.0, 2.0, np.nan]))) == 2


def test_flag_takes_a_number_or_auto():
    assert parse_flags(["--lr=auto"], Config) == {"lr": "auto"} and parse_flags(["--lr=1e-2"], Config) == {"lr": 0.01}
    assert Config(lr="auto").to_dict()["lr"] == "auto"
    with pytest.raises(ConfigError, match="a number or auto"):
        parse_flags(["--lr=automatic"], Config)
    with pytest.raises(ConfigError, match="out of range"):
        Config(lr=-1.0)


def weights(files):
    return checkpoint.load(files.last)["weights"]


def test_the_test_leaves_no_trace_and_a_resumed_run_keeps_its_rate(train, monkeypatch):
    monkeypatch.setattr("deep_cnn.training.optim.range_test.STEPS", 24)
    flags = {"epochs": 2, "precision": "fp32", "model": "net"}
    code, auto = train(lr="auto", run_name="auto", **flags)
    assert code == 0 and (auto.results / "lr_range.png").stat().st_size > 5000
    found = json.loads((auto.results / "config.json").read_text())["decisions"]["lr"]
    assert 1e-7 < found <= 0.1
    code, given = train(lr=found, run_name="given", **flags)
    ours, theirs = weights(auto), weights(given)
    assert all((ours[name] == theirs[name]).all() for name in ours)
    assert (auto.results / "metrics.csv").read_bytes() == (given.results / "metrics.csv").read_bytes()

    from deep_cnn.runtime.signals import Stopped
    from deep_cnn.training import trainer
    from deep_cnn.training.trainer import Trainer

    validate_epoch = Trainer.validate_epoch

    def stop_after_the_first(self):
        row = validate_epoch(self)
        patch.setattr(Trainer, "train_epoch", stop)
        return row

    def stop(self):
        raise Stopped("here")

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "validate_epoch", stop_after_the_first)
        assert train(lr="auto", run_name="again", **flags)[0] == 75
    monkeypatch.setattr(trainer, "find_learning_rate", lambda *args: 1 / 0)  # not a second time
    code, again = train(lr="auto", run_name="again", **flags)
    assert code == 0 and all((weights(again)[name] == ours[name]).all() for name in ours)
