"""A task is made by its name, read from checkpoints old and new, and has each loss in its own interval."""

import numpy as np
import pytest

from deep_cnn.runtime.errors import ConfigError
from deep_cnn.tasks.classification import Classification
from deep_cnn.tasks.intervals import intervals
from deep_cnn.tasks.make import new_task, task_from_dict
from deep_cnn.tasks.multilabel import MultiLabel
from deep_cnn.tasks.regression import Regression

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("size", [100, 1000])  # beyond what float32's and float64's probabilities can say
@pytest.mark.parametrize("cls", [Classification, MultiLabel])
def test_the_loss_of_a_diverged_network_lies_in_its_own_interval(cls, size):
    task = new_task(cls.name, ("a", "b", "c"))
    outputs = (size * RNG.normal(size=(200, 3))).astype(np.float32)
    targets = RNG.integers(3, size=200) if cls is Classification else RNG.integers(2, size=(200, 3))
    scores = task.scored(outputs, targets)
    low, high = intervals(scores)["loss"].interval
    # 1e-6: the loss of labels is summed in float32
    assert scores.scores()["loss"] == pytest.approx(task.validation_loss(outputs, targets), rel=1e-6)
    assert low < task.validation_loss(outputs, targets) < high


def test_tasks_survive_a_checkpoint():
    for task in (Classification(("a", "b"), "cross_entropy", 0.1), Regression(("x",), "huber", 0.0, (1.0,), (2.0,))):
        assert task_from_dict(task.to_dict()) == task


def test_checkpoints_of_0_1_0_say_single_multi_and_scores():
    old = {"kind": "multi", "names": ["a", "b"], "loss": "bce", "label_smoothing": 0.0}
    assert task_from_dict(old) == MultiLabel(("a", "b"), "bce")
    now = new_task("multilabel", ("a", "b")).to_dict()
    assert now["kind"] == "multi" and now["name"] == "multilabel"


def test_a_loss_of_another_task_is_refused():
    with pytest.raises(ConfigError, match="--loss=mse"):
        new_task("classification", ("a", "b"), "mse")
    with pytest.raises(ConfigError, match="--label_smoothing"):
        new_task("regression", ("a",), label_smoothing=0.1)


@pytest.mark.parametrize("name", ["classification", "multilabel", "regression"])
def test_an_empty_split_has_targets_of_the_right_shape(name):
    task = new_task(name, ("a", "b"))
    empty = task.parse_targets([])
    assert len(empty) == 0 and task.chance(empty) is None
    assert [len(values) for _, values in (*task.members(empty), *task.measured(empty))] == [0, 0]


def test_a_task_that_is_unknown_is_a_value_error():
    with pytest.raises(ValueError, match="there is no task 'magic'"):
        task_from_dict({"kind": "magic", "names": ["a", "b"]})
