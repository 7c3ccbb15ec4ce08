"""What a resumed run says of code that has changed."""

import pytest
import torch

from deep_cnn.config.identity import OTHER_NUMBERS, SAME_NUMBERS
from deep_cnn.runtime.errors import CheckpointError
from deep_cnn.training.resume import _changed_sources
from deep_cnn.training.state import TrainingState


@pytest.mark.parametrize("digest", OTHER_NUMBERS)
def test_an_unfinished_run_of_another_release_is_not_continued_in_silence(digest):
    said = _changed_sources(digest, finished=False)
    assert f"version {OTHER_NUMBERS[digest]}" in said and "--resume=never" in said and "\n" not in said
    assert digest not in SAME_NUMBERS


def test_changed_code_of_one_s_own():
    assert "continues with the new code" in _changed_sources("0" * 64, finished=False)
    assert "since this run finished" in _changed_sources("0" * 64, finished=True)


def test_a_state_with_other_groups_of_parameters_is_refused_in_one_line():
    """An older version decayed all weights of timm's networks: the optimizer of its unfinished runs has other groups."""
    model = torch.nn.Linear(2, 2)
    sums = torch.zeros(2, dtype=torch.float64)

    def state(groups: list) -> TrainingState:
        scaler = torch.amp.GradScaler("cpu", enabled=False)
        return TrainingState(model, torch.optim.SGD(groups, lr=0.1), scaler, None, sums)

    saved = state([{"params": [model.weight, model.bias]}]).capture()
    with pytest.raises(CheckpointError, match="began with another version of deep_cnn"):
        state([{"params": [model.weight]}, {"params": [model.bias]}]).restore(saved)
