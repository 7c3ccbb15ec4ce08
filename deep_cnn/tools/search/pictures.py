"""Pictures of a study: its history, which flags matter, and which values go with good trials."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from optuna.distributions import CategoricalDistribution

from deep_cnn.config.registries import metric_row
from deep_cnn.reporting.plots.panel import Panel
from deep_cnn.reporting.plots.style import BLUE, GREY, ORANGE, percent_axis, plain, short_label
from deep_cnn.runtime.format import number, percent, plural
from deep_cnn.tools.search.space import Distribution, Space


def history(numbers: Sequence[int], values: Sequence[float], pruned: Sequence[bool], lower: bool, metric: str) -> Panel:
    """Each trial's value and the best so far; pruned trials hollow, with their best epoch."""
    best = number((min if lower else max)(values), metric_row(metric).share)
    alt = f"Validation {metric_row(metric).label} of {plural(len(values), 'trial')}, the best {best}"
    draw = partial(_history, numbers=numbers, values=values, pruned=pruned, lower=lower, metric=metric)
    return Panel("", alt, draw, width=5, height=3)


def _history(
    ax: Axes, numbers: Sequence[int], values: Sequence[float], pruned: Sequence[bool], lower: bool, metric: str
) -> None:
    order = np.argsort(numbers)
    x, y, hollow = np.array(numbers)[order], np.array(values, float)[order], np.array(pruned, bool)[order]
    ax.scatter(x[~hollow], y[~hollow], s=22, color=BLUE, label="finished", zorder=3)
    if hollow.any():
        ax.scatter(x[hollow], y[hollow], s=22, facecolors="none", edgecolors=GREY, label="pruned", zorder=3)
    if (~hollow).any():
        best = (np.minimum if lower else np.maximum).accumulate(y[~hollow])
        ax.step(x[~hollow], best, where="post", color=ORANGE, label="best so far")
    ax.set_xlabel("trial", fontsize=9)
    ax.set_ylabel(f"validation {metric_row(metric).label}", fontsize=9)
    plain(ax)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if metric_row(metric).share:
        percent_axis(ax)
    ax.legend(fontsize=8)


def importance(shares: dict[str, float]) -> Panel:
    """How much of the variance between trials each flag explains."""
    said = ", ".join(f"{name} {percent(share, 0)}" for name, share in sorted(shares.items(), key=lambda item: -item[1]))
    return Panel(
        "", f"Share of the variance: {said}", partial(_importance, shares=shares), 4.4, 1.1 + 0.3 * len(shares)
    )


def _importance(ax: Axes, shares: dict[str, float]) -> None:
    names = sorted(shares, key=shares.__getitem__)
    ax.barh([short_label(name, 30) for name in names], [shares[name] for name in names], color=BLUE)
    for place, name in enumerate(names):
        ax.text(shares[name] + 0.01, place, percent(shares[name], 0), va="center", fontsize=9)
    plain(ax)
    ax.set_yticks(range(len(names)), [short_label(name, 30) for name in names])
    ax.set_xlim(0, 1.15)
    ax.set_xlabel("share of the variance between trials", fontsize=9)
    ax.xaxis.set_major_formatter(lambda share, pos: percent(share, 0))


def parallel(
    space: Space,
    params: Sequence[dict[str, Any]],
    values: Sequence[float],
    lower: bool,
    metric: str,
) -> Panel:
    """A line per trial through its values, the good ones strong."""
    alt = f"The values of {', '.join(space)} in {plural(len(values), 'trial')}; the stronger a line, the better its {metric_row(metric).label}"
    draw = partial(_parallel, space=space, params=params, values=values, lower=lower)
    return Panel("", alt, draw, max(5.0, 1.4 * len(space) + 1.5), 3.2)


def _parallel(ax: Axes, space: Space, params: Sequence[dict[str, Any]], values: Sequence[float], lower: bool) -> None:
    goodness = -np.array(values, float) if lower else np.array(values, float)
    ranks = np.argsort(np.argsort(goodness))  # ranks: one bad trial would take the whole scale
    strength = 0.12 + 0.88 * ranks / max(1, len(values) - 1)
    columns = np.array([[_height(space[name], row[name]) for name in space] for row in params])
    for row in np.argsort(ranks):
        ax.plot(
            range(len(space)),
            columns[row],
            color=ORANGE if ranks[row] == ranks.max() else BLUE,
            alpha=strength[row],
            linewidth=1 + 1.5 * (ranks[row] == ranks.max()),
        )
    for place, distribution in enumerate(space.values()):
        ax.axvline(place, color=GREY, linewidth=0.8)
        for height, text in _ticks(distribution):
            ax.text(place + 0.03, height, text, fontsize=7, va="center")
    ax.set_xticks(range(len(space)), [short_label(name, 24) for name in space])
    ax.set(yticks=[], ylim=(-0.06, 1.06), xlim=(-0.2, len(space) - 0.4))
    ax.spines[:].set_visible(False)


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
