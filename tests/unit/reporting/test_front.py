"""The first screen: the main number, its interval and baseline, and the verdict in words."""

import numpy as np
import pytest

from deep_cnn.reporting.report.front import between, front_of, metric_text, unit_of, validated_front, verdict
from deep_cnn.tasks.make import new_task

BEES = new_task("classification", ("ants", "bees"))
PRICE = new_task("regression", ("price",)).fitted(np.array([[1.0], [3.0]])).with_units(["USD"])
HOUSE = new_task("regression", ("price", "area")).fitted(np.array([[1.0, 2], [3.0, 5]])).with_units(["USD", "m2"])


def bees_result(**more) -> dict:
    return {"count": 153, "top1": 0.9477, "macro_f1": 0.93, "intervals": {"top1": [0.9012, 0.9734]}} | more


def of_majority(value, interval) -> dict:
    return {"differences": {"majority_class": {"top1": {"value": value, "interval": interval}}}}


def test_a_classification():
    front = front_of(BEES, bees_result(**of_majority(0.405, [0.319, 0.482])), "test images")
    assert (front.value, front.label) == ("94.8%", "top-1 on 153 test images")
    assert front.below == ["95% interval 90.1% to 97.3%", "always predicting the most frequent class: 54.3%"]
    assert front.beside == [("macro F1", "93.0%")]
    assert front.verdict.tone == "good"
    assert front.verdict.text == (
        "Better than always predicting the most frequent class: top-1 is 40.5 points higher (95% interval of the difference 31.9 to 48.2 points)."
    )


@pytest.mark.parametrize(
    "value, interval, tone, word",
    [
        (0.02, [-0.05, 0.09], "bad", "Not clearly better"),
        (0.0, [-0.05, 0.05], "bad", "top-1 is the same (95% interval of the difference -5.0 to 5.0 points)"),
        (-0.3, [-0.4, -0.2], "bad", "Worse than"),
        (0.3, [0.01, 0.4], "good", "Better than"),
        (0.3, None, "open", "cannot be said"),
    ],
)
def test_the_verdict_follows_the_interval_of_the_difference(value, interval, tone, word):
    found = verdict(BEES, {"count": 9, "top1": 0.5, "intervals": {}} | of_majority(value, interval), "top1")
    assert found.tone == tone and word in found.text


def test_of_an_error_lower_is_better():
    result = {"count": 9, "mae": 100.0, "intervals": {"mae": [80, 130]}}
    better = verdict(
        PRICE, result | {"differences": {"mean_predictor": {"mae": {"value": -50, "interval": [-60, -40]}}}}, "mae"
    )
    assert (
        better.tone == "good" and "MAE is 50 USD lower (95% interval of the difference -60 to -40 USD)" in better.text
    )
    assert verdict(PRICE, result | {"mean_predictor": {"mae": 200.0}}, "mae").tone == "good", (
        "of 0.1.0, which had no differences"
    )
    assert verdict(PRICE, result | {"mean_predictor": {"mae": 120.0}}, "mae").tone == "bad"


def test_too_few_groups_have_no_interval_and_no_verdict():
    found = verdict(PRICE, {"count": 9, "r2": 0.4, "intervals": {"r2": None}, "number_of_groups": 3}, "r2")
    assert found.tone == "open" and "the test has 3 groups, an interval needs 5" in found.text


def test_several_targets_are_each_on_the_first_screen():
    result = {"count": 62, "r2": 0.1, "intervals": {}, "per_target": {"price": {"r2": 0.3}, "area": {"r2": -0.1}}}
    front = front_of(HOUSE, result, "test images")
    assert front.label == "R2, mean of 2 targets, on 62 test images"
    assert front.beside == [("price R2", "0.300"), ("area R2", "-0.100")]


def test_votes_on_several_questions_count_together():
    task = new_task("pairwise", ("safety", "lively"))
    of_each = {"safety": {"pair_accuracy": 0.93}, "lively": {"pair_accuracy": 0.896}}
    result = {"count": 36, "pair_accuracy": 41 / 45, "intervals": {}, "per_target": of_each}
    front = front_of(task, result, "test images")
    assert (front.value, front.label) == ("91.1%", "pair accuracy of all votes on 2 questions, on 36 test images")
    assert front.beside == [("safety pair accuracy", "93.0%"), ("lively pair accuracy", "89.6%")]


def test_what_was_not_tested_says_so():
    front = validated_front(BEES, {"epoch": 3, "val_top1": 0.5})
    assert (front.value, front.label, front.below) == ("50.0%", "top-1 on validation, in epoch 3", [])
    assert "Not tested" in front.verdict.text
    assert validated_front(BEES, {"epoch": 3, "val_top1": None, "train_loss": 1.0}).value == "-"


def test_units_are_those_of_the_target():
    assert unit_of(PRICE, "mae") == "USD" and unit_of(PRICE, "r2") == ""
    assert unit_of(HOUSE, "price/mae") == "USD" and unit_of(HOUSE, "area/rmse") == "m2" and unit_of(HOUSE, "mae") == ""
    assert (
        metric_text("mae", 38204.0, "USD") == "38,200 USD"
        and between("mae", [1500, 20_499], "USD") == "1,500 to 20,500 USD"
    )


@pytest.mark.parametrize(
    "name, value, text",
    [
        ("top1", 0.94771, "94.8%"),
        ("r2", -0.0555303, "-0.056"),
        ("pearson", 0.7, "0.700"),
        ("mae", 114_406.2, "114,000"),
        ("loss", 0.00001234, "1.23e-05"),
        ("rmse", 12.345, "12.3"),
        ("r2", None, "undefined"),
        ("loss", 12345.0, "12,300"),
    ],
)
def test_three_significant_digits(name, value, text):
    assert metric_text(name, value) == text
