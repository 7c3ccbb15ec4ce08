"""Losses against independent calculations; missing scores masked; targets standardised by the training set alone."""

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from deep_cnn.runtime.errors import ConfigError
from deep_cnn.tasks.base import (
    Classification,
    MultiLabel,
    Regression,
    make_task,
    sample_scores,
    task_from_dict,
    validation_loss,
)
from deep_cnn.tasks.intervals import bootstrap_intervals
from deep_cnn.training.loop import batch_weight, loss_sum

RNG = np.random.default_rng(0)


@torch.no_grad()
def mean_loss(task, outputs, targets, weights=None):
    weights = torch.ones(len(outputs)) if weights is None else weights
    return float(loss_sum(outputs, targets, weights, task) / batch_weight(task, targets, weights))


def test_cross_entropy_is_sklearns_log_loss():
    task = Classification(("a", "b", "c"), "cross_entropy")
    outputs, targets = RNG.normal(size=(40, 3)), RNG.integers(3, size=40)
    expected = log_loss(targets, task.decode(outputs), labels=[0, 1, 2])
    assert mean_loss(task, torch.tensor(outputs), task.encode(targets)) == pytest.approx(expected)
    assert validation_loss(task, outputs, targets) == pytest.approx(expected)


@pytest.mark.parametrize("size", [100, 1000])  # beyond what float32's and float64's probabilities can say
@pytest.mark.parametrize("cls", [Classification, MultiLabel])
def test_the_loss_of_a_diverged_network_lies_in_its_own_interval(cls, size):
    task = cls(("a", "b", "c"), cls.losses[0])
    outputs = (size * RNG.normal(size=(200, 3))).astype(np.float32)
    targets = RNG.integers(3, size=200) if cls is Classification else RNG.integers(2, size=(200, 3))
    scores = sample_scores(task, outputs, targets)
    low, high = bootstrap_intervals(scores.scores, 200, seed=0, repeats=200)["loss"]
    assert scores.scores()["loss"] == pytest.approx(validation_loss(task, outputs, targets), rel=1e-12)
    assert low < validation_loss(task, outputs, targets) < high


def test_class_weights_are_torchs_weighted_mean():
    task = Classification(("a", "b", "c"), "cross_entropy")
    outputs, targets = torch.randn(50, 3), torch.randint(3, (50,))
    class_weights = torch.tensor([0.2, 1.0, 3.0])
    expected = torch.nn.functional.cross_entropy(outputs, targets, weight=class_weights)
    assert mean_loss(task, outputs, targets, class_weights[targets]) == pytest.approx(float(expected), rel=1e-5)


def test_label_smoothing_trains_but_does_not_validate():
    smooth, plain = (Classification(("a", "b"), "cross_entropy", s) for s in (0.1, 0.0))
    outputs, targets = torch.tensor([[3.0, -3.0]]), torch.tensor([0])
    assert mean_loss(smooth, outputs, targets) > mean_loss(plain, outputs, targets)
    assert validation_loss(smooth, outputs.numpy(), targets.numpy()) == pytest.approx(
        mean_loss(plain, outputs, targets), rel=1e-3
    )


def test_multilabel_loss_and_decoding():
    task = MultiLabel(("a", "b"), "bce")
    outputs, targets = RNG.normal(size=(30, 2)), (RNG.random((30, 2)) < 0.3).astype(np.float32)
    p = task.decode(outputs)
    expected = -(targets * np.log(p) + (1 - targets) * np.log(1 - p)).mean()
    assert mean_loss(task, torch.tensor(outputs), task.encode(targets).double()) == pytest.approx(expected)
    assert np.isfinite(task.decode(np.array([[-1e4, 1e4]]))).all()


@pytest.mark.parametrize("loss", ["mse", "huber"])
def test_missing_scores_are_left_out_of_loss_and_gradient(loss):
    task = make_task("scores", ("price", "area"), np.array([[1.0, 10.0], [3.0, np.nan], [5.0, 30.0]]), loss, 0.0)
    assert task.mean == (3.0, 20.0)
    targets = task.encode(np.array([[1.0, np.nan], [np.nan, np.nan], [5.0, 10.0]]))
    outputs = torch.randn(3, 2, requires_grad=True)
    value = loss_sum(outputs, targets, torch.ones(3), task) / batch_weight(task, targets, torch.ones(3))
    value.backward()
    known = ~torch.isnan(targets)
    function = torch.nn.functional.mse_loss if loss == "mse" else torch.nn.functional.huber_loss
    assert float(value.detach()) == pytest.approx(float(function(outputs[known], targets[known]).detach()), rel=1e-5)
    assert torch.isfinite(outputs.grad).all() and (outputs.grad[~known] == 0).all()


def test_a_batch_without_any_score_does_nothing():
    task = Regression(("a",), "mse", 0.0, (0.0,), (1.0,))
    outputs, targets = torch.randn(2, 1, requires_grad=True), torch.full((2, 1), float("nan"))
    value = loss_sum(outputs, targets, torch.ones(2), task) / batch_weight(task, targets, torch.ones(2))
    value.backward()
    assert float(value.detach()) == 0 and (outputs.grad == 0).all()


def test_shapes_never_broadcast():
    task = Regression(("a",), "mse", 0.0, (0.0,), (1.0,))
    with pytest.raises(AssertionError):
        task.losses_and_weights(torch.randn(4, 1), torch.randn(4))  # would be the mean of a (4, 4) table


def test_standardised_by_the_training_set_and_back():
    train = np.array([[100.0], [200.0], [300.0]])
    task = make_task("scores", ("price",), train, "auto", 0.0)
    assert task.encode(train).mean() == pytest.approx(0, abs=1e-6)
    assert task.decode(task.encode(np.array([[1e6]])).numpy())[0, 0] == pytest.approx(1e6, rel=1e-6)


def test_a_constant_column_in_train_divides_by_one():
    task = make_task("scores", ("x",), np.full((5, 1), 7.0), "auto", 0.0)
    assert task.std == (1.0,)


def test_tasks_survive_a_checkpoint():
    for task in (Classification(("a", "b"), "cross_entropy", 0.1), Regression(("x",), "huber", 0.0, (1.0,), (2.0,))):
        assert task_from_dict(task.to_dict()) == task


def test_a_loss_of_another_task_is_refused():
    with pytest.raises(ConfigError, match="--loss=mse"):
        make_task("single", ("a", "b"), np.zeros(3), "mse", 0.0)
    with pytest.raises(ConfigError, match="--label_smoothing"):
        make_task("scores", ("a",), np.zeros((3, 1)), "auto", 0.1)
