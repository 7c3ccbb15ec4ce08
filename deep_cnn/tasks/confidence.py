"""Formulas of confidence intervals: numbers in, interval out. Which metric has which: intervals.py.

Bounds are float64; level is the confidence level. `benchmarks/coverage.py` simulates how often they contain the truth.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

Floats = NDArray[np.float64]
Interval = tuple[float, float]

ROUNDING = 1e-12  # relative differences as small are of the arithmetic
INTRACLASS = 0.1  # correlation within groups where all is right: see `wilson_of_groups`


@dataclass(frozen=True)
class Scale:
    """A monotone scale on which a metric's error is nearer to normal; its ends are the metric's own limits."""

    forward: Callable[[Floats], Floats]
    inverse: Callable[[Floats], Floats]


def _expit(x: Floats) -> Floats:
    half: Floats = 0.5 * (1 + np.tanh(x / 2))
    return half


SCALES = {
    "logit": Scale(lambda p: np.log(p / (1 - p)), _expit),  # shares
    "log": Scale(np.log, np.exp),  # errors, which are positive
    "log(1 - x)": Scale(lambda x: np.log(1 - x), lambda y: 1 - np.exp(y)),  # R2: the log of the unexplained share
    "atanh": Scale(np.arctanh, np.tanh),  # correlations: Fisher 1921
    "plain": Scale(lambda x: x, lambda x: x),
}


def normal_quantile(level: float) -> float:
    """1.96 for 0.95."""
    return float(ndtri((1 + level) / 2))


def t_quantile(df: float, level: float) -> float:
    """Of Student's t: 2.23 for 10 degrees of freedom and 0.95."""
    return float(stdtrit(df, (1 + level) / 2))


def wilson(
    share: float | Floats, n: float | Floats, level: float = 0.95, quantile: float | None = None
) -> tuple[Any, Any]:
    """Score interval of a share of n independent images.

    Wilson, "Probable inference, the law of succession, and statistical inference", 1927; recommended by Brown, Cai and DasGupta,
    "Interval estimation for a binomial proportion", 2001.

    Args:
        share: or several, any shape. n: may be a fraction, where images are not independent.
        quantile: in place of the normal distribution's.

    Returns:
        Its lower and upper ends, of that shape.
    """
    z2 = (normal_quantile(level) if quantile is None else quantile) ** 2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = np.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return np.maximum(centre - half, 0), np.minimum(centre + half, 1)


def jackknife_variance(left_out: Floats) -> float:
    """Variance of a metric, from its values with one of the U units left out, (U,).

    Tukey, "Bias and confidence in not quite large samples", 1958; Efron and Stein, "The jackknife estimate of variance", 1981.
    """
    units = len(left_out)
    return float((units - 1) / units * np.square(left_out - left_out.mean()).sum())


def without_bias(value: float, left_out: Floats) -> float:
    """A metric less its bias in small samples, as far as its values with one of the U units left out, (U,), show it.

    Quenouille, "Notes on bias in estimation", 1956. Macro F1 of five images of each class is 2 to 3 points too low on average.
    """
    return float(value - (len(left_out) - 1) * (left_out.mean() - value))


def jackknife_interval(value: float, left_out: Floats, df: float, scale: str, level: float = 0.95) -> Interval | None:
    """Student's t times the jackknife's standard error, on a scale; None where a value is at the end of the scale, or none
    of the units changes the metric.

    Args:
        value: the metric of all units. left_out: (U,), with one of them left out. df: degrees of freedom.
        scale: a name of SCALES.
    """
    with np.errstate(all="ignore"):
        centre, values = (SCALES[scale].forward(np.asarray(x, np.float64)) for x in (value, left_out))
        if not (np.isfinite(centre) and np.isfinite(values).all()) or np.ptp(values) <= ROUNDING * abs(centre):
            return None
        half = t_quantile(df, level) * np.sqrt(jackknife_variance(values))
        ends = sorted(float(SCALES[scale].inverse(centre + sign * half)) for sign in (-1, 1))
    return (ends[0], ends[1]) if np.isfinite(ends).all() else None


