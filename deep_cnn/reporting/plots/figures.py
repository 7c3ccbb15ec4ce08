"""Pictures of a run's results, as PNG files: each function takes values and a path.

Drawn through Figure and not pyplot: no window system, no global list of figures, usable from any thread. The colours
are Okabe and Ito's (2008) and cividis, which colour-blind readers can tell apart; lines differ in style as well.
"""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from deep_cnn.config.registries import METRICS
from deep_cnn.tasks.metrics import RegressionScores

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
SPLIT_LABELS = {"train": "training", "val": "validation"}
MAX_PANELS = 12  # 4 rows of 3: as much as a page shows
MAX_NUMBERED_CLASSES = 15  # more, and the numbers no longer fit into the cells
MAX_LABELLED_CLASSES = 50  # more, and the names of neighbouring rows overlap
MAX_POINTS = 2000  # more, and points hide how many lie below them


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
    for name in names:
        split, _, metric = name.partition("_")
        if split in SPLIT_LABELS:
            label = (
                METRICS[metric].label if metric in METRICS else metric.replace("_", " ")
            )  # of a target: travel time/mae
            title = short_label(label, 40)
            panels.setdefault(title, {})[SPLIT_LABELS[split]] = _column(rows, name)
    left_out = list(panels)[MAX_PANELS - 1 :]
    panels = {title: panel for title, panel in panels.items() if title not in left_out}
    rates = {name: _column(rows, name) for name in names if name == "lr" or name.startswith("lr_")}
    panels |= {"learning rate": rates} if rates else {}
    figure, axes = grid(len(panels), columns=3, width=4, height=3)
    for ax, (title, panel) in zip(axes, panels.items(), strict=True):
        _curves(ax, epochs, panel, best_epoch)
        ax.set_title(title)
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
        marker = marker if np.isfinite(values).sum() <= 12 else None
        ax.plot(epochs, values, color=colour, linestyle=line, marker=marker, markersize=4, label=short_label(label, 20))
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


