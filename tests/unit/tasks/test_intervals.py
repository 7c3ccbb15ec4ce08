"""Which metric has which interval, how often it contains the truth, and what test.json says of groups."""

import json
import warnings

import numpy as np
import pytest

from benchmarks.coverage import Cell, class_cells, coverage, group_cells, score_cells
from deep_cnn.reporting.result_text import cautions
from deep_cnn.tasks import confidence
from deep_cnn.tasks.intervals import held_out_result, intervals, per_group
from deep_cnn.tasks.metrics import ClassificationScores, MultilabelScores
from deep_cnn.tasks.score_metrics import RegressionScores


def class_scores(right, targets, classes=2):
    said = np.where(right, targets, (targets + 1) % classes)
    return ClassificationScores.of(np.eye(classes)[said], targets, [str(k) for k in range(classes)])


def test_shares_of_images_have_wilsons_interval():
    samples = class_scores(np.ones(36, bool), np.arange(36) % 2)
    found = held_out_result(samples)
    assert found["top1"] == 1 and found["intervals"]["top1"] == pytest.approx(confidence.wilson(1.0, 36))
    assert found["intervals"]["top1"][0] == pytest.approx(0.9036, abs=1e-4)
    assert found["interval_methods"]["top1"] == "Wilson"
    assert found["intervals"]["per_class"]["1"]["recall"] == pytest.approx(confidence.wilson(1.0, 18))
    assert found["intervals"]["loss"] is None and found["interval_methods"]["loss"] == "none: no spread"


def test_a_rare_class_that_is_all_right_leaves_balanced_accuracy_uncertain():
    # the jackknife sees no variance in it: that interval alone would contain the truth in a third of cases
    targets = (np.arange(400) < 395).astype(int)
    samples = class_scores(np.arange(400) >= 12, targets)
    low, _ = intervals(samples)["balanced_accuracy"].interval
    assert low < (confidence.wilson(1.0, 5)[0] + 0.97) / 2 + 0.02


# a fast part of benchmarks/coverage.py; 0.04 is 2.6 standard errors of 200 simulations
FAST = {
    "classes": (class_cells, "5 classes, unequal, n = 100, top-1 0.9"),
    "two_classes": (class_cells, "2 classes, n = 36, top-1 0.97"),
    "scores": (score_cells, "normal errors, n = 50, correlation 0.7"),
    "groups": (group_cells, "10 groups, spread 0.8, ICC 0.2, top-1 0.95"),
    "grouped_scores": (group_cells, "10 groups, spread 1.2, ICC 0.1, scores"),
}


@pytest.mark.parametrize("name", FAST)
def test_intervals_cover(name):
    cells, title = FAST[name]
    cell: Cell = next(cell for cell in cells() if cell.title == title)
    for metric, found in coverage(cell, 200).items():
        assert metric in cell.no_bar or cell.low - 0.04 <= found <= cell.high + 0.02, metric


def test_undefined_and_single():
    found = held_out_result(class_scores(np.ones(1, bool), np.zeros(1, int)))
    assert found["top1"] == 1.0 and found["intervals"]["top1"] is None
    assert found["interval_methods"]["top1"] == "none: a single image"
    constant = RegressionScores.of(np.ones((9, 1)), np.arange(9.0)[:, None], ["x"], np.zeros(1))
    assert intervals(constant)["pearson"].method == "none: undefined"


@pytest.mark.parametrize("groups", [None, np.arange(40) % 8])
def test_several_labels_have_intervals(groups):
    rng = np.random.default_rng(0)
    targets = rng.random((40, 3)) < 0.4
    samples = MultilabelScores.of(np.clip(0.3 * rng.random((40, 3)) + 0.5 * targets, 0, 1), targets, list("abc"))
    found = held_out_result(samples, groups=groups, group_names=list("stuvwxyz"))
    for metric in ("map", "macro_f1", "micro_f1", "loss"):
        low, high = found["intervals"][metric]
        assert low <= found[metric] <= high and low < high
    assert set(found["intervals"]["per_class"]) == set("abc")


def test_a_metric_that_no_image_changes_has_no_interval():
    """Kappa of predictions that are all the same level is 0 whichever image is left out: that is not certainty."""
    assert confidence.jackknife_interval(0.0, np.zeros(9), 8, "plain") is None
    low, high = confidence.jackknife_interval(0.1, np.array([0.09, 0.1, 0.11]), 2, "plain")
    assert low < 0.1 < high


