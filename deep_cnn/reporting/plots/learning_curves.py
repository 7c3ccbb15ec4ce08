"""Loss, metrics and learning rate by epoch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from deep_cnn.config.registries import METRICS
from deep_cnn.reporting.plots.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    grid,
    percent_axis,
    plain_numbers,
    save,
    short_label,
)

SPLIT_LABELS = {"train": "training", "val": "validation"}
MAX_PANELS = 12  # 4 rows of 3: as much as a page shows


def learning_curves(rows: Sequence[dict], path: str | Path, best_epoch: int | None = None) -> None:
    """Loss, metrics and learning rate by epoch, training and validation in one panel.

    Args:
        rows: of metrics.csv, numbers or their text: epoch, lr, train_loss, val_loss, val_METRIC...; empty, None or NaN
            where there is no value. Columns of one name below train_ and val_ share a panel; lr... all share one.
        path: the PNG to write.
        best_epoch: the epoch whose weights were kept; None: not marked.
    """
    epochs = _column(rows, "epoch")
    names = list(dict.fromkeys(name for row in rows for name in row))
    if not any(name.startswith("val_") for name in names):
        best_epoch = None  # nothing was measured by which one could be the best: the last one's weights were kept
    panels: dict[str, dict[str, np.ndarray]] = {}  # title -> label -> values (rows,)
    shares: set[str] = set()  # titles of the panels in percent
    for name in names:
        split, _, metric = name.partition("_")
        if split in SPLIT_LABELS:
            # a target's own metric, "travel_time/mae", has no row
            title = short_label(METRICS[metric].label if metric in METRICS else metric.replace("_", " "), 40)
            shares |= {title} if metric in METRICS and METRICS[metric].share else set()
            panels.setdefault(title, {})[SPLIT_LABELS[split]] = _column(rows, name)
    left_out = list(panels)[MAX_PANELS - 1 :]
    panels = {title: panel for title, panel in panels.items() if title not in left_out}
    rates = {name: _column(rows, name) for name in names if name == "lr" or name.startswith("lr_")}
    panels |= {"learning rate": rates} if rates else {}
    figure, axes = grid(len(panels), columns=3, width=4, height=3)
    for ax, (title, panel) in zip(axes, panels.items(), strict=True):
        _curves(ax, epochs, panel, best_epoch)
        ax.set_title(title)
        plain_numbers(ax)
        if title in shares:
            percent_axis(ax)
    if rates:
        axes[len(panels) - 1].set_ylim(bottom=0)  # a constant rate would get an axis of its rounding
    for ax in axes[-3:]:
        ax.set_xlabel("epoch")
    if left_out:
        figure.suptitle(f"{len(left_out)} more metrics are in metrics.csv", fontsize=9)
    save(figure, path)


def _curves(ax: Axes, epochs: np.ndarray, curves: dict[str, np.ndarray], best_epoch: int | None) -> None:
    styles = {"validation": (ORANGE, "-", "o"), "training": (BLUE, "--", "s")}
    others = iter([(GREEN, "-", "^"), (BLUE, "--", "v"), (ORANGE, ":", "D")] * len(curves))
    for label, values in curves.items():
        colour, line, marker = styles.get(label) or next(others)
        # a line needs two points: without markers a run of one epoch would look empty
        shown = marker if np.isfinite(values).sum() <= 12 else None
        ax.plot(epochs, values, color=colour, linestyle=line, marker=shown, markersize=4, label=short_label(label, 20))
    finite = np.concatenate([v[np.isfinite(v)] for v in curves.values()])
    if len(finite) and finite.min() > 0 and finite.max() > 100 * finite.min() and "validation" in curves:
        ax.set_yscale("log")  # one diverging epoch would press all others onto the axis
    if best_epoch is not None:
        ax.axvline(best_epoch, color=GREY, linewidth=1, linestyle=":", label=f"best: epoch {best_epoch}")
    ax.set_xlim(epochs.min() - 0.5, epochs.max() + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.grid(alpha=0.25)
    if best_epoch is not None or set(curves) != {"lr"}:
        ax.legend(fontsize=8, framealpha=0.7)


def _column(rows: Sequence[dict], name: str) -> np.ndarray:
    """float64 (rows,), NaN where there is no value."""
    values = [row.get(name) for row in rows]
    return np.array([np.nan if value in (None, "") else float(value) for value in values])
