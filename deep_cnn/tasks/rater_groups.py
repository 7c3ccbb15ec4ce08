"""How well scores fit the ratings of each subgroup of raters, and whether they fit one better than another."""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np

from deep_cnn.data.rater_groups import RaterGroups
from deep_cnn.tasks.differences import differences
from deep_cnn.tasks.intervals import intervals, nested
from deep_cnn.tasks.metrics import Scored

FEWEST = 20  # images: of fewer, an interval of a correlation spans half of its range
ALL_PAIRS = 5  # subgroups: of more, each is compared with the one that has most ratings

Scoring = Callable[[np.ndarray, np.ndarray], Scored]


def rater_group_result(
    scores: Scoring, predicted: np.ndarray, ratings: RaterGroups, groups: np.ndarray | None = None
) -> dict[str, Any]:
    """What external.json says of subgroups of raters.

    Args:
        scores: (predicted, true), (n, T) each -> what has the metrics.
        predicted: decoded, float64 (N, T). ratings: of the same images. groups: of images, codes (N,), as --group.

    Returns:
        column; per_group {name: {count, ratings, metrics, intervals}}; left_out {name: images}, of subgroups with fewer than 20
        images; differences [{of, less, count, ratings_per_image, metrics {name: {value, interval, p}}}], each on the images that
        both have rated.
    """
    images = {name: _rated(ratings, g) for g, name in enumerate(ratings.names)}
    enough = {name: rows for name, rows in images.items() if len(rows) >= FEWEST}
    per_group = {}
    for name, rows in enough.items():
        g = ratings.names.index(name)
        found = scores(predicted[rows], ratings.means[rows, g])
        estimates = intervals(found, None if groups is None else groups[rows])
        per_group[name] = {
            "count": len(rows),
            "ratings": int(ratings.counts[rows, g].max(axis=1).sum()),
            **nested(found.scores()),
            "intervals": nested({metric: estimate.interval for metric, estimate in estimates.items()}),
        }
    return {
        "column": ratings.column,
        "per_group": per_group,
        "left_out": {name: len(rows) for name, rows in images.items() if name not in enough},
        "differences": [
            _difference(scores, predicted, ratings, pair, groups) for pair in _pairs(list(per_group), per_group)
        ],
    }


def _rated(ratings: RaterGroups, *groups: int) -> np.ndarray:
    """Positions of the images that all of these subgroups have rated in some target."""
    known: np.ndarray = np.all(~np.isnan(ratings.means[:, list(groups)]), axis=1)  # (N, T)
    return np.flatnonzero(np.any(known, axis=1))


def _pairs(names: list[str], per_group: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
    if len(names) <= ALL_PAIRS:
        return list(combinations(names, 2))
    most = max(names, key=lambda name: per_group[name]["ratings"])
    return [(name, most) for name in names if name != most]


def _difference(
    scores: Scoring,
    predicted: np.ndarray,
    ratings: RaterGroups,
    pair: tuple[str, str],
    groups: np.ndarray | None,
) -> dict[str, Any]:
    """Metrics of one subgroup minus those of another, on the images and targets that both have rated."""
    one, two = (ratings.names.index(name) for name in pair)
    rows = _rated(ratings, one, two)
    found: dict[str, Any] = {"of": pair[0], "less": pair[1], "count": len(rows), "metrics": {}}
    if len(rows) < FEWEST:
        return found
    both = ~np.isnan(ratings.means[rows, one]) & ~np.isnan(ratings.means[rows, two])  # (n, T)
    ours, theirs = (scores(predicted[rows], np.where(both, ratings.means[rows, g], np.nan)) for g in (one, two))
    per_image = [float(ratings.counts[rows, g][both].mean()) for g in (one, two)]
    metrics = differences(ours, theirs, None if groups is None else groups[rows])
    return found | {"ratings_per_image": per_image, "metrics": metrics}
