"""Regions against their definitions, computed in the slow way, and against fresh images."""

import numpy as np
import pytest
from scipy import stats

from deep_cnn.tasks.conformal import Calibration, Rule, interval_rule, mean_of, set_rule
from deep_cnn.tasks.coverage import described, reached
from deep_cnn.tasks.make import new_task

RNG = np.random.default_rng(0)


def calibration(errors, groups=None, images="v"):
    errors = np.asarray(errors, dtype=np.float64)
    return Calibration(
        errors[:, None] if errors.ndim == 1 else errors, None if groups is None else np.asarray(groups), images
    )


def half_width(rule):
    low, high = rule.bounds(np.array([[10.0]]))
    assert 10 - low[0] == pytest.approx(high[0] - 10)
    return float(high[0] - 10)


def test_split_conformal_is_an_order_statistic():
    errors = RNG.permutation(np.arange(1, 400)) * RNG.choice([-1, 1], 399)
    rule = interval_rule([calibration(errors)], 0.9)
    assert half_width(rule) == 360 and rule.method == "split conformal" and not rule.marked  # ceil(400 x 0.9)
    assert half_width(interval_rule([calibration(errors)], 0.95)) == 380
    few = interval_rule([calibration(errors[:299])], 0.9)
    assert few.method == "split conformal, few images" and few.marked


def test_the_fewest_images_that_have_an_interval():
    assert half_width(interval_rule([calibration(np.arange(1, 10))], 0.9)) == 9
    assert interval_rule([calibration(np.arange(1, 9))], 0.9) == "8 calibration images, but a coverage of 0.9 needs 9"
    assert interval_rule([calibration(np.zeros(0))], 0.5) == "0 calibration images, but a coverage of 0.5 needs 1"


def weighted_quantile(errors, groups, level):
    """HCP: each of G groups has 1 / (G + 1), the rest is at infinity."""
    number, total = len(np.unique(groups)), 0.0
    for i in np.argsort(np.abs(errors)):
        total += 1 / ((number + 1) * np.sum(groups == groups[i]))
        if total >= level - 1e-12:
            return abs(errors[i])
    return np.inf


def test_many_groups_count_alike():
    sizes = RNG.integers(1, 40, 25)
    groups = np.repeat(np.arange(25), sizes)
    errors = RNG.normal(size=len(groups)) * (1 + groups / 10)
    rule = interval_rule([calibration(errors, groups)], 0.9)
    assert half_width(rule) == pytest.approx(weighted_quantile(errors, groups, 0.9)) and rule.method == "HCP"
    assert (rule.groups, rule.images) == (25, len(groups))


def test_few_groups_use_a_model_and_fewer_have_none():
    groups = np.repeat([3, 5, 9, 11], [10, 5, 20, 1])
    errors = RNG.normal(size=36)
    rule = interval_rule([calibration(errors, groups)], 0.9)
    mse = [np.mean(errors[groups == g] ** 2) for g in (3, 5, 9, 11)]
    assert half_width(rule) == pytest.approx(stats.t.ppf(0.95, 3) * np.sqrt(np.mean(mse) * 1.25))
    assert rule.method == "t over groups, model-based, few groups" and rule.marked
    two = interval_rule([calibration(errors, groups > 5)], 0.9)
    assert two == "2 calibration groups, but an interval for new groups needs 3"
    assert interval_rule([calibration(errors, np.arange(36) % 10)], 0.9).method == "t over groups, model-based"


def folds_of(sizes, groups=None):
    parts = [RNG.normal(size=n) for n in sizes]
    return [calibration(errors, None if groups is None else groups[k]) for k, errors in enumerate(parts)]


