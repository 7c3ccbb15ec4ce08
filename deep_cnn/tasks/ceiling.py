"""The noise ceiling: how well the best possible predictor could do on scores that are themselves uncertain.

A score is a true value plus noise (few raters, few votes). Its reliability is the share of its variance that is true. No predictor
of the true values can have a larger R2 than the reliability, nor a larger Pearson correlation than its root. The ceiling is that
of these raters: a bias that they share is not noise.

What is known of the noise decides on the method:

| known | reliability |
|---|---|
| ratings of several raters | ICC(3,k), the raters' own levels are no noise; ICC(1,k) where too little is known of these levels |
| standard errors | 1 - mean(se^2) / var |
| TrueSkill's means and standard deviations | var / (var + mean(sd^2)), an upper bound |
| votes (--task=pairwise) | agreement of halves of the votes, see tasks/vote_ceiling.py |

Intervals: images (or groups) are left out one at a time, from the reliability and from the metric together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deep_cnn.data.certainty import Certainty
from deep_cnn.tasks.confidence import Floats, Interval, jackknife_interval
from deep_cnn.tasks.intervals import freedom
from deep_cnn.tasks.left_out import Units, few_units, left_out, whole_and_without
from deep_cnn.tasks.score_metrics import RegressionScores

FEWEST_RATED = 10  # images a rater has rated, on average, before her level is told apart from noise
FEWEST = 3  # images with known noise: of fewer there is no variance to speak of
OF_THESE_RATERS = "of these raters: a bias that they share counts as signal"
BOUND = (
    "an upper bound: means and standard deviations of a posterior give the reliability only if the true scores have the spread "
    "that its prior assumes"
)


@dataclass(frozen=True)
class Reliability:
    """Share of the scores' variance that is no noise; may be below 0 where the noise is larger than the spread.

    Attributes:
        without: the same without each unit, (U,).
        method: its name. upper_bound: whether it can only be too large.
        count: images that it was computed of. per_image: mean number of ratings of an image, if known.
    """

    value: float
    without: Floats
    method: str
    count: int
    upper_bound: bool = False
    per_image: float | None = None


def of_raters(ratings: np.ndarray, units: Units = None) -> Reliability:
    """Reliability of the mean of each image's ratings.

    Shrout and Fleiss, "Intraclass correlations: uses in assessing rater reliability", 1979: ICC(3,k) where every rater rated
    every image, so that a rater's own level is no noise. Where ratings are missing, a rater's level changes the means of the
    images that she did not rate: levels b_j by least squares, s^2 the variance of what is left, and

        1 - (mean(s^2 / k_i) + var of the mean level of an image's raters) / var of the means.

    Where raters have rated too few images for that, or their images do not connect them, ICC(1,k), for unequal numbers
    1 - mean(s^2 / k_i) / var of the means, with s^2 the variance between ratings of an image, pooled over the images.

    Args:
        ratings: float64 (n, R), NaN where missing. units: codes (n,); None where each image is one.
    """
    there = ~np.isnan(ratings)
    k = there.sum(axis=1)
    rated = k > 0
    values = np.where(there, ratings, 0.0)
    values = np.where(
        there, values - values.sum() / max(1, there.sum()), 0.0
    )  # centred: sums of squares keep their digits
    means = values.sum(axis=1) / np.maximum(k, 1)
    deviations = np.where(there, values - means[:, None], 0.0)
    if there.all():
        return _two_way(means, deviations, units)
    found = _levels(there, deviations)
    levels, error, known = found or (np.zeros(ratings.shape[1]), 0.0, 0)
    # of an image: the mean level of its raters, and its ratings' squares about what its mean and the levels say
    level = np.where(there, levels, 0.0).sum(axis=1) / np.maximum(k, 1)
    deviations = np.where(there, deviations - levels + level[:, None], 0.0)
    within = np.square(deviations).sum(axis=1)

    def reliability(sums: Sequence[Any]) -> Any:
        squares, df, inverse, n, total, total2, shift, shift2 = sums
        noise = squares / (df - known) * (inverse / n - error) + (shift2 - shift**2 / n) / (n - 1)
        return 1 - noise / ((total2 - total**2 / n) / (n - 1))

    inverse = np.where(rated, 1 / np.maximum(k, 1), 0.0)
    parts = [within, np.where(rated, k - 1, 0), inverse, rated, means, means**2, level, level**2]
    value, without = whole_and_without(parts, reliability, units)
    method = "ICC(1,k)" if found is None else "ICC(3,k) with missing ratings"
    return Reliability(float(value), without, method, int(rated.sum()), per_image=float(k[rated].mean()))


def _levels(there: np.ndarray, deviations: Floats) -> tuple[Floats, float, int] | None:
    """How far each rater rates above the others, float64 (R,), by least squares; None where too few ratings tell.

    Also by how many times s^2 the errors of these levels raise the variance of an image's mean level, and how many levels are free.

    Args:
        there: bool (n, R). deviations: of ratings from the mean of their image (n, R), 0 where missing.
    """
    used = np.asarray(there.any(axis=0))
    there, deviations = there[:, used].astype(np.float64), deviations[:, used]
    raters = there.shape[1]
    if raters < 2 or there.sum() < FEWEST_RATED * raters:
        return None
    share = there / np.maximum(there.sum(axis=1, keepdims=True), 1)  # (n, R)
    normal = np.diag(there.sum(axis=0)) - there.T @ share  # (R, R); images are eliminated
    if np.linalg.matrix_rank(normal) < raters - 1:
        return None  # raters without an image in common
    inverse = np.linalg.pinv(normal, hermitian=True)
    levels = np.zeros(used.size)
    levels[used] = inverse @ deviations.sum(axis=0)
    centred = share[there.any(axis=1)]
    centred = centred - centred.mean(axis=0)
    return levels, float(((centred @ inverse) * centred).sum() / max(1, len(centred) - 1)), raters - 1


def _two_way(means: Floats, deviations: Floats, units: Units) -> Reliability:
    n_images, raters = deviations.shape

    def reliability(sums: Sequence[Any]) -> Any:
        n, total, total2, *columns = sums
        residual = sum(columns[raters + j] - columns[j] ** 2 / n for j in range(raters))
        error = residual / ((n - 1) * (raters - 1))
        return 1 - error / (raters * (total2 - total**2 / n) / (n - 1))

    columns = [*deviations.T, *np.square(deviations).T]
    value, without = whole_and_without([np.ones(n_images), means, means**2, *columns], reliability, units)
    return Reliability(float(value), without, "ICC(3,k)", n_images, per_image=float(raters))


def of_standard_errors(
    scores: np.ndarray, std: np.ndarray, units: Units = None, posterior: bool = False
) -> Reliability:
    """Reliability of scores (n,) with their standard errors (n,), NaN where unknown.

    Args:
        posterior: scores and std are means and standard deviations of a posterior, shrunk towards its prior: an upper bound.
    """
    known = ~np.isnan(scores) & ~np.isnan(std)
    centred = np.where(known, scores - (scores[known].mean() if known.any() else 0.0), 0.0)
    se2 = np.where(known, np.square(std), 0.0)

    def reliability(sums: Sequence[Any]) -> Any:
        n, total, total2, noise = sums
        spread = (total2 - total**2 / n) / (n - 1)
        return spread / (spread + noise / n) if posterior else 1 - noise / n / spread

    value, without = whole_and_without([known, centred, centred**2, se2], reliability, units)
    method = "posterior means and standard deviations" if posterior else "standard errors"
    return Reliability(float(value), without, method, int(known.sum()), upper_bound=posterior)


def reliability_of(certainty: Certainty, scores: np.ndarray, t: int, units: Units = None) -> Reliability | None:
    """By what is known of target t, whose scores are (n,); None where nothing is."""
    if certainty.ratings is not None:
        return of_raters(np.where(np.isnan(scores)[:, None], np.nan, certainty.ratings), units)
    if certainty.std is not None:
        return of_standard_errors(scores, certainty.std[:, t], units, certainty.posterior)
    return None


def noise_ceiling(
    samples: RegressionScores, certainty: Certainty, groups: np.ndarray | None = None, level: float = 0.95
) -> dict[str, Any]:
    """What test.json says under `noise_ceiling`: {target: see `ceiling_of`}, of the targets whose noise is known.

    Args:
        certainty: of the same images, in the same order. groups: codes (n,), where images are not independent.
    """
    units = None if groups is None else few_units(groups)
    found = {}
    for t, name in enumerate(samples.names):
        known = reliability_of(certainty, samples.targets[t], t, units)
        if known is not None and known.count >= FEWEST and np.isfinite(known.value):
            found[name] = ceiling_of(samples, name, known, units, level)
    return found


def ceiling_of(
    samples: RegressionScores, target: str, known: Reliability, units: Units = None, level: float = 0.95
) -> dict[str, Any]:
    """The ceiling of one target and the share of it that the predictions reach, nothing of it clipped.

    Returns:
        reliability, largest_r2 (the same), largest_pearson (its root), share_r2 = R2 / reliability, share_pearson; None where
        the reliability is not above 0; intervals of these; method, upper_bound, count, ratings_per_image, note.
    """
    df = freedom(units, len(known.without))

    def between(value: float | None, without: Floats, scale: str) -> Interval | None:
        if value is None or df is None or not np.isfinite(without).all():
            return None
        return jackknife_interval(value, without, df, scale, level)

    reliable = known.value > 0
    root = float(np.sqrt(known.value)) if reliable else None
    scores = samples.scores()
    shares: dict[str, float | None] = {}
    intervals: dict[str, Interval | None] = {"reliability": between(known.value, known.without, "log(1 - x)")}
    intervals["largest_r2"] = intervals["reliability"]
    ends = intervals["reliability"]
    intervals["largest_pearson"] = (
        None if ends is None or ends[0] < 0 else (float(np.sqrt(ends[0])), float(np.sqrt(ends[1])))
    )
    for metric, divisor, power in (("r2", known.value, 1.0), ("pearson", root, 0.5)):
        value = scores.get(f"{target}/{metric}")  # of votes there is no R2: their scores have no unit
        share = None if value is None or not reliable else value / divisor  # type: ignore[operator]
        shares[f"share_{metric}"] = share
        if share is None:
            intervals[f"share_{metric}"] = None
            continue
        without = left_out(samples, f"{target}/{metric}", units)[0]
        with np.errstate(all="ignore"):
            intervals[f"share_{metric}"] = between(share, without / known.without**power, "plain")
    return {
        "reliability": known.value,
        "largest_r2": known.value,
        "largest_pearson": root,
        **shares,
        "intervals": intervals,
        "interval_method": f"jackknife over {'images' if units is None else 'groups'}, of ceiling and metric together",
        "method": known.method,
        "upper_bound": known.upper_bound,
        "count": known.count,
        "ratings_per_image": known.per_image,
        "note": BOUND if known.upper_bound else OF_THESE_RATERS,
    }
