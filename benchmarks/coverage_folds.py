"""How often the intervals of a cross-validation contain the truth: ridge regression on features, where the truth is a formula.

    python -m benchmarks.coverage_folds              # 1,000 data sets a cell; some minutes
    python -m benchmarks.coverage_folds --sets=200

n = 200 images with d standard normal features, y = x w + noise of the same variance as x w, 5 folds, a fixed penalty. The truth is the
estimand of folds.json: the mean, over the K networks as trained, of the error on new images. With groups, each group has an effect on y
and on the mean of its features (intraclass correlation 0.1 each), sizes are lognormal (sd 0.8), and the truth is the error on images of new
groups. Classes are the sign of y.

Columns: coverage of the nominal 95%. "pooled": the interval that treats all n out-of-fold errors as independent, which is not used.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from deep_cnn.tasks.across_folds import difference_of_folds, fold_intervals, group_intervals
from deep_cnn.tasks.intervals import interval_of, intervals
from deep_cnn.tasks.metrics import ClassificationScores
from deep_cnn.tasks.regression import Regression
from deep_cnn.tasks.score_metrics import RegressionScores

N, FOLDS = 200, 5
BETWEEN = 0.1  # intraclass correlation of groups
METRICS = ("mae", "rmse", "r2", "pearson")


@dataclass(frozen=True)
class Fitted:
    """A cross-validated set. fold, y, predicted: (n,). truth: each network's true metrics, (K,) by name."""

    fold: np.ndarray
    y: np.ndarray
    predicted: np.ndarray
    truth: dict[str, np.ndarray]


def features(rng: np.random.Generator, n: int, d: int, groups: np.ndarray | None) -> np.ndarray:
    x = rng.normal(size=(n, d))
    if groups is None:
        return x
    return np.sqrt(1 - BETWEEN) * x + np.sqrt(BETWEEN) * rng.normal(size=(groups.max() + 1, d))[groups]


def cross_validated(
    rng: np.random.Generator, d: int, penalty: float, noise: float, groups: np.ndarray | None, classes: bool
) -> Fitted:
    n = N if groups is None else len(groups)
    w = rng.normal(size=d)
    w /= np.linalg.norm(w)
    x = features(rng, n, d, groups)
    error = rng.normal(size=n)
    if groups is not None:
        error = np.sqrt(1 - BETWEEN) * error + np.sqrt(BETWEEN) * rng.normal(size=groups.max() + 1)[groups]
    y = x @ w + noise * error
    y = np.sign(y) if classes else y
    fold = rng.permutation(n) % FOLDS if groups is None else (rng.permutation(groups.max() + 1) % FOLDS)[groups]
    predicted, weights = np.empty(n), []
    for k in range(FOLDS):
        train, test = fold != k, fold == k
        weights.append(np.linalg.solve(x[train].T @ x[train] + penalty * np.eye(d), x[train].T @ y[train]))
        predicted[test] = x[test] @ weights[-1]
    own = np.array(weights)  # (K, d)
    sd = np.sqrt(
        noise**2 + np.square(own - w).sum(1)
    )  # of each network's error on new images (of new groups: the same)
    variance = 1 + noise**2
    correlation = own @ w / np.linalg.norm(own, axis=1) / np.sqrt(variance)
    truth = {
        "mae": np.sqrt(2 / np.pi) * sd,
        "rmse": sd,
        "r2": 1 - sd**2 / variance,
        "pearson": correlation,
        "top1": 1 - np.arccos(correlation) / np.pi,
    }
    return Fitted(fold, y, predicted, truth)


def scored(set_: Fitted, rows: np.ndarray, classes: bool) -> ClassificationScores | RegressionScores:
    if classes:
        p = ndtr(set_.predicted[rows])
        return ClassificationScores.of(np.stack([1 - p, p], 1), (set_.y[rows] > 0).astype(int), ("low", "high"))
    task = Regression(("y",), "mse").fitted(set_.y[:, None])
    return task.scored_decoded(set_.predicted[rows, None], set_.y[rows, None])


def contains(interval: tuple[float, float] | None, truth: float) -> bool:
    return interval is not None and interval[0] <= truth <= interval[1]


