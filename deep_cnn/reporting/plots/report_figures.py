"""Pictures that only the report shows: calibration and residuals; as plots.py: values in, a PNG at a path."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deep_cnn.reporting.plots.figures import BLUE, GREY, MAX_POINTS, ORANGE, grid, save, short_label


def reliability(bins: Sequence[dict], path: str | Path) -> None:
    """Accuracy against confidence, and how many images have which confidence.

    Args:
        bins: of `metrics.calibration`: low, high, count, confidence, accuracy; None in an empty bin.
    """
    figure, (top, below) = grid(2, columns=2, width=4.2, height=3.6)
    filled = [b for b in bins if b["count"]]
    confidence = np.array([b["confidence"] for b in filled])
    accuracy = np.array([b["accuracy"] for b in filled])
    width = bins[0]["high"] - bins[0]["low"]
    centres = np.array([(b["low"] + b["high"]) / 2 for b in bins])
    top.bar(
        [(b["low"] + b["high"]) / 2 for b in filled], accuracy, width * 0.92, color=BLUE, alpha=0.75, label="images"
    )
    top.plot([0, 1], [0, 1], color=ORANGE, linestyle="--", linewidth=1, label="confidence = accuracy")
    top.plot(confidence, accuracy, color=GREY, marker="o", markersize=3, linewidth=1)
    top.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="share that is right", title="Reliability")
    top.legend(fontsize=8, loc="upper left")
    below.bar(centres, [b["count"] for b in bins], width * 0.92, color=BLUE, alpha=0.75)
    below.set(xlim=(0, 1), xlabel="confidence", ylabel="images", title="How confident")
    for ax in (top, below):
        ax.grid(alpha=0.25)
    save(figure, path)


def residuals(predictions: np.ndarray, targets: np.ndarray, names: Sequence[str], path: str | Path) -> None:
    """Predicted minus true against true, for each target: (N, T), targets NaN where missing."""
    figure, axes = grid(len(names), columns=3, width=4.2, height=3.4)
    for t, (ax, name) in enumerate(zip(axes, names, strict=True)):
        known = ~np.isnan(targets[:, t])
        true, error = targets[known, t], predictions[known, t] - targets[known, t]
        if len(true) > MAX_POINTS:
            ax.hexbin(true, error, gridsize=50, bins="log", mincnt=1, cmap="cividis_r")
        else:
            ax.scatter(true, error, s=14, alpha=0.6, color=BLUE, edgecolors="none")
        ax.axhline(0, color=ORANGE, linestyle="--", linewidth=1)
        ax.set(xlabel="true", ylabel="predicted - true", title=short_label(name, 40))
        ax.grid(alpha=0.25)
    save(figure, path)
