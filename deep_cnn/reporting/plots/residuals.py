"""Errors against predictions.

Not against true values: the best possible predictor, the mean of the truth given the image, errs low where the truth is
high and high where it is low, so that a plot against the truth falls for every predictor. Its errors have nothing to do
with what it predicts.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deep_cnn.reporting.plots.style import BLUE, MAX_POINTS, ORANGE, grid, plain_numbers, save, short_label
from deep_cnn.tasks.base import Task


def draw(task: Task, decoded: np.ndarray, targets: np.ndarray, path: Path) -> None:
    """The figure of a tested run; see the registry FIGURES."""
    residuals(decoded, targets, task.names, path)


def residuals(predictions: np.ndarray, targets: np.ndarray, names: Sequence[str], path: str | Path) -> None:
    """Predicted minus true against predicted, for each target: (N, T), targets NaN where missing."""
    figure, axes = grid(len(names), columns=3, width=4.2, height=3.4)
    for t, (ax, name) in enumerate(zip(axes, names, strict=True)):
        known = ~np.isnan(targets[:, t])
        predicted, error = predictions[known, t], predictions[known, t] - targets[known, t]
        if len(predicted) > MAX_POINTS:
            ax.hexbin(predicted, error, gridsize=50, bins="log", mincnt=1, cmap="cividis_r")
        else:
            ax.scatter(predicted, error, s=14, alpha=0.6, color=BLUE, edgecolors="none")
        ax.axhline(0, color=ORANGE, linestyle="--", linewidth=1)
        ax.set(xlabel="predicted", ylabel="predicted - true", title=short_label(name, 40))
        plain_numbers(ax)
        ax.grid(alpha=0.25)
    save(figure, path)
