"""Pictures of a study: its history, which flags matter, and which values go with good trials."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.distributions import CategoricalDistribution

from deep_cnn.reporting.plots.style import BLUE, GREY, ORANGE, save, short_label
from deep_cnn.tools.search.space import Distribution, Space


def history(
    numbers: Sequence[int], values: Sequence[float], pruned: Sequence[bool], lower: bool, metric: str, path: Path
) -> None:
    """Each trial's value and the best so far; pruned trials hollow, with their best epoch."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    ax = figure.add_subplot()
    order = np.argsort(numbers)
    x, y, hollow = np.array(numbers)[order], np.array(values, float)[order], np.array(pruned, bool)[order]
    ax.scatter(x[~hollow], y[~hollow], s=22, color=BLUE, label="finished", zorder=3)
    if hollow.any():
        ax.scatter(x[hollow], y[hollow], s=22, facecolors="none", edgecolors=GREY, label="pruned", zorder=3)
    if (~hollow).any():
        best = (np.minimum if lower else np.maximum).accumulate(y[~hollow])
        ax.step(x[~hollow], best, where="post", color=ORANGE, label="best so far")
    ax.set(xlabel="trial", ylabel=f"validation {metric}")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.grid(alpha=0.25)
    ax.legend(fontsize=8)
    save(figure, path)


def importance(shares: dict[str, float], path: Path) -> None:
    """How much of the variance between trials each flag explains."""
    figure = Figure(figsize=(6.4, 1.2 + 0.4 * len(shares)), layout="constrained")
    ax = figure.add_subplot()
    names = sorted(shares, key=shares.__getitem__)
    ax.barh([short_label(name, 30) for name in names], [shares[name] for name in names], color=BLUE)
    for place, name in enumerate(names):
        ax.text(shares[name] + 0.01, place, f"{shares[name]:.2f}", va="center", fontsize=9)
    ax.set(xlim=(0, 1.1), xlabel="share of the variance between trials")
    save(figure, path)


def parallel(
    space: Space,
    params: Sequence[dict[str, Any]],
    values: Sequence[float],
    lower: bool,
    metric: str,
    path: Path,
) -> None:
    """A line per trial through its values, the good ones dark."""
    figure = Figure(figsize=(max(6.4, 1.6 * len(space) + 2), 4), layout="constrained")
    ax = figure.add_subplot()
    goodness = -np.array(values, float) if lower else np.array(values, float)
    ranks = np.argsort(np.argsort(goodness))  # ranks: one bad trial would take the whole scale
    colours = matplotlib.colormaps["cividis_r"](ranks / max(1, len(values) - 1))
    columns = np.array([[_height(space[name], row[name]) for name in space] for row in params])
    for row in np.argsort(ranks):
        ax.plot(
            range(len(space)),
            columns[row],
            color=colours[row],
            alpha=0.75,
            linewidth=1 + 2 * (ranks[row] == ranks.max()),
        )
    for place, distribution in enumerate(space.values()):
        ax.axvline(place, color=GREY, linewidth=0.8)
        for height, text in _ticks(distribution):
            ax.text(place + 0.03, height, text, fontsize=7, va="center")
    ax.set_xticks(range(len(space)), [short_label(name, 24) for name in space])
    ax.set(yticks=[], ylim=(-0.06, 1.06), xlim=(-0.2, len(space) - 0.4), title=f"dark: better {metric}")
    save(figure, path)


def _height(distribution: Distribution, value: Any) -> float:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices.index(value) / max(1, len(distribution.choices) - 1)
    low, high = distribution.low, distribution.high
    if distribution.log:
        return float(np.log(value / low) / np.log(high / low))
    return (value - low) / (high - low)


def _ticks(distribution: Distribution) -> list[tuple[float, str]]:
    if isinstance(distribution, CategoricalDistribution):
        return [(_height(distribution, choice), short_label(str(choice), 20)) for choice in distribution.choices]
    low, high = distribution.low, distribution.high
    middle = (low * high) ** 0.5 if distribution.log else (low + high) / 2
    return [(0.0, f"{low:.3g}"), (0.5, f"{middle:.3g}"), (1.0, f"{high:.3g}")]
