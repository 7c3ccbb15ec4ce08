"""Ratings as ordered levels: the loss, the answers and the metrics against independent calculations."""

import logging

import numpy as np
import pytest
import torch
from sklearn.metrics import cohen_kappa_score, mean_absolute_error

from deep_cnn.runtime.errors import ConfigError
from deep_cnn.tasks.make import new_task, task_from_dict
from deep_cnn.tasks.ordinal import MOST_LEVELS, Ordinal
from deep_cnn.training.loop import loss_sum

NAMES = ("safety", "calm")
RATINGS = np.array([[1.0, 3], [2, 5], [5, 4], [4, np.nan], [1, 3], [np.nan, np.nan]])  # 1 to 5, 3 to 5


@pytest.fixture
def task() -> Ordinal:
    return new_task("regression", NAMES, "ordinal").with_targets(RATINGS).fitted(RATINGS)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Of each level, (levels,), multiplied out: to pass the first questions and to fail the next one."""
    passed = 1 / (1 + np.exp(-logits))
    found = [np.prod(passed[:k]) * (1 - passed[k]) for k in range(len(logits))]
    return np.array([*found, np.prod(passed)])


def test_the_loss_is_minus_the_log_likelihood_of_the_levels(task):
    outputs = torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    losses, weights = task.losses_and_weights(outputs, task.encode(RATINGS))
    expected = np.zeros(6)
    for i, row in enumerate(RATINGS):
        for part, low, rating in zip(np.split(outputs.detach().numpy()[i], [4]), (1, 3), row, strict=True):
            if not np.isnan(rating):
                expected[i] -= np.log(probabilities(part)[int(rating) - low])
    assert losses.detach().numpy() == pytest.approx(expected, abs=1e-12)
    assert weights.tolist() == [2, 2, 2, 1, 2, 0]
    assert torch.autograd.gradcheck(lambda x: task.losses_and_weights(x, task.encode(RATINGS))[0], outputs)
    losses.sum().backward()
    assert (outputs.grad[5] == 0).all(), "no rating, no gradient"
    assert (outputs.grad[0, 1:4] == 0).all() and outputs.grad[0, 0] != 0, "of level 1 the first question alone is asked"


def test_no_infinity_hides_behind_a_missing_rating(task):
    outputs = torch.tensor([[1.0, 1, 1, 1, 1, 1]]).repeat(6, 1)
    outputs[5] = float("inf")
    outputs.requires_grad_(True)
    value = loss_sum(outputs, task.encode(RATINGS), torch.ones(6), task)
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(outputs.grad).all()


def test_scores_are_expected_levels_and_levels_are_medians(task):
    outputs = 2 * np.random.default_rng(0).normal(size=(200, 6))
    decoded = task.decode(outputs)
    assert decoded.shape == (200, 4) and task.decoded_columns == [
        "predicted_safety",
        "predicted_calm",
        "level_safety",
        "level_calm",
    ]
    for row, said in zip(outputs, decoded, strict=True):
        for t, (part, low) in enumerate(zip(np.split(row, [4]), (1, 3), strict=True)):
            p, levels = probabilities(part), low + np.arange(len(part) + 1)
            assert said[t] == pytest.approx(p @ levels)
            assert said[2 + t] == levels[np.argmax(np.cumsum(p) >= 0.5)]
    layer = task.activation()(torch.from_numpy(outputs.astype(np.float32))).numpy()
    assert layer == pytest.approx(decoded, abs=1e-5)
    assert task.cells(decoded)[0][2:] == decoded[0, 2:].tolist() and isinstance(task.cells(decoded)[0][2], int)


def test_metrics_are_scikit_learns():
    rng = np.random.default_rng(1)
    ratings = rng.integers(1, 6, 60).astype(float)[:, None]
    task = new_task("regression", ("x",), "ordinal").with_targets(ratings).fitted(ratings)
    decoded = np.concatenate(
        [ratings + rng.normal(size=(60, 1)), np.clip(ratings + rng.integers(-1, 2, (60, 1)), 1, 5)], 1
    )
    ratings[::7] = np.nan
    scored, known = task.scored_decoded(decoded, ratings).scores(), ~np.isnan(ratings[:, 0])
    true, level = ratings[known, 0].astype(int), decoded[known, 1].astype(int)
    assert scored["level_mae"] == pytest.approx(mean_absolute_error(true, level))
    assert scored["level_kappa"] == pytest.approx(
        cohen_kappa_score(true, level, weights="quadratic", labels=[1, 2, 3, 4, 5])
    )
    assert scored["mae"] == pytest.approx(mean_absolute_error(true, decoded[known, 0]))
    constant = task.scored_decoded(np.full((60, 2), 3.0), ratings).scores()
    assert constant["level_kappa"] == 0, "no more than by chance, without rounding"
    assert task.scored_decoded(decoded, np.full((60, 1), np.nan)).scores()["level_kappa"] is None
    assert set(task.metric_names()) == {"mae", "rmse", "r2", "pearson", "spearman", "loss", "level_mae", "level_kappa"}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            [1, 2, 2.5],
            "1 values of x are no whole numbers, such as 2.5, and a mean of ratings has no level; use --loss=mse",
        ),
        ([1, 2, 1 + MOST_LEVELS], "x has 21 levels, from 1 to 21; it is for 2 to 20; use --loss=mse"),
        ([3, 3, np.nan], "x has 1 level, from 3 to 3; it is for 2 to 20"),
    ],
)
def test_what_are_no_levels_is_refused(values, said):
    with pytest.raises(ConfigError, match="--loss=ordinal: ") as error:
        new_task("regression", ("x",), "ordinal").with_targets(np.array(values, dtype=float)[:, None])
    assert said in str(error.value)


def test_levels_that_no_training_image_has_are_named(task, caplog):
    caplog.set_level(logging.INFO, logger="deep_cnn")
    task.fitted(RATINGS[:2])
    assert "No training image has a safety of 3 to 5, so nothing is learnt about them" in caplog.text
    assert "calm" not in caplog.text


def test_what_is_written_and_read_again(task):
    assert task_from_dict(task.to_dict()) == task and task.outputs == 6
    assert task.raw_names()[:2] == ["safety > 1", "safety > 2, if > 1"] and len(task.raw_names()) == 6
    assert [task.explained_output(k) for k in (0, 1)] == [1, 4]  # the medians are 2 and 3
    with pytest.raises(
        ConfigError, match=r"--target_transform=log: ordered levels cannot be rescaled \(--loss=ordinal\)"
    ):
        task.on_scale("log", RATINGS)


def test_ratings_of_other_people_may_be_lower(task):
    lower = RATINGS - 3
    assert task.encode(lower).nan_to_num(nan=9).min() == 0
    assert np.isfinite(task.validation_loss(np.zeros((6, 6)), lower))
