"""Regression: missing scores masked, targets standardised by the training set alone, and what is written and read again."""

import numpy as np
import pytest
import torch

from deep_cnn.tasks.make import new_task
from deep_cnn.tasks.regression import Regression
from deep_cnn.training.loop import loss_sum


@pytest.mark.parametrize("loss", ["mse", "huber"])
def test_missing_scores_are_left_out_of_loss_and_gradient(loss):
    task = new_task("regression", ("price", "area"), loss).fitted(np.array([[1.0, 10.0], [3.0, np.nan], [5.0, 30.0]]))
    assert task.mean == (3.0, 20.0)
    targets = task.encode(np.array([[1.0, np.nan], [np.nan, np.nan], [5.0, 10.0]]))
    outputs = torch.randn(3, 2, requires_grad=True)
    value = loss_sum(outputs, targets, torch.ones(3), task) / task.batch_weight(targets, torch.ones(3))
    value.backward()
    known = ~torch.isnan(targets)
    function = torch.nn.functional.mse_loss if loss == "mse" else torch.nn.functional.huber_loss
    assert float(value.detach()) == pytest.approx(float(function(outputs[known], targets[known]).detach()), rel=1e-5)
    assert torch.isfinite(outputs.grad).all() and (outputs.grad[~known] == 0).all()


def test_a_batch_without_any_score_does_nothing():
    task = Regression(("a",), "mse", 0.0, (0.0,), (1.0,))
    outputs, targets = torch.randn(2, 1, requires_grad=True), torch.full((2, 1), float("nan"))
    value = loss_sum(outputs, targets, torch.ones(2), task) / task.batch_weight(targets, torch.ones(2))
    value.backward()
    assert float(value.detach()) == 0 and (outputs.grad == 0).all()


def test_shapes_never_broadcast():
    task = Regression(("a",), "mse", 0.0, (0.0,), (1.0,))
    with pytest.raises(AssertionError):
        task.losses_and_weights(torch.randn(4, 1), torch.randn(4))  # would be the mean of a (4, 4) table


def test_standardised_by_the_training_set_and_back():
    train = np.array([[100.0], [200.0], [300.0]])
    task = new_task("regression", ("price",), "auto").fitted(train)
    assert task.encode(train).mean() == pytest.approx(0, abs=1e-6)
    assert task.decode(task.encode(np.array([[1e6]])).numpy())[0, 0] == pytest.approx(1e6, rel=1e-6)


def test_a_constant_column_in_train_divides_by_one():
    task = new_task("regression", ("x",), "auto").fitted(np.full((5, 1), 7.0))
    assert task.std == (1.0,)


def test_rare_scores_weigh_more_and_an_outlier_does_not_rule():
    scores = np.concatenate([np.random.default_rng(0).normal(0, 1, 500), [50.0], [np.nan]])[:, None]
    weights = new_task("regression", "a").rarity(scores, np.arange(502))
    assert weights.mean() == pytest.approx(1) and weights.max() < 15
    assert weights[500] == weights.max() and np.isfinite(weights).all()


def test_what_is_written_and_read_again():
    task = Regression(("price", "area"), "mse", 0.0, (0.0, 0.0), (2.0, 1.0))
    targets, decoded = np.array([[1e-7, np.nan], [250_000.0, 3.0]]), np.array([[1.5, 2.5], [231_000.0, 1.0]])
    assert task.tested_columns() == ["target_price", "predicted_price", "target_area", "predicted_area"]
    assert task.tested_cells(decoded, targets)[0] == ["1e-07", 1.5, "", 2.5]
    np.testing.assert_array_equal(task.parse_targets(task.target_rows(targets)), targets)
    assert task.caption(targets[0], decoded[0]) == "price 1e-07, predicted 1.5; area unknown, predicted 2.5"
    assert task.columns(top=3) == task.decoded_columns  # a score is no rank
    assert task.wrongness(decoded, targets) == pytest.approx([0.75, (9500 + 2) / 2])
    (_, (worst, other)), (_, (area,)) = task.mistakes(decoded, targets, most=9)
    assert worst == (1, "231,000 (-19,000)", "true: 250,000") and other.row == 0
    assert area == (1, "1 (-2)", "true: 3")


def test_the_layer_decodes():
    task = Regression(("price", "area"), "mse", 0.0, (10.0, 0.0), (2.0, 1.0))
    assert task.activation()(torch.ones(1, 2)).tolist() == task.decode(np.ones((1, 2))).tolist() == [[12.0, 1.0]]


def test_each_of_several_targets_has_its_metrics():
    assert new_task("regression", ("price",)).metric_names() == ["mae", "rmse", "r2", "pearson", "spearman", "loss"]
    names = new_task("regression", ("price", "area")).metric_names()
    assert names[:5] == ["mae_sd", "r2", "pearson", "spearman", "loss"]  # no mean of dollars and square metres
    assert "area/mae" in names and "area/loss" not in names and len(names) == 5 + 2 * 6
    assert new_task("regression", ("safety", "beauty")).in_one_unit().metric_names()[:3] == ["mae", "rmse", "mae_sd"]
