"""How far the numbers of a test set can be trusted: bootstrap intervals, and the same metrics group by group.

held_out_result(ClassificationScores.of(probabilities, targets, classes), seed)  # all that test.json says
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from deep_cnn.runtime.rng import number
from deep_cnn.tasks.metrics import SampleScores, Scores


def bootstrap_intervals(
    compute: Callable[[np.ndarray], Scores],
    n: int,
    *,
    groups: np.ndarray | None = None,
    seed: int,
    repeats: int = 1000,
    level: float = 0.95,
) -> dict[str, tuple[float, float] | None]:
    """Percentile intervals (Efron and Tibshirani 1993, chapter 13): how far a metric moves with another test set.

    Args:
        compute: sample numbers (any length, with repeats) -> metrics, None where undefined.
        n: number of samples.
        groups: codes (n,): whole groups are drawn instead of samples, since the images of one place are no independent
            witnesses.
        level: share of the repeats within the interval.

    Returns:
        {metric: (low, high)}, over the repeats in which it is defined; None where it is undefined in more than half of
        them, and for a single sample or group, whose interval of width 0 would claim certainty.
    """
    rng = np.random.default_rng(number(seed, "bootstrap"))
    resample = _sample_resampler(n) if groups is None else _group_resampler(groups)
    rows = [compute(resample(rng)) for _ in range(repeats)]
    units = n if groups is None else len(np.unique(groups))
    intervals: dict[str, tuple[float, float] | None] = {}
    for name in rows[0]:
        values = np.array([row[name] for row in rows if row[name] is not None])
        intervals[name] = None
        if units > 1 and 2 * len(values) >= repeats:
            low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
            intervals[name] = (float(low), float(high))
    return intervals


def _sample_resampler(n: int) -> Callable[[np.random.Generator], np.ndarray]:
    return lambda rng: rng.integers(n, size=n)


def _group_resampler(groups: np.ndarray) -> Callable[[np.random.Generator], np.ndarray]:
    members, first, sizes = _members(groups)

    def resample(rng: np.random.Generator) -> np.ndarray:
        drawn = rng.integers(len(first), size=len(first))
        ends = np.cumsum(sizes[drawn])
        within = np.arange(ends[-1]) - np.repeat(ends - sizes[drawn], sizes[drawn])  # 0, 1, ... in each drawn group
        chosen: np.ndarray = members[np.repeat(first[drawn], sizes[drawn]) + within]
        return chosen

    return resample


def _members(groups: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sample numbers sorted by group (n,), and where each group begins and how many it has (G,)."""
    groups = np.asarray(groups)
    members = np.argsort(groups, kind="stable")
    _, first, sizes = np.unique(groups[members], return_index=True, return_counts=True)
    return members, first, sizes


def per_group(
    compute: Callable[[np.ndarray], Scores], groups: np.ndarray, group_names: Sequence[str]
) -> dict[str, Any]:
    """{name of each group that has samples: {count, its metrics}}, in the order of the codes (n,)."""
    members, first, sizes = _members(groups)
    result = {}
    for begin, size in zip(first, sizes, strict=True):
        indices = members[begin : begin + size]
        result[group_names[groups[indices[0]]]] = {"count": int(size), **nested(compute(indices))}
    return result


def held_out_result(
    samples: SampleScores,
    seed: int,
    *,
    groups: np.ndarray | None = None,
    group_names: Sequence[str] = (),
    repeats: int = 1000,
    level: float = 0.95,
) -> dict[str, Any]:
    """What test.json says of a test set: `samples.metrics()`, their intervals, and the metrics of each group.

    Args:
        groups: codes (n,) into group_names, of these samples; None without --group.

    Returns:
        count, all of samples.metrics(), intervals {metric: (low, high) or None} with {per_target: {name: ...}} for
        regression, bootstrap {level, repeats, resampled: "images" | "groups"}; with groups also number_of_groups and
        per_group {name: {count, metrics}}.
    """
    intervals = bootstrap_intervals(
        samples.scores, len(samples), groups=groups, seed=seed, repeats=repeats, level=level
    )
    result = {
        "count": len(samples),
        **samples.metrics(),
        "intervals": nested(intervals),
        "bootstrap": {"level": level, "repeats": repeats, "resampled": "images" if groups is None else "groups"},
    }
    if groups is not None:
        groups_found = per_group(samples.scores, groups, group_names)
        result |= {"number_of_groups": len(groups_found), "per_group": groups_found}
    return result


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """{"mae": a, "price/mae": b} -> {"mae": a, "per_target": {"price": {"mae": b}}}."""
    result: dict[str, Any] = {}
    for key, value in flat.items():
        name, slash, metric = key.rpartition(
            "/"
        )  # from the right: a column's name may have a slash, a metric's has none
        place = result.setdefault("per_target", {}).setdefault(name, {}) if slash else result
        place[metric] = value
    return result
