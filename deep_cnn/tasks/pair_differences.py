"""Two sides on the same votes: the difference of their pair accuracies."""

from collections.abc import Sequence

import numpy as np

from deep_cnn.tasks.confidence import effective_groups, jackknife_variance
from deep_cnn.tasks.differences import Difference, variance_of_seeds, with_seeds, within_shares
from deep_cnn.tasks.dyadic import dyadic_variance, without_groups
from deep_cnn.tasks.intervals import FEWEST_GROUPS


def difference_of_votes(
    ours: Sequence[np.ndarray],
    theirs: Sequence[np.ndarray],
    units: np.ndarray,
    *,
    grouped: bool = False,
    fixed: bool = False,
    level: float = 0.95,
) -> Difference | None:
    """The mean pair accuracy of our networks less that of theirs: see `differences.difference`.

    Between images the variance is dyadic, between groups that of leaving out one group with all its votes.

    Args:
        ours, theirs: of each network whether it has each decided vote right: 1, 0 or 0.5, (m,).
        units: images of each vote, or, if `grouped`, their groups, codes (m, 2). fixed: theirs is one prediction that no seed would change.
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
    seeds = variance_of_seeds(values[: 1 if fixed else 2])
    return within_shares(with_seeds(value, of_images, df_images, seeds, level))