def test_fewer_than_five_groups_have_no_interval_but_their_own_values():
    rng = np.random.default_rng(0)
    groups = np.arange(80) % 4
    samples = class_scores(rng.random(80) < 0.8, rng.integers(2, size=80))
    found = held_out_result(samples, groups=groups, group_names=list("wxyz"))
    assert found["intervals"]["top1"] is None and "fewer than 5 groups" in found["interval_methods"]["top1"]
    assert found["intervals"]["per_class"]["0"]["recall"] is None
    values = [group["top1"] for group in found["per_group"].values()]
    assert found["mean_of_groups"]["top1"] == pytest.approx(np.mean(values))
    assert found["effective_groups"] == pytest.approx(4)
    assert found["per_group"]["x"]["intervals"]["top1"] == pytest.approx(
        confidence.wilson(found["per_group"]["x"]["top1"], 20)
    )


def test_groups_widen_the_interval():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), 20)
    right = rng.random(240) < rng.beta(4, 1, 12)[groups]
    samples = class_scores(right, rng.integers(2, size=240))
    (alone, together) = (np.diff(intervals(samples, g)["top1"].interval)[0] for g in (None, groups))
    assert together > 1.5 * alone


def test_per_group_equals_scoring_each_group_alone():
    rng = np.random.default_rng(0)
    targets, groups = rng.integers(4, size=90), rng.choice([0, 2, 5], size=90)
    probabilities = rng.dirichlet(np.ones(4), size=90)
    names = ["Oslo", "nobody", "Łódź", "-", "-", "東京"]
    samples = ClassificationScores.of(probabilities, targets, list("abcd"))
    found = per_group(samples, groups, names)
    assert list(found) == ["Oslo", "Łódź", "東京"]
    for code, name in ((0, "Oslo"), (2, "Łódź"), (5, "東京")):
        alone = ClassificationScores.of(probabilities[groups == code], targets[groups == code], list("abcd"))
        expected = {"count": (groups == code).sum(), **alone.scores()}
        assert {k: v for k, v in found[name].items() if k != "intervals"} == expected
        assert found[name]["intervals"] == {k: e.interval for k, e in intervals(alone).items()}


def test_the_result_of_a_test_set():
    rng = np.random.default_rng(0)
    targets = rng.normal(size=(60, 2))
    predictions = targets + rng.normal(size=(60, 2))
    targets[::3, 1] = np.nan
    groups = np.arange(60) % 5
    samples = RegressionScores.of(predictions, targets, ["price", "a/b"], np.zeros(2), one_unit=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = held_out_result(samples, groups=groups, group_names=list("vwxyz"))
    assert found["count"] == 60 and found["number_of_groups"] == 5
    assert found["bootstrap"] == {"level": 0.95, "repeats": 0, "resampled": "groups"}
    assert "new groups" in found["estimand"] and "new images" in held_out_result(samples)["estimand"]
    for place, interval in (
        (found, found["intervals"]),
        (found["per_target"]["a/b"], found["intervals"]["per_target"]["a/b"]),
    ):
        for metric in ("mae", "rmse", "r2", "pearson", "spearman"):
            low, high = interval[metric]
            assert low < place[metric] < high
    assert found["per_group"]["w"]["per_target"]["price"]["mae"] == pytest.approx(
        np.abs(predictions - targets)[groups == 1, 0].mean()
    )
    again = held_out_result(samples, groups=groups, group_names=list("vwxyz"))
    assert json.dumps(found, allow_nan=False) == json.dumps(again, allow_nan=False)
    assert "per_group" not in held_out_result(samples)


def test_groups_that_were_trained_on_are_not_called_new():
    rng = np.random.default_rng(0)
    samples, groups = class_scores(rng.random(80) < 0.8, rng.integers(2, size=80)), np.arange(80) % 8
    new, known = (
        held_out_result(samples, groups=groups, group_names=list("stuvwxyz"), trained=trained) for trained in (0, 3)
    )
    assert "new groups" in new["estimand"] and "trained_groups" not in new
    assert (
        "on new images of these same groups, not of others; it was trained on images of 3 of the 8 groups"
        in known["estimand"]
    )
    assert known["trained_groups"] == 3 and known["intervals"] == new["intervals"]
    assert not [line for line in cautions(new) if "trained on" in line]
    assert [line for line in cautions(known) if line.startswith("3 of 8 groups of the test were trained on as well")]
    assert not [line for line in cautions(known | {"split": "validation"}) if "trained on" in line]
