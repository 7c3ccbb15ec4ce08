"""A panel is one pair of axes: several of them make a PNG, each by itself an SVG inside a page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deep_cnn.reporting.plots.style import DPI, save


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes:
        title: above it; a second line is small print.
        alt: what it shows, in words with numbers, for readers who do not see it.
        draw: fills the axes.
        width, height: in inches; 3.4 fits a phone.
    """

    title: str
    alt: str
    draw: Callable[[Axes], None]
    width: float = 3.4
    height: float = 2.5


def write_png(panels: Sequence[Panel], path: str | Path, columns: int = 3, heading: str = "") -> None:
    """Write panels, row by row, as one picture; heading: small, above all of them."""
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    size = (max(p.width for p in panels) * columns, max(p.height for p in panels) * rows)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    for place, panel in enumerate(panels):
        ax = figure.add_subplot(rows, columns, place + 1)
        ax.set_title(panel.title, fontsize=10)
        panel.draw(ax)
    if heading:
        figure.suptitle(heading, fontsize=9)
    save(figure, path)
