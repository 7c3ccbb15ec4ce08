"""What all figures share: colours, numbers on axes, labels, and how a figure is saved.

Drawn through Figure and not pyplot: no window system, no global list of figures, usable from any thread. The colours
are Okabe and Ito's (2008), which colour-blind readers can tell apart; lines differ in style as well.
"""

import warnings
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from deep_cnn.runtime.atomic import atomic_path

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
# many or few, as one colour that is more or less transparent: readable on a light and on a dark page
DENSITY = LinearSegmentedColormap.from_list("density", [(*to_rgb(BLUE), 0.15), (*to_rgb(BLUE), 1.0)])
# Values on maps. Both ends of each are seen on a light and on a dark page; blue and orange differ for colour-blind readers, too
SEQUENTIAL = LinearSegmentedColormap.from_list(
    "sequential", matplotlib.colormaps["viridis"](np.linspace(0.2, 0.92, 64))
)
DIVERGING = LinearSegmentedColormap.from_list("diverging", ("#00629b", "#7ba7c7", "#bdbdbd", "#e0a17a", "#c04f00"))
# DejaVu Sans, which matplotlib brings along, has no Chinese, Japanese, Korean or Indian letters: the systems' own fonts
FALLBACK_FONTS = (
    "Noto Sans CJK JP",
    "Microsoft YaHei",
    "Malgun Gothic",
    "PingFang SC",
    "Arial Unicode MS",
    "Noto Sans",
)
DPI = 130
MAX_POINTS = 1000  # more, and points hide how many lie below them


def tick(value: float, pos: int | None = None) -> str:
    """A number of an axis in full, '1.5M', '250k', '0.001': matplotlib would move a factor to the end of the axis."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):.4g}{letter}"
    return f"{value:.4g}"


def plain(ax: Axes) -> None:
    """The look of all axes: a light grid, no frame above and to the right, numbers of linear axes in full."""
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(GREY)
    ax.tick_params(color=GREY, labelsize=9)
    for axis in (ax.xaxis, ax.yaxis):
        if axis.get_scale() == "linear":
            axis.set_major_formatter(FuncFormatter(tick))


def percent_axis(ax: Axes) -> None:
    """Write the shares on a vertical axis in percent; the axis ends at 0% and 100%, with room for a marker."""
    low, high = ax.get_ylim()
    ax.set_ylim(max(low, -0.02), min(high, 1.02))
    ax.yaxis.set_major_formatter(
        FuncFormatter(lambda share, pos: f"{100 * share:.4g}%" if -1e-9 < share < 1 + 1e-9 else "")
    )


def short_label(name: str, length: int) -> str:
    """A name as text that matplotlib can draw: cut in its middle, no formulas between $, nothing unprintable."""
    return printable(name, length).replace("$", r"\$")


def printable(name: str, length: int) -> str:
    """A name cut in its middle, with a mark for what cannot be printed."""
    name = "".join(letter if letter.isprintable() else "�" for letter in str(name))
    return name if len(name) <= length else f"{name[: length // 2]}…{name[len(name) - length // 2 + 1 :]}"


def save(figure: Figure, path: str | Path) -> None:
    """Write beside and rename: a reader, or a kill, never meets half a picture."""
    installed = set(font_manager.get_font_names())
    fonts = ["DejaVu Sans", *(name for name in FALLBACK_FONTS if name in installed)]
    for text in figure.findobj(matplotlib.text.Text):
        text.set_fontfamily(fonts)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # drawn as a box
        with atomic_path(Path(path)) as temporary:
            figure.savefig(temporary, dpi=DPI, format="png")
