"""How often `compare` calls two recipes different: equal ones, and ones that are 3 points apart, by simulation.

    python -m benchmarks.recipes                    # 2,000 comparisons a cell: some minutes on one core
    python -m benchmarks.recipes --comparisons=200

The true accuracy of a recipe's networks varies by 2 points between seeds; what makes an image hard is the same for all networks. Exit code
1 if equal recipes are called different in more than 6.5% of a cell.
"""

import argparse
import sys

import numpy as np

from deep_cnn.tasks.differences import difference
from deep_cnn.tasks.metrics import ClassificationScores

ACCURACY, SPREAD, APART = 0.8, 0.02, 0.03
MOST = 0.065  # of equal recipes that may be called different


def network(right: np.ndarray) -> ClassificationScores:
    """The predictions of a network of two classes, of which it is known which are right, bool (n,)."""
    truth = np.arange(len(right)) % 2
    return ClassificationScores.of(np.eye(2)[np.where(right, truth, 1 - truth)], truth, ("a", "b"))


def called_different(seeds: int, images: int, apart: float, comparisons: int) -> float:
    """The share of comparisons with p < 0.05. seeds: networks of each recipe."""
    rng = np.random.default_rng([seeds, images, round(1000 * apart)])
    found = 0
    for _ in range(comparisons):
        hard = rng.random(images)
        sides = [
            [network(hard < rng.normal(mean, SPREAD)) for _ in range(seeds)] for mean in (ACCURACY + apart, ACCURACY)
        ]
        result = difference(*sides, "top1")
        assert result is not None and result.p is not None, "two networks of two classes have a top-1"
        found += result.p < 0.05
    return found / comparisons


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comparisons", type=int, default=2000)
    comparisons = parser.parse_args().comparisons
    missed = 0
    for images in (1000, 10_000):
        for seeds in (3, 5, 10):
            equal, apart = (called_different(seeds, images, points, comparisons) for points in (0.0, APART))
            missed += equal > MOST
            print(
                f"{seeds:>2} seeds a side, {images:>6,} images: equal recipes are called different in {equal:.3f}, recipes 3 points apart in "
                f"{apart:.3f}{'  MISSED' if equal > MOST else ''}",
                flush=True,
            )
    print(f"{missed} missed")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
