"""The lines of PyTorch's classifier tutorial, and the running loss behind them."""

import pytest
import torch

from deep_cnn.reporting.tutorial_console import due, loss_line, result_lines
from deep_cnn.training.state import Progress, TrainingState


def test_lines_are_the_tutorials():
    assert loss_line(0, 2000, 2.10549) == "[1,  2000] loss: 2.105"
    assert loss_line(1, 12000, 1.2) == "[2, 12000] loss: 1.200"
    classes = {"car": {"recall": 0.6789}, "airplane": {"recall": 0.5}, "none": {"recall": None}}
    assert result_lines({"top1": 0.5599, "count": 10000, "per_class": classes}) == [
        "Accuracy of the network on the 10000 test images: 55 %",
        "Accuracy for class: car   is 67.9 %",
        "Accuracy for class: airplane is 50.0 %",
    ]
    assert result_lines({"mae": 1.0, "count": 3}) == []


def test_every_epoch_has_a_line():
    assert [step for step in range(1, 12501) if due(step, 12500)] == list(range(2000, 12001, 2000))
    assert [step for step in range(1, 501) if due(step, 500)] == [500]


def test_the_loss_is_that_since_the_last_line():
    state = TrainingState(None, None, None, None, torch.tensor([8.0, 4.0], dtype=torch.float64))
    assert state.recent_loss() == 2.0
    state.progress = Progress(**vars(state.progress))  # stopped and resumed in between
    state.sums += torch.tensor([3.0, 2.0])
    assert state.recent_loss() == pytest.approx(1.5)
    state.progress.next_epoch(epochs=5, patience=0)
    state.sums.zero_()
    state.sums += torch.tensor([1.0, 4.0])
    assert state.recent_loss() == pytest.approx(0.25)
