"""--profile: every second in one phase, and advice that fits."""

import json
import logging
import time

import pytest
import torch

from deep_cnn.training.profiling import Epoch, Facts, Profile, Silent, advice


class Batch:
    indices = range(8)


def test_phases_add_up_and_a_phase_within_another_is_taken_out_of_it():
    profile = Profile(torch.device("cpu"))
    with profile.timer("step"):
        time.sleep(0.02)
        with profile.timer("saving"):
            time.sleep(0.05)
    with profile.timer("validation"):
        time.sleep(0.01)
    profile.epoch()
    seconds = profile.seconds
    assert seconds["saving"] >= 0.05 and 0.02 <= seconds["step"] < 0.05 and seconds["validation"] >= 0.01


def test_waiting_is_the_time_until_a_batch_comes():
    def slow():
        for _ in range(3):
            time.sleep(0.02)
            yield Batch()

    profile = Profile(torch.device("cpu"))
    with profile.timer("step"):
        for _ in profile.batches(slow()):
            time.sleep(0.005)
    profile.epoch()
    (epoch,) = profile.epochs
    assert epoch.images == 24 and epoch.waiting >= 0.06 and 0.015 <= epoch.step < 0.06
    assert profile.rates()[0] == pytest.approx(24 / (epoch.waiting + epoch.step)) and profile.rates()[1] is None


def test_the_table_and_its_numbers(tmp_path, caplog):
    profile = Profile(torch.device("cpu"), time.monotonic() - 5)
    with profile.timer("step"):
        pass
    profile.epoch()
    with caplog.at_level(logging.INFO, "deep_cnn"):
        profile.report(Facts(), tmp_path / "profile.json")
    assert "starting" in caplog.text and "Limited by" in caplog.text
    assert json.loads((tmp_path / "profile.json").read_text())["seconds"]["start"] >= 5


def test_without_the_flag_nothing_is_measured():
    batches = [1, 2]
    silent = Silent()
    assert silent.batches(batches) is batches
    with silent.timer("step"), silent.cuda_timer("copying"):
        pass


def spent(**seconds):
    return (
        dict.fromkeys(("start", "features", "waiting", "step", "validation", "test", "saving", "rest"), 0.0) | seconds
    )


@pytest.mark.parametrize(
    ("seconds", "epochs", "facts", "word"),
    [
        ({"waiting": 50, "step": 50}, [Epoch(9, 25, 25)] * 2, {"cached": False}, "--cache"),
        ({"waiting": 50, "step": 50}, [Epoch(9, 25, 25)] * 2, {"workers": 1, "cores": 4}, "--workers=4"),
        ({"waiting": 50, "step": 50}, [Epoch(9, 25, 25)] * 2, {"augment": "strong"}, "--augment=strong"),
        ({"waiting": 40, "step": 100}, [Epoch(9, 40, 50), Epoch(9, 0, 50)], {}, "first epoch"),
        ({"step": 100}, [Epoch(9, 0, 100)], {"reduced": "bf16"}, "--precision=bf16"),
        ({"step": 100}, [Epoch(9, 0, 100)], {"device": "cuda"}, "--compile=on"),
        ({"step": 100}, [Epoch(9, 0, 100)], {"precision": "bf16"}, "--recipe=probe"),
        ({"step": 10, "validation": 90}, [Epoch(9, 0, 10)], {}, "--val_split"),
        ({"step": 10, "saving": 90}, [Epoch(9, 0, 10)], {}, "--save_every"),
        ({"step": 10, "features": 90}, [Epoch(9, 0, 10)], {"features": True}, "--epochs"),
        ({"step": 10, "start": 90}, [Epoch(9, 0, 10)], {}, "one-time work"),
    ],
)
def test_the_advice_names_the_flag_that_helps(seconds, epochs, facts, word):
    assert word in advice(spent(**seconds), epochs, Facts(**facts))
