"""Where the images of each class went."""

from collections.abc import Sequence
from functools import partial

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.ticker import PercentFormatter

from deep_cnn.reporting.plots.panel import Panel
from deep_cnn.reporting.plots.style import short_label
from deep_cnn.tasks.classification import Classification

MAX_NUMBERED_CLASSES = 15  # more, and the numbers no longer fit into the cells
MAX_LABELLED_CLASSES = 50  # more, and the names of neighbouring rows overlap


def panels(task: Classification, decoded: np.ndarray, targets: np.ndarray) -> list[Panel]:
    """The figure of a tested run; see the registry FIGURES. The report has a table in its place (reporting/report/confusion.py)."""
    return [confusion_matrix(task.confusion(decoded, targets), task.names)]


def confusion_matrix(matrix: np.ndarray, classes: Sequence[str]) -> Panel:
    """Where the images of each class went, as shares of the true class.

    Args:
        matrix: counts (K, K), true class by row, predicted class by column. A class without images is left grey.
        classes: the K names.
    """
    matrix, size = np.asarray(matrix), len(classes)
    assert matrix.shape == (size, size), f"{matrix.shape} for {size} classes"
    side = float(np.clip(3.0 + 0.55 * size, 4.0, 11.0))
    step = -(-size // MAX_LABELLED_CLASSES)
    title = f"{size} classes, one in {step} named" if step > 1 else ""
    alt = f"Confusion matrix of {size} classes, {np.trace(matrix):,} of {matrix.sum():,} images on its diagonal"
    return Panel(title, alt, partial(_draw, matrix=matrix, classes=classes), side + 1.5, side)


def _draw(ax: Axes, matrix: np.ndarray, classes: Sequence[str]) -> None:
    size = len(classes)
    count = matrix.sum(axis=1, keepdims=True)
    shares = np.where(count > 0, matrix / np.maximum(count, 1), np.nan)
    numbered = size <= MAX_NUMBERED_CLASSES
    colours = matplotlib.colormaps["Blues"].with_extremes(bad="#DDDDDD")
    # of many classes the usual confusion is a few percent: gamma 0.5 shows 4% at a fifth of the scale
    norm = PowerNorm(1.0 if numbered else 0.5, vmin=0, vmax=1)
    image = ax.imshow(np.ma.masked_invalid(shares), cmap=colours, norm=norm)
    ax.figure.colorbar(image, ax=ax, shrink=0.8, label="share of the true class", format=PercentFormatter(1.0))
    shown = np.arange(0, size, -(-size // MAX_LABELLED_CLASSES))
    labels = [short_label(classes[k], 24) for k in shown.tolist()]
    fontsize = 9 if size <= 20 else 7
    # the upper end of a slanted name lies at its tick
    slant = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if size <= 20 else {"rotation": 90}
    ax.set_xticks(shown, labels, fontsize=fontsize, **slant)
    ax.set_yticks(shown, labels, fontsize=fontsize)
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class")
    for row, column in np.argwhere(matrix > 0) if numbered else ():
        dark = shares[row, column] > 0.55
        text = f"{matrix[row, column]:,}"
        ax.text(column, row, text, ha="center", va="center", color="white" if dark else "black", fontsize=8)
