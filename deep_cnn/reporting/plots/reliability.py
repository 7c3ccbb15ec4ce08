"""Accuracy against confidence."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deep_cnn.reporting.plots.style import BLUE, GREY, ORANGE, grid, plain_numbers, save
from deep_cnn.tasks.classification import Classification


def draw(task: Classification, decoded: np.ndarray, targets: np.ndarray, path: Path) -> None:
    """The figure of a tested run; see the registry FIGURES."""
    reliability(task.calibration(decoded, targets)["bins"], path)


def reliability(bins: Sequence[dict[str, Any]], path: str | Path) -> None:
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
    top.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy", title="Reliability")
    top.legend(fontsize=8, loc="upper left")
    below.bar(centres, [b["count"] for b in bins], width * 0.92, color=BLUE, alpha=0.75)
    below.set(xlim=(0, 1), xlabel="confidence", ylabel="images", title="Distribution of the confidence")
    for ax in (top, below):
        plain_numbers(ax)
        ax.grid(alpha=0.25)
    save(figure, path)
