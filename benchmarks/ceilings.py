"""How right are noise ceilings, and how often do their intervals contain the truth? Simulated scores of known reliability.

    python -m benchmarks.ceilings            # 200 simulations a row; about a minute

Of each row: the true reliability, the mean estimate, the share of 95% intervals that contain the truth, and the same share for R2 as
a share of the ceiling, of a predictor whose R2 on the true scores is 0.5. Bars: mean within 0.05, coverage >= 0.90.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from deep_cnn.data.certainty import Certainty
from deep_cnn.tasks.ceiling import noise_ceiling
from deep_cnn.tasks.score_metrics import RegressionScores

Draw = Callable[[np.random.Generator, np.ndarray, float], tuple[np.ndarray, Certainty]]


@dataclass(frozen=True)
class Row:
    """A kind of data: (random numbers, true scores (n,) of sd 1, reliability) -> scores (n,), what is known of their noise."""

    title: str
    draw: Draw
    bound: bool = False


def complete_raters(rng: np.random.Generator, true: np.ndarray, reliability: float) -> tuple[np.ndarray, Certainty]:
    """Four raters, each with a level of their own, who rated everything."""
    noise = np.sqrt(4 * (1 - reliability) / reliability)
    levels = rng.normal(0, 1, 4)
    ratings = true[:, None] + rng.normal(0, noise, (len(true), 4)) + levels - levels.mean()
    return ratings.mean(axis=1), Certainty(ratings)


def some_raters(rng: np.random.Generator, true: np.ndarray, reliability: float) -> tuple[np.ndarray, Certainty]:
    """Six raters of one level, of whom each image has had one to six."""
    k = rng.integers(1, 7, len(true))
    noise = np.sqrt((1 - reliability) / reliability / (1 / k).mean())
    ratings = true[:, None] + rng.normal(0, noise, (len(true), 6))
    there = np.argsort(rng.random(ratings.shape), axis=1) < k[:, None]
    ratings = np.where(there, ratings, np.nan)
    return np.nanmean(ratings, axis=1), Certainty(ratings)


def standard_errors(rng: np.random.Generator, true: np.ndarray, reliability: float) -> tuple[np.ndarray, Certainty]:
    """Standard errors that differ fivefold between images."""
    se = rng.uniform(0.4, 2.0, len(true))
    se *= np.sqrt((1 - reliability) / reliability / np.square(se).mean())
    return true + rng.normal(0, se), Certainty(std=se[:, None])


def posterior(spread_assumed: float) -> Draw:
    """Posterior means and standard deviations under a prior of this spread; the true one is 1."""

    def draw(rng: np.random.Generator, true: np.ndarray, reliability: float) -> tuple[np.ndarray, Certainty]:
        se2 = np.full(len(true), (1 - reliability) / reliability)
        measured = true + rng.normal(0, np.sqrt(se2))
        kept = spread_assumed**2 / (spread_assumed**2 + se2)
        return kept * measured, Certainty(std=np.sqrt(kept * se2)[:, None], posterior=True)

    return draw


ROWS = (
    Row("4 raters of all images, ICC(3,k)", complete_raters),
    Row("1 to 6 raters an image, ICC(1,k)", some_raters),
    Row("standard errors", standard_errors),
    Row("posterior, prior as wide as the truth", posterior(1.0)),
    Row("posterior, prior 3 times as wide: a bound", posterior(3.0), bound=True),
)


@dataclass(frozen=True)
class Found:
    """Of one row and reliability: means over the simulations."""

    estimate: float
    covered: float
    share_covered: float


def simulate(row: Row, reliability: float, images: int = 300, simulations: int = 200, seed: int = 0) -> Found:
    """The estimates and intervals of many data sets."""
    rng = np.random.default_rng(seed)
    estimates, covered, share_covered = [], [], []
    for _ in range(simulations):
        true = rng.normal(size=images)
        scores, certainty = row.draw(rng, true, reliability)
        predicted = 0.5 * true + rng.normal(0, 0.5, images)  # the best prediction of an R2 of 0.5
        slope = np.cov(scores, true)[0, 1]  # posterior means are shrunk, and so is what predicts them
        samples = RegressionScores.of(slope * predicted[:, None], scores[:, None], ["s"], np.zeros(1), np.ones(1))
        found = noise_ceiling(samples, certainty)["s"]
        estimates.append(found["reliability"])
        covered.append(contains(found["intervals"]["reliability"], reliability))
        share_covered.append(contains(found["intervals"]["share_r2"], 0.5))
    return Found(float(np.mean(estimates)), float(np.mean(covered)), float(np.mean(share_covered)))


def contains(interval: tuple[float, float] | None, value: float) -> bool:
    """Whether there is an interval and the value is in it."""
    return interval is not None and interval[0] <= value <= interval[1]


def table(simulations: int, images: int) -> Iterator[str]:
    """The lines that are printed."""
    yield f"{'':44}{'true':>6}{'mean':>8}{'covered':>9}{'share covered':>15}"
    for row in ROWS:
        for reliability in (0.3, 0.6, 0.9):
            found = simulate(row, reliability, images, simulations)
            yield f"{row.title:44}{reliability:6.2f}{found.estimate:8.3f}{found.covered:9.3f}{found.share_covered:15.3f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--images", type=int, default=300)
    given = parser.parse_args()
    for line in table(given.simulations, given.images):
        print(line, flush=True)


if __name__ == "__main__":
    main()
