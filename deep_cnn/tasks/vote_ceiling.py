"""How well votes can be predicted at all, and how reliable the scores are that are made of them."""

from typing import Any

import numpy as np

from deep_cnn.data.bradley_terry import (
    SPREADS,
    agreement,
    best_accuracy,
    fit_scores,
    largest_agreement,
    share_of_ties,
    spread_of,
)
from deep_cnn.data.votes import Votes
from deep_cnn.tasks.ceiling import Reliability
from deep_cnn.tasks.confidence import jackknife_interval
from deep_cnn.tasks.left_out import whole_and_without

HALVINGS = 20
MOST_VOTES = 200_000  # of so many, fewer halvings: their mean is then certain enough, and a fit takes seconds
FEW_HALVINGS = 5


def pair_ceiling(votes: Votes, count: int, level: float = 0.95) -> dict[str, Any] | None:
    """The largest pair accuracy that any scores of the images can reach on new votes; None without two opponents.

    No pair needs to be voted on twice, see `data/bradley_terry.agreement`. Assumes that true scores are normal,
    and that ties are as in Davidson's model; where the votes contradict that, its "pair_accuracy" is None.

    Args:
        votes: of one question. count: images.
    """
    above, below = agreement(votes.images, votes.outcome, count)
    several = below > 0
    if int(several.sum()) < 3:
        return None
    above, below = above[several], below[several]
    q = float(above.sum() / below.sum())
    ties = share_of_ties(votes.outcome)
    spread = float(spread_of(q, ties))
    votes_decided = int((votes.outcome != 0.5).sum())
    if spread >= SPREADS[-1]:
        note = f"votes on one image agree more ({q:.2f}) than those on normal scores can (below {largest_agreement(ties):.2f})"
        return {"pair_accuracy": None, "interval": None, "spread": None, "votes": votes_decided, "note": note}
    without = best_accuracy(spread_of((above.sum() - above) / (below.sum() - below), ties), ties)
    value = float(best_accuracy(spread, ties))
    interval = jackknife_interval(value, without, len(without) - 1.0, "logit", level) if value > 0.5 else None
    return {
        "pair_accuracy": value,
        "interval": None if interval is None else (max(0.5, interval[0]), interval[1]),
        "spread": spread,
        "votes": votes_decided,
        "note": "of these voters, if true scores are normal" + (" and ties are as in Davidson's model" if ties else ""),
    }


def split_half(
    votes: Votes, images: np.ndarray, count: int, spread: float, units: np.ndarray | None = None, seed: int = 0
) -> Reliability | None:
    """Reliability of Bradley-Terry scores: the votes are halved at random, both halves scored, and the agreement stepped up.

    Spearman, "Correlation calculated from faulty data", 1910, and Brown, "Some experimental results in the correlation of mental
    abilities", 1910: 2 r / (1 + r), r the correlation of the halves, its mean over 20 halvings.

    Args:
        votes: of one question. images: of which the reliability is wanted, int64 (n,); those without votes do not count.
        count: images in all. spread: tau of the fit; see `fit_scores`.
        units: codes (n,) of groups that are left out whole; None for single images.

    Returns:
        None where there are too few votes or images.
    """
    known = np.isin(images, votes.images)
    if len(votes) < 4 or int(known.sum()) < 4:
        return None
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(HALVINGS if len(votes) <= MOST_VOTES else FEW_HALVINGS):
        order = rng.permutation(len(votes))
        halves = (order[: len(order) // 2], order[len(order) // 2 :])
        a, b = (fit_scores(votes.images[h], votes.outcome[h], count, spread)[images] for h in halves)
        if np.ptp(a[known]) == 0 or np.ptp(b[known]) == 0:
            return None
        found.append(_correlations(a, b, known, units))
    r, without = float(np.mean([whole for whole, _ in found])), np.mean([parts for _, parts in found], axis=0)
    return Reliability(
        2 * r / (1 + r),
        2 * without / (1 + without),
        "halves of the votes",
        int(known.sum()),
        per_image=float(np.bincount(votes.images.ravel(), minlength=count)[images[known]].mean()),
    )


def _correlations(
    a: np.ndarray, b: np.ndarray, known: np.ndarray, units: np.ndarray | None
) -> tuple[float, np.ndarray]:
    """Pearson's correlation of the known images, of all and without each unit, (U,)."""
    a, b = (np.where(known, x - x[known].mean(), 0.0) for x in (a, b))

    def correlation(sums: list[Any]) -> Any:
        n, x, y, xx, yy, xy = sums
        return (xy - x * y / n) / np.sqrt((xx - x * x / n) * (yy - y * y / n))

    whole, without = whole_and_without([known, a, b, a * a, b * b, a * b], correlation, units)
    return float(whole), without
