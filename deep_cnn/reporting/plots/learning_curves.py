"""Loss, metrics and learning rate by epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from deep_cnn.config.registries import metric_row
from deep_cnn.reporting.plots.panel import Panel, write_png
from deep_cnn.reporting.plots.style import BLUE, GREEN, GREY, ORANGE, percent_axis, plain, short_label
from deep_cnn.runtime.format import number

SPLIT_LABELS = {"train": "training", "val": "validation"}
MAX_PANELS = 12  # 4 rows of 3: as much as a page shows
MOST_LINES = 8  # more targets than this, and a panel of all of them is a tangle
SAME = 1e-3  # of the range of a curve: not seen


@dataclass(frozen=True)
class Curves:
    """What one panel shows. metric: without the split, "loss", "price/mae" or "lr"; lines: label -> values (epochs,), NaN if missing."""

    metric: str
    lines: dict[str, np.ndarray]

    @property
    def title(self) -> str:
        """For people: 'top-1', 'price MAE', 'learning rate'."""
        if self.metric == "lr":
            return "learning rate"
        target, _, _ = self.metric.rpartition("/")
        return f"{target} {metric_row(self.metric).label.replace('_', ' ')}".strip()


def curves_of(rows: Sequence[dict]) -> list[Curves]:
    """All curves of metrics.csv, whatever they show.

    Args:
        rows: numbers or their text: epoch, lr, train_loss, val_loss, val_METRIC...; empty, None or NaN where there is no
            value. Columns of one name below train_ and val_ share a panel; lr... all share one.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    found: dict[str, dict[str, np.ndarray]] = {}
    for name in names:
        split, _, metric = name.partition("_")
        if split in SPLIT_LABELS:
            found.setdefault(metric, {})[SPLIT_LABELS[split]] = _column(rows, name)
    rates = {name.replace("_", " "): _column(rows, name) for name in names if name == "lr" or name.startswith("lr_")}
    return [Curves(metric, lines) for metric, lines in found.items()] + ([Curves("lr", rates)] if rates else [])


def distinct(curves: Sequence[Curves]) -> list[Curves]:
    """Without those that show what another one shows: balanced accuracy beside top-1 where the classes are equally large, or a rate that
    does not change.
    """
    kept: list[Curves] = []
    for each in curves:
        constant = each.metric == "lr" and all(np.ptp(line) == 0 for line in each.lines.values())
        if not constant and not any(_same(each, other) for other in kept):
            kept.append(each)
    return kept


def _same(ours: Curves, theirs: Curves) -> bool:
    if ours.lines.keys() != theirs.lines.keys() or metric_row(ours.metric).share != metric_row(theirs.metric).share:
        return False
    span = max(
        (np.ptp(line[np.isfinite(line)]) for line in theirs.lines.values() if np.isfinite(line).any()), default=0
    )
    return all(
        np.allclose(line, theirs.lines[label], rtol=0, atol=SAME * span, equal_nan=True)
        for label, line in ours.lines.items()
    )


def of_targets(curves: Sequence[Curves], metric: str) -> Curves | None:
    """One metric of all targets together, a line each; None where there are not several, or too many."""
    found = {
        c.metric.rpartition("/")[0]: c.lines["validation"]
        for c in curves
        if "/" in c.metric and c.metric.rpartition("/")[2] == metric and "validation" in c.lines
    }
    return Curves(metric, found) if 2 <= len(found) <= MOST_LINES else None


def panel(curves: Curves, epochs: np.ndarray, best_epoch: int | None = None, **size: float) -> Panel:
    """A panel of curves.

    Args:
        epochs: numbers of the epochs. best_epoch: the epoch whose weights were kept; None: not marked.
        size: width and height in inches.
    """
    said = [f"{label} {_ends(curves, line)}" for label, line in curves.lines.items() if np.isfinite(line).any()]
    alt = f"{curves.title} by epoch: {'; '.join(said)}"
    draw = partial(_draw, curves=curves, epochs=epochs, best_epoch=best_epoch)
    return Panel(short_label(curves.title, 40), alt, draw, **size)


def learning_curves(rows: Sequence[dict], path: str | Path, best_epoch: int | None = None) -> None:
    """Write the curves of metrics.csv as a PNG.

    Args:
        rows: see `curves_of`. best_epoch: the epoch whose weights were kept; None: not marked.
    """
    everything = curves_of(rows)
    if not any("validation" in curves.lines for curves in everything):
        best_epoch = None  # nothing was measured by which one could be the best: the last one's weights were kept
    shown = distinct(everything)
    rates = [curves for curves in shown if curves.metric == "lr"]
    metrics = [curves for curves in shown if curves.metric != "lr"]
    left_out = len(metrics[MAX_PANELS - len(rates) :])
    heading = f"{left_out} more metrics are in metrics.csv" if left_out else ""
    epochs = _column(rows, "epoch")
    panels = [panel(curves, epochs, best_epoch) for curves in metrics[: MAX_PANELS - len(rates)] + rates]
    write_png(panels, path, heading=heading)


def _draw(ax: Axes, curves: Curves, epochs: np.ndarray, best_epoch: int | None) -> None:
    styles = {"validation": (ORANGE, "-", "o"), "training": (BLUE, "--", "s"), "lr": (GREEN, "-", "^")}
    others = iter(
        [(c, line, m) for line, m in (("-", "o"), ("--", "s"), (":", "^")) for c in (BLUE, ORANGE, GREEN)] * 9
    )
    for label, values in curves.lines.items():
        colour, line, marker = styles.get(label) or next(others)
        # a line needs two points: without markers a run of one epoch would look empty
        shown = marker if np.isfinite(values).sum() <= 12 else None
        ax.plot(
            epochs,
            values,
            color=colour,
            linestyle=line,
            marker=shown,
            markersize=4,
            label="_" if label == "lr" else short_label(label, 20),
        )
    finite = np.concatenate([v[np.isfinite(v)] for v in curves.lines.values()])
    if len(finite) and finite.min() > 0 and finite.max() > 100 * finite.min() and "validation" in curves.lines:
        ax.set_yscale("log")  # one diverging epoch would press all others onto the axis
    if best_epoch is not None:
        ax.axvline(best_epoch, color=GREY, linewidth=1, linestyle=":", label=f"best: epoch {best_epoch}")
    ax.set_xlim(epochs.min() - 0.5, epochs.max() + 0.5)
    plain(ax)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    ax.set_xlabel("epoch", fontsize=9)
    if metric_row(curves.metric).share:
        percent_axis(ax)
    if curves.metric == "lr":
        ax.set_ylim(bottom=0)  # a constant rate would get an axis of its rounding
    if len(curves.lines) > 3:
        ax.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.45, -0.2), ncols=3)
    elif best_epoch is not None or set(curves.lines) != {"lr"}:
        ax.legend(fontsize=8, framealpha=0.7)


def _ends(curves: Curves, line: np.ndarray) -> str:
    """'from 0.91 to 0.3', of the first and the last epoch with a value."""
    share = metric_row(curves.metric).share
    first, last = (number(value, share) for value in line[np.isfinite(line)][[0, -1]].tolist())
    return f"from {first} to {last}"


def _column(rows: Sequence[dict], name: str) -> np.ndarray:
    """float64 (rows,), NaN where there is no value."""
    values = [row.get(name) for row in rows]
    return np.array([np.nan if value in (None, "") else float(value) for value in values])