def confusion_matrix(matrix: np.ndarray, classes: Sequence[str], path: str | Path) -> None:
    """Where the images of each class went, as shares of the true class.

    Args:
        matrix: counts (K, K), true class by row, predicted class by column. A class without images is left grey.
        classes: the K names.
        path: the PNG to write.
    """
    matrix, size = np.asarray(matrix), len(classes)
    assert matrix.shape == (size, size), f"{matrix.shape} for {size} classes"
    count = matrix.sum(axis=1, keepdims=True)
    shares = np.where(count > 0, matrix / np.maximum(count, 1), np.nan)
    numbered = size <= MAX_NUMBERED_CLASSES
    side = float(np.clip(3.0 + 0.55 * size, 4.0, 11.0))
    figure = Figure(figsize=(side + 1.5, side), layout="constrained")
    ax = figure.add_subplot()
    colours = matplotlib.colormaps["Blues"].with_extremes(bad="#DDDDDD")
    # of many classes the usual confusion is a few percent: gamma 0.5 shows 4% at a fifth of the scale
    norm = PowerNorm(1.0 if numbered else 0.5, vmin=0, vmax=1)
    image = ax.imshow(np.ma.masked_invalid(shares), cmap=colours, norm=norm)
    figure.colorbar(image, ax=ax, shrink=0.8, label="share of the true class")
    shown = np.arange(0, size, -(-size // MAX_LABELLED_CLASSES))
    labels = [short_label(classes[k], 24) for k in shown]
    fontsize = 9 if size <= 20 else 7
    # the upper end of a slanted name lies at its tick
    slant = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if size <= 20 else {"rotation": 90}
    ax.set_xticks(shown, labels, fontsize=fontsize, **slant)
    ax.set_yticks(shown, labels, fontsize=fontsize)
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class")
    if len(shown) < size:
        ax.set_title(f"{size} classes, one in {shown[1]} named", fontsize=9)
    for row, column in np.argwhere(matrix > 0) if numbered else ():
        dark = shares[row, column] > 0.55
        text = f"{matrix[row, column]:,}"
        ax.text(column, row, text, ha="center", va="center", color="white" if dark else "black", fontsize=8)
    save(figure, path)


def predicted_vs_true(predictions: np.ndarray, targets: np.ndarray, names: Sequence[str], path: str | Path) -> None:
    """Each target's predictions against its true values, with the line on which they would be equal.

    Args:
        predictions, targets: (N, T); targets NaN where missing.
        names: the T names.
        path: the PNG to write.
    """
    predictions, targets = np.asarray(predictions, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    scores = RegressionScores.of(predictions, targets, names, np.zeros(len(names))).scores()
    figure, axes = grid(len(names), columns=3, width=4.4, height=4.4)
    for t, (ax, name) in enumerate(zip(axes, names, strict=True)):
        measured = ~np.isnan(targets[:, t])
        _scatter(ax, targets[measured, t], predictions[measured, t])
        r2, mae = scores[f"{name}/r2"], scores[f"{name}/mae"]
        parts = [f"n = {measured.sum():,}"]
        parts += [] if mae is None else [f"MAE {mae:,.0f}" if mae >= 1000 else f"MAE {mae:.3g}"]
        parts += [] if r2 is None else [f"R² {r2:.2f}"]
        ax.set_title(f"{short_label(name, 40)}\n{', '.join(parts)}", fontsize=10)
        ax.set_xlabel("true")
        ax.set_ylabel("predicted")
    save(figure, path)


def _scatter(ax: Axes, true: np.ndarray, predicted: np.ndarray) -> None:
    if not len(true):
        ax.text(0.5, 0.5, "no values", transform=ax.transAxes, ha="center", color=GREY)
        ax.set(xticks=[], yticks=[])
        return
    low, high = min(true.min(), predicted.min()), max(true.max(), predicted.max())
    margin = 0.04 * (high - low) or max(0.5, 0.1 * abs(high))  # all values equal: the point in the middle
    low, high = low - margin, high + margin
    few = len(true) <= MAX_POINTS
    if few:
        ax.scatter(true, predicted, s=16, alpha=0.6, color=BLUE, edgecolors="none", zorder=3)
    else:
        extent = (low, high, low, high)
        drawn = ax.hexbin(true, predicted, gridsize=60, bins="log", mincnt=1, cmap="cividis_r", extent=extent)
        ax.figure.colorbar(drawn, ax=ax, shrink=0.8, label="images per cell")
    line = {"color": ORANGE, "linewidth": 1, "linestyle": "--", "zorder": 2 if few else 3}  # over cells, under points
    ax.plot([low, high], [low, high], label="predicted = true", **line)
    ax.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    ax.grid(alpha=0.25)
    ax.legend(fontsize=8, loc="upper left", framealpha=0.7)


def grid(panels: int, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure with this many panels, row by row."""
    columns = min(columns, panels)
    rows = -(-panels // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    return figure, [figure.add_subplot(rows, columns, k + 1) for k in range(panels)]


def _column(rows: Sequence[dict], name: str) -> np.ndarray:
    """float64 (rows,), NaN where there is no value."""
    values = [row.get(name) for row in rows]
    return np.array([np.nan if value in (None, "") else float(value) for value in values])


def short_label(name: str, length: int) -> str:
    """A name as text that matplotlib can draw: cut in its middle, no formulas between $, nothing unprintable."""
    name = "".join(letter if letter.isprintable() else "�" for letter in str(name))
    if len(name) > length:
        name = f"{name[: length // 2]}…{name[len(name) - length // 2 + 1 :]}"
    return name.replace("$", r"\$")


def save(figure: Figure, path: str | Path) -> None:
    """Write beside and rename: a reader, or a kill, never meets half a picture."""
    path = Path(path)
    unfinished = path.with_name(f"{path.stem}.tmp.png")
    installed = set(font_manager.get_font_names())
    fonts = ["DejaVu Sans", *(name for name in FALLBACK_FONTS if name in installed)]
    for text in figure.findobj(matplotlib.text.Text):
        text.set_fontfamily(fonts)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # drawn as a box
        figure.savefig(unfinished, dpi=130, format="png")
    os.replace(unfinished, path)
