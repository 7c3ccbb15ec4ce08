"""The result of each fold, beside that of all folds."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes

from deep_cnn.config.registries import metric_row
from deep_cnn.reporting.plots.panel import Panel
from deep_cnn.reporting.plots.style import BLUE, GREY, ORANGE, percent_axis, plain, short_label
from deep_cnn.runtime.format import number

MOST_NAMES = 12  # more, and the names of the folds overlap


def panel(
    metric: str,
    names: Sequence[str],
    values: Sequence[float | None],
    mean: float | None,
    interval: Sequence[float] | None,
) -> Panel:
    """A point for each fold.

    Args:
        names, values: of the folds; None where the metric is undefined. mean: of all folds, None where it is undefined in one;
            interval: its 95% interval, if any.
    """
    row = metric_row(metric)
    known = [
        (k, name, value) for k, (name, value) in enumerate(zip(names, values, strict=True), 1) if value is not None
    ]
    said = "; ".join(f"{name} {number(value, row.share)}" for _, name, value in known) or "undefined"
    draw = partial(_draw, known=known, mean=mean, interval=interval, share=row.share)
    return Panel(f"{row.label} of each fold", f"{row.label} of each fold: {said}", draw, height=2.3)


def _draw(
    ax: Axes, known: Sequence[tuple[int, str, float]], mean: float | None, interval: Sequence[float] | None, share: bool
) -> None:
    if interval:
        ax.axhspan(*interval, color=GREY, alpha=0.2, linewidth=0, label="95% interval")
    if mean is not None:
        ax.axhline(mean, color=ORANGE, linestyle="--", linewidth=1, label="all folds")
    ax.scatter([k for k, _, _ in known], [value for *_, value in known], s=26, color=BLUE, edgecolors="none", zorder=3)
    plain(ax)
    ax.margins(x=0.1, y=0.15)
    if share:
        percent_axis(ax)
    if len(known) <= MOST_NAMES:
        long = any(len(name) > 3 for _, name, _ in known)
        slant: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if long else {}
        ax.set_xticks([k for k, _, _ in known], [short_label(name, 14) for _, name, _ in known], **slant)
    ax.set_xlabel("fold", fontsize=9)
    if mean is not None:
        ax.legend(fontsize=8, framealpha=0.7)
