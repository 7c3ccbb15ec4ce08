"""Errors against predictions.

Not against true values: the best possible predictor, the mean of the truth given the image, errs low where the truth is
high and high where it is low, so that a plot against the truth falls for every predictor. Its errors have nothing to do
with what it predicts.
"""

from functools import partial

import numpy as np
from matplotlib.axes import Axes

from deep_cnn.reporting.plots.panel import Panel
from deep_cnn.reporting.plots.predicted_vs_true import axis_label, no_values
from deep_cnn.reporting.plots.style import BLUE, DENSITY, MAX_POINTS, ORANGE, plain, short_label
from deep_cnn.runtime.format import number
from deep_cnn.tasks.base import Task


def panels(task: Task, decoded: np.ndarray, targets: np.ndarray) -> list[Panel]:
    """Predicted minus true against predicted, for each target: (N, T), targets NaN where missing."""
    found = []
    for t, name in enumerate(task.names):
        known = ~np.isnan(targets[:, t])
        predicted, error = decoded[known, t], decoded[known, t] - targets[known, t]
        draw = partial(_draw, predicted=predicted, error=error, name=name, unit=task.unit(t))
        middle = f", on average {number(float(error.mean()))}" if len(error) else ""
        found.append(Panel(short_label(name, 40), f"Errors of {name} against what was predicted{middle}", draw))
    return found


def _draw(ax: Axes, predicted: np.ndarray, error: np.ndarray, name: str, unit: str) -> None:
    if not len(predicted):
        return no_values(ax)
    if len(predicted) > MAX_POINTS:
        ax.hexbin(predicted, error, gridsize=30, bins="log", mincnt=1, cmap=DENSITY, linewidths=0)
    else:
        ax.scatter(predicted, error, s=14, alpha=0.6, color=BLUE, edgecolors="none", zorder=3)
    ax.axhline(0, color=ORANGE, linestyle="--", linewidth=1)
    plain(ax)
    ax.locator_params(nbins=6)
    ax.set_xlabel(f"predicted {axis_label(name, unit)}", fontsize=9)
    ax.set_ylabel("predicted - true" + (f" ({short_label(unit, 12)})" if unit else ""), fontsize=9)
    return None
