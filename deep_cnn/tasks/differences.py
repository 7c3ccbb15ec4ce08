"""Is one side better than the other, or was it luck? Differences of metrics on the same test images, with intervals.

A side is one network, or the networks of k seeds of one recipe. Of one network a side the interval says how far new images would move
the difference of *these two networks*. Of several seeds it says how far new images and new seeds would move the difference of the two
*recipes*, on this training set.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import stdtr, stdtrit

from deep_cnn.config.registries import metric_row
from deep_cnn.tasks.confidence import Interval, jackknife_variance, t_quantile
from deep_cnn.tasks.intervals import freedom
from deep_cnn.tasks.left_out import few_units, left_out
from deep_cnn.tasks.metrics import Scored
from deep_cnn.tasks.score_metrics import RegressionScores

POWER = 0.8
LINEAR_BASELINE = "linear_baseline"  # in test.json and of compare --baseline: see inference/linear_baseline.py


@dataclass(frozen=True)
class Difference:
    """Ours minus theirs.

    interval, p: None where there are too few groups. p: two-sided, of no difference.
    seeds: whether the interval is over seeds as well. detectable: the smallest true difference that would be seen, p < 0.05, in 80%
    of such comparisons.
    """

    value: float
    interval: Interval | None = None
    p: float | None = None
    df: float | None = None
    seeds: bool = False
    detectable: float | None = None

    def told(self) -> dict[str, Any]:
        """As test.json and folds.json have it."""
        return {"value": self.value, "interval": self.interval, "p": self.p}


def difference(
    ours: Sequence[Scored],
    theirs: Sequence[Scored],
    metric: str,
    groups: np.ndarray | None = None,
    *,
    fixed: bool = False,
    allowance: float = 1.0,
) -> Difference | None:
    """A metric's mean over our networks minus its mean over theirs.

    The variance is that between seeds, pooled over the sides, plus that between images (or groups), by the jackknife of the difference:
    what makes an image hard for one side is hard for the other. Degrees of freedom: Satterthwaite, "An approximate distribution of
    estimates of variance components", 1946; between seeds k_A + k_B - 2, between groups those of `effective_groups`.

    Args:
        ours, theirs: the predictions of one network each, of the same n images in the same order.
        metric: one of `SampleScores.scores`.
        groups: codes (n,), where images of a group are not independent.
        fixed: theirs is one prediction that no seed would change, such as that of the mean predictor.
        allowance: by which the variance between images is multiplied; see `across_folds.group_intervals`.

    Returns:
        None where the metric is undefined for one of the networks.
    """
    n = len(ours[0])
    assert {len(samples) for samples in (*ours, *theirs)} == {n}, "not the same images"
    values = [np.array([samples.scores()[metric] for samples in side], dtype=np.float64) for side in (ours, theirs)]
    if any(np.isnan(of_side).any() for of_side in values):
        return None
    value = float(values[0].mean() - values[1].mean())
    units = None if groups is None else few_units(groups)
    without = [np.mean([left_out(samples, metric, units)[0] for samples in side], axis=0) for side in (ours, theirs)]
    changes = without[0] - without[1]
    df_images = freedom(units, len(changes))
    if df_images is None or len(changes) < 2 or not np.isfinite(changes).all():
        return Difference(value)
    between_images = allowance * jackknife_variance(changes)
    if metric_row(metric).share:
        # as if one more image favoured each side: Bonett and Price, "Adjusted Wald confidence interval for a difference of binomial
        # proportions based on paired data", 2012. Otherwise two networks that agree on all images would be equal for certain
        between_images += 2 / (n + 2) ** 2
    found = with_seeds(value, between_images, df_images, variance_of_seeds(values[: 1 if fixed else 2]))
    return within_shares(found) if metric_row(metric).share else found


def within_shares(found: Difference) -> Difference:
    """Of two shares: no difference is beyond -1 and 1, and one that only larger ones would show is none that can be found."""
    interval = found.interval and (max(-1.0, found.interval[0]), min(1.0, found.interval[1]))
    detectable = None if found.detectable is None or found.detectable > 1 else found.detectable
    return replace(found, interval=interval, detectable=detectable)


def with_seeds(
    value: float, between_images: float, df_images: float, seeds: tuple[float, int], level: float = 0.95
) -> Difference:
    """A difference with the interval of its two variances, by Satterthwaite; seeds: as of `variance_of_seeds`."""
    between_seeds, df_seeds = seeds
    variance = between_images + between_seeds
    if variance == 0:  # the same numbers from the same networks
        return Difference(value, (value, value), p=1.0, detectable=0.0)
    df = variance**2 / (between_images**2 / df_images + (between_seeds**2 / df_seeds if df_seeds else 0.0))
    error = float(np.sqrt(variance))
    half = t_quantile(df, level) * error
    return Difference(
        value,
        (value - half, value + half),
        p=float(2 * stdtr(df, -abs(value) / error)),
        df=float(df),
        seeds=df_seeds > 0,
        detectable=float(half + stdtrit(df, POWER) * error),
    )


def variance_of_seeds(values: list[np.ndarray]) -> tuple[float, int]:
    """Variance of the difference of two means over seeds, and its degrees of freedom; 0, 0 of one seed a side."""
    df = sum(len(of_side) - 1 for of_side in values)
    if not df:
        return 0.0, 0
    pooled = sum(np.square(of_side - of_side.mean()).sum() for of_side in values) / df
    return float(pooled * sum(1 / len(of_side) for of_side in values)), df


def differences(
    ours: Scored, theirs: Scored, groups: np.ndarray | None = None, allowance: float = 1.0
) -> dict[str, Any]:
    """Of each metric that both have, {metric: {value, interval, p}}: one network against a fixed prediction, for test.json."""
    found: dict[str, Any] = {}
    for name in ours.scores():
        if "/" in name and isinstance(ours, RegressionScores) and len(ours.names) == 1:
            continue  # the only target is the mean over targets
        if (of_metric := difference([ours], [theirs], name, groups, fixed=True, allowance=allowance)) is not None:
            found[name] = of_metric.told()
    return found


def holm(p: Sequence[float]) -> list[float]:
    """p values of several comparisons, so adjusted that all of them together err in at most 5% of cases at p < 0.05.

    Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    order = np.argsort(p, kind="stable")
    adjusted = np.maximum.accumulate(np.array(p)[order] * np.arange(len(p), 0, -1))
    found = np.empty(len(p))
    found[order] = np.minimum(adjusted, 1.0)
    return [float(value) for value in found]
