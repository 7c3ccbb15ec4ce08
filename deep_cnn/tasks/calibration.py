"""Calibration: is a confidence of 0.8 right in 80% of cases?"""

from typing import Any

import numpy as np

from deep_cnn.tasks.metrics import _check, _plain, _ratio


def calibration(probabilities: np.ndarray, targets: np.ndarray, bins: int = 15) -> dict[str, Any]:
    """Is a confidence of 0.8 right in 80% of cases? Guo et al., "On Calibration of Modern Neural Networks", 2017.

    Args:
        probabilities: (N, K), rows that sum to 1. targets: integers (N,).
        bins: number of equally wide bins of the largest probability.

    Returns:
        ece: mean of |accuracy - confidence| over the bins, weighted by their images;
        bins: [{low, high, count, confidence, accuracy}], the last two None in an empty bin. A bin holds (low, high].
    """
    probabilities, targets = np.asarray(probabilities), np.asarray(targets)
    _check(probabilities, (len(targets), probabilities.shape[-1]))
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == targets
    edges = np.arange(bins + 1) / bins
    which = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    count = np.bincount(which, minlength=bins)
    mean_confidence = _ratio(np.bincount(which, weights=confidence, minlength=bins), count)
    accuracy = _ratio(np.bincount(which, weights=right, minlength=bins), count)
    table = [
        {
            "low": float(edges[b]),
            "high": float(edges[b + 1]),
            "count": int(count[b]),
            "confidence": _plain(mean_confidence[b]),
            "accuracy": _plain(accuracy[b]),
        }
        for b in range(bins)
    ]
    return {"ece": _plain(np.nansum(count * np.abs(accuracy - mean_confidence)) / len(targets)), "bins": table}
