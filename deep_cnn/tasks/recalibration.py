"""Scores of one place or of one group of raters on the scale of others: the line, or a rising curve, between them."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from deep_cnn.runtime.errors import ConfigError, DataError
from deep_cnn.tasks.base import Task
from deep_cnn.tasks.confidence import jackknife_interval
from deep_cnn.tasks.curves import Curve, fitted_curve
from deep_cnn.tasks.intervals import freedom
from deep_cnn.tasks.left_out import few_units, whole_and_without
from deep_cnn.tasks.regression import Regression


def fitted_line(predicted: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Least squares: true = intercept + slope x predicted, each (n,), NaN where unknown.

    Raises:
        DataError: the predictions do not vary, or have nothing to do with the ratings.
    """
    known = ~np.isnan(true)
    x, y = predicted[known], true[known]
    if len(x) < 2 or np.ptp(x) == 0:
        raise DataError("--recalibrate: the predictions are all the same; there is no scale to fit")
    slope = float(np.cov(x, y)[0, 1] / np.var(x, ddof=1))
    if slope <= 0:
        raise DataError(
            f"--recalibrate: the ratings do not rise with the predictions (slope {slope:.3g}), so a new scale would turn them around; "
            "fine-tune on the new ratings instead (--weights=best.pt)"
        )
    return {"slope": slope, "intercept": float(y.mean() - slope * x.mean())}


def _check_scales(task: Task) -> None:
    if not task.has_scales:
        raise ConfigError(
            f"--recalibrate: ordered levels cannot be rescaled (the network learnt {task.describe()}); fine-tune on the new ratings instead "
            "(--weights=best.pt)"
        )


def rescaled(task: Task, lines: dict[str, dict[str, float]]) -> Task:
    """The task with its scores on the new scale: decoded scores go through each target's line."""
    assert isinstance(task, Regression), "of scores"
    _check_scales(task)
    if task.transform != "none":
        raise ConfigError(
            f"--recalibrate: the network learnt on a {task.transform} scale (--target_transform); a line is fitted to scores on their own scale. Use --recalibrate=monotone"
        )
    mean, std = list(task.mean), list(task.std)
    for t, name in enumerate(task.names):
        if line := lines.get(name):
            mean[t] = line["intercept"] + line["slope"] * mean[t]
            std[t] = line["slope"] * std[t]
    return dataclasses.replace(task, mean=tuple(mean), std=tuple(std))


def monotone_curve(predicted: np.ndarray, true: np.ndarray) -> Curve:
    """A rising curve, as `fitted_curve` has it: each (n,), NaN where unknown.

    Raises:
        DataError: as of `fitted_line`.
    """
    slope = fitted_line(predicted, true)["slope"]
    known = ~np.isnan(true)
    return fitted_curve(predicted[known], true[known], slope)


def bent(task: Task, curves: dict[str, Curve]) -> Task:
    """The task with its scores on the new scale: decoded scores go through each target's curve."""
    assert isinstance(task, Regression), "of scores"
    _check_scales(task)
    found = [curves.get(name) for name in task.names]
    as_rows = tuple(() if curve is None else (curve.x, curve.y, (curve.slope,)) for curve in found)
    return dataclasses.replace(task, curves=as_rows)


def calibration_lines(
    names: Sequence[str], predicted: np.ndarray, true: np.ndarray, groups: np.ndarray | None, level: float = 0.95
) -> dict[str, Any]:
    """Slope and intercept of true on predicted scores, {target: {slope, intercept, intervals, count}}; jackknife intervals.

    Cox, "Two further applications of a model for binary regression", 1958: 1 and 0 where predictions are right on average.

    Args:
        predicted, true: (n, K), NaN where unknown. groups: codes (n,), or None.
    """
    found = {}
    for t, name in enumerate(names):
        known = ~np.isnan(true[:, t])
        x, y = predicted[known, t], true[known, t]
        if len(x) < 3 or np.ptp(x) == 0:
            continue
        units = None if groups is None else few_units(groups[known])
        mean = x.mean(), y.mean()  # around the means: sums of squares keep their digits
        columns = [np.ones(len(x)), x - mean[0], y - mean[1], (x - mean[0]) ** 2, (x - mean[0]) * (y - mean[1])]
        (slope, intercept), without = whole_and_without(columns, partial(_line, mean=mean), units)
        df = freedom(units, len(x))
        found[name] = {
            "slope": float(slope),
            "intercept": float(intercept),
            "count": len(x),
            "intervals": {
                key: None if df is None else jackknife_interval(float(value), parts, df, "plain", level)
                for key, value, parts in (("slope", slope, without[0]), ("intercept", intercept, without[1]))
            },
        }
    return found


def _line(sums: Sequence[Any], mean: tuple[float, float]) -> tuple[Any, Any]:
    n, x, y, xx, xy = sums
    slope = (xy - x * y / n) / (xx - x * x / n)
    return slope, (y / n + mean[1]) - slope * (x / n + mean[0])
