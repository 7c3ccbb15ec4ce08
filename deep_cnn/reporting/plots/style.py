"""What all figures share: colours, numbers on axes, labels, and how a figure is saved.

Drawn through Figure and not pyplot: no window system, no global list of figures, usable from any thread. The colours
are Okabe and Ito's (2008) and cividis, which colour-blind readers can tell apart; lines differ in style as well.
"""

import warnings
from pathlib import Path

import matplotlib
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter, ScalarFormatter

from deep_cnn.runtime.atomic import atomic_path

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
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
MAX_POINTS = 2000  # more, and points hide how many lie below them


def grid(panels: int, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure with this many panels, row by row."""
    columns = min(columns, panels)
    rows = -(-panels // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    return figure, [figure.add_subplot(rows, columns, k + 1) for k in range(panels)]


class PlainNumbers(ScalarFormatter):
    """Numbers of an axis in full, "1,000,000": matplotlib would move a factor or an offset to the end of the axis."""

    def __init__(self) -> None:
        super().__init__(useOffset=False)
        self.set_scientific(False)

    def __call__(self, x: float, pos: int | None = None) -> str:
        """The label of a tick at x."""
        return f"{x:,.0f}" if abs(x) >= 10_000 else super().__call__(x, pos)


def plain_numbers(ax: Axes) -> None:
    """Write the numbers of linear axes in full."""
    for axis in (ax.xaxis, ax.yaxis):
        if axis.get_scale() == "linear":
            axis.set_major_formatter(PlainNumbers())


def percent_axis(ax: Axes) -> None:
    """Write the shares on a vertical axis in percent."""
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))


def short_label(name: str, length: int) -> str:
    """A name as text that matplotlib can draw: cut in its middle, no formulas between $, nothing unprintable."""
    name = "".join(letter if letter.isprintable() else "�" for letter in str(name))
    if len(name) > length:
        name = f"{name[: length // 2]}…{name[len(name) - length // 2 + 1 :]}"
    return name.replace("$", r"\$")


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
