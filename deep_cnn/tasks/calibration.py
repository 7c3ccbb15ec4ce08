"""Calibration: is a confidence of 0.8 right in 80% of cases? And the temperature that makes it so.

A number of bins hides nothing as long as it is said: the expected calibration error (ECE) is never 0, since each bin has few images.
So it comes with the range that it has where the probabilities are right (`null_range`), and with an estimate of the squared error that
is right on average (`debiased_squared_error`).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import brentq

from deep_cnn.tasks.confidence import Floats, Interval
from deep_cnn.tasks.samples import check_shape, plain, ratio

BINS = 15  # Guo et al. 2017
WIDER, SHARPER = 0.35, 0.25  # standard deviation of log T above and below 0
LOG_T = (0.5, 1.0, 2.0, 3.0)  # to both sides of 0: T from 0.05 to 20
FITTED_ON = 10_000  # images at most: T is known to 1% then, and a thousand classes take a second
POSITIVES = 20  # images of a label in validation: with fewer, its threshold stays 0.5
REDRAWN = 1000  # sets of labels for the null of the ECE
MOST_DRAWS = 20_000_000  # random numbers for them: a second


def fit_temperature(gradient: Callable[[float], float]) -> float:
    """The temperature T by which outputs are divided, so that their probabilities are right.

    Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", 2017, with a prior: it minimises
    n x log loss + (log T)^2 / (2 s^2), s = 0.35 for T > 1 and 0.25 for T < 1. Without the prior, few validation images that are all right
    ask for T = 0, and the first mistake on new images has a loss without bound. With s = 0.5 on both sides, networks that are right in
    99% of cases lose on average: 1 to 2% of the log loss of a real one, 4 to 6% if its probabilities are right (`benchmarks.calibration`,
    benchmarks/README.md). With these two a real one loses nothing, and one whose probabilities are right 2%.

    Args:
        gradient: 1 / T -> the derivative of n x log loss (nats) with respect to 1 / T.
    """

    def slope(log_t: float) -> float:
        inverse = float(np.exp(-log_t))
        return -inverse * gradient(inverse) + log_t / (WIDER if log_t > 0 else SHARPER) ** 2

    near, sign = (
        0.0,
        -1.0 if slope(0.0) > 0 else 1.0,
    )  # log loss is convex in 1 / T: the minimum lies on the side that falls
    for far in LOG_T:
        if sign * slope(sign * far) >= 0:
            return float(np.exp(brentq(slope, *sorted((sign * near, sign * far)), xtol=1e-10)))
        near = far
    return float(np.exp(sign * near))


def f1_threshold(probabilities: Floats, positive: np.ndarray) -> float:
    """The threshold of one label with the highest F1 on validation; 0.5 with fewer than 20 positives, or without negatives.

    Args:
        probabilities: (n,). positive: bool (n,).

    Returns:
        A value between two probabilities; of several that are equally good the one nearest to 0.5.
    """
    count = int(positive.sum())
    if count < POSITIVES or count == len(positive):
        return 0.5
    order = np.argsort(-probabilities, kind="stable")
    p, hits = probabilities[order], np.cumsum(positive[order])
    f1 = 2 * hits / (np.arange(1, len(p) + 1) + count)  # of calling the first 1, 2, ... n images positive
    cuts = np.flatnonzero(p[:-1] > p[1:])
    if not len(cuts):
        return 0.5
    between = (p[cuts] + p[cuts + 1]) / 2
    best = between[f1[cuts] == f1[cuts].max()]
    if f1[-1] > f1[cuts].max():  # to call all of them positive is best
        return float(p[-1] / 2)
    return float(best[np.abs(best - 0.5).argmin()])


def calibration(probabilities: np.ndarray, targets: np.ndarray, bins: int = BINS) -> dict[str, Any]:
    """Is a confidence of 0.8 right in 80% of cases? Guo et al., "On Calibration of Modern Neural Networks", 2017.

    Args:
        probabilities: (N, K), rows that sum to 1. targets: integers (N,).
        bins: number of equally wide bins of the largest probability.

    Returns:
        ece: mean of |accuracy - confidence| over the bins, weighted by their images;
        bins: [{low, high, count, confidence, accuracy}], the last two None in an empty bin. A bin holds (low, high].
    """
    confidence, right = confidences(probabilities, targets)
    which = _bin_of(confidence, bins)
    count = np.bincount(which, minlength=bins)
    mean_confidence = ratio(np.bincount(which, weights=confidence, minlength=bins), count)
    accuracy = ratio(np.bincount(which, weights=right, minlength=bins), count)
    table = [
        {
            "low": b / bins,
            "high": (b + 1) / bins,
            "count": int(count[b]),
            "confidence": plain(mean_confidence[b]),
            "accuracy": plain(accuracy[b]),
        }
        for b in range(bins)
    ]
    return {"ece": plain(np.nansum(count * np.abs(accuracy - mean_confidence)) / len(right)), "bins": table}


def confidences(probabilities: np.ndarray, targets: np.ndarray) -> tuple[Floats, np.ndarray]:
    """Of each image the largest probability, float64 (N,), and whether that class is the true one, bool (N,)."""
    probabilities, targets = np.asarray(probabilities), np.asarray(targets)
    check_shape(probabilities, (len(targets), probabilities.shape[-1]))
    return probabilities.max(axis=1).astype(np.float64), probabilities.argmax(axis=1) == targets


def _bin_of(confidence: Floats, bins: int) -> np.ndarray:
    edges = np.arange(bins + 1) / bins
    return np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)


def null_range(confidence: Floats, bins: int = BINS, level: float = 0.95, redrawn: int = REDRAWN) -> Interval:
    """Between which values the ECE lies in 95% of cases if the probabilities are right.

    Labels are drawn again from the probabilities 1,000 times (fewer above 20,000 images): Vaicenavicius et al., "Evaluating model
    calibration in classification", 2019, call it a consistency test (after Bröcker and Smith, "Increasing the reliability of
    reliability diagrams", 2007).

    Args:
        confidence: the largest probability of each image, (N,). redrawn: how many times.
    """
    n = len(confidence)
    order = np.argsort(confidence, kind="stable")
    sorted_confidence = confidence[order]
    first = np.flatnonzero(np.diff(_bin_of(sorted_confidence, bins), prepend=-1))  # of each bin that has images
    expected = np.add.reduceat(sorted_confidence, first)
    rng = np.random.default_rng(0)
    repeats = max(100, min(redrawn, MOST_DRAWS // n))
    found = np.empty(repeats)
    for k in range(repeats):
        right = np.add.reduceat((rng.random(n) < sorted_confidence).astype(np.float64), first)
        found[k] = np.abs(right - expected).sum() / n
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def debiased_squared_error(confidence: Floats, right: np.ndarray, bins: int = BINS) -> float | None:
    """Estimate of the squared calibration error of the predicted class; may be below 0, and is 0 on average if there is none.

    Kumar, Liang and Ma, "Verified uncertainty calibration", 2019: bins of equally many images, and what chance adds to each bin's
    squared difference is subtracted. The square of ECE's differences, so 0.0025 stands for 5 points.

    Returns:
        None of fewer than two images.
    """
    n = len(confidence)
    if n < 2:
        return None
    order = np.argsort(confidence, kind="stable")
    total = 0.0
    for rows in np.array_split(order, min(bins, n // 2)):  # a variance needs two images
        accuracy, size = float(right[rows].mean()), len(rows)
        by_chance = accuracy * (1 - accuracy) / (size - 1)
        total += size / n * ((accuracy - float(confidence[rows].mean())) ** 2 - by_chance)
    return total
