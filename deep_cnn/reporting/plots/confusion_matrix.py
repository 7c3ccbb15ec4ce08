"""Where the images of each class went."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from deep_cnn.reporting.plots.style import save, short_label
from deep_cnn.tasks.classification import Classification

MAX_NUMBERED_CLASSES = 15  # more, and the numbers no longer fit into the cells
MAX_LABELLED_CLASSES = 50  # more, and the names of neighbouring rows overlap


def draw(task: Classification, decoded: np.ndarray, targets: np.ndarray, path: Path) -> None:
    """The figure of a tested run; see the registry FIGURES."""
    confusion_matrix(task.scored_decoded(decoded, targets).confusion(), task.names, path)


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
    figure.colorbar(image, ax=ax, shrink=0.8, label="share of the true class", format=PercentFormatter(1.0))
    shown = np.arange(0, size, -(-size // MAX_LABELLED_CLASSES))
    labels = [short_label(classes[k], 24) for k in shown.tolist()]
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
