"""How often prediction intervals and sets (predict --coverage) contain the truth of new images, by simulation.

    python -m benchmarks.conformal                # 500 calibrations of each cell: some minutes on one core
    python -m benchmarks.conformal --sets=100

Each cell draws a calibration set, makes the rule that `predict --coverage=0.9` would use, and measures the share of fresh images whose region
contains the truth. "5%" is the coverage that 95% of the calibrations reach. Widths (or sizes of sets) stand beside an oracle's, who knows
the distribution of the errors (or the true probabilities). Exit code 1 if a cell misses its bar.

scores, images      errors normal, or lognormal (heavy tails), of spread that differs from image to image
scores, groups      a group shifts its errors (intraclass correlation 0.1 or 0.2); sizes lognormal (sd 0.8); new images are of new groups;
                    unequal spread: the log of groups' standard deviations has an sd of 0.4
classes             probabilities of 5 or 10 classes, over-confident by a factor of 1.5 before the temperature is fitted on the same set
folds               ridge regression on 20 features, 5 folds, CV+; the network is the mean of the five
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.special import ndtri

from benchmarks.coverage import show_missed
from deep_cnn.tasks.classification import Classification
from deep_cnn.tasks.conformal import Calibration, Rule, interval_rule, set_rule

LEVEL = 0.9
FRESH = 2000  # images that measure one calibration's coverage
Errors = Callable[[np.random.Generator, int], np.ndarray]


@dataclass(frozen=True)
class Measured:
    """Of one calibration: its coverage of fresh images, the mean width or size of its regions, and an oracle's."""

    coverage: float
    width: float
    oracle: float
    method: str


@dataclass(frozen=True)
class Cell:
    """What is drawn, and between which values mean coverage and its 5% quantile over calibrations have to be."""

    title: str
    measure: Callable[[np.random.Generator], Measured]
    low: float
    high: float = 1.0
    quantile: float = 0.0


