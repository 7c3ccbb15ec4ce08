"""Predictions against true values."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from deep_cnn.reporting.plots.style import BLUE, GREY, MAX_POINTS, ORANGE, grid, plain_numbers, save, short_label
from deep_cnn.runtime.format import quantity
from deep_cnn.tasks.base import Task
from deep_cnn.tasks.metrics import RegressionScores


def draw(task: Task, decoded: np.ndarray, targets: np.ndarray, path: Path) -> None:
    """The figure of a tested run; see the registry FIGURES."""
    predicted_vs_true(decoded, targets, task.names, path)


def predicted_vs_true(predictions: np.ndarray, targets: np.ndarray, names: Sequence[str], path: str | Path) -> None:
    """Each target's predictions against its true values, with the line on which they would be equal.

    Args:
        predictions, targets: (N, T); targets NaN where missing.
        names: the T names.
        path: the PNG to write.
    """
    predictions, targets = np.asarray(predictions, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    scores = RegressionScores.of(predictions, targets, names, np.zeros(len(names))).scores()
    figure, axes = grid(len(names), columns=3, width=4.4, height=4.4)
    for t, (ax, name) in enumerate(zip(axes, names, strict=True)):
        measured = ~np.isnan(targets[:, t])
        _scatter(ax, targets[measured, t], predictions[measured, t])
        r2, mae = scores[f"{name}/r2"], scores[f"{name}/mae"]
        parts = [f"n = {measured.sum():,}"]
        parts += [] if mae is None else [f"MAE {quantity(mae, digits=3)}"]
        parts += [] if r2 is None else [f"R² {r2:.2f}"]
        ax.set_title(f"{short_label(name, 40)}\n{', '.join(parts)}", fontsize=10)
        ax.set_xlabel("true")
        ax.set_ylabel("predicted")
    save(figure, path)


def _scatter(ax: Axes, true: np.ndarray, predicted: np.ndarray) -> None:
    if not len(true):
        ax.text(0.5, 0.5, "no values", transform=ax.transAxes, ha="center", color=GREY)
        ax.set(xticks=[], yticks=[])
        return
    low, high = min(true.min(), predicted.min()), max(true.max(), predicted.max())
    margin = 0.04 * (high - low) or max(0.5, 0.1 * abs(high))  # all values equal: the point in the middle
    low, high = low - margin, high + margin
    few = len(true) <= MAX_POINTS
    if few:
        ax.scatter(true, predicted, s=16, alpha=0.6, color=BLUE, edgecolors="none", zorder=3)
    else:
        extent = (low, high, low, high)
        drawn = ax.hexbin(true, predicted, gridsize=60, bins="log", mincnt=1, cmap="cividis_r", extent=extent)
        ax.figure.colorbar(drawn, ax=ax, shrink=0.8, label="images per cell")
    line: dict[str, Any] = {
        "color": ORANGE,
        "linewidth": 1,
        "linestyle": "--",
        "zorder": 2 if few else 3,
    }  # over cells, under points
    ax.plot([low, high], [low, high], label="predicted = true", **line)
    ax.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    plain_numbers(ax)
    ax.tick_params(axis="x", rotation=30 if high >= 100_000 else 0)
    ax.grid(alpha=0.25)
    ax.legend(fontsize=8, loc="upper left", framealpha=0.7)