def test_folds_are_cv_plus():
    """Barber et al. 2021: order statistics of each fold's prediction plus and minus its errors."""
    folds = folds_of((50, 60, 40))
    predicted = RNG.normal(size=(3, 7))
    low, high = interval_rule(folds, 0.9).bounds(predicted)
    rank = int(np.ceil(0.9 * 151))
    for i in range(7):
        above = np.concatenate([predicted[k, i] + np.abs(folds[k].errors[:, 0]) for k in range(3)])
        below = np.concatenate([predicted[k, i] - np.abs(folds[k].errors[:, 0]) for k in range(3)])
        assert high[i] == pytest.approx(np.sort(above)[rank - 1], abs=1e-9)
        assert low[i] == pytest.approx(-np.sort(-below)[rank - 1], abs=1e-9)
    assert interval_rule(folds, 0.9).method == "CV+" and not interval_rule(folds, 0.9).marked


def test_equal_folds_are_one_network():
    errors, predicted = RNG.normal(size=400), RNG.normal(size=5)
    one = interval_rule([calibration(errors)], 0.9).bounds(predicted[None])
    several = interval_rule([calibration(part) for part in np.split(errors, 4)], 0.9).bounds(np.tile(predicted, (4, 1)))
    assert np.allclose(one, several, atol=1e-9)


def test_a_target_of_which_a_fold_knows_nothing():
    folds = [calibration(RNG.normal(size=40)), calibration(np.full(30, np.nan)).of_target(0)]
    low, high = interval_rule(folds, 0.9).bounds(np.zeros((2, 1)))
    assert np.isfinite([low, high]).all() and interval_rule(folds, 0.9).images == 40


def test_groups_that_are_spread_over_folds():
    groups = [np.arange(60) % 10 + 10 * k for k in range(3)]
    folds = folds_of((60, 60, 60), groups)
    rule = interval_rule(folds, 0.9)
    errors = np.concatenate([fold.errors[:, 0] for fold in folds])
    expected = weighted_quantile(errors, np.concatenate(groups), 0.9)
    low, high = rule.bounds(np.zeros((3, 1)))
    assert (low[0], high[0]) == pytest.approx((-expected, expected)) and rule.method == "HCP out of fold"


def probabilities(n, k=4):
    p = RNG.dirichlet(np.full(k, 0.4), size=n)
    return p, (p.cumsum(1) > RNG.random(n)[:, None]).argmax(1)


def test_a_set_has_the_classes_that_are_probable_enough_and_the_most_probable_one():
    p, targets = probabilities(500)
    missing = 1 - p[np.arange(500), targets]
    rule = set_rule([calibration(missing)], 0.9)
    cut = np.sort(missing)[int(np.ceil(501 * 0.9)) - 1]
    fresh, _ = probabilities(200)
    expected = (1 - fresh <= cut) | (fresh == fresh.max(1, keepdims=True))
    assert np.array_equal(rule.members(fresh[None]), expected)
    certain = set_rule([calibration(np.zeros(500))], 0.9)
    assert certain.members(np.full((1, 2, 4), 0.25)).sum(1).tolist() == [1, 1], "never empty"


def test_sets_of_folds_count_errors_that_are_smaller():
    """Romano, Sesia and Candes 2020, CV+: a class is in unless its score is above too many of the out-of-fold scores."""
    parts = [probabilities(n) for n in (60, 80)]
    folds = [calibration(1 - p[np.arange(len(p)), y]) for p, y in parts]
    fresh = np.stack([probabilities(30)[0] for _ in range(2)])
    found = set_rule(folds, 0.9).members(fresh)
    for i in range(30):
        for k in range(4):
            smaller = sum((folds[m].errors[:, 0] < 1 - fresh[m, i, k]).sum() for m in range(2))
            inside = smaller < 0.9 * 141 or fresh.mean(0)[i].argmax() == k
            assert found[i, k] == inside


def test_sets_of_groups_need_as_many_groups_as_the_coverage():
    errors, groups = RNG.random(80), np.arange(80) % 8
    assert set_rule([calibration(errors, groups)], 0.9) == "8 calibration groups, but a coverage of 0.9 needs 9"
    assert set_rule([calibration(errors, groups)], 0.8).method == "HCP, few groups"
    assert set_rule([calibration(errors, np.arange(80) % 9)], 0.9).method == "HCP"