def normal(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.normal(size=n) * rng.uniform(0.5, 1.5, n)


def lognormal(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.choice([-1, 1], n) * rng.lognormal(0, 1, n)


def rule_of(errors: np.ndarray, groups: np.ndarray | None) -> Rule:
    rule = interval_rule([Calibration(errors[:, None], groups, "")], LEVEL)
    assert isinstance(rule, Rule), rule
    return rule


def of_images(rng: np.random.Generator, n: int, errors: Errors) -> Measured:
    rule = rule_of(errors(rng, n), None)
    fresh = errors(rng, FRESH)
    low, high = rule.bounds(np.zeros((1, FRESH)))
    hits = (low <= fresh) & (fresh <= high)
    oracle = 2 * float(np.quantile(np.abs(errors(np.random.default_rng(0), 200_000)), LEVEL))
    return Measured(float(hits.mean()), float((high - low).mean()), oracle, rule.method)


def sizes_of(rng: np.random.Generator, number: int) -> np.ndarray:
    return np.maximum(2, np.round(rng.lognormal(np.log(25), 0.8, number))).astype(int)


def group_errors(rng: np.random.Generator, sizes: np.ndarray, icc: float) -> tuple[np.ndarray, np.ndarray]:
    groups = np.repeat(np.arange(len(sizes)), sizes)
    shifts = np.sqrt(icc) * rng.normal(size=len(sizes))
    return shifts[groups] + np.sqrt(1 - icc) * rng.normal(size=len(groups)), groups


def of_groups(rng: np.random.Generator, number: int, icc: float, spread: float = 0.0) -> Measured:
    """spread: sd of the log of groups' standard deviations."""
    errors, groups = group_errors(rng, sizes_of(rng, number), icc)
    rule = rule_of(errors * np.exp(spread * rng.normal(size=number))[groups], groups)

    def fresh(of: np.random.Generator, n: int) -> np.ndarray:  # each image of another new group
        drawn: np.ndarray = group_errors(of, np.full(n, 1), icc)[0] * np.exp(spread * of.normal(size=n))
        return drawn

    new = fresh(rng, FRESH)
    low, high = rule.bounds(np.zeros((1, FRESH)))
    hits = (low <= new) & (new <= high)
    oracle = 2 * float(np.quantile(np.abs(fresh(np.random.default_rng(0), 200_000)), LEVEL))
    return Measured(float(hits.mean()), float((high - low).mean()), oracle, rule.method)


def drawn_classes(rng: np.random.Generator, n: int, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    right = 2 * rng.normal(size=(n, classes))
    p = np.exp(right) / np.exp(right).sum(axis=1, keepdims=True)
    targets = (p.cumsum(axis=1) > rng.random(n)[:, None]).argmax(axis=1)
    return p, (1.5 * right).astype(np.float32), targets


def of_classes(rng: np.random.Generator, n: int, classes: int) -> Measured:
    task = Classification(tuple(map(str, range(classes))), "cross_entropy")
    _, outputs, targets = drawn_classes(rng, n, classes)
    task = task.calibrated(outputs, targets)
    calibration = Calibration(task.calibration_errors(task.decode(outputs), targets), None, "")
    rule = set_rule([calibration], LEVEL)
    assert isinstance(rule, Rule), rule
    p, outputs, targets = drawn_classes(rng, FRESH, classes)
    members = rule.members(task.decode(outputs)[None])
    oracle = p >= cut_of_oracle(classes)
    return Measured(
        float(members[np.arange(FRESH), targets].mean()),
        float(members.sum(axis=1).mean()),
        float(oracle.sum(axis=1).mean()),
        rule.method,
    )


def cut_of_oracle(classes: int) -> float:
    """The probability from which on true probabilities make the smallest sets that cover."""
    p = drawn_classes(np.random.default_rng(0), 50_000, classes)[0].ravel()
    p = np.sort(p)[::-1]
    return float(p[np.searchsorted(np.cumsum(p) / p.sum(), LEVEL)])


def of_folds(rng: np.random.Generator, n: int, groups: int | None) -> Measured:
    d, folds = 20, 5
    w = rng.normal(size=d) / np.sqrt(d)

    def drawn(size: int, of: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        x = rng.normal(size=(size, d))
        shift = 0.0 if of is None else np.sqrt(0.2) * rng.normal(size=of.max() + 1)[of]
        return x, x @ w + shift + (1 if of is None else np.sqrt(0.8)) * rng.normal(size=size)

    code = None if groups is None else np.arange(n) % groups
    x, y = drawn(n, code)
    fold = rng.permutation(n) % folds if code is None else code % folds
    calibrations, weights = [], []
    for k in range(folds):
        train, test = fold != k, fold == k
        weights.append(np.linalg.solve(x[train].T @ x[train] + 5 * np.eye(d), x[train].T @ y[train]))
        errors = (y[test] - x[test] @ weights[-1])[:, None]
        calibrations.append(Calibration(errors, None if code is None else code[test], ""))
    rule = interval_rule(calibrations, LEVEL)
    assert isinstance(rule, Rule), rule
    fresh_x, fresh_y = drawn(FRESH, None if groups is None else np.arange(FRESH))
    low, high = rule.bounds(np.stack([fresh_x @ of_fold for of_fold in weights]))
    hits = (low <= fresh_y) & (fresh_y <= high)
    return Measured(float(hits.mean()), float((high - low).mean()), float(2 * ndtri((1 + LEVEL) / 2)), rule.method)


def cells() -> Iterator[Cell]:
    for name, errors in (("normal", normal), ("lognormal", lognormal)):
        for n in (100, 300, 1000):
            low, high = (0.88, 0.92) if n >= 300 else (0.88, 1.0)
            yield Cell(f"scores, {name} errors, n = {n}", partial(of_images, n=n, errors=errors), low, high)
    for number in (5, 10, 20, 40):
        for icc in (0.1, 0.2):
            title = f"scores, {number} groups, intraclass correlation {icc}"
            yield Cell(title, partial(of_groups, number=number, icc=icc), 0.90, 1.0, 0.85)
    for number in (5, 10, 20, 40):
        measure = partial(of_groups, number=number, icc=0.2, spread=0.4)
        yield Cell(f"scores, {number} groups of unequal spread", measure, 0.90, 1.0, 0.85)
    for classes in (5, 10):
        for n in (300, 1000):
            yield Cell(f"{classes} classes, n = {n}", partial(of_classes, n=n, classes=classes), 0.88)
    for n in (100, 300):
        yield Cell(f"scores, 5 folds of {n} images", partial(of_folds, n=n, groups=None), 0.88)
    for number in (10, 25):
        yield Cell(f"scores, 5 folds of {number} groups", partial(of_folds, n=300, groups=number), 0.90)


def lines(sets: int, only: str) -> Iterator[tuple[str, bool]]:
    for number, cell in enumerate(cells()):
        if only not in cell.title:
            continue
        rng = np.random.default_rng(number)
        found = [cell.measure(rng) for _ in range(sets)]
        mean = float(np.mean([one.coverage for one in found]))
        fifth = float(np.quantile([one.coverage for one in found], 0.05))
        width, oracle = (float(np.mean([getattr(one, name) for one in found])) for name in ("width", "oracle"))
        good = cell.low <= mean <= cell.high and fifth >= cell.quantile
        yield (
            f"{cell.title:<46} {found[0].method:<40} mean {mean:.3f}  5% {fifth:.3f}  width {width:.2f}  oracle {oracle:.2f}",
            good,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=500, help="calibrations of each cell")
    parser.add_argument("--only", default="", help="cells whose title has these words")
    options = parser.parse_args()
    return show_missed(lines(options.sets, options.only))


if __name__ == "__main__":
    sys.exit(main())
