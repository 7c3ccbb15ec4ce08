"""Random folds answer "more streets of the sampled area", grid folds "new places": by how much do they differ? A simulation.

    python -m benchmarks.spatial            # 20 maps, a minute

On a map of 10 km, images have visible features that make up the score everywhere, and a local signature: smooth fields that are
unrelated to the score elsewhere. The score has a smooth local part of its own. A flexible predictor (kernel ridge) learns which
signature goes with which local part, which helps on neighbours and nowhere else. Compared are R2 in 5 random folds and in 5 folds
of grid cells, with R2 on another map far away. Bars: grid folds within 0.03 of the far map, random folds above it.
"""

import argparse
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deep_cnn.data.space import RADIUS, grid_cells

Floats = NDArray[np.float64]

SIDE = 10_000.0  # m, of the map
RANGE = 0.04 * SIDE  # practical range of the smooth fields
CELL = 2.5 * RANGE
FOLDS, VISIBLE, SIGNATURE = 5, 6, 6
LOCAL, NOISE = 0.8, 0.4  # standard deviations; the visible part has 1
WAVES = 400  # random cosines that make up a field


@dataclass(frozen=True)
class Map:
    """Features (n, D), scores (n,), degrees (n, 2)."""

    features: Floats
    scores: Floats
    places: Floats


def smooth_field(rng: np.random.Generator, points: Floats) -> Floats:
    """A Gaussian random field of standard deviation 1 at points (n, 2) in metres, by random cosines (Rahimi and Recht 2007)."""
    frequency = rng.normal(size=(2, WAVES)) * np.sqrt(6.0) / RANGE  # squared exponential: correlation 0.05 at the range
    phase = rng.uniform(0, 2 * np.pi, WAVES)
    return np.asarray(np.sqrt(2 / WAVES) * np.cos(points @ frequency + phase).sum(axis=1))


def drawn_map(rng: np.random.Generator, weights: Floats, n: int) -> Map:
    """A new map; weights (VISIBLE,) are the same everywhere."""
    points = rng.uniform(0, SIDE, (n, 2))
    visible = rng.normal(size=(n, VISIBLE))
    signature = np.stack([smooth_field(rng, points) for _ in range(SIGNATURE)], axis=1)
    scores = visible @ weights + LOCAL * smooth_field(rng, points) + NOISE * rng.normal(size=n)
    degrees = np.degrees(points / RADIUS)
    return Map(np.concatenate([visible, signature], axis=1), scores, degrees)


def kernel(a: Floats, b: Floats) -> Floats:
    """Linear in what is visible, and a Gaussian one of the signature, of width 1.2, that remembers."""
    seen, signs = (a[:, :VISIBLE], b[:, :VISIBLE]), (a[:, VISIBLE:], b[:, VISIBLE:])
    squares = np.square(signs[0][:, None] - signs[1][None]).sum(axis=2)
    return np.asarray(0.3 * (seen[0] @ seen[1].T) + np.exp(-squares / (2 * 1.2**2)))


def predicted(train: Map, rows: NDArray[np.int64], features: Floats) -> Floats:
    """Kernel ridge regression, trained on some rows."""
    x, y = train.features[rows], train.scores[rows]
    centre = y.mean()
    weights = np.linalg.solve(kernel(x, x) + 0.3 * np.eye(len(rows)), y - centre)
    return np.asarray(kernel(features, x) @ weights + centre)


def r2(true: Floats, said: Floats) -> float:
    """Share of the variance explained."""
    return float(1 - np.square(true - said).sum() / np.square(true - true.mean()).sum())


def of_folds(near: Map, far: Map, units: NDArray[np.int64], rng: np.random.Generator) -> tuple[float, float]:
    """R2 of out-of-fold predictions, and of the same models on a map far away. units: codes (n,) that stay together."""
    fold_of = rng.permutation(np.arange(units.max() + 1) % FOLDS)[units]
    said, away = np.empty(len(units)), []
    for fold in range(FOLDS):
        rows, tested = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
        said[tested] = predicted(near, rows, near.features[tested])
        away.append(r2(far.scores, predicted(near, rows, far.features)))
    return r2(near.scores, said), float(np.mean(away))


def simulate(maps: int = 20, n: int = 1200, seed: int = 0) -> dict[str, float]:
    """Means over maps: R2 in random and in grid folds, and far away."""
    rng = np.random.default_rng(seed)
    weights = np.full(VISIBLE, 1 / np.sqrt(VISIBLE))
    found: dict[str, list[float]] = {"random": [], "grid": [], "far": []}
    for _ in range(maps):
        near, far = drawn_map(rng, weights, n), drawn_map(rng, weights, n)
        cells = np.unique(grid_cells(near.places, CELL), return_inverse=True)[1]
        random, _ = of_folds(near, far, np.arange(n), rng)
        grid, away = of_folds(near, far, cells, rng)
        for name, value in (("random", random), ("grid", grid), ("far", away)):
            found[name].append(value)
    return {name: float(np.mean(values)) for name, values in found.items()}


def main() -> None:
    """Print the means."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--maps", type=int, default=20)
    found = simulate(parser.parse_args().maps)
    print(
        f"R2, mean of maps: random folds {found['random']:.3f}, grid folds {found['grid']:.3f}, far away {found['far']:.3f}"
    )
    print(
        f"random folds are too optimistic by {found['random'] - found['far']:.3f}, grid folds by {found['grid'] - found['far']:+.3f}"
    )


if __name__ == "__main__":
    main()
