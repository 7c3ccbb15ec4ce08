"""How often the 95% intervals of test.json contain the truth, by simulation.

    python -m benchmarks.coverage                          # 2,000 simulations of each cell: about 20 minutes on one core
    python -m benchmarks.coverage --simulations=200 --only=groups

Each cell draws test sets from a population whose metrics are known, and counts how often the interval contains them. Wilson's
interval needs no simulation: its coverage is a sum over the binomial distribution. Exit code 1 if a cell misses its bar.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from scipy.special import gammaln

from deep_cnn.tasks.confidence import wilson
from deep_cnn.tasks.intervals import Scored, interval_of
from deep_cnn.tasks.metrics import ClassificationScores
from deep_cnn.tasks.score_metrics import RegressionScores

Drawn = tuple[Scored, np.ndarray | None]  # a test set, and the group of each image


@dataclass(frozen=True)
class Cell:
    """A population. truth: its metrics; low, high: between which the coverage has to be, () for no bar."""

    title: str
    draw: Callable[[np.random.Generator], Drawn]
    truth: dict[str, float]
    low: float = 0.93
    high: float = 0.985
    no_bar: tuple[str, ...] = field(default=())


# -- shares of images, exactly ----------------------------------------------------------------------------------------


def wilson_coverage(p: float, n: int) -> float:
    """The probability that Wilson's interval of a binomial share contains p."""
    k = np.arange(n + 1)
    log_chance = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1) + k * np.log(p) + (n - k) * np.log1p(-p)
    low, high = wilson(k / n, n)
    return float(np.exp(log_chance)[(low <= p) & (p <= high)].sum())


def wilson_lines() -> Iterator[tuple[str, bool]]:
    """Lowest and mean coverage over p from 0.80 to 0.99 for sizes of test sets from 36 to 1,000."""
    lowest, of_all = 1.0, []
    for n in (36, 50, 75, 100, 150, 200, 300, 500, 700, 1000):
        found = np.array([wilson_coverage(p, n) for p in np.arange(0.80, 0.9901, 0.005)])
        lowest, of_all = min(lowest, found.min()), [*of_all, found.mean()]
        good = bool(found.min() >= 0.89 and found.mean() >= 0.945)
        yield f"Wilson, exact, p 0.80 to 0.99, n = {n:<24} lowest {found.min():.3f}  mean {found.mean():.3f}", good
    yield f"Wilson, exact, all of these {'':<29} lowest {lowest:.3f}  mean {np.mean(of_all):.3f}", lowest >= 0.89


# -- classes ----------------------------------------------------------------------------------------------------------


def confusion(classes: int, accuracy: float, shares: np.ndarray) -> np.ndarray:
    """Probabilities of (true, predicted), (K, K): recalls differ between classes, and so do the mistakes."""
    rng = np.random.default_rng(classes)
    miss = rng.uniform(0.4, 1.6, classes)
    miss *= (1 - accuracy) / (miss * shares).sum()
    off = rng.dirichlet(np.ones(classes), classes) * (1 - np.eye(classes))
    off *= (miss / off.sum(axis=1))[:, None]
    table: np.ndarray = shares[:, None] * (off + np.diag(1 - miss))
    return table


def class_metrics(table: np.ndarray) -> dict[str, float]:
    """Of a population with these probabilities (K, K)."""
    right, true, said = np.diag(table), table.sum(axis=1), table.sum(axis=0)
    return {"balanced_accuracy": float((right / true).mean()), "macro_f1": float((2 * right / (true + said)).mean())}


def class_scores(true: np.ndarray, said: np.ndarray, classes: int) -> ClassificationScores:
    """As training would score them."""
    return ClassificationScores.of(np.eye(classes)[said], true, [str(k) for k in range(classes)])


