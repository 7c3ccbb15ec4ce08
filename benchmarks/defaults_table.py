"""The table of `benchmarks.defaults`: each side's mean on each set, and what the default loses to the others, paired by seed and image."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

DEFAULT = "default"
DRAWS = 2000
Units = np.ndarray  # (seeds, images): what one test image adds to the metric


def predictions_file(results: Path, name: str, seed: int, side: str) -> Path:
    return results.resolve().with_suffix("") / "predictions" / f"{name}-{seed}-{side.replace(' ', '_')}.csv"


def contributions(found: pd.DataFrame, metric: str) -> np.ndarray:
    """float64 (n,), of each test image, whose mean is the metric.

    Of top-1 whether it is right; of balanced accuracy the same, weighted by how rare its class is; of R2 one less its squared
    error in units of the test targets' variance.
    """
    if metric == "r2":
        true, said = found["target"].astype(float).to_numpy(), found["predicted"].astype(float).to_numpy()
        return 1 - (true - said) ** 2 / true.var()
    right = (found["target"].astype(str) == found["predicted"].astype(str)).to_numpy(float)
    if metric == "top1":
        return right
    counts = found["target"].map(found["target"].value_counts()).to_numpy(float)
    return right * len(found) / (counts * found["target"].nunique())


def score(found: pd.DataFrame, metric: str) -> float:
    return float(contributions(found, metric).mean())


def units(results: Path, name: str, metric: str, side: str, seeds: list[int]) -> Units:
    """Every seed's contributions, the images in the order of their names."""
    tables = [pd.read_csv(predictions_file(results, name, seed, side), keep_default_na=False) for seed in seeds]
    return np.stack([contributions(table.sort_values("file").reset_index(drop=True), metric) for table in tables])


def resampled(difference: Units, rng: np.random.Generator) -> np.ndarray:
    """float64 (DRAWS,): means of the difference over seeds and images that are drawn anew, both with replacement."""
    seeds, images = difference.shape
    means = []
    for _ in range(DRAWS):
        drawn = difference[rng.integers(seeds, size=seeds)] if seeds > 1 else difference
        means.append(drawn[:, rng.integers(images, size=images)].mean())
    return np.array(means)


def p_value(means: np.ndarray, reached: float) -> float:
    """Two-sided, that the difference is 0: from the standard deviation of its resampled means, by the normal distribution."""
    from scipy.stats import norm

    spread = means.std()
    return float(2 * norm.sf(abs(reached) / spread)) if spread > 0 else 1.0


def holm(values: list[float]) -> list[float]:
    """p values corrected for their number (Holm, 1979)."""
    order, corrected, highest = np.argsort(values), [0.0] * len(values), 0.0
    for rank, i in enumerate(order.tolist()):
        highest = max(highest, min(1.0, (len(values) - rank) * values[i]))
        corrected[i] = highest
    return corrected


def lines(results: Path) -> Iterator[str]:
    """The table as Markdown, then the differences of the default to each other side."""
    table = pd.read_csv(results).drop_duplicates(["set", "seed", "side"], keep="last")
    sides = list(dict.fromkeys(table["side"]))
    yield f"| set | {' | '.join(sides)} |"
    yield f"|---|{'---|' * len(sides)}"
    for name, rows in table.groupby("set", sort=False):
        cells = [_cell(rows[rows["side"] == side]) for side in sides]
        first = rows.iloc[0]
        yield f"| {name} ({first['train']} to train, {first['test']} to test; {first['metric']}) | {' | '.join(cells)} |"
    minutes = [f"{table.loc[table['side'] == side, 'seconds'].sum() / 60:.0f}" for side in sides]
    yield f"| minutes in all | {' | '.join(minutes)} |"
    yield ""
    if DEFAULT in sides:
        yield from _differences(results, table, [side for side in sides if side != DEFAULT])


def _cell(rows: pd.DataFrame) -> str:
    """Mean over seeds, with its standard error where there are several."""
    if rows.empty:
        return ""
    percent = rows["metric"].iloc[0] != "r2"
    values = rows["value"].to_numpy(float) * (100 if percent else 1)
    digits = 1 if percent else 3
    error = f" ± {values.std(ddof=1) / len(values) ** 0.5:.{digits}f}" if len(values) > 1 else ""
    return f"{values.mean():.{digits}f}{error}"


def _differences(results: Path, table: pd.DataFrame, others: list[str]) -> Iterator[str]:
    """The default minus each side, by set; then the mean shortfall to the best of them over all sets."""
    rng, found, shortfalls = np.random.default_rng(0), [], []
    for (name, metric), rows in table.groupby(["set", "metric"], sort=False):
        seeds = {side: set(rows.loc[rows["side"] == side, "seed"]) for side in (DEFAULT, *others)}
        differences = {}
        for side in others:
            if common := sorted(seeds[DEFAULT] & seeds[side]):
                pair = [units(results, name, metric, each, common) for each in (DEFAULT, side)]
                differences[side] = pair[0] - pair[1]
                means = resampled(differences[side], rng)
                found.append((name, side, differences[side].mean(), p_value(means, differences[side].mean())))
        if differences:
            best = min(differences, key=lambda side: differences[side].mean())
            means = resampled(differences[best], rng)
            shortfalls.append((name, metric, best, differences[best].mean(), means))
    corrected = holm([p for *_, p in found])
    worse = [(row, p) for row, p in zip(found, corrected, strict=True) if row[2] < 0 and p < 0.05]
    yield f"{len(found)} differences; significantly worse than another side (Holm, 5%): {len(worse)}"
    for (name, side, difference, _), p in worse:
        yield f"  {name}: {difference:+.3f} to {side}, p = {p:.3f}"
    for name, _, best, difference, _ in shortfalls:
        yield f"{name}: default minus the best other ({best}): {difference:+.3f}"
    for metric, unit, title in (("top1", 100, "accuracy, points"), ("r2", 1, "R2")):
        chosen = [row for row in shortfalls if (row[1] == "r2") == (metric == "r2")]
        if chosen:
            mean = -np.mean([row[3] for row in chosen]) * unit
            low, high = np.percentile(-np.mean([row[4] for row in chosen], axis=0) * unit, [2.5, 97.5])
            yield f"mean shortfall to the best other ({title}, {len(chosen)} sets): {mean:.3f} [{low:.3f}, {high:.3f}]"
