"""Predictions against true values."""

from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from deep_cnn.reporting.plots.panel import Panel
from deep_cnn.reporting.plots.style import BLUE, DENSITY, GREY, MAX_POINTS, ORANGE, plain, short_label
from deep_cnn.runtime.format import number
from deep_cnn.tasks.base import Task
from deep_cnn.tasks.score_metrics import RegressionScores


def panels(task: Task, decoded: np.ndarray, targets: np.ndarray) -> list[Panel]:
    """Each target's predictions against its true values, with the line on which they would be equal.

    Args:
        decoded, targets: (N, T); targets NaN where missing.
    """
    predictions = np.asarray(decoded, dtype=np.float64)[:, : len(task.names)]  # levels are behind them
    targets = np.asarray(targets, dtype=np.float64)
    scores = RegressionScores.of(predictions, targets, task.names, np.zeros(len(task.names))).scores()
    return [_panel(task, t, predictions[:, t], targets[:, t], scores) for t in range(len(task.names))]


def _panel(task: Task, t: int, predicted: np.ndarray, true: np.ndarray, scores: dict) -> Panel:
    name, unit = task.names[t], task.unit(t)
    known, mae, r2 = ~np.isnan(true), scores[f"{task.names[t]}/mae"], scores[f"{task.names[t]}/r2"]
    parts = [f"n = {known.sum():,}"]
    parts += [] if mae is None else [f"MAE {number(mae)} {unit}".strip()]
    parts += [] if r2 is None else [f"R² {r2:.2f}"]
    alt = f"Predicted against true {name}: {', '.join(parts)}"
    draw = partial(draw_scatter, true=true[known], predicted=predicted[known], name=name, unit=unit)
    return Panel(f"{short_label(name, 40)}\n{short_label(', '.join(parts), 60)}", alt, draw, height=3.4)


def draw_scatter(ax: Axes, true: np.ndarray, predicted: np.ndarray, name: str, unit: str) -> None:
    """Points, or of many images how many lie in each cell; the same range and the same ticks on both axes."""
    if not len(true):
        return no_values(ax)
    low, high = min(true.min(), predicted.min()), max(true.max(), predicted.max())
    margin = 0.04 * (high - low) or max(0.5, 0.1 * abs(high))  # all values equal: the point in the middle
    low, high = low - margin, high + margin
    few = len(true) <= MAX_POINTS
    if few:
        ax.scatter(true, predicted, s=16, alpha=0.6, color=BLUE, edgecolors="none", zorder=3)
    else:
        extent = (low, high, low, high)
        ax.hexbin(true, predicted, gridsize=30, bins="log", mincnt=1, cmap=DENSITY, extent=extent, linewidths=0)
    over = 2 if few else 3  # the line lies over cells and under points
    ax.plot([low, high], [low, high], label="predicted = true", color=ORANGE, linewidth=1, linestyle="--", zorder=over)
    plain(ax)
    ticks = [tick for tick in MaxNLocator(nbins=5).tick_values(low, high) if low <= tick <= high]
    ax.set(xlim=(low, high), ylim=(low, high), xticks=ticks, yticks=ticks, aspect="equal")
    label = axis_label(name, unit)
    ax.set_xlabel(f"true {label}", fontsize=9)
    ax.set_ylabel(f"predicted {label}", fontsize=9)
    ax.legend(fontsize=8, loc="upper left", framealpha=0.7)
    return None


def axis_label(name: str, unit: str) -> str:
    """'price (USD)'."""
    return short_label(name, 24) + (f" ({short_label(unit, 12)})" if unit else "")


def no_values(ax: Axes) -> None:
    """Say that there is nothing to draw."""
    ax.text(0.5, 0.5, "no values", transform=ax.transAxes, ha="center", color=GREY)
    ax.set(xticks=[], yticks=[])
