"""Scores of images from their votes: the Bradley-Terry model with a normal prior.

P(i is preferred to j) = sigmoid(s_i - s_j); a tie counts as half a vote for each. Bradley and Terry, "Rank analysis of incomplete
block designs: I. The method of paired comparisons", 1952. With a few votes an image that won all of them would have an infinite
score: the prior, normal with standard deviation tau, keeps it finite (Caron and Doucet, "Efficient Bayesian inference for generalized
Bradley-Terry models", 2012). tau is read off the votes themselves.

choix has the same model (the tests compare with it), but keeps a dense matrix of images times images, 3 GB for 20,000, and knows no
ties.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize
from scipy.special import expit

Floats = NDArray[np.float64]

NODES = 80  # of the integrals over normal scores
SPREADS = np.concatenate([[0.0], np.geomspace(0.01, 30, 400)])  # tau, on whose grid the integrals are inverted
WIDEST, NARROWEST = 5.0, 0.3  # spreads that a fit assumes at most and at least


def fit_scores(images: np.ndarray, outcome: np.ndarray, count: int, spread: float) -> Floats:
    """The most probable scores of `count` images, float64 (count,), mean 0; 0 for an image without votes.

    Args:
        images: int64 (m, 2), numbers 0 .. count - 1. outcome: (m,), the left image's share: 1, 0, or 0.5 for a tie.
        spread: tau, the standard deviation of the scores that is assumed.
    """
    left, right = images.T
    precision = 1 / spread**2

    def both(values: Floats) -> Floats:
        return np.asarray(np.bincount(left, values, count) - np.bincount(right, values, count), dtype=np.float64)

    def loss(scores: Floats) -> tuple[float, Floats]:
        d = scores[left] - scores[right]
        value = np.logaddexp(0, -d) @ outcome + np.logaddexp(0, d) @ (1 - outcome) + precision / 2 * (scores @ scores)
        return float(value), both(expit(d) - outcome) + precision * scores

    def hessian_times(scores: Floats, direction: Floats) -> Floats:
        d = scores[left] - scores[right]
        curvature = expit(d) * expit(-d)
        return both(curvature * (direction[left] - direction[right])) + precision * direction

    start = np.zeros(count)
    found = minimize(
        loss, start, jac=True, hessp=hessian_times, method="trust-ncg", options={"gtol": 1e-6 * len(outcome) ** 0.5}
    )
    scores: Floats = found.x
    return scores


@lru_cache(maxsize=64)
def _grid(ties: float) -> tuple[Floats, Floats]:
    """For each of SPREADS: q, see `agreement`, and the accuracy on decided votes of who knows the scores.

    Of two images with the lead d, a vote is a tie with probability nu / (nu + 2 cosh(d / 2)): Davidson, "On extending the Bradley-Terry
    model to accommodate ties in paired comparison experiments", 1970. So votes are decided more often where the lead is large, and
    decided votes agree more than all votes would.

    Args:
        ties: their share of all votes, which gives nu for each spread.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    weights = weights / weights.sum()
    z = np.linspace(-8, 8, 4001)  # max(p, 1 - p) has an edge at 0, which Gauss's nodes do not see
    density = np.exp(-z * z / 2)
    density /= density.sum()
    q, best = [], []
    for tau in SPREADS:
        lead = np.sqrt(2) * tau * z
        nu = _tie_parameter(2 * np.cosh(lead / 2), density, ties)
        leads = tau * (nodes[:, None] - nodes[None, :])  # of u before v
        decided = _decided(leads, nu)
        win = decided * (2 * expit(leads) - 1)
        q.append(float(weights @ np.square(win @ weights) / (weights @ np.square(decided @ weights))))
        p, decided = expit(lead), _decided(lead, nu)
        best.append(float((np.maximum(p, 1 - p) * decided) @ density / (decided @ density)))
    return np.array(q), np.array(best)


def _decided(lead: Floats, nu: float) -> Floats:
    """The probability that a vote on two images with this lead is no tie."""
    return 1 / (1 + nu / (2 * np.cosh(lead / 2)))


def _tie_parameter(cosh: Floats, density: Floats, ties: float) -> float:
    """Davidson's nu that makes so large a share of the votes ties; cosh: 2 cosh(d / 2) of leads d with the density."""
    if ties == 0:
        return 0.0

    def too_many(logarithm: float) -> float:
        return float(density @ (1 / (1 + cosh / np.exp(logarithm)))) - ties

    return float(np.exp(brentq(too_many, -50, 300)))


def spread_of(q: float | Floats, ties: float = 0.0) -> Floats:
    """tau of normal scores whose votes agree as q says, see `agreement`; 0 where there is no agreement. ties: their share."""
    return np.asarray(np.interp(q, _grid(ties)[0], SPREADS))


def largest_agreement(ties: float) -> float:
    """The largest q that votes on normal scores can have; without ties 1/3."""
    return float(_grid(ties)[0][-1])


def best_accuracy(spread: float | Floats, ties: float = 0.0) -> Floats:
    """The share of new decided votes that agrees with the true scores, if these are normal with standard deviation `spread`."""
    return np.asarray(np.interp(spread, SPREADS, _grid(ties)[1]))


def share_of_ties(outcome: np.ndarray) -> float:
    """Of votes, outcome as in `fit_scores`; 0 where there are no votes."""
    return float(np.mean(outcome == 0.5)) if len(outcome) else 0.0


def agreement(images: np.ndarray, outcome: np.ndarray, count: int) -> tuple[Floats, Floats]:
    """Sums over images whose ratio is q, the agreement of two votes on the same image with different opponents: (count,) each.

    With S_i the wins less the losses of image i in its c_i decided votes, S_i^2 - c_i is the sum over its pairs of votes of the product
    of their signs, of which there are c_i (c_i - 1): no pair of images has to be voted on twice. Where one was, its votes are
    not compared with each other: they agree more than those of two opponents. For normal scores of standard
    deviation tau and opponents at random, q = E_u (E_v [w (2 sigmoid(tau (u - v)) - 1)])^2 / E_u (E_v w)^2, w the probability that a
    vote on u and v is decided.
    """
    decided = outcome != 0.5
    left, right = images[decided].T
    sign = 2 * outcome[decided] - 1
    low, high = np.minimum(left, right), np.maximum(left, right)
    pairs, pair, votes = np.unique(low * count + high, return_inverse=True, return_counts=True)
    of_first = np.where(left == low, sign, -sign)
    total = np.bincount(pair, of_first, len(pairs))  # wins less losses of the pair's first image
    ends = (pairs // count, pairs % count) if count else (pairs, pairs)

    def of_images(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.bincount(ends[0], first, count) + np.bincount(ends[1], second, count)

    # of all an image's votes, less those of the same pair; c_i and the sums over one pair cancel
    squares, counts = total**2, votes.astype(np.float64)
    above = of_images(total, -total) ** 2 - of_images(squares, squares)
    below = of_images(counts, counts) ** 2 - of_images(counts**2, counts**2)
    return above, below


def spread_of_votes(images: np.ndarray, outcome: np.ndarray, count: int) -> float:
    """tau of the scores, from the votes alone, within what a fit may assume."""
    above, below = agreement(images, outcome, count)
    if not below.sum():
        return NARROWEST
    return float(np.clip(spread_of(above.sum() / below.sum(), share_of_ties(outcome)), NARROWEST, WIDEST))
