"""Accuracy against confidence."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from scipy.special import bdtrik

from deep_cnn.reporting.plots.panel import Panel
from deep_cnn.reporting.plots.style import BLUE, GREY, ORANGE, plain
from deep_cnn.runtime.format import percent
from deep_cnn.tasks.classification import Classification


def panels(task: Classification, decoded: np.ndarray, targets: np.ndarray) -> list[Panel]:
    """Accuracy by confidence, and how many images have which confidence."""
    bins = [b for b in task.calibration(decoded, targets)["bins"] if b["count"]]
    said = [
        f"{percent(b['confidence'], 0)} confident, {percent(b['accuracy'], 0)} right ({b['count']:,})" for b in bins
    ]
    counted = [f"{percent(b['low'], 0)} to {percent(b['high'], 0)}: {b['count']:,}" for b in bins]
    return [
        Panel(
            "Accuracy by confidence",
            f"Accuracy by confidence: {'; '.join(said)}",
            partial(_accuracy, bins=bins),
            height=3.2,
        ),
        Panel(
            "Images by confidence",
            f"Images by confidence: {'; '.join(counted)}",
            partial(_counts, bins=bins),
            height=3.2,
        ),
    ]


def null_range(count: int, confidence: float, level: float = 0.95) -> tuple[float, float]:
    """Between what the accuracy of a bin lies, by chance alone, if the confidence is right: quantiles of the binomial distribution.

    Args:
        count: images of the bin. confidence: their mean, 0 to 1.
    """
    tail = (1 - level) / 2
    low, high = np.ceil(bdtrik([tail, 1 - tail], count, min(confidence, 1 - 1e-12)))
    return max(0.0, float(low)) / count, min(float(count), float(high)) / count


def _accuracy(ax: Axes, bins: Sequence[dict[str, Any]]) -> None:
    ax.plot([0, 1], [0, 1], color=ORANGE, linestyle="--", linewidth=1, label="confidence = accuracy")
    ranges = np.array([null_range(b["count"], b["confidence"]) for b in bins])  # (bins, 2)
    centres = [b["confidence"] for b in bins]
    ax.bar(
        centres,
        ranges[:, 1] - ranges[:, 0],
        0.055,
        bottom=ranges[:, 0],
        color=GREY,
        alpha=0.25,
        label="range by chance (95%)",
    )
    ax.scatter(centres, [b["accuracy"] for b in bins], s=26, color=BLUE, edgecolors="none", zorder=3, label="measured")
    plain(ax)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0))
    ax.set(xlim=(0, 1.03), ylim=(0, 1.03))
    ax.set_xlabel("confidence", fontsize=9)
    ax.set_ylabel("accuracy", fontsize=9)
    ax.legend(fontsize=8, loc="lower right", framealpha=0.7)


def _counts(ax: Axes, bins: Sequence[dict[str, Any]]) -> None:
    width = bins[0]["high"] - bins[0]["low"]
    drawn = ax.bar(
        [(b["low"] + b["high"]) / 2 for b in bins], [b["count"] for b in bins], width * 0.9, color=BLUE, alpha=0.75
    )
    long = max(b["count"] for b in bins) >= 1000
    ax.bar_label(drawn, [f"{b['count']:,}" for b in bins], fontsize=7, padding=2, rotation=90 if long else 0)
    plain(ax)
    ax.xaxis.set_major_formatter(PercentFormatter(1.0))
    ax.set_xlim(0, 1.03)
    ax.margins(y=0.2 if long else 0.1)
    ax.set_xlabel("confidence", fontsize=9)
    ax.set_ylabel("images", fontsize=9)
