"""Scores of images from their votes: the Bradley-Terry model with a normal prior.

P(i is preferred to j) = sigmoid(s_i - s_j); a tie counts as half a vote for each. Bradley and Terry, "Rank analysis of incomplete
block designs: I. The method of paired comparisons", 1952. With a few votes an image that won all of them would have an infinite
score: the prior, normal with standard deviation tau, keeps it finite (Caron and Doucet, "Efficient Bayesian inference for generalized
Bradley-Terry models", 2012). tau is read off the votes themselves.

choix has the same model (the tests compare with it), but keeps a dense matrix of images times images, 3 GB for 20,000, and knows no
ties.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
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


@cache
def _grid() -> tuple[Floats, Floats]:
    """For each of SPREADS: q, see `spread_of_votes`, and the pair accuracy of who knows the scores."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    weights = weights / weights.sum()
    q, best = [], []
    for tau in SPREADS:
        win = 2 * expit(tau * (nodes[:, None] - nodes[None, :])) - 1  # of u against v
        q.append(float(weights @ np.square(win @ weights)))
        z = np.linspace(-8, 8, 4001)  # max(p, 1 - p) has an edge at 0, which Gauss's nodes do not see
        density = np.exp(-z * z / 2)
        p = expit(np.sqrt(2) * tau * z)
        best.append(float((np.maximum(p, 1 - p) * density).sum() / density.sum()))
    return np.array(q), np.array(best)


def spread_of(q: float | Floats) -> Floats:
    """tau of normal scores whose votes agree as q says, see `agreement`; 0 where there is no agreement."""
    of_spreads, _ = _grid()
    return np.asarray(np.interp(q, of_spreads, SPREADS))


def best_accuracy(spread: float | Floats) -> Floats:
    """The share of new votes that agrees with the true scores, if these are normal with standard deviation `spread`."""
    return np.asarray(np.interp(spread, SPREADS, _grid()[1]))


def agreement(images: np.ndarray, outcome: np.ndarray, count: int) -> tuple[Floats, Floats]:
    """Sums over images whose ratio is q, the agreement of two votes on the same image with different opponents: (count,) each.

    With S_i the wins less the losses of image i in its c_i decided votes, S_i^2 - c_i is the sum over its pairs of votes of the product
    of their signs, of which there are c_i (c_i - 1): no pair of images has to be voted on twice. Where one was, its votes are
    not compared with each other: they agree more than those of two opponents. For normal scores of standard
    deviation tau and opponents at random, q = E_u (E_v [2 sigmoid(tau (u - v)) - 1])^2.
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
    q = above.sum() / below.sum() if below.sum() else 0.0
    return float(np.clip(spread_of(q), NARROWEST, WIDEST))
