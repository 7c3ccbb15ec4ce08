"""Votes by simulation: coverage of intervals of pair accuracy, the largest pair accuracy, and the reliability of scores from votes.

    python -m benchmarks.pairs            # about three minutes

Bars: dyadic interval .92 to .97 on 300 images with 80 and 3,000 votes and 100 with 3,000; ceiling of pair accuracy within .02;
reliability within .05, intervals that contain it in 90% of cases or more.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from deep_cnn.data.bradley_terry import SPREADS, best_accuracy, fit_scores, spread_of_votes
from deep_cnn.data.votes import Votes
from deep_cnn.tasks import confidence
from deep_cnn.tasks.dyadic import share_of_votes
from deep_cnn.tasks.vote_ceiling import pair_ceiling, split_half

POPULATION = 20_000  # images, for the truth of a metric


def drawn_votes(rng: np.random.Generator, scores: np.ndarray, count: int, ties: float = 0.0) -> Votes:
    """Votes between images at random, by Davidson's model; ties: its parameter, 0 is the Bradley-Terry model."""
    left = rng.integers(len(scores), size=count)
    right = (left + rng.integers(1, len(scores), size=count)) % len(scores)
    outcome = (rng.random(count) < expit(scores[left] - scores[right])).astype(np.float64)
    if ties:
        weight = 2 * np.cosh((scores[left] - scores[right]) / 2)
        outcome[rng.random(count) < ties / (ties + weight)] = 0.5
    return Votes(np.stack([left, right], axis=1), np.zeros(count, np.int64), outcome, ("score",))


@dataclass(frozen=True)
class Accuracy:
    """Of one size: the true pair accuracy, and how often intervals contain it."""

    truth: float
    dyadic: float
    binomial: float


def simulate_accuracy(images: int, count: int, simulations: int = 400, seed: int = 0) -> Accuracy:
    """A network whose errors belong to images; new images and new votes in every simulation."""
    rng = np.random.default_rng(seed)

    def drawn(n: int, m: int) -> tuple[Votes, np.ndarray]:
        scores = rng.normal(0, 1.5, n)
        said = scores + rng.normal(0, 1.0, n)
        votes = drawn_votes(rng, scores, m)
        ahead = said[votes.images[:, 0]] > said[votes.images[:, 1]]
        return votes, (ahead == (votes.outcome == 1)).astype(np.float64)

    truth = float(np.mean([drawn(POPULATION, 400_000)[1].mean() for _ in range(3)]))
    hits = np.zeros(2)
    for _ in range(simulations):
        votes, right = drawn(images, count)
        found = share_of_votes(right, votes.images).interval
        binomial = confidence.wilson(float(right.mean()), count)
        hits += [low <= truth <= high for low, high in (found or (2, 2), binomial)]
    return Accuracy(truth, *(hits / simulations))


@dataclass(frozen=True)
class Estimates:
    """The truth, the mean and spread of the estimates, and the share of the intervals that contain it."""

    truth: float
    mean: float
    sd: float
    covered: float


def true_accuracy(rng: np.random.Generator, spread: float, ties: float = 0.0) -> float:
    """The pair accuracy of who knows the scores, on 1,000,000 votes."""
    scores = rng.normal(0, spread, POPULATION)
    votes = drawn_votes(rng, scores, 1_000_000, ties)
    decided, (left, right) = votes.outcome != 0.5, votes.images.T
    return float(((scores[left] > scores[right]) == (votes.outcome == 1))[decided].mean())


def simulate_ceiling(
    spread: float, images: int = 2000, count: int = 3500, simulations: int = 100, seed: int = 0, ties: float = 0.0
) -> Estimates:
    """The largest pair accuracy from single votes; ties: Davidson's parameter."""
    rng, found, covered = np.random.default_rng(seed), [], []
    truth = true_accuracy(rng, spread, ties)
    for _ in range(simulations):
        votes = drawn_votes(rng, rng.normal(0, spread, images), count, ties)
        ceiling = pair_ceiling(votes, images)
        assert ceiling is not None
        found.append(ceiling["pair_accuracy"])
        covered.append(ceiling["interval"] is not None and ceiling["interval"][0] <= truth <= ceiling["interval"][1])
    return Estimates(truth, float(np.mean(found)), float(np.std(found)), float(np.mean(covered)))


def simulate_reliability(
    spread: float, votes_each: float, images: int = 300, simulations: int = 60, seed: int = 0
) -> Estimates:
    """Split-half reliability of Bradley-Terry scores; the truth is their squared correlation with the true scores, of many images."""
    rng, found, covered, truths = np.random.default_rng(seed), [], [], []
    of_interest = np.arange(images)
    for _ in range(simulations):
        scores = rng.normal(0, spread, images)
        votes = drawn_votes(rng, scores, round(votes_each * images / 2))
        tau = spread_of_votes(votes.images, votes.outcome, images)
        fitted = fit_scores(votes.images, votes.outcome, images, tau)
        truths.append(np.corrcoef(scores, fitted)[0, 1] ** 2)
        known = split_half(votes, of_interest, images, tau, seed=int(rng.integers(2**31)))
        assert known is not None
        found.append(
            (known.value, confidence.jackknife_interval(known.value, known.without, images - 1.0, "log(1 - x)"))
        )
    truth = float(np.mean(truths))
    covered = [interval is not None and interval[0] <= truth <= interval[1] for _, interval in found]
    values = [value for value, _ in found]
    return Estimates(truth, float(np.mean(values)), float(np.std(values)), float(np.mean(covered)))


ACCURACIES = ((300, 80), (300, 3000), (100, 3000))
CEILINGS = (0.63, 0.725, 0.827)
TIES = ((1.0, 1.0), (2.0, 1.0), (2.0, 3.0))  # spread of the scores, Davidson's parameter
RELIABILITIES = ((1.0, 4.0), (1.0, 10.0), (1.5, 10.0), (1.5, 50.0))


def lines(simulations: int) -> Iterator[str]:
    """What is printed."""
    yield "pair accuracy: coverage of 95% intervals"
    for images, count in ACCURACIES:
        found = simulate_accuracy(images, count, simulations)
        yield (
            f"  {images} images, {count:,} votes: true {found.truth:.3f}, dyadic {found.dyadic:.3f}, binomial {found.binomial:.3f}"
        )
    yield "largest pair accuracy, 3,500 votes on 2,000 images"
    for ceiling in CEILINGS:
        spread = float(np.interp(ceiling, best_accuracy(SPREADS), SPREADS))
        of = simulate_ceiling(spread, simulations=simulations // 4)
        yield f"  true {of.truth:.3f}: mean {of.mean:.3f}, sd {of.sd:.3f}, covered {of.covered:.3f}"
    yield "largest pair accuracy with ties, 8,000 votes on 2,000 images"
    for spread, ties in TIES:
        of = simulate_ceiling(spread, count=8000, simulations=simulations // 4, ties=ties)
        yield f"  spread {spread}, ties {ties}, true {of.truth:.3f}: mean {of.mean:.3f}, sd {of.sd:.3f}, covered {of.covered:.3f}"
    yield "reliability of scores from votes, 300 images"
    for spread, each in RELIABILITIES:
        of = simulate_reliability(spread, each, simulations=simulations // 2)
        yield f"  spread {spread}, {each:g} votes an image, true {of.truth:.3f}: mean {of.mean:.3f}, covered {of.covered:.3f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--simulations", type=int, default=400)
    for line in lines(parser.parse_args().simulations):
        print(line, flush=True)


if __name__ == "__main__":
    main()
