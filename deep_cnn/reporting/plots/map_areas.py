"""Which test images share a map, and where they are on it in metres."""

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deep_cnn.data.space import RADIUS, chord_of, on_sphere

Floats = NDArray[np.float64]

APART = 20_000.0  # m: images with a gap of so much between them are of two cities,
GAPS = 10.0  # or with one of so many usual distances to the nearest image: points spread over a country are one map
FEWEST = 10  # images of a map; fewer show no pattern
GRID_CELL = re.compile(r"-?\d+:-?\d+")  # a group's name with --group=grid:500m
NAMED = 0.2  # of an area's images: groups with as many give it its name


@dataclass(frozen=True)
class Sites:
    """Where test images are. places: degrees (N, 2), NaN where unknown; names: of city or group, object (N,), "" where unknown."""

    places: Floats
    names: NDArray[np.object_]


@dataclass(frozen=True)
class MapArea:
    """One map. members: positions among the sites, int64 (n,); x, y: metres east and north of its middle, float64 (n,)."""

    name: str
    members: NDArray[np.int64]
    x: Floats
    y: Floats


def map_areas(sites: Sites) -> list[MapArea]:
    """The areas of a set of images, that with the most images first; where none has ten, all images are one area.

    Those without coordinates are in none.
    """
    known = np.flatnonzero(np.isfinite(sites.places).all(axis=1))
    if len(known) < FEWEST:
        return []
    code = clusters(sites.places[known])
    if np.bincount(code).max() < FEWEST:
        code = np.zeros_like(code)
    order = np.argsort(-np.bincount(code), kind="stable")
    return [_area(sites, known[code == c]) for c in order.tolist()]


def clusters(places: Floats) -> NDArray[np.int64]:
    """A code for each place, int64 (N,): two have the same one if a chain of places without a wide gap links them.

    Places are first rounded to cells of a quarter of the gap, so that the pairs of 20,000 images in one city need not be listed.

    Args:
        places: degrees (N, 2), all known.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    points = on_sphere(places)
    distinct = np.unique(points, axis=0)
    if len(distinct) < 2:
        return np.zeros(len(places), dtype=np.int64)
    nearest, _ = cKDTree(distinct).query(distinct, 2)
    gap = max(chord_of(APART), GAPS * float(np.median(nearest[:, 1])))
    cells, cell = np.unique(np.floor(points / (gap / 4)), axis=0, return_inverse=True)
    counts = np.bincount(cell.ravel())
    middles = np.stack([np.bincount(cell.ravel(), axis) / counts for axis in points.T], axis=1)
    pairs = cKDTree(middles).query_pairs(gap, output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(cells), len(cells)))
    _, code = connected_components(links, directed=False)
    found: NDArray[np.int64] = code[cell.ravel()].astype(np.int64)
    return found


def _area(sites: Sites, members: NDArray[np.int64]) -> MapArea:
    latitude, longitude = sites.places[members].T
    east = np.radians(longitude)  # their mean direction: 179 and -179 degrees are neighbours
    middle = np.degrees(np.arctan2(np.sin(east).mean(), np.cos(east).mean()))
    longitude = (longitude - middle + 180) % 360 - 180
    latitude0, longitude0 = ((values.min() + values.max()) / 2 for values in (latitude, longitude))
    x = RADIUS * np.cos(np.radians(latitude0)) * np.radians(longitude - longitude0)
    y = RADIUS * np.radians(latitude - latitude0)
    where = _degrees(float(latitude0), float((longitude0 + middle + 180) % 360 - 180))
    return MapArea(_name(sites.names[members].tolist()) or where, members, x, y)


def _name(names: list[str]) -> str:
    """That of the city or group with most images; of two that share the area, both; '' where there is none."""
    counts = Counter(name for name in names if name and not GRID_CELL.fullmatch(name))
    common = [name for name, count in counts.most_common(3) if count >= NAMED * len(names)]
    return " and ".join(common) if len(common) < 3 else ""


def _degrees(latitude: float, longitude: float) -> str:
    """'48.02° N, 11.51° E'."""
    return f"{abs(latitude):.2f}° {'NS'[latitude < 0]}, {abs(longitude):.2f}° {'EW'[longitude < 0]}"


def round_bar(width: float) -> float:
    """The length of a scale bar, metres: 1, 2 or 5 times a power of ten, at most a third of the map's width."""
    power = 10.0 ** np.floor(np.log10(width / 3))
    return float(next(step * power for step in (5, 2, 1) if step * power <= width / 3 * (1 + 1e-9)))
