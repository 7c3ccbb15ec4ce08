"""Differences between networks against scipy, and how often equal recipes are called different."""

import numpy as np
import pytest
from scipy import stats

from deep_cnn.tasks.differences import difference, differences, holm
from deep_cnn.tasks.metrics import ClassificationScores
from deep_cnn.tasks.score_metrics import RegressionScores

ANIMALS = ("bee", "cat", "dog")


def network(right: np.ndarray) -> ClassificationScores:
    truth = np.arange(len(right)) % 3
    return ClassificationScores.of(np.eye(3)[np.where(right, truth, (truth + 1) % 3)], truth, ANIMALS)


def test_two_networks_have_nearly_the_interval_of_a_paired_t_test():
    rng = np.random.default_rng(0)
    first = rng.random(500) < 0.6
    second = first | (rng.random(500) < 0.1)
    found = difference([network(second)], [network(first)], "top1")
    expected = stats.ttest_rel(second.astype(float), first.astype(float))
    assert found.value == pytest.approx(second.mean() - first.mean())
    low, high = expected.confidence_interval()
    assert found.interval == pytest.approx((low, high), abs=0.002) and not found.seeds
    assert found.p == pytest.approx(expected.pvalue, abs=1e-4)


def test_a_metric_that_is_no_mean():
    rng = np.random.default_rng(1)
    true = rng.normal(size=(200, 1))
    sides = [RegressionScores.of(true + rng.normal(scale=s, size=true.shape), true, ["x"], [0.0]) for s in (0.5, 0.7)]
    found = difference([sides[0]], [sides[1]], "r2")
    values = [side.scores()["r2"] for side in sides]
    assert found.value == pytest.approx(values[0] - values[1])

    def resampled(rows):
        return sides[0].scores(rows)["r2"] - sides[1].scores(rows)["r2"]

    spread = np.std([resampled(rng.integers(200, size=200)) for _ in range(1000)])
    assert (found.interval[1] - found.interval[0]) / 2 == pytest.approx(1.97 * spread, rel=0.15)


def test_seeds_and_images_by_hand():
    rng = np.random.default_rng(0)
    hits = rng.random((6, 400)) < np.array([0.80, 0.84, 0.79, 0.75, 0.73, 0.78])[:, None]
    sides = [network(row) for row in hits]
    found = difference(sides[:3], sides[3:], "top1")
    values = hits.mean(axis=1)
    seeds = (values[:3].var(ddof=1) + values[3:].var(ddof=1)) / 3
    images = (hits[:3].mean(axis=0) - hits[3:].mean(axis=0)).var(ddof=1) / 400 + 2 / 402**2
    df = (seeds + images) ** 2 / (seeds**2 / 4 + images**2 / 399)
    half = stats.t.ppf(0.975, df) * np.sqrt(seeds + images)
    assert found.seeds and found.df == pytest.approx(df)
    assert found.interval == pytest.approx((found.value - half, found.value + half))
    assert found.detectable == pytest.approx(half + stats.t.ppf(0.8, df) * np.sqrt(seeds + images))


def test_networks_that_agree_on_every_image_are_not_equal_for_certain():
    right = np.arange(100) < 90
    found = difference([network(right)], [network(right)], "top1")
    assert found.value == 0 and found.interval[0] < -0.02 and found.p == 1


def test_groups_are_paired():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(10), 30)
    better_somewhere = rng.random(300) < np.linspace(0.5, 1, 10)[groups]
    other = rng.random(300) < 0.7
    alone, together = (difference([network(better_somewhere)], [network(other)], "top1", g) for g in (None, groups))
    assert together.df == pytest.approx(9, abs=0.3) and np.diff(together.interval) > 1.5 * np.diff(alone.interval)
    per_group = [(better_somewhere[groups == g].mean() - other[groups == g].mean()) for g in range(10)]
    expected = stats.t.interval(0.95, 9, np.mean(per_group), stats.sem(per_group))
    assert together.interval == pytest.approx(expected, abs=1e-3)
    few = difference([network(better_somewhere)], [network(other)], "top1", groups // 3)
    assert few.interval is None and few.p is None and few.value == pytest.approx(alone.value)


def test_against_a_prediction_that_no_seed_changes():
    rng = np.random.default_rng(0)
    sides = [network(rng.random(200) < p) for p in (0.7, 0.8, 0.75)]
    found = difference(sides, [network(np.arange(200) % 3 == 0)], "top1", fixed=True)
    values = [side.scores()["top1"] for side in sides]
    assert found.df < 199 and np.diff(found.interval)[0] > 2 * 4.3 * np.std(values, ddof=1) / np.sqrt(3) * 0.5


def test_differences_for_test_json():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(50, 1))
    ours = RegressionScores.of(true + 0.1, true, ["x"], [0.0])
    blind = RegressionScores.of(np.zeros((50, 1)), true, ["x"], [0.0])
    found = differences(ours, blind)
    assert set(found) == {"mae", "rmse", "r2"}  # a constant has no correlation
    assert found["mae"]["interval"][1] < 0 and found["mae"]["p"] < 0.001


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0] and holm([]) == []


@pytest.mark.parametrize(("k", "n"), [(3, 1000), (5, 1000)])
def test_equal_recipes_are_rarely_called_different(k, n):
    """Seeds spread by 2 points: a paired comparison of images alone would call 34% of these different."""
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(300):
        hard = rng.random(n)
        sides = [[network(hard < rng.normal(0.8, 0.02)) for _ in range(k)] for _ in range(2)]
        wrong += difference(*sides, "top1").p < 0.05
    assert wrong / 300 <= 0.065 + 0.03  # two standard errors


def test_no_difference_of_shares_is_beyond_one():
    right, wrong = np.ones(5, dtype=bool), np.zeros(5, dtype=bool)
    wrong[0] = True
    found = difference([network(right)], [network(wrong)], "top1")
    assert found.value == pytest.approx(0.8) and found.interval[1] == 1.0 and found.interval[0] < 0.8
    assert found.detectable is None or found.detectable <= 1


def test_an_allowance_widens_the_interval():
    """Of out-of-fold predictions of groups; 4 times the variance is twice the width."""
    rng = np.random.default_rng(5)
    true, groups = rng.normal(size=(300, 1)), np.arange(300) % 12
    sides = [RegressionScores.of(true + rng.normal(scale=s, size=true.shape), true, ["x"], [0.0]) for s in (0.5, 0.7)]
    plain, wide = (difference(sides[:1], sides[1:], "mae", groups, fixed=True, allowance=a) for a in (1.0, 4.0))
    assert plain.value == wide.value and plain.df == wide.df
    assert np.diff(wide.interval) == pytest.approx(2 * np.diff(plain.interval))
