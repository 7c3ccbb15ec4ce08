"""Means of areas: variance components, prediction-powered means, and coverage over simulated maps."""

import numpy as np
import pytest

from deep_cnn.tasks.area_means import AreaErrors, area_errors, area_mean

BETWEEN, WITHIN, SPREAD = 0.3, 0.8, 1.0  # standard deviations: errors of areas, of images, and of scores


def drawn(rng, areas, images):
    """Areas with their true means; predictions (areas, images) and true scores of a sample of their images."""
    level = rng.normal(5, 1, areas)
    said = level[:, None] + SPREAD * rng.normal(size=(areas, images))
    true = said + BETWEEN * rng.normal(size=(areas, 1)) + WITHIN * rng.normal(size=(areas, images))
    return said, true


def test_variance_components_are_those_of_balanced_anova():
    rng = np.random.default_rng(0)
    errors = rng.normal(size=(30, 8)) + 0.7 * rng.normal(size=(30, 1))
    found = area_errors(errors.ravel(), np.repeat(np.arange(30), 8))
    within = errors.var(axis=1, ddof=1).mean()
    assert found.within == pytest.approx(within) and found.groups == 30
    assert found.between == pytest.approx(errors.mean(1).var(ddof=1) - within / 8)
    assert area_errors(np.arange(12.0), np.arange(12) % 4) is None


def test_prediction_powered_means_are_unbiased_where_predictions_are_not():
    rng = np.random.default_rng(1)
    said = rng.normal(size=2000)
    ratings = np.where(np.arange(2000) < 200, 3 + said + rng.normal(size=2000), np.nan)
    found = area_mean(said, ratings, None)
    assert found.mean == pytest.approx(said.mean() + (ratings - said)[:200].mean()) and found.rated == 200
    lead = (ratings - said)[:200]
    together = np.cov(said[:200], lead)[0, 1]  # the rated images are among the 2,000
    expected = np.sqrt(said.var(ddof=1) / 2000 + np.var(lead, ddof=1) / 200 + 2 * together / 2000)
    assert (found.interval[1] - found.interval[0]) / 2 == pytest.approx(1.972 * expected, rel=1e-3)
    everyone = area_mean(said, 3 + 2 * said, None)  # all are rated: the mean of the ratings
    assert everyone.interval[1] - everyone.mean == pytest.approx(1.961 * 2 * said.std(ddof=1) / np.sqrt(2000), rel=1e-3)
    none = area_mean(said, np.full(2000, np.nan), None)
    assert none.interval is None and none.method.startswith("none: no ratings here")


def test_intervals_cover_over_maps_of_ten_areas():
    """200 maps; the truth is the mean of the area that the images are a sample of."""
    rng, covered, powered = np.random.default_rng(2), [], []
    for _ in range(200):
        tested, test_truth = drawn(rng, 12, 40)
        errors = area_errors((test_truth - tested).ravel(), np.repeat(np.arange(12), 40))
        level = rng.normal(5, 1, 10)
        own = BETWEEN * rng.normal(size=10)
        for area in range(10):
            said = level[area] + SPREAD * rng.normal(size=50)
            truth = level[area] + own[area]
            found = area_mean(said, np.full(50, np.nan), errors)
            covered.append(found.interval[0] <= truth <= found.interval[1])
            ratings = np.full(50, np.nan)
            ratings[:15] = said[:15] + own[area] + WITHIN * rng.normal(size=15)
            local = area_mean(said, ratings, None)
            powered.append(local.interval[0] <= truth <= local.interval[1])
    assert 0.90 <= np.mean(covered) <= 0.99
    assert 0.90 <= np.mean(powered) <= 0.98


def test_without_the_spread_between_areas_intervals_would_be_far_too_narrow():
    rng, covered = np.random.default_rng(3), []
    for _ in range(300):
        said, own = 5 + SPREAD * rng.normal(size=400), BETWEEN * rng.normal()
        low, high = area_mean(said, np.full(400, np.nan), AreaErrors(0.0, WITHIN**2, 12)).interval
        covered.append(low <= 5 + own <= high)
    assert np.mean(covered) < 0.5
