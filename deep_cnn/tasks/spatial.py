"""What place has to do with errors: are those of neighbours alike, and what is left of a correlation within cities?"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deep_cnn.data.space import on_sphere
from deep_cnn.tasks.confidence import Floats, effective_groups, jackknife_interval
from deep_cnn.tasks.intervals import FEWEST_GROUPS
from deep_cnn.tasks.score_metrics import RegressionScores

Ints = NDArray[np.int64]

NEIGHBOURS = 8
PERMUTATIONS = 999
FEWEST = 20  # images: of fewer, eight neighbours are half of the map


def nearest(points: Floats, count: int) -> Ints:
    """The `count` nearest other points of each, (n, count), by distance on the sphere; coincident ones are the nearest.

    points: of `on_sphere`, (n, 3).
    """
    from scipy.spatial import cKDTree

    _, found = cKDTree(points).query(points, count + 1)
    found = found.reshape(len(points), count + 1)
    own = found == np.arange(len(points))[:, None]
    own[~own.any(axis=1), -1] = True  # among many coincident points it may not have found itself: the last one goes
    neighbours: Ints = found[~own].reshape(len(points), count)
    return neighbours


def moran(errors: Floats, places: Floats, groups: Ints | None = None, seed: int = 0) -> dict[str, Any] | None:
    """Moran's I of errors: 0 where neighbours are no more alike than others, up to 1 where they are the same.

    Moran, "Notes on continuous stochastic phenomena", 1950: 8 nearest neighbours of the same group, each weighing as much; p from 999
    permutations within groups, one-sided (Anselin, "Local indicators of spatial association", 1995).

    Args:
        errors: (n,). places: degrees (n, 2). groups: codes (n,); None for one group.

    Returns:
        morans_i, expected (-1 / (n - 1) under independence), p, count; None for too few images.
    """
    codes = np.zeros(len(errors), np.int64) if groups is None else groups
    points = on_sphere(places)
    rows, columns, weights = [], [], []
    for code in np.unique(codes):
        of_group = np.flatnonzero(codes == code)
        count = min(NEIGHBOURS, len(of_group) - 1)
        if count < 1:
            continue
        near = of_group[nearest(points[of_group], count)]
        rows.append(np.repeat(of_group, count))
        columns.append(near.ravel())
        weights.append(np.full(near.size, 1 / count))
    if not rows:
        return None
    row, column, weight = (np.concatenate(parts) for parts in (rows, columns, weights))
    used = np.unique(row)
    if len(used) < FEWEST or np.ptp(errors[used]) == 0:
        return None

    def statistic(values: Floats) -> float:
        z = values - values[used].mean()
        return float((weight * z[row] * z[column]).sum() / weight.sum() * len(used) / np.square(z[used]).sum())

    rng, found = np.random.default_rng(seed), statistic(errors)
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes[order] - codes.min()))[:-1]
    larger = 0
    for _ in range(PERMUTATIONS):
        shuffled = errors.copy()
        for members in np.split(order, ends):
            shuffled[members] = errors[rng.permutation(members)]
        larger += statistic(shuffled) >= found
    return {
        "morans_i": found,
        "expected": -1 / (len(used) - 1),
        "p": (larger + 1) / (PERMUTATIONS + 1),
        "count": len(used),
    }


def within_groups(true: Floats, said: Floats, groups: Ints, level: float = 0.95) -> dict[str, Any] | None:
    """R2 and Pearson of scores and predictions that are both centred in each group: the skill of telling groups apart is not in them.

    Intervals: jackknife over groups.

    Args:
        true, said: (n,). groups: codes (n,).
    """
    _, codes = np.unique(groups, return_inverse=True)
    sizes = np.bincount(codes)
    y, x = (values - (np.bincount(codes, values) / sizes)[codes] for values in (true, said))
    sums = {
        name: np.bincount(codes, values)
        for name, values in {"yy": y * y, "xx": x * x, "xy": x * y, "ee": (y - x) ** 2}.items()
    }
    metrics: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
        "r2": ("log(1 - x)", lambda s: 1 - s["ee"] / s["yy"]),
        "pearson": ("atanh", lambda s: s["xy"] / np.sqrt(s["xx"] * s["yy"])),
    }
    if len(sizes) < 2 or sums["yy"].sum() == 0 or sums["xx"].sum() == 0:
        return None
    result: dict[str, Any] = {"intervals": {}, "groups": len(sizes)}
    df = effective_groups(sizes) - 1
    for name, (scale, function) in metrics.items():
        value = float(function({key: part.sum() for key, part in sums.items()}))
        with np.errstate(all="ignore"):
            without = np.asarray(function({key: part.sum() - part for key, part in sums.items()}))
        result[name] = value
        enough = len(sizes) >= FEWEST_GROUPS
        result["intervals"][name] = jackknife_interval(value, without, df, scale, level) if enough else None
    return result


def spatial_result(samples: RegressionScores, places: Floats | None, groups: Ints | None) -> dict[str, Any]:
    """What test.json says of place, by target: `space` where coordinates are known, `within_groups` with --group.

    Args:
        places: degrees (n, 2), NaN where unknown. groups: codes (n,).
    """
    space, within = {}, {}
    for t, name in enumerate(samples.names):
        known = samples.known[t]
        true, said = samples.targets[t], samples.predictions[t]
        if groups is not None and known.sum() > 2:
            within[name] = within_groups(true[known], said[known], groups[known])
        if places is not None:
            there = known & ~np.isnan(places).any(axis=1)
            if there.sum() >= FEWEST:
                some = None if groups is None else groups[there]
                space[name] = moran((true - said)[there], places[there], some)
    found = {"within_groups": {n: v for n, v in within.items() if v}, "space": {n: v for n, v in space.items() if v}}
    return {name: values for name, values in found.items() if values}
