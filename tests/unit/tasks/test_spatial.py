"""Moran's I and metrics within groups, against brute force and known cases."""

import numpy as np
import pytest

from deep_cnn.data.space import on_sphere
from deep_cnn.tasks.score_metrics import RegressionScores
from deep_cnn.tasks.spatial import moran, nearest, spatial_result, within_groups

RNG = np.random.default_rng(0)
MAP = np.stack([RNG.uniform(48.0, 48.2, 120), RNG.uniform(11.0, 11.3, 120)], axis=1)


def test_neighbours_are_the_nearest_others_also_at_one_point():
    points = on_sphere(MAP)
    found = nearest(points, 8)
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert [set(row) for row in found.tolist()] == [set(row) for row in np.argsort(distance, axis=1)[:, :8].tolist()]
    same = nearest(np.repeat(points[:1], 30, axis=0), 8)
    assert all(i not in row and len(set(row)) == 8 for i, row in enumerate(same.tolist()))


def test_morans_i_is_its_formula():
    errors = RNG.normal(size=120)
    found = moran(errors, MAP)
    z, weights = errors - errors.mean(), np.zeros((120, 120))
    for i, row in enumerate(nearest(on_sphere(MAP), 8)):
        weights[i, row] = 1 / 8
    assert found["morans_i"] == pytest.approx(120 / weights.sum() * (z @ weights @ z) / (z @ z))
    assert found["expected"] == pytest.approx(-1 / 119) and found["p"] > 0.01


def test_smooth_errors_are_found_and_a_difference_of_groups_is_not_mistaken_for_them():
    smooth = np.sin(60 * MAP[:, 0]) + np.cos(40 * MAP[:, 1]) + 0.2 * RNG.normal(size=120)
    assert moran(smooth, MAP)["p"] == pytest.approx(0.001) and moran(smooth, MAP)["morans_i"] > 0.5
    two = np.concatenate([MAP[:60], MAP[:60] + 1.0])
    groups = np.repeat([0, 1], 60)
    apart = 5.0 * groups + RNG.normal(size=120)
    assert moran(apart, two)["p"] < 0.01 < moran(apart, two, groups)["p"]
    assert moran(smooth[:10], MAP[:10]) is None and moran(np.ones(120), MAP) is None


def test_within_groups_the_skill_of_telling_groups_apart_is_gone():
    groups = np.repeat(np.arange(6), 50)
    level, own = 3.0 * groups, RNG.normal(size=300)
    true = level + own
    only_groups = within_groups(true, level + 0.01 * RNG.normal(size=300), groups)
    assert abs(only_groups["pearson"]) < 0.2 and only_groups["r2"] < 0.05
    half = within_groups(true, level + 0.5 * own + 0.5 * RNG.normal(size=300), groups)
    centred = [x - np.array([x[groups == g].mean() for g in range(6)])[groups] for x in (true, level + 0.5 * own)]
    assert half["pearson"] == pytest.approx(0.7, abs=0.08) and np.corrcoef(*centred)[0, 1] == pytest.approx(1)
    low, high = half["intervals"]["pearson"]
    assert low < half["pearson"] < high
    few = within_groups(true[:150], true[:150] + own[:150], groups[:150])
    assert few["intervals"]["r2"] is None and few["groups"] == 3


def test_what_test_json_gets():
    true = RNG.normal(size=(120, 1))
    samples = RegressionScores.of(0.5 * true, true, ["s"], np.zeros(1), np.ones(1))
    places = np.where(np.arange(120)[:, None] < 3, np.nan, MAP)
    found = spatial_result(samples, places, np.arange(120) % 6)
    assert found["space"]["s"]["count"] == 117 and set(found["within_groups"]["s"]) >= {"r2", "pearson", "intervals"}
    assert spatial_result(samples, None, None) == {}
