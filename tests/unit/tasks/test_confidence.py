"""Formulas of intervals against scipy, worked examples, and their own definitions."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.coverage import wilson_coverage
from deep_cnn.tasks import confidence


@pytest.mark.parametrize(("hits", "n"), [(36, 36), (0, 10), (33, 36), (190, 200), (999, 1000)])
def test_wilson_is_that_of_scipy(hits, n):
    expected = stats.binomtest(hits, n).proportion_ci(0.95, "wilson")
    assert confidence.wilson(hits / n, n) == pytest.approx((expected.low, expected.high))


def test_all_right_is_not_certain():
    low, high = confidence.wilson(1.0, 36)
    assert (round(low, 3), high) == (0.904, 1.0)


def test_wilson_covers():
    found = np.array([[wilson_coverage(p, n) for p in np.arange(0.80, 0.991, 0.01)] for n in (36, 100, 1000)])
    assert found.min() >= 0.89 and found.mean() >= 0.945


def test_jackknife_of_a_mean_is_students_t():
    values = np.random.default_rng(0).normal(10, 2, 50)
    without = (values.sum() - values) / 49
    assert confidence.jackknife_variance(without) == pytest.approx(values.var(ddof=1) / 50)
    expected = stats.t.interval(0.95, 49, values.mean(), values.std(ddof=1) / np.sqrt(50))
    assert confidence.jackknife_interval(values.mean(), without, 49, "plain") == pytest.approx(expected)


def test_the_jackknife_takes_the_bias_of_a_variance_away():
    values = np.random.default_rng(0).normal(size=30)
    without = np.array([np.delete(values, i).var() for i in range(30)])
    assert confidence.without_bias(values.var(), without) == pytest.approx(values.var(ddof=1))


@pytest.mark.parametrize(
    ("scale", "low", "high"), [("logit", 0, 1), ("log", 0, np.inf), ("log(1 - x)", -np.inf, 1), ("atanh", -1, 1)]
)
def test_an_interval_stays_within_the_limits_of_its_scale(scale, low, high):
    found = confidence.jackknife_interval(0.9, np.linspace(0.7, 0.98, 9), 8, scale)
    assert low <= found[0] < 0.9 < found[1] <= high
    forward, inverse = confidence.SCALES[scale].forward, confidence.SCALES[scale].inverse
    assert inverse(forward(np.array([0.2, 0.7]))) == pytest.approx([0.2, 0.7])


def test_no_interval_at_the_end_of_a_scale():
    assert confidence.jackknife_interval(0.0, np.zeros(5), 4, "log") is None
    assert confidence.jackknife_interval(0.9, np.array([0.8, 1.0, 0.9]), 2, "logit") is None


def test_effective_groups():
    assert confidence.effective_groups(np.full(7, 12)) == pytest.approx(7)
    assert confidence.effective_groups(np.array([100, 1, 1, 1])) == pytest.approx(103**2 / 10003)


def test_a_share_of_independent_images_in_groups_of_one_has_nearly_wilsons_interval():
    hits = np.arange(100) < 80
    variance = confidence.jackknife_variance((80 - hits) / 99)
    t = confidence.wilson(0.8, 0.16 / variance, quantile=stats.t.ppf(0.975, 99))
    assert confidence.wilson_of_groups(0.8, variance, np.ones(100)) == pytest.approx(t)
    assert confidence.wilson_of_variance(0.8, variance, 100, 99) == pytest.approx(t)


def test_groups_that_are_all_right_are_taken_to_be_alike():
    alone = confidence.wilson_of_groups(1.0, 0.0, np.ones(100))
    together = confidence.wilson_of_groups(1.0, 0.0, np.full(10, 10))
    assert together[0] < alone[0] and together[1] == alone[1] == 1
    design, t = 1 + 0.1 * 9, stats.t.ppf(0.975, 9)
    assert together[0] == pytest.approx(confidence.wilson(1.0, 100 / design, quantile=t)[0])


def test_mover_by_hand():
    hits, n = np.array([9, 30]), np.array([10, 40])
    ends = [stats.binomtest(int(h), int(m)).proportion_ci(0.95, "wilson") for h, m in zip(hits, n, strict=True)]
    low = 0.825 - np.sqrt((0.9 - ends[0].low) ** 2 + (0.75 - ends[1].low) ** 2) / 2
    high = 0.825 + np.sqrt((0.9 - ends[0].high) ** 2 + (0.75 - ends[1].high) ** 2) / 2
    assert confidence.mean_of_shares(hits, n) == pytest.approx((low, high))
    # of one class alone F1 is a monotone function of the share of its images that are found and meant
    j = stats.binomtest(9, 12).proportion_ci(0.95, "wilson")
    expected = 2 * j.low / (1 + j.low), 2 * j.high / (1 + j.high)
    assert confidence.mean_of_f1(np.array([9]), np.array([12])) == pytest.approx(expected)


def test_bonett_wright_by_hand():
    half = 1.959964 * np.sqrt((1 + 0.36 / 2) / 47)
    expected = np.tanh(np.arctanh(0.6) - half), np.tanh(np.arctanh(0.6) + half)
    assert confidence.bonett_wright(0.6, 50) == pytest.approx(expected, abs=1e-6)
    assert confidence.bonett_wright(0.6, 3) is None and confidence.bonett_wright(1.0, 50) is None