def draw_classes(rng: np.random.Generator, table: np.ndarray, n: int) -> Drawn:
    cells = rng.choice(table.size, size=n, p=table.ravel())
    return class_scores(cells // len(table), cells % len(table), len(table)), None


def class_cells() -> Iterator[Cell]:
    for classes, sizes in ((2, (36, 100, 400)), (5, (50, 100, 400)), (10, (50, 100, 400))):
        for equal in (True, False):
            shares = np.ones(classes) if equal else np.linspace(1, 0.4, classes)
            shares = shares / shares.sum()
            for n in sizes:
                if n * shares.min() < 5:
                    continue
                for accuracy in (0.7, 0.9, 0.97):
                    table = confusion(classes, accuracy, shares)
                    title = f"{classes} classes{'' if equal else ', unequal'}, n = {n}, top-1 {accuracy}"
                    yield Cell(title, partial(draw_classes, table=table, n=n), class_metrics(table))


# -- scores -----------------------------------------------------------------------------------------------------------


def score_scores(true: np.ndarray, said: np.ndarray) -> RegressionScores:
    """As training would score them."""
    return RegressionScores.of(said[:, None], true[:, None], ["score"], np.zeros(1))


def draw_normal(rng: np.random.Generator, n: int, correlation: float) -> Drawn:
    true = rng.normal(size=n)
    said = correlation**2 * true + correlation * np.sqrt(1 - correlation**2) * rng.normal(size=n)
    return score_scores(true, said), None


def normal_metrics(correlation: float) -> dict[str, float]:
    """Of the best linear prediction: R2 is the squared correlation."""
    rmse = np.sqrt(1 - correlation**2)
    return {
        "mae": float(np.sqrt(2 / np.pi) * rmse),
        "rmse": float(rmse),
        "r2": correlation**2,
        "pearson": correlation,
        "spearman": float(6 / np.pi * np.arcsin(correlation / 2)),
    }


def draw_lognormal(rng: np.random.Generator, n: int) -> Drawn:
    true = rng.normal(size=n)
    return score_scores(true, true + rng.choice([-1, 1], n) * rng.lognormal(0, 1, n)), None


def score_cells() -> Iterator[Cell]:
    for n in (50, 100, 400):
        for correlation in (0.3, 0.7, 0.95):
            title = f"normal errors, n = {n}, correlation {correlation}"
            yield Cell(title, partial(draw_normal, n=n, correlation=correlation), normal_metrics(correlation))
    for n in (200, 400):
        yield Cell(
            f"lognormal errors, n = {n}",
            partial(draw_lognormal, n=n),
            {"mae": float(np.exp(0.5)), "rmse": float(np.exp(1))},
            low=0.91,
            no_bar=("rmse",),
        )


# -- groups -----------------------------------------------------------------------------------------------------------


def group_sizes(rng: np.random.Generator, groups: int, spread: float, n: int = 300) -> np.ndarray:
    """Images of each group, lognormal, about n in all."""
    weights = rng.lognormal(0, spread, groups)
    return np.maximum(np.round(n * weights / weights.sum()).astype(int), 1)


def draw_grouped_share(rng: np.random.Generator, groups: int, spread: float, icc: float, accuracy: float) -> Drawn:
    """Each group has its own accuracy, of a beta distribution; two classes would be all that top-1 needs."""
    sizes = group_sizes(rng, groups, spread)
    total = 1 / icc - 1
    of_group = np.repeat(rng.beta(accuracy * total, (1 - accuracy) * total, groups), sizes)
    true = rng.integers(5, size=len(of_group))
    said = np.where(rng.random(len(true)) < of_group, true, (true + rng.integers(1, 5, len(true))) % 5)
    return class_scores(true, said, 5), np.repeat(np.arange(groups), sizes)


def draw_grouped_scores(rng: np.random.Generator, groups: int, spread: float, icc: float) -> Drawn:
    """Scores and errors are normal, each with a part that a group shares."""
    sizes = group_sizes(rng, groups, spread)
    group = np.repeat(np.arange(groups), sizes)

    def normal() -> np.ndarray:
        shared: np.ndarray = np.sqrt(icc) * rng.normal(size=groups)[group]
        return shared + np.sqrt(1 - icc) * rng.normal(size=len(group))

    true = normal()
    return score_scores(true, true + 0.5 * normal()), group


def group_cells() -> Iterator[Cell]:
    for spread in (0.8, 1.2):
        for icc in (0.1, 0.2):
            for groups in (5, 10, 20, 30):
                where = f"{groups} groups, spread {spread}, ICC {icc}"
                parts = {"groups": groups, "spread": spread, "icc": icc}
                for accuracy in (0.7, 0.9, 0.95, 0.99):
                    truth = {"top1": accuracy, "macro_f1": accuracy}  # all classes alike
                    draw = partial(draw_grouped_share, accuracy=accuracy, **parts)
                    if accuracy == 0.7:
                        yield Cell(f"{where}, top-1 {accuracy}", draw, truth)
                    else:
                        yield Cell(f"{where}, top-1 {accuracy}", draw, truth, high=1.0, no_bar=("macro_f1",))
                truth = {"mae": float(0.5 * np.sqrt(2 / np.pi)), "r2": 0.75}
                yield Cell(f"{where}, scores", partial(draw_grouped_scores, **parts), truth)


# -- the table --------------------------------------------------------------------------------------------------------

PARTS = {"classes": class_cells, "scores": score_cells, "groups": group_cells}


def coverage(cell: Cell, simulations: int, seed: int = 0) -> dict[str, float]:
    """Share of the simulated test sets whose interval contains the truth; one without an interval contains nothing."""
    hits = dict.fromkeys(cell.truth, 0)
    for number in range(simulations):
        samples, groups = cell.draw(np.random.default_rng((seed, number)))
        samples = replace(samples, functions={name: samples.functions[name] for name in cell.truth})
        values = samples.scores()
        for name, truth in cell.truth.items():
            found = interval_of(samples, name, values[name], groups).interval
            hits[name] += found is not None and found[0] <= truth <= found[1]
    return {name: count / simulations for name, count in hits.items()}


def lines(part: str, simulations: int, words: str) -> Iterator[tuple[str, bool]]:
    """Each cell in words, and whether it meets its bar. words: only of cells whose title has them."""
    if part == "wilson":
        yield from wilson_lines()
        return
    for cell in PARTS[part]():
        if words not in cell.title:
            continue
        for name, found in coverage(cell, simulations).items():
            bar = "" if name in cell.no_bar else f"{cell.low:.3f} to {cell.high:.3f}"
            yield f"{cell.title:<52} {name:<18} {found:.3f}  {bar}", not bar or cell.low <= found <= cell.high


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=2000, help="of each cell")
    parser.add_argument("--only", choices=("wilson", *PARTS), help="one part of the table")
    parser.add_argument("--cells", default="", help="only cells whose title has these words, for example 'top-1 0.9'")
    options = parser.parse_args()
    parts = (options.only,) if options.only else ("wilson", *PARTS)
    return show_missed(line for part in parts for line in lines(part, options.simulations, options.cells))


def show_missed(lines: Iterable[tuple[str, bool]]) -> int:
    """Print the lines of a table as they come, those that miss their bar marked; an exit code."""
    missed = 0
    for line, good in lines:
        print(line if good else f"{line}  MISSED", flush=True)
        missed += not good
    print(f"{missed} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
