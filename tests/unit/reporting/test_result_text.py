"""A result in words: what was learnt beyond a prediction that looks at no image."""

import pytest

from deep_cnn.reporting.result_text import cautions, difference_lines


@pytest.mark.parametrize(
    ("blind", "found", "said"),
    [
        ("coin_flip", {"pair_accuracy": (0.1, (0.04, 0.16))}, "coin flip: pair accuracy +10.00% [+4.00%, +16.00%]"),
        (
            "majority_class",
            {"loss": (-0.4, (-0.5, -0.3)), "top1": (0.3, (0.2, 0.4))},
            "majority class: top-1 +30.00% [+20.00%, +40.00%]",
        ),
        (
            "mean_predictor",
            {"r2": (0.5, None), "mae": (-2.0, None), "mae_sd": (-0.5, None)},
            "mean predictor: MAE -2",
        ),
    ],
)
def test_a_difference_is_told_of_the_metric_that_counts(blind, found, said):
    values = {metric: {"value": value, "interval": interval, "p": None} for metric, (value, interval) in found.items()}
    assert difference_lines({"differences": {blind: values}}) == [f"Compared with {said}"]
    assert difference_lines({"differences": {blind: {}}}) == []


@pytest.mark.parametrize(
    ("metric", "value", "said"),
    [
        ("top1", 0.0, "A linear predictor on mean colours and edges is as good as the network (the same top-1)"),
        ("top1", -0.02, "The network is no better than a linear predictor on mean colours and edges (top-1 -2.00%)"),
        ("mae", 3.0, "The network is no better than a linear predictor on mean colours and edges (MAE +3)"),
        ("top1", 0.02, ""),
        ("mae", -3.0, ""),
    ],
)
def test_a_network_is_compared_with_colours_alone(metric, value, said):
    found = {"linear_baseline": {metric: {"value": value, "interval": None}}}
    lines = [line for line in cautions({"count": 500, "differences": found}) if "linear" in line]
    assert [line[: len(said)] for line in lines] == ([said] if said else [])
