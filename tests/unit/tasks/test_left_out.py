"""Metrics without each image or group, from sums, against scoring all the others anew."""

import numpy as np
import pytest

from deep_cnn.tasks import left_out as module
from deep_cnn.tasks.left_out import few_units, left_out, recalls_of_groups
from deep_cnn.tasks.metrics import ClassificationScores, MultilabelScores
from deep_cnn.tasks.score_metrics import RegressionScores

N = 50
RNG = np.random.default_rng(0)
GROUPS = RNG.integers(7, size=N)


def classes() -> ClassificationScores:
    targets = RNG.integers(6, size=N)
    targets[targets == 5] = 0
    targets[3] = 5  # the only image of its class: without it there is none
    return ClassificationScores.of(RNG.dirichlet(np.ones(6), N), targets, list("012345"))


def labels() -> MultilabelScores:
    probabilities = RNG.random((N, 4)).round(1)  # ties
    targets = RNG.random((N, 4)) < 0.8 * probabilities
    targets[:, 3] = np.arange(N) == 5
    return MultilabelScores.of(probabilities, targets, list("abcd"))


def scores() -> RegressionScores:
    targets = 5 * RNG.normal(size=(N, 2)) + 1e6  # far from zero: sums of squares would lose their digits
    predictions = targets + RNG.normal(size=(N, 2))
    targets[::4, 1] = np.nan
    return RegressionScores.of(predictions, targets, ["a", "b/c"], np.zeros(2), np.array([1, 3.0]), one_unit=True)


def ratings() -> RegressionScores:
    targets = RNG.integers(1, 6, (N, 2)).astype(float)
    targets[::4, 1] = np.nan
    levels = np.clip(np.nan_to_num(targets, nan=2) + RNG.integers(-1, 2, (N, 2)), 1, 5)
    said = levels + RNG.normal(size=(N, 2))
    return RegressionScores.of(said, targets, ["a", "b/c"], np.zeros(2), one_unit=True).with_levels(levels)


@pytest.mark.parametrize("units", [None, GROUPS], ids=["images", "groups"])
@pytest.mark.parametrize("make", [classes, labels, scores, ratings])
def test_left_out_is_scoring_the_others_anew(make, units):
    samples = make()
    codes = np.arange(N) if units is None else units
    rest = [np.flatnonzero(codes != unit) for unit in range(codes.max() + 1)]
    anew = [samples.scores(rows) for rows in rest]
    for name in samples.scores():
        expected = [np.nan if row[name] is None else row[name] for row in anew]
        found, count = left_out(samples, name, units)
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True), name
        known = N - 13 if name.startswith("b/c/") and units is None and not name.endswith("spearman") else len(rest)
        assert count == known


def test_metrics_without_sums_are_recomputed_without_blocks_of_images(monkeypatch):
    samples = scores()
    monkeypatch.setattr(module, "BLOCKS", 10)
    found, count = left_out(samples, "spearman", None)
    assert len(found) == count == 10
    # the variance of the whole is the same, up to what ten blocks tell of it
    monkeypatch.setattr(module, "BLOCKS", 1000)
    alone, _ = left_out(samples, "spearman", None)
    assert len(alone) == N


def test_very_many_groups_are_joined_to_blocks_of_whole_groups(monkeypatch):
    monkeypatch.setattr(module, "MOST_GROUPS", 4)
    units = few_units(GROUPS + 100)
    assert set(units) == {0, 1, 2, 3}
    assert all(len(set(units[group == GROUPS])) == 1 for group in range(7))


@pytest.mark.parametrize("make", [classes, labels])
def test_recalls_without_each_group(make):
    samples = make()
    sizes, without = recalls_of_groups(samples, GROUPS)
    for group in range(7):
        rest = samples.take(np.flatnonzero(group != GROUPS))
        per_class = rest.metrics()["per_class"]
        recalls = [np.nan if row["recall"] is None else row["recall"] for row in per_class.values()]
        assert without[group] == pytest.approx(recalls, nan_ok=True)
        own = samples.take(np.flatnonzero(group == GROUPS)).metrics()["per_class"]
        assert sizes[group].tolist() == [row["count"] for row in own.values()]
