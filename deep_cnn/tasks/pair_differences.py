"""Pair accuracy compared: two sides on the same votes, and one side with a coin."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import stdtr, stdtrit

from deep_cnn.tasks.confidence import effective_groups, jackknife_variance, t_quantile, wilson
from deep_cnn.tasks.differences import POWER, Difference, variance_of_seeds, with_seeds, within_shares
from deep_cnn.tasks.dyadic import dyadic_variance, share_of_votes, without_groups
from deep_cnn.tasks.intervals import FEWEST_GROUPS

COIN = 0.5  # the pair accuracy of a coin


def difference_of_votes(
    ours: Sequence[np.ndarray],
    theirs: Sequence[np.ndarray],
    units: np.ndarray,
    *,
    grouped: bool = False,
    level: float = 0.95,
) -> Difference | None:
    """The mean pair accuracy of our networks less that of theirs: see `differences.difference`.

    Between images the variance is dyadic, between groups that of leaving out one group with all its votes. No end is beyond what the
    intervals of the two sides allow: two networks of 100% and 90% cannot differ by 20 points.

    Args:
        ours, theirs: of each network whether it has each decided vote right: 1, 0 or 0.5, (m,).
        units: images of each vote, or, if `grouped`, their groups, codes (m, 2).
    """
    if len(units) < 2:
        return None
    values = [np.array([right.mean() for right in side]) for side in (ours, theirs)]
    value = float(values[0].mean() - values[1].mean())
    changes = np.mean(ours, axis=0) - np.mean(theirs, axis=0)
    # as if one more vote favoured each side: Bonett and Price 2012, see `differences.difference`
    least = 2 / (len(units) + 2) ** 2
    if grouped:
        without, sizes = without_groups(changes, units)
        if len(sizes) < FEWEST_GROUPS:
            return Difference(value)
        of_images, df_images = jackknife_variance(without) + least, effective_groups(sizes) - 1
    else:
        of_images, df_images = dyadic_variance(changes, units) + least, len(np.unique(units)) - 1.0
    found = within_shares(with_seeds(value, of_images, df_images, variance_of_seeds(values), level))
    sides = [beyond_a_coin(side, units, grouped=grouped, level=level) for side in (ours, theirs)]
    return _as_the_sides_allow(found, *sides)


def beyond_a_coin(
    ours: Sequence[np.ndarray], units: np.ndarray, *, grouped: bool = False, level: float = 0.95
) -> Difference | None:
    """The mean pair accuracy of our networks less one half. Of one network its interval is that of its pair accuracy, less one half.

    Of several seeds the variance between them is added to that between images (or groups), which is Wilson's: the standard error belongs to
    the end of the interval, and p to one half. So p < 0.05 where the interval excludes 0.

    Args:
        ours, units, grouped: as in `difference_of_votes`.
    """
    if len(units) < 2:
        return None
    right = np.mean(ours, axis=0)
    share = float(right.mean())
    images = share_of_votes(right, units, units if grouped else None, level).interval
    if images is None:  # too few groups
        return Difference(share - COIN)
    df = (effective_groups(without_groups(right, units)[1]) if grouped else float(len(np.unique(units)))) - 1
    # the end of Wilson's interval that is nearer to one half says how many independent votes these are worth, 1 / spread
    end = images[0] if share > COIN else images[1]
    spread = ((share - end) / t_quantile(df, level)) ** 2 / (end * (1 - end))
    between_seeds, df_seeds = variance_of_seeds([np.array([each.mean() for each in ours])])
    if between_seeds > 0:
        of_seeds = between_seeds / (share * (1 - share))
        df = (spread + of_seeds) ** 2 / (spread**2 / df + of_seeds**2 / df_seeds)
        spread += of_seeds
    low, high = (float(e) for e in wilson(share, 1 / spread, level, t_quantile(df, level)))
    error = COIN * float(np.sqrt(spread))  # of a coin
    detectable = float((t_quantile(df, level) + stdtrit(df, POWER)) * error)
    return Difference(
        share - COIN,
        (low - COIN, high - COIN),
        p=float(2 * stdtr(df, -abs(share - COIN) / error)),
        df=float(df),
        seeds=df_seeds > 0,
        detectable=detectable if detectable <= COIN else None,
    )


def _as_the_sides_allow(found: Difference, ours: Difference | None, theirs: Difference | None) -> Difference:
    """With ends that two accuracies within their own intervals can have; an end does not change its sign, since p would contradict it."""
    if found.interval is None or ours is None or theirs is None or ours.interval is None or theirs.interval is None:
        return found
    least, most = ours.interval[0] - theirs.interval[1], ours.interval[1] - theirs.interval[0]
    return replace(found, interval=(max(found.interval[0], min(least, 0.0)), min(found.interval[1], max(most, 0.0))))
