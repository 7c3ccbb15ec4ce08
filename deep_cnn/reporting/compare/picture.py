"""The figure of a comparison: a metric against the number of parameters."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from deep_cnn.reporting.compare.front import pareto_front
from deep_cnn.reporting.compare.labels import place_labels
from deep_cnn.reporting.plots.panel import Panel
from deep_cnn.reporting.plots.style import BLUE, GREY, ORANGE, short_label
from deep_cnn.runtime.format import short_count


@dataclass(frozen=True)
class Point:
    """A network: low and high are the ends of its bar, None where there is none."""

    name: str
    parameters: int
    value: float
    low: float | None = None
    high: float | None = None


def against_parameters(
    points: Sequence[Point],
    published: Sequence[Point],
    *,
    label: str,
    bars: str,
    source: str,
    lower_is_better: bool,
) -> Panel:
    """A metric against the number of parameters (logarithmic), with names and the Pareto front of our points.

    Args:
        points: ours, at least one; published: others', drawn hollow and left out of the front.
        label: of the axis of values; bars: what the bars are, "" where there are none; source: of the published values.
    """
    chosen = pareto_front([p.parameters for p in points], [p.value for p in points], lower_is_better)
    front = [points[i] for i in chosen]
    said = "; ".join(f"{p.name} {short_count(p.parameters)}: {p.value:.3g}" for p in points)

    def draw(ax: Axes) -> None:
        _points(ax, points, published, bars, source)
        _names(ax, points, published, label, front)

    return Panel("", f"{label} by number of parameters: {said}", draw, 7.4, 5)


def _points(ax: Axes, points: Sequence[Point], published: Sequence[Point], bars: str, source: str) -> None:
    _bars(ax, points, bars)
    ax.scatter([p.parameters for p in points], [p.value for p in points], s=34, color=BLUE, zorder=4)
    if published:
        ax.scatter(
            [p.parameters for p in published],
            [p.value for p in published],
            s=30,
            marker="D",
            facecolors="white",
            edgecolors=GREY,
            zorder=4,
            label=f"published: {source}",
        )


def _names(ax: Axes, points: Sequence[Point], published: Sequence[Point], label: str, front: Sequence[Point]) -> None:
    """The front, the axes, and names where nothing else is."""
    if len(front) > 1:
        ax.plot(
            [p.parameters for p in front],
            [p.value for p in front],
            drawstyle="steps-post",
            color=ORANGE,
            linewidth=1.2,
            zorder=2,
            label="Pareto front: none is smaller and better",
        )
    shown = [*points, *published]
    _axes(ax, shown, label)
    figure = ax.figure
    assert isinstance(figure, Figure)
    if ax.get_legend_handles_labels()[1]:
        figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    figure.draw_without_rendering()  # settles the layout, which names are then fitted into
    where = np.array([[p.parameters, p.value] for p in shown], float)
    colours = ["black"] * len(points) + [GREY] * len(published)
    place_labels(
        ax,
        [short_label(p.name, 32) for p in shown],
        where,
        _obstacles(ax, shown, front),
        colours=colours,
    )


def _bars(ax: Axes, points: Sequence[Point], bars: str) -> None:
    with_bars = [p for p in points if p.low is not None]
    if with_bars:
        sizes, values = [p.parameters for p in with_bars], np.array([p.value for p in with_bars])
        ends = np.array([[v - p.low, p.high - v] for v, p in zip(values, with_bars, strict=True)]).T
        # a percentile interval need not hold its own metric
        ax.errorbar(
            sizes,
            values,
            yerr=np.clip(ends, 0, None),
            fmt="none",
            ecolor=BLUE,
            elinewidth=1,
            capsize=2.5,
            zorder=3,
            label=bars,
        )


def _axes(ax: Axes, shown: Sequence[Point], label: str) -> None:
    """Limits with room for names, whole numbers of parameters on the axis."""
    ax.set_xscale("log")
    sizes = np.log10([max(1, p.parameters) for p in shown])
    margin = max(0.18, 0.12 * np.ptp(sizes))
    ax.set_xlim(10 ** (sizes.min() - margin), 10 ** (sizes.max() + margin))
    heights = [h for p in shown for h in (p.value, p.low, p.high) if h is not None]
    spread = max(heights) - min(heights) or abs(heights[0]) * 0.1 or 1.0
    ax.set_ylim(min(heights) - 0.1 * spread, max(heights) + 0.1 * spread)
    wide = np.ptp(sizes) > 1.5
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0), numticks=20))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda number, _: short_count(number)))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set(xlabel="parameters", ylabel=label)
    ax.grid(alpha=0.25, which="both")


def _obstacles(ax: Axes, shown: Sequence[Point], front: Sequence[Point]) -> np.ndarray:
    """What names must leave free, as boxes (M, 4) in pixels: the points, their bars, and the steps of the front."""

    def box(x0: float, y0: float, x1: float, y1: float, margin: float) -> tuple[float, ...]:
        (left, low), (right, high) = ax.transData.transform(((x0, min(y0, y1)), (x1, max(y0, y1))))
        return left - margin, low - margin, right + margin, high + margin

    boxes = [box(p.parameters, p.value, p.parameters, p.value, 6) for p in shown]
    boxes += [
        box(p.parameters, p.low, p.parameters, p.high, 5) for p in shown if p.low is not None and p.high is not None
    ]
    for here, following in pairwise(front):
        boxes.append(box(here.parameters, here.value, following.parameters, here.value, 1))
        boxes.append(box(following.parameters, here.value, following.parameters, following.value, 1))
    return np.array(boxes)
