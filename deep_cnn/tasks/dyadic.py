"""Intervals of metrics of pairs: votes that share an image are not independent.

Fafchamps and Gubert, "The formation of risk sharing networks", 2007; Aronow, Samii and Assenova, "Cluster-robust variance estimation for
dyadic data", 2015. A binomial interval takes votes for independent and covers too seldom, a bootstrap over images too often;
`benchmarks/pairs.py` simulates it.
"""

import numpy as np

from deep_cnn.tasks import confidence
from deep_cnn.tasks.confidence import Floats, Interval
from deep_cnn.tasks.intervals import FEWEST_GROUPS, TOO_FEW_GROUPS, Estimate


def dyadic_variance(values: np.ndarray, images: np.ndarray) -> float:
    """Variance of the mean of values (m,) of votes between images int64 (m, 2).

    [sum over images of (sum of e over its votes)^2 - sum over pairs of images of (sum of e over their votes)^2] / m^2, where e are the
    values less their mean. Never below that of independent votes, sum of e^2 / m^2.
    """
    e = values - values.mean()
    distinct, number = np.unique(images, return_inverse=True)
    number = number.reshape(images.shape)
    of_images = sum(np.bincount(number[:, side], e, len(distinct)) for side in (0, 1))
    low, high = np.sort(number, axis=1).T
    _, pair = np.unique(low * len(distinct) + high, return_inverse=True)
    found = np.square(of_images).sum() - np.square(np.bincount(pair, e)).sum()
    return float(max(found, np.square(e).sum()) / len(values) ** 2)


def share_of_votes(
    values: np.ndarray, images: np.ndarray, groups: np.ndarray | None = None, level: float = 0.95
) -> Estimate:
    """The interval of a share of votes.

    Args:
        values: of each vote, 1, 0 or 0.5, (m,). images: (m, 2). groups: of these images, codes (m, 2), or None.
    """
    if len(values) < 2:
        return Estimate(None, "none: fewer than two votes")
    mean = float(values.mean())
    if groups is not None:
        return _by_groups(mean, *without_groups(values, groups), level)
    variance, df = dyadic_variance(values, images), len(np.unique(images)) - 1.0
    found = confidence.wilson_of_variance(mean, variance, len(values), df, level)
    return Estimate(found, "dyadic cluster-robust, Wilson")


def mean_of_votes(
    values: np.ndarray, images: np.ndarray, groups: np.ndarray | None = None, level: float = 0.95
) -> Estimate:
    """The same of a mean of any numbers, such as the loss of each vote."""
    if len(values) < 2:
        return Estimate(None, "none: fewer than two votes")
    mean = float(values.mean())
    if groups is not None:
        without, sizes = without_groups(values, groups)
        if len(sizes) < FEWEST_GROUPS:
            return TOO_FEW_GROUPS
        half = confidence.t_quantile(confidence.effective_groups(sizes) - 1, level) * np.sqrt(
            confidence.jackknife_variance(without)
        )
        return Estimate((mean - float(half), mean + float(half)), "jackknife over groups, plain scale")
    half = confidence.t_quantile(len(np.unique(images)) - 1, level) * np.sqrt(dyadic_variance(values, images))
    return Estimate((mean - float(half), mean + float(half)), "dyadic cluster-robust")


def _by_groups(mean: float, without: Floats, sizes: np.ndarray, level: float) -> Estimate:
    if len(sizes) < FEWEST_GROUPS:
        return TOO_FEW_GROUPS
    found: Interval = confidence.wilson_of_groups(mean, confidence.jackknife_variance(without), sizes, level)
    return Estimate(found, "jackknife over groups, Wilson")


def without_groups(values: np.ndarray, groups: np.ndarray) -> tuple[Floats, np.ndarray]:
    """The mean of the votes that do not touch each group, (G,), and how many votes touch it.

    groups: of the two images of each vote, codes (m, 2).
    """
    _, codes = np.unique(groups, return_inverse=True)
    codes = codes.reshape(groups.shape)
    size = int(codes.max()) + 1
    twice = codes[:, 0] == codes[:, 1]
    touched = np.bincount(codes[:, 0], minlength=size) + np.bincount(codes[~twice, 1], minlength=size)
    sums = np.bincount(codes[:, 0], values, size) + np.bincount(codes[~twice, 1], values[~twice], size)
    with np.errstate(all="ignore"):
        left = np.where(len(values) > touched, (values.sum() - sums) / (len(values) - touched), values.mean())
    return left, touched