def effective_groups(sizes: np.ndarray) -> float:
    """How many groups of one size say as much as groups of these sizes (G,).

    Carter, Schnepel and Steigerwald, "Asymptotic behavior of a t-test robust to cluster heterogeneity", 2017, for an intercept.
    """
    return float(sizes.sum() ** 2 / np.square(sizes, dtype=np.float64).sum())


def wilson_of_variance(share: float, variance: float, n: float, df: float, level: float = 0.95) -> Interval:
    """Wilson's interval of as many independent images as would have this variance, with Student's t.

    Korn and Graubard, "Confidence intervals for proportions with small expected number of positive counts estimated from survey
    data", 1998; Dean and Pagano, "Evaluating confidence interval methods for binomial proportions in clustered surveys", 2015.
    Unlike Student's t around the share itself it stays within 0 and 1, and says something where all is right.

    Args:
        n: images, which are taken for independent where there is no variance, since all is right or all is wrong.
    """
    effective = share * (1 - share) / variance if variance > 0 and 0 < share < 1 else n
    low, high = wilson(share, effective, level, t_quantile(df, level))
    return float(low), float(high)


def wilson_of_groups(share: float, variance: float, sizes: np.ndarray, level: float = 0.95) -> Interval:
    """The same of images in groups; never as if there were more independent images than there are images.

    Where all is right the groups say nothing of how alike their images are: an intraclass correlation of 0.1 is assumed in the
    design effect (Kish, "Survey sampling", 1965).

    Args:
        variance: of the share, by the jackknife over the groups. sizes: images of each group, (G,).
    """
    n = float(sizes.sum())
    independent = share * (1 - share) / n
    assumed = 1 + INTRACLASS * (np.square(sizes, dtype=np.float64).sum() / n - 1)
    design = variance / independent if independent > 0 else assumed
    low, high = wilson(share, n / max(1.0, design), level, t_quantile(effective_groups(sizes) - 1, level))
    return float(low), float(high)


def hull(*found: Interval | None) -> Interval | None:
    """From the lowest end to the highest."""
    there = [interval for interval in found if interval is not None]
    return (min(low for low, _ in there), max(high for _, high in there)) if there else None


def mean_of_shares(hits: np.ndarray, n: np.ndarray, level: float = 0.95) -> Interval:
    """Interval of the mean of K shares hits / n, each (K,), by the method of variance estimates recovery (MOVER).

    Zou and Donner, "Construction of confidence intervals about effect measures: a general approach", 2008, with Wilson's
    limits of each share, as Newcombe's for a difference (1998). It knows of a class of which few images were all right; the
    jackknife sees no variance there.
    """
    shares = hits / n
    low, high = wilson(shares, n, level)
    return _recovered(shares, shares - low, high - shares)


def mean_of_f1(hits: np.ndarray, union: np.ndarray, level: float = 0.95) -> Interval:
    """The same of the mean F1.

    F1 = 2 J / (1 + J), where J = hits / union is a share of the images that are of the class or predicted as it, (K,).
    """
    low, high = (2 * j / (1 + j) for j in wilson(hits / union, union, level))
    f1 = 2 * hits / (hits + union)
    return _recovered(f1, f1 - low, high - f1)


def _recovered(values: Floats, below: Floats, above: Floats) -> Interval:
    mean = float(values.mean())
    low, high = (float(np.sqrt(np.square(parts).sum())) / len(parts) for parts in (below, above))
    return max(mean - low, 0.0), min(mean + high, 1.0)


def bonett_wright(correlation: float, n: int, level: float = 0.95) -> Interval | None:
    """Interval of Spearman's correlation of n images; None for fewer than four.

    Bonett and Wright, "Sample size requirements for estimating Pearson, Kendall and Spearman correlations", 2000.
    """
    if n < 4 or abs(correlation) >= 1:
        return None
    half = normal_quantile(level) * np.sqrt((1 + correlation**2 / 2) / (n - 3))
    low, high = np.tanh(np.arctanh(correlation) + half * np.array([-1, 1]))
    return float(low), float(high)