def test_fresh_images_are_covered_as_often_as_asked():
    found = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        rule = interval_rule([calibration(rng.standard_t(3, 300))], 0.9)
        low, high = rule.bounds(np.zeros((1, 1)))
        found.append(stats.t.cdf(high[0], 3) - stats.t.cdf(low[0], 3))
    assert np.mean(found) == pytest.approx(0.9 + 0.1 / 301, abs=0.006)


def test_the_mean_of_networks_is_calibrated_if_they_saw_the_same_images():
    one, two = calibration([1.0, -2.0]), calibration([3.0, 2.0])
    assert mean_of([one, two]).errors[:, 0].tolist() == [2.0, 0.0]
    assert mean_of([one, calibration([3.0, 2.0], images="w")]) is None


def test_errors_survive_the_checkpoint():
    for groups in (None, [1, 1, 2]):
        saved = calibration([[1.0, np.nan], [2.0, 3.0], [4.0, 5.0]], groups)
        again = Calibration.from_dict(saved.to_dict())
        assert np.array_equal(again.errors, saved.errors, equal_nan=True) and again.images == "v"
        assert again.groups is None if groups is None else np.array_equal(again.groups, groups)
        assert len(again.of_target(1).errors) == 2


def test_scores_have_two_columns_and_missing_ones_are_empty():
    task = new_task("regression", ("price", "area")).fitted(np.array([[0.0, 0.0], [2.0, 4.0]]))
    assert task.region_columns == ["lower_price", "upper_price", "lower_area", "upper_area", "coverage_method"]
    errors = np.stack([np.arange(1.0, 20.0), np.full(19, np.nan)], axis=1)
    rules = task.region_rules([calibration(errors)], 0.9)
    (row,) = task.region_cells(rules, np.array([[[100.0, 5.0]]]))
    assert row[:4] == [82, 118, None, None] and row[4].startswith("split conformal, few images; none: 0 calibration")
    truth, said = np.array([[101.0, 1.0], [150.0, np.nan]]), np.array([[100.0, 5.0], [100.0, 5.0]])
    found = task.coverage_result(rules, said, truth, None)["per_target"]
    assert found["price"]["reached"] == 0.5 and found["price"]["mean_width"] == 36
    assert found["area"] == {"method": "none: 0 calibration images, but a coverage of 0.9 needs 9"}
    assert task.calibration_errors(said, truth)[0].tolist() == [1.0, -4.0]


def test_classes_have_a_set_with_the_most_probable_first():
    task = new_task("classification", ("ant", "bee", "cow"))
    assert task.region_columns == ["set", "coverage_method"]
    rules = task.region_rules([calibration(np.full(300, 0.8))], 0.9)
    decoded = np.array([[[0.3, 0.65, 0.05], [0.1, 0.1, 0.8]]])
    assert task.region_cells(rules, decoded) == [["bee;ant", "split conformal"], ["cow", "split conformal"]]
    found = task.coverage_result(rules, decoded[0], np.array([0, 1]), None)
    assert (found["reached"], found["mean_set_size"]) == (0.5, 1.5)
    assert found["per_class"]["ant"] == {"reached": 1.0, "count": 1}
    assert found["per_class"]["cow"] == {"reached": None, "count": 0}
    assert new_task("multilabel", "ab").region_columns == []


def test_what_is_said_of_the_coverage_that_was_reached():
    rule = Rule(0.9, "HCP", (), 100, 30)
    assert described(rule)["assumption"] == "new groups of images are like the calibration groups"
    hits = np.arange(40) % 4 > 0
    assert reached(hits, None) == {
        "reached": 0.75,
        "interval": pytest.approx((0.598, 0.858), abs=1e-3),
        "interval_method": "Wilson",
    }
    assert reached(hits, np.arange(40) % 3)["interval"] is None
    low, high = reached(hits, np.arange(40) // 4)["interval"]
    assert low < 0.75 < high
