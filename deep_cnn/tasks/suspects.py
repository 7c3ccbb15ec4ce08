"""Which labels may be wrong, from predictions of networks that were not trained on the images.

Our own lines instead of the library cleanlab, which has the same rule for classes: it is fifteen lines of NumPy, so that every
cross-validation has its list without another package.
"""

from typing import NamedTuple

import numpy as np

from deep_cnn.tasks.confidence import Floats

OUTLYING = 3.5  # Iglewicz and Hoaglin, "How to detect and handle outliers", 1993


class Suspect(NamedTuple):
    """An image whose target may be wrong: of which row, what is given, what was predicted; score: the higher, the more likely."""

    row: int
    given: str
    suggested: str
    score: float


def confident_classes(probabilities: Floats, given: np.ndarray) -> tuple[np.ndarray, Floats]:
    """The class that each image confidently is, and by how much it is more probable than the given one.

    Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty in dataset labels", 2021: an image is confidently of a class
    where its probability is at least the mean over the images with that label; of several such classes, of the most probable. An image
    whose given label is the most probable of all is of that class.

    Args:
        probabilities: out of fold, (N, K). given: class numbers (N,).

    Returns:
        Class numbers, -1 where no class is confident, int64 (N,); the difference of the two probabilities, float64 (N,).
    """
    size = probabilities.shape[1]
    counts = np.bincount(given, minlength=size)
    own = probabilities[np.arange(len(given)), given]  # (N,)
    usual = np.bincount(given, weights=own, minlength=size) / np.maximum(counts, 1)
    confident = (probabilities >= usual - 1e-6) & (counts > 0)
    chosen = np.where(confident, probabilities, -1.0).argmax(axis=1)
    margin: Floats = probabilities[np.arange(len(given)), chosen] - own
    chosen = np.where(probabilities.argmax(axis=1) == given, given, chosen)
    return np.where(confident.any(axis=1), chosen, -1), margin


def robust_z(errors: Floats) -> Floats:
    """Errors (N,) in robust standard deviations from their median; NaN stays, and where half of them are equal all are 0."""
    known = errors[~np.isnan(errors)]
    if not len(known):
        return errors
    middle = np.median(known)
    spread = 1.4826 * np.median(np.abs(known - middle))  # that of a normal distribution
    return (errors - middle) / spread if spread > 0 else errors * 0.0