def of_images(rng: np.random.Generator, sets: int, classes: bool, **how: float) -> dict[str, float]:
    names = ("top1",) if classes else METRICS
    found: dict[str, list[bool]] = {name: [] for name in (*names, *(f"{name} pooled" for name in names))}
    for _ in range(sets):
        set_ = cross_validated(rng, int(how["d"]), how["penalty"], how["noise"], None, classes)
        parts = [np.flatnonzero(set_.fold == k) for k in range(FOLDS)]
        per_fold = [{n: scored(set_, rows, classes).scores()[n] for n in names} for rows in parts]
        everything = scored(set_, np.arange(N), classes)
        ours = fold_intervals(per_fold, [len(rows) for rows in parts], independent=intervals(everything, None))
        whole = everything.scores()
        for name in names:
            found[name].append(contains(ours[name].interval, set_.truth[name].mean()))
            found[f"{name} pooled"].append(
                contains(interval_of(everything, name, whole[name]).interval, set_.truth[name].mean())
            )
    return {name: float(np.mean(hits)) for name, hits in found.items()}


def of_groups(
    rng: np.random.Generator, sets: int, number: int, d: int, penalty: float, classes: bool
) -> dict[str, float]:
    names = ("top1",) if classes else METRICS
    found: dict[str, list[bool]] = {name: [] for name in names}
    for _ in range(sets):
        sizes = np.maximum(2, np.round(rng.lognormal(sigma=0.8, size=number)))
        sizes = np.maximum(2, np.round(sizes * N / sizes.sum())).astype(int)
        set_ = cross_validated(rng, d, penalty, 1.0, np.repeat(np.arange(number), sizes), classes)
        groups = np.repeat(np.arange(number), sizes)
        everything = scored(set_, np.arange(len(groups)), classes)
        share = np.array([(set_.fold == k).mean() for k in range(FOLDS)])  # images count alike
        ours = group_intervals(everything, groups, FOLDS)
        for name in names:
            found[name].append(contains(ours[name].interval, float(set_.truth[name] @ share)))
    return {name: float(np.mean(hits)) for name, hits in found.items()}


def of_differences(rng: np.random.Generator, sets: int, d: int) -> float:
    """Two recipes, ridge on two halves of 2 d features: how often the interval contains the networks' true difference of MAE."""
    found = []
    for _ in range(sets):
        w = rng.normal(size=2 * d) / np.sqrt(2 * d)
        x = rng.normal(size=(N, 2 * d))
        y = x @ w + rng.normal(size=N)
        fold = rng.permutation(N) % FOLDS
        measured, true = [], []
        for columns in (slice(0, d), slice(d, 2 * d)):
            mae, sd = [], []
            for k in range(FOLDS):
                a, b = x[fold != k, columns], x[fold == k, columns]
                own = np.linalg.solve(a.T @ a + 10 * np.eye(d), a.T @ y[fold != k])
                mae.append(float(np.abs(b @ own - y[fold == k]).mean()))
                sd.append(
                    np.sqrt(1 + np.square(w).sum() - np.square(w[columns]).sum() + np.square(own - w[columns]).sum())
                )
            measured.append(mae)
            true.append(np.sqrt(2 / np.pi) * np.mean(sd))
        difference = difference_of_folds(*measured)
        found.append(contains(difference.interval if difference else None, float(true[0] - true[1])))
    return float(np.mean(found))


def table(sets: int) -> Iterator[str]:
    yield f"{sets} sets a cell, nominal 95%"
    for d in (10, 50, 128):
        for penalty in (1.0, 10.0, 100.0):
            rng = np.random.default_rng([d, int(penalty)])
            yield line(
                f"ridge, d = {d}, penalty {penalty:g}", of_images(rng, sets, False, d=d, penalty=penalty, noise=1.0)
            )
    for d, noise in ((10, 0.03), (10, 0.3), (50, 0.5)):
        rng = np.random.default_rng([d, int(100 * noise)])
        yield line(f"two classes, d = {d}, noise {noise:g}", of_images(rng, sets, True, d=d, penalty=1.0, noise=noise))
    for number in (10, 20, 30):
        for d in (10, 50):
            rng = np.random.default_rng([number, d])
            yield line(f"{number} groups, d = {d}", of_groups(rng, sets, number, d, 10.0, False))
        yield line(
            f"{number} groups, d = 10, two classes",
            of_groups(np.random.default_rng(number), sets, number, 10, 10.0, True),
        )
    for d in (10, 50):
        yield f"difference of two recipes, d = {d}: mae {of_differences(np.random.default_rng(d), sets, d):.3f}"


def line(title: str, found: dict[str, float]) -> str:
    return f"{title:36}" + "  ".join(f"{name} {share:.3f}" for name, share in found.items())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=1000)
    for text in table(parser.parse_args().sets):
        print(text, flush=True)
