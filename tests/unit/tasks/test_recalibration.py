"""The line between two scales: least squares, its intervals, and what a new scale does to errors."""

import numpy as np
import pytest

from deep_cnn.runtime.errors import DataError
from deep_cnn.tasks.recalibration import calibration_lines, fitted_line, rescaled
from deep_cnn.tasks.regression import Regression

TASK = Regression(("safety", "beauty"), "mse", mean=(5.0, 1.0), std=(2.0, 0.5))


def test_the_line_is_least_squares():
    rng = np.random.default_rng(0)
    x = rng.normal(size=60)
    y = 3 + 0.4 * x + 0.1 * rng.normal(size=60)
    slope, intercept = np.polyfit(x, y, 1)
    known = np.where(np.arange(60) < 50, y, np.nan)
    assert fitted_line(x, y) == pytest.approx({"slope": slope, "intercept": intercept})
    assert fitted_line(x, known) == pytest.approx(
        dict(zip(("slope", "intercept"), np.polyfit(x[:50], y[:50], 1), strict=True))
    )
    with pytest.raises(DataError, match="do not rise with the predictions"):
        fitted_line(x, -y)
    with pytest.raises(DataError, match="all the same"):
        fitted_line(np.ones(60), y)


def test_decoded_scores_go_through_the_line():
    outputs = np.random.default_rng(0).normal(size=(9, 2))
    local = rescaled(TASK, {"beauty": {"slope": 0.3, "intercept": 2.0}})
    assert local.decode(outputs)[:, 0] == pytest.approx(TASK.decode(outputs)[:, 0])
    assert local.decode(outputs)[:, 1] == pytest.approx(2 + 0.3 * TASK.decode(outputs)[:, 1])


def test_intervals_are_those_of_leaving_out_and_cover():
    rng, hits = np.random.default_rng(1), 0
    for k in range(200):
        x = rng.normal(size=80)
        y = 1 + 0.7 * x + rng.normal(size=80) * (0.5 + np.abs(x))  # errors of unequal size
        found = calibration_lines(["s"], x[:, None], y[:, None], None)["s"]
        low, high = found["intervals"]["slope"]
        hits += low <= 0.7 <= high
        if k == 0:
            assert [found["slope"], found["intercept"]] == pytest.approx(list(np.polyfit(x, y, 1)))
            groups = np.arange(80) % 3
            few = calibration_lines(["s"], x[:, None], y[:, None], groups)["s"]
            assert few["intervals"]["slope"] is None and few["count"] == 80
    assert hits >= 180


def test_a_hundred_ratings_mend_a_shifted_and_stretched_scale():
    """20 cities whose scale is moved by 2 and stretched by 1.6: MAE with 100 local ratings, on 300 others."""
    rng, gains = np.random.default_rng(2), []
    for _ in range(20):
        quality = rng.normal(size=400)
        predicted = 5 + quality + 0.5 * rng.normal(size=400)
        true = 7 + 1.6 * quality + 0.6 * rng.normal(size=400)
        line = fitted_line(predicted[:100], true[:100])
        before = np.abs(predicted[100:] - true[100:]).mean()
        after = np.abs(line["intercept"] + line["slope"] * predicted[100:] - true[100:]).mean()
        gains.append(after / before)
    assert max(gains) < 0.55
