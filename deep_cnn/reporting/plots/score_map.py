"""Maps of predictions and residuals: one area after the other, without tiles."""

from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.ticker import FuncFormatter

from deep_cnn.data.space import round_length
from deep_cnn.reporting.plots.map_areas import FEWEST, MapArea, Sites, map_areas, round_bar
from deep_cnn.reporting.plots.panel import Panel
from deep_cnn.reporting.plots.predicted_vs_true import axis_label
from deep_cnn.reporting.plots.style import DIVERGING, GREY, SEQUENTIAL, short_label, tick
from deep_cnn.runtime.format import number, plural
from deep_cnn.tasks.base import Task

MOST_AREAS = 6  # of one target
MOST_ROWS = 12  # pairs of maps of all targets together
MOST_POINTS = 500  # of a map; of more, means of hexagons: 500 points have 40 kB
HEXAGONS = 22  # across a map
TAIL = 0.02  # of the values, on each side, are beyond the ends of the colours
NARROW, WIDE = 2.5, 4.6  # inches: four maps, or two, beside each other on the page


def panels(task: Task, decoded: np.ndarray, targets: np.ndarray, sites: Sites) -> list[Panel]:
    """A map of what is predicted and one of predicted minus true, for each target and area; [] where there are too few places.

    Args:
        decoded, targets: (N, T); targets NaN where missing.
    """
    found: list[Panel] = []
    drawn = _drawn(task, targets, sites)
    width = WIDE if len(drawn) == 1 else NARROW
    for t, area in drawn:
        known = ~np.isnan(targets[:, t])
        error = decoded[:, t] - targets[:, t]
        ends = _ends(decoded[known, t]), _symmetric(error[known])
        for what, values, colours, limits in (
            ("predicted", decoded[:, t], SEQUENTIAL, ends[0]),
            ("residual", error, DIVERGING, ends[1]),
        ):
            name, here = task.names[t], values[area.members]
            label = what if what == "residual" else f"predicted {axis_label(name, task.unit(t))}"
            middle = f"mean {number(float(here.mean()))}"
            found.append(
                Panel(
                    f"{short_label(name, 24)}: {what}\n{short_label(area.name, 30)}, n = {len(here):,}",
                    f"Map of {label} in {area.name}, {plural(len(here), 'image')}, {middle}",
                    partial(_draw, area=area, values=here, colours=colours, limits=limits),
                    width,
                    0.9 * width,
                )
            )
    return found


def note(task: Task, targets: np.ndarray, sites: Sites, test: dict[str, Any]) -> list[str]:
    """What belongs below the maps: what is not on them, and whether errors of neighbours are alike.

    Args:
        test: test.json; its `space` has Moran's I of each target.
    """
    drawn = _drawn(task, targets, sites)
    lines = []
    if any(len(area.members) > MOST_POINTS for _, area in drawn):
        lines.append(f"A map of more than {MOST_POINTS} images shows the mean of each hexagon.")
    first = drawn[0][0]
    areas, shown = _areas_of(targets[:, first], sites), sum(t == first for t, _ in drawn)
    if left := areas[shown:]:
        images = sum(len(area.members) for area in left)
        lines.append(
            f"The {plural(shown, 'area')} with most images {'is' if shown == 1 else 'are'} shown; "
            f"{plural(len(left), 'other', 'have')} {plural(images, 'image')}."
        )
    if unknown := int((~np.isfinite(sites.places).all(axis=1)).sum()):
        lines.append(f"{plural(unknown, 'image', 'have')} no coordinates.")
    shown_targets = list(dict.fromkeys(task.names[t] for t, _ in drawn))
    if more := len(task.names) - len(shown_targets):
        lines.append(f"Maps of {plural(more, 'more target')} are not drawn.")
    return lines + [_moran_line(name, found) for name in shown_targets if (found := test.get("space", {}).get(name))]


def _moran_line(name: str, found: dict[str, Any]) -> str:
    p = "p < 0.01" if found["p"] < 0.01 else f"p = {found['p']:.2f}"
    line = f"Moran's I of the residuals of {name} is {found['morans_i']:.3f} ({found['expected']:.3f} expected without a pattern, {p}): "
    if found["p"] < 0.05:
        return (
            line
            + "neighbouring places have similar errors, so the place holds something that the network does not see."
        )
    return line + "errors of neighbouring places are not clearly alike."


def _drawn(task: Task, targets: np.ndarray, sites: Sites) -> list[tuple[int, MapArea]]:
    """Which maps are drawn: (number of the target, area)."""
    most = max(1, min(MOST_AREAS, MOST_ROWS // len(task.names)))
    found = [(t, area) for t in range(len(task.names)) for area in _areas_of(targets[:, t], sites)[:most]]
    return [(t, area) for t, area in found if len(area.members) >= FEWEST][:MOST_ROWS]


def _areas_of(target: np.ndarray, sites: Sites) -> list[MapArea]:
    """The areas of the images that have this target, (N,)."""
    places = np.where(np.isnan(target)[:, None], np.nan, sites.places)
    return map_areas(Sites(places, sites.names))


def _ends(values: np.ndarray) -> tuple[float, float]:
    low, high = (float(end) for end in np.quantile(values, (TAIL, 1 - TAIL)))
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _symmetric(errors: np.ndarray) -> tuple[float, float]:
    end = float(np.quantile(np.abs(errors), 1 - TAIL)) or 1.0
    return -end, end


def _draw(ax: Axes, area: MapArea, values: np.ndarray, colours: Colormap, limits: tuple[float, float]) -> None:
    side = max(np.ptp(area.x), np.ptp(area.y), 100.0) * 1.12
    bar = round_bar(side)
    low = -0.5 * side - 0.14 * side  # a strip below the images for the scale bar
    marks: dict[str, Any] = {"cmap": colours, "vmin": limits[0], "vmax": limits[1]}
    if len(values) > MOST_POINTS:
        extent = (-0.5 * side, 0.5 * side, -0.5 * side, 0.5 * side)
        drawn: Any = ax.hexbin(
            area.x, area.y, values, gridsize=HEXAGONS, extent=extent, linewidths=0.2, rasterized=True, **marks
        )
    else:
        size = float(np.clip(2500 / len(values), 6, 26))
        drawn = ax.scatter(area.x, area.y, s=size, c=values, edgecolors="none", zorder=3, **marks)
    ax.set(xlim=(-0.5 * side, 0.5 * side), ylim=(low, 0.5 * side), xticks=[], yticks=[], aspect="equal")
    ax.spines[:].set_color(GREY)
    ax.spines[:].set_linewidth(0.5)
    left, height = -0.46 * side, low + 0.05 * side
    ax.plot([left, left + bar], [height, height], color="#000000", linewidth=2, solid_capstyle="butt")
    ax.text(left + bar + 0.03 * side, height, round_length(bar), fontsize=8, va="center")
    colour_bar = ax.figure.colorbar(drawn, ax=ax, extend="both", fraction=0.06, pad=0.03)
    colour_bar.outline.set_visible(False)  # type: ignore[operator]
    colour_bar.ax.tick_params(labelsize=8, color=GREY)
    colour_bar.ax.yaxis.set_major_formatter(FuncFormatter(tick))
