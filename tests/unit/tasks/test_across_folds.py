"""Intervals over folds: against the formula worked out by hand, at the ends of a scale, and a fast part of their coverage."""

import numpy as np
import pytest
from scipy import stats

from deep_cnn.tasks.across_folds import difference_of_folds, fold_intervals, group_intervals, nadeau_bengio
from deep_cnn.tasks.confidence import wilson
from deep_cnn.tasks.intervals import intervals
from deep_cnn.tasks.metrics import ClassificationScores
from deep_cnn.tasks.score_metrics import RegressionScores


def test_nadeau_bengio_by_hand():
    values = [0.8, 0.9, 1.0, 1.1, 1.2]  # variance 0.025, times 1/5 + 1/4
    half = stats.t.ppf(0.975, 4) * np.sqrt(0.45 * 0.025)
    assert nadeau_bengio(values) == pytest.approx((1 - half, 1 + half))


def test_on_a_logarithmic_scale_the_interval_is_a_factor_around_the_mean():
    low, high = nadeau_bengio([0.8, 0.9, 1.0, 1.1, 1.2], "log")
    assert low * high == pytest.approx(1.0) and low > 0
    spread = np.var(np.log([0.8, 0.9, 1.0, 1.1, 1.2]), ddof=1)
    assert np.log(high) == pytest.approx(stats.t.ppf(0.975, 4) * np.sqrt(0.45 * spread))


def test_each_metric_has_its_scale():
    per_fold = [
        {"top1": 0.8, "mae": 2.0, "price/r2": 0.5, "pearson": 0.7},
        {"top1": 0.9, "mae": 3.0, "price/r2": 0.6, "pearson": 0.8},
    ]
    methods = {name: estimate.method for name, estimate in fold_intervals(per_fold, [50, 50]).items()}
    assert methods == {
        "top1": "Nadeau-Bengio over folds, logit scale",
        "mae": "Nadeau-Bengio over folds, log scale",
        "price/r2": "Nadeau-Bengio over folds, log(1 - x) scale",
        "pearson": "Nadeau-Bengio over folds, atanh scale",
    }


def test_no_interval_is_narrower_than_that_of_independent_errors():
    rng = np.random.default_rng(0)
    pooled = ClassificationScores.of(np.eye(2)[(rng.random(100) < 0.8).astype(int)], np.ones(100, int), ("a", "b"))
    alone = intervals(pooled)
    alike, apart = [{"top1": v} for v in (0.79, 0.8, 0.81)], [{"top1": v} for v in (0.6, 0.8, 0.95)]
    logit = lambda p: np.log(np.array(p) / (1 - np.array(p)))  # noqa: E731
    found = fold_intervals(alike, [33] * 3, independent=alone)["top1"].interval
    assert np.ptp(logit(found)) == pytest.approx(np.ptp(logit(alone["top1"].interval)))
    assert logit(found).mean() == pytest.approx(logit(0.8)), "around the mean over the folds"
    assert np.ptp(fold_intervals(alike, [33] * 3)["top1"].interval) < 0.6 * np.ptp(found)
    assert fold_intervals(apart, [33] * 3, independent=alone) == fold_intervals(apart, [33] * 3)


def test_folds_without_an_error_are_not_certain():
    found = fold_intervals([{"top1": 1.0}] * 5, [20] * 5)["top1"]
    assert found.interval == pytest.approx(tuple(map(float, wilson(1.0, 100.0))))
    assert found.method.endswith("or Wilson of all images if wider")
    low, high = fold_intervals([{"top1": 1.0}, {"top1": 0.8}, {"top1": 0.9}], [20] * 3)["top1"].interval
    assert 0 < low < 0.9 < high < 1


def test_pair_accuracy_is_of_votes_and_not_of_images():
    images, votes = [60] * 4, {"pair_accuracy": [3, 2, 4, 2]}
    found = fold_intervals([{"pair_accuracy": 1.0}] * 4, images, own_counts=votes)["pair_accuracy"]
    low, high = found.interval
    worth = 16 / (1 / 3 + 1 / 2 + 1 / 4 + 1 / 2)  # each fold weighs a quarter, however few votes it has
    assert low <= float(wilson(1.0, worth)[0]) < 0.74 and high == 1
    assert found.method.endswith("or Wilson of all votes if wider")
    uneven = [{"pair_accuracy": value} for value in (1.0, 0.5, 0.75, 0.5)]
    half = lambda interval: np.ptp(interval) / 2  # noqa: E731
    by_images, by_votes = (
        fold_intervals(uneven, images, own_counts=own)["pair_accuracy"].interval for own in (None, votes)
    )
    assert half(by_votes) < half(by_images), "half a vote of 3 is more than half an image of 60"


def test_pair_accuracy_of_folds_that_agree_by_chance_is_no_better_known_than_that_of_independent_votes():
    per_fold = [{"pair_accuracy": value} for value in (0.80, 0.81, 0.80, 0.81)]
    found = fold_intervals(per_fold, [60] * 4)["pair_accuracy"].interval
    assert np.ptp(found) == pytest.approx(np.ptp(wilson(0.805, 240.0)), rel=0.02)
    few = fold_intervals(per_fold, [60] * 4, own_counts={"pair_accuracy": [10] * 4})["pair_accuracy"].interval
    assert np.ptp(few) == pytest.approx(np.ptp(wilson(0.805, 40.0)), rel=0.05)


