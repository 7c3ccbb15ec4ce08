"""Means of scores over areas, with intervals: what maps and regressions use.

Intervals of images say nothing of the mean of an area: errors of images of one area are alike, so they do not cancel. Two ways to know
how much they are alike:

- Some images of the area are rated: prediction-powered inference. The mean error on these is taken off the mean prediction.
- None is: the spread between the mean errors of groups in a test with --group, which stand for new areas.
"""

from dataclasses import dataclass

import numpy as np

from deep_cnn.tasks.confidence import Interval, t_quantile
from deep_cnn.tasks.intervals import FEWEST_GROUPS

FEWEST_RATED = 5  # of an area: fewer say next to nothing of its mean error


@dataclass(frozen=True)
class AreaErrors:
    """What a grouped test says of errors: their variance between and within groups, of how many groups, and their mean with its
    standard error over groups.
    """

    between: float
    within: float
    groups: int
    mean: float = 0.0
    mean_error: float = 0.0


@dataclass(frozen=True)
class AreaMean:
    """The mean score of an area. n: images; rated: those of them with a rating; method: of the interval."""

    mean: float
    interval: Interval | None
    n: int
    rated: int
    method: str


def area_errors(errors: np.ndarray, groups: np.ndarray) -> AreaErrors | None:
    """Variance components of errors (n,) by groups, codes (n,); None for fewer than five groups.

    Searle, Casella and McCulloch, "Variance components", 1992: the one-way analysis of variance of unequal groups.
    """
    _, codes = np.unique(groups, return_inverse=True)
    n = np.bincount(codes).astype(np.float64)
    count, total = len(n), n.sum()
    if count < FEWEST_GROUPS or total <= count:
        return None
    means = np.bincount(codes, errors) / n
    within = float(np.square(errors - means[codes]).sum() / (total - count))
    between_squares = float((n * np.square(means - errors.mean())).sum() / (count - 1))
    typical = (total - np.square(n).sum() / total) / (count - 1)
    mean_error = float(np.std(means, ddof=1) / np.sqrt(count))
    return AreaErrors(max(0.0, (between_squares - within) / typical), within, count, float(means.mean()), mean_error)


def area_mean(predicted: np.ndarray, ratings: np.ndarray, errors: AreaErrors | None, level: float = 0.95) -> AreaMean:
    """The mean score of the area that these images are a sample of, and its interval.

    With at least five ratings: Angelopoulos et al., "Prediction-powered inference", 2023: mean of the predictions plus mean of rating less
    prediction, variance of the predictions over n plus that of the differences over the number of ratings, plus twice their covariance
    over n, since the rated images are among the predicted ones: where all are rated, that is the variance of the mean rating.
    Without: variance between areas, plus that of the true scores (predictions and errors) over n.

    Args:
        predicted: (n,). ratings: (n,), NaN where there is none. errors: of a grouped test, or None.
    """
    n, rated = len(predicted), ~np.isnan(ratings)
    mean, spread = float(predicted.mean()), float(np.var(predicted, ddof=1)) if n > 1 else 0.0
    count = int(rated.sum())
    if count >= FEWEST_RATED:
        lead = ratings[rated] - predicted[rated]
        mean += float(lead.mean())
        together = float(np.cov(predicted[rated], lead)[0, 1])  # the rated images are among those predicted
        variance = max(0.0, spread / n + 2 * together / n + float(np.var(lead, ddof=1)) / count)
        half = t_quantile(count - 1, level) * float(np.sqrt(variance))
        return AreaMean(mean, (mean - half, mean + half), n, count, "prediction-powered, with the ratings of this area")
    if errors is None:
        return AreaMean(mean, None, n, count, "none: no ratings here, and no test with at least five groups")
    variance = errors.between + (spread + errors.within) / n
    half = t_quantile(errors.groups - 1, level) * float(np.sqrt(variance))
    return AreaMean(mean, (mean - half, mean + half), n, count, "errors between groups of the test")
