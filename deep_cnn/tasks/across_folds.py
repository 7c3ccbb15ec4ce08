"""What a cross-validation says: intervals and differences of metrics over folds.

The networks of K folds share most of their training images, so their results are not independent, and no unbiased estimate of the variance
exists (Bengio and Grandvalet, "No unbiased estimator of the variance of k-fold cross-validation", 2004). `benchmarks/coverage_folds.py`
simulates how often the intervals contain the truth.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import stdtr

from deep_cnn.config.registries import metric_row
from deep_cnn.tasks.confidence import ROUNDING, SCALES, Floats, Interval, hull, t_quantile, wilson
from deep_cnn.tasks.differences import Difference
from deep_cnn.tasks.intervals import NO_SPREAD, Estimate, intervals, scale_of
from deep_cnn.tasks.metrics import Scored
from deep_cnn.tasks.samples import Scores

FEW_ERRORS = 5

# of Bayle, Bayle, Janson and Mackey, "Cross-validation confidence intervals for test error", 2020
ESTIMANDS = {
    "images": "the mean of the {folds} networks as trained, on new images of the same kind; not of one network trained on all images",
    "groups": "the {folds} networks as trained, on images of new groups of the same kind; a group counts by its number of images; not of "
    "one network trained on all images",
}


def variance_over_folds(values: Floats) -> float:
    """Variance of the mean of K folds' values, (K,), which share training images.

    Nadeau and Bengio, "Inference for the generalization error", 2003: 1 / (K - 1) is the number of test over that of training images.
    """
    folds = len(values)
    return float((1 / folds + 1 / (folds - 1)) * np.var(values, ddof=1))


def nadeau_bengio(
    values: Sequence[float] | Floats, scale: str = "plain", level: float = 0.95, least: float = 0.0
) -> Interval | None:
    """Interval of the mean of K folds' values, (K,): Student's t with K - 1 degrees of freedom, on a scale around the mean.

    Args:
        scale: a name of confidence.SCALES. least: the half-width on that scale is at least this.

    Returns:
        None where a value is at the end of the scale.
    """
    values = np.asarray(values, dtype=np.float64)
    forward, inverse = SCALES[scale].forward, SCALES[scale].inverse
    with np.errstate(all="ignore"):
        on_scale, centre = forward(values), forward(values.mean())
        half = max(least, t_quantile(len(values) - 1, level) * np.sqrt(variance_over_folds(on_scale)))
        ends = sorted(float(inverse(centre + sign * half)) for sign in (-1, 1))
    return (ends[0], ends[1]) if np.isfinite([*on_scale, *ends]).all() else None


def fold_intervals(
    per_fold: Sequence[Scores],
    counts: Sequence[int],
    level: float = 0.95,
    independent: Mapping[str, Estimate] | None = None,
    own_counts: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, Estimate]:
    """The interval of each metric's mean over the folds.

    The variance of few folds may be small by chance, and errors of networks that share training images vary together. So an interval is
    never narrower than that of as many independent errors: where that was the wider one, coverage was .919 instead of .931 (RMSE of a
    ridge regression with 128 features, benchmarks/coverage_folds.py), at 1 to 2% more width on average.

    Args:
        per_fold: each fold's metrics, by the same names. counts: its test images.
        independent: the intervals of all out-of-fold predictions as if one network had made them, where there are some.
        own_counts: of metrics that are not of images, what they are of in each fold: decided votes.
    """
    known, own = independent or {}, own_counts or {}
    return {
        name: _of_metric(name, [scores[name] for scores in per_fold], own.get(name, counts), level, known.get(name))
        for name in per_fold[0]
    }


def _half_width(estimate: Estimate | None, scale: str) -> float:
    """Of an interval, on a scale; 0 where there is none."""
    if estimate is None or estimate.interval is None:
        return 0.0
    with np.errstate(all="ignore"):
        half = float(np.ptp(SCALES[scale].forward(np.array(estimate.interval)))) / 2
    return half if np.isfinite(half) else 0.0


def _of_metric(
    name: str, values: Sequence[float | None], counts: Sequence[int], level: float, independent: Estimate | None
) -> Estimate:
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    if len(known) < len(values):
        return Estimate(None, "none: undefined in a fold")
    scale, n = scale_of(name), np.asarray(counts, dtype=np.float64)
    method, least = f"Nadeau-Bengio over folds, {scale} scale", _half_width(independent, scale)
    if not metric_row(name).share:
        if np.ptp(known) == 0:
            return Estimate(None, NO_SPREAD)
        found = nadeau_bengio(known, scale, level, least)
        return Estimate(found, method if found else "none: a fold's value is at the end of the scale")
    of_all = wilson_of_mean(known, n, level)
    of_votes = metric_row(name).interval == "dyadic"
    if of_votes:
        least = max(least, _half_width(Estimate(of_all, "Wilson"), scale))
    at_end = ((known <= 0) | (known >= 1)).any()
    inside = (
        (known * n + 0.5) / (n + 1) if at_end else known
    )  # half an image (or vote), as in Cox, "Analysis of binary data", 1970
    found = nadeau_bengio(inside, scale, level, least)
    mean = float((known * n).sum() / n.sum())
    # small folds may agree by chance, as where all is right; half a vote draws the middle of folds with few votes towards one half
    if n.sum() * min(mean, 1 - mean) < FEW_ERRORS or np.ptp(known) == 0 or (of_votes and at_end):
        return Estimate(hull(found, of_all), f"{method}, or Wilson of all {'votes' if of_votes else 'images'} if wider")
    return Estimate(found, method)


def wilson_of_mean(shares: Floats, n: Floats, level: float = 0.95) -> Interval:
    """Wilson's interval of the mean of K folds' shares, (K,), of n independent images or votes each.

    Its variance is that of K^2 / sum(1 / n) of them: all, where folds have equally many; fewer, where a fold of one vote weighs as much
    as one of ten.
    """
    low, high = wilson(float(shares.mean()), len(n) ** 2 / float((1 / n).sum()), level)
    return float(low), float(high)


def group_intervals(pooled: Scored, groups: np.ndarray, folds: int, level: float = 0.95) -> dict[str, Estimate]:
    """The intervals of out-of-fold predictions of images in groups, by leaving out one group at a time.

    The jackknife takes the networks as given, although groups that test one of them have trained the others: without an allowance for
    that it covers .90 where a network has many parameters. Its variance is therefore multiplied by 1 + the number of test over that of
    training images, 1 / (K - 1), which is Nadeau and Bengio's correction for one division into folds. The variance between groups may be
    small by chance: an interval reaches at least as far as that of independent images (3% wider on average; RMSE in 10 groups .945 instead
    of .925, in 30 groups .922 instead of .912). Simulated in benchmarks/coverage_folds.py.

    Args:
        pooled: all images, each predicted by the network of its fold. groups: codes (n,).
    """
    values, found, independent = pooled.scores(), intervals(pooled, groups, level), intervals(pooled, None, level)
    return {
        name: widened(name, values[name], _no_narrower(estimate, independent[name]), folds)
        for name, estimate in found.items()
    }


def _no_narrower(estimate: Estimate, independent: Estimate) -> Estimate:
    """An interval over groups, which reaches at least as far as that of independent images."""
    if estimate.interval is None and estimate.method == NO_SPREAD:  # groups that agree by chance
        return independent
    if estimate.interval is None or independent.interval is None:
        return estimate
    return Estimate(hull(estimate.interval, independent.interval), estimate.method)


def widened(name: str, value: float | None, estimate: Estimate, folds: int) -> Estimate:
    """An interval as if its variance were K / (K - 1) times as large; see `group_intervals`."""
    if value is None or estimate.interval is None:
        return estimate
    scale = SCALES[scale_of(name)]
    factor = np.sqrt(folds / (folds - 1))
    with np.errstate(all="ignore"):
        centre, ends = scale.forward(np.array(value)), scale.forward(np.array(estimate.interval))
        if not np.isfinite(centre) or not np.isfinite(ends).all():  # all right, or all wrong: on the plain scale
            low, high = value + factor * (np.array(estimate.interval) - value)
            low, high = max(0.0, float(low)), min(1.0, float(high))
        else:
            low, high = sorted(float(scale.inverse(centre + factor * (end - centre))) for end in ends)
    return Estimate((low, high), f"{estimate.method}, variance x K / (K - 1)")


def difference_of_folds(
    ours: Sequence[float | None], theirs: Sequence[float | None], level: float = 0.95
) -> Difference | None:
    """A metric's mean over our folds minus its mean over theirs, on the same folds: Nadeau and Bengio's, of the folds' differences.

    Args:
        ours, theirs: the K folds' values, in the same order.

    Returns:
        None where a value is undefined. No interval where all folds differ by the same: they do not show how it varies.
    """
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None]
    if len(pairs) < len(ours):
        return None
    changes = np.array([a - b for a, b in pairs], dtype=np.float64)
    df, value, error = len(changes) - 1, float(changes.mean()), float(np.sqrt(variance_over_folds(changes)))
    if np.ptp(changes) <= ROUNDING * abs(value):  # that few folds agree does not make it certain
        return Difference(value, p=1.0 if value == 0 else None, df=float(df))
    half = t_quantile(df, level) * error
    return Difference(value, (value - half, value + half), p=float(2 * stdtr(df, -abs(value) / error)), df=float(df))