def test_small_folds_that_agree_by_chance_are_not_certain():
    found = fold_intervals([{"top1": 0.8, "mae": 2.0}] * 2, [20, 20])
    assert found["top1"].interval == pytest.approx(tuple(map(float, wilson(0.8, 40.0))))
    assert found["mae"].interval is None and found["mae"].method == "none: no spread"


def test_a_metric_that_a_fold_lacks_has_no_interval_and_says_why():
    found = fold_intervals([{"r2": 0.5, "pearson": 1.0}, {"r2": None, "pearson": 0.5}], [2, 2])
    assert found["r2"].interval is None and found["r2"].method == "none: undefined in a fold"
    assert found["pearson"].interval is None and "end of the scale" in found["pearson"].method


def test_intervals_of_groups_allow_for_the_networks_that_share_training_images():
    rng = np.random.default_rng(0)
    groups, targets = np.repeat(np.arange(12), 10), rng.integers(2, size=120)
    right = np.where(rng.random(120) < 0.8, targets, 1 - targets)
    pooled = ClassificationScores.of(np.eye(2)[right] * 0.8 + 0.1, targets, ("a", "b"))
    plain, ours = intervals(pooled, groups)["top1"].interval, group_intervals(pooled, groups, 5)["top1"].interval
    logit = [np.log(p / (1 - p)) for p in (pooled.scores()["top1"], *plain, *ours)]
    assert (logit[3] - logit[0]) / (logit[1] - logit[0]) == pytest.approx(np.sqrt(1.25))
    assert (logit[4] - logit[0]) / (logit[2] - logit[0]) == pytest.approx(np.sqrt(1.25))
    perfect = ClassificationScores.of(np.eye(2)[targets] * 0.8 + 0.1, targets, ("a", "b"))
    low, high = group_intervals(perfect, groups, 5)["top1"].interval
    assert low < intervals(perfect, groups)["top1"].interval[0] and high == 1


@pytest.mark.parametrize("noise", [0, 0.001])
def test_groups_that_agree_by_chance_are_no_better_known_than_independent_images(noise):
    rng = np.random.default_rng(1)
    groups, error = np.repeat(np.arange(12), 10), np.tile(rng.normal(size=10), 12)  # the same errors in each group
    error = error + noise * rng.normal(size=120)
    true = rng.normal(size=120)
    pooled = RegressionScores.of((true + error)[:, None], true[:, None], ["x"], np.zeros(1))
    ours, of_groups, of_images = (
        found["mae"].interval
        for found in (group_intervals(pooled, groups, 5), intervals(pooled, groups), intervals(pooled))
    )
    assert np.ptp(of_groups) < 0.1 * np.ptp(of_images) if noise else of_groups is None
    assert ours[0] < of_images[0] < of_images[1] < ours[1]


def test_differences_are_paired_by_fold():
    ours, theirs = np.array([0.70, 0.80, 0.90, 0.75, 0.85]), np.array([0.68, 0.79, 0.87, 0.73, 0.83])
    found = difference_of_folds(ours, theirs)
    half = stats.t.ppf(0.975, 4) * np.sqrt(0.45 * np.var(ours - theirs, ddof=1))
    assert found.value == pytest.approx(0.02) and found.interval == pytest.approx((0.02 - half, 0.02 + half))
    assert found.p < 0.05, "although each side varies by 0.08 between folds"
    assert difference_of_folds([0.5, None], [0.5, 0.4]) is None
    same = difference_of_folds([0.5, 0.6], [0.5, 0.6])
    assert same.value == 0 and same.p == 1
    every = difference_of_folds([0.1, 0.2, 0.0], [0.9, 1.0, 0.8])  # to the rounding: 2e-16 is no spread
    assert every.value == pytest.approx(-0.8) and every.interval is None and every.p is None


def test_the_interval_contains_the_mean_error_of_the_networks_as_trained():
    """Ridge in 50 dimensions, 200 images, 5 folds: the truth of each network is a formula. 2.5% noise at 300 sets."""
    rng, hits, d = np.random.default_rng(1), 0, 50
    for _ in range(300):
        w = rng.normal(size=d) / np.sqrt(d)
        x = rng.normal(size=(200, d))
        y, fold = x @ w + rng.normal(size=200), rng.permutation(200) % 5
        measured, true = [], []
        for k in range(5):
            a, b = x[fold != k], x[fold == k]
            own = np.linalg.solve(a.T @ a + 10 * np.eye(d), a.T @ y[fold != k])
            measured.append(np.abs(b @ own - y[fold == k]).mean())
            true.append(np.sqrt(2 / np.pi * (1 + np.square(own - w).sum())))
        low, high = nadeau_bengio(measured, "log")
        hits += low <= np.mean(true) <= high
    assert hits / 300 > 0.93
