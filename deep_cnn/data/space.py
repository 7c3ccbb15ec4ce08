"""Where images were taken: coordinates from a table or from Place Pulse's names, grid cells as groups, distances on the sphere."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deep_cnn.data.cells import coordinate
from deep_cnn.data.place_pulse import name_parts
from deep_cnn.data.table import Table
from deep_cnn.runtime.errors import DataError
from deep_cnn.runtime.format import plural
from deep_cnn.runtime.rng import permutation

Floats = NDArray[np.float64]

LATITUDES, LONGITUDES = ("latitude", "lat"), ("longitude", "lon", "lng", "long")
RADIUS = 6_371_008.8  # m, of the sphere with the Earth's mean radius
VARIOGRAM_IMAGES = 3000  # pairs of so many, 4.5 million, are enough for a curve
LAGS = 24
CELL_RANGES = 2.5  # a cell of so many ranges: nearly all of it is unlike what lies in other cells


def place_columns(table: Table) -> list[str]:
    """The columns of latitude and longitude, those that are there."""
    columns = {str(c).strip().lower(): str(c) for c in table.frame.columns}
    found = (next((columns[name] for name in names if name in columns), None) for names in (LATITUDES, LONGITUDES))
    return [name for name in found if name is not None]


def places_of(table: Table | None, paths: Sequence[str], needed: bool = False) -> Floats | None:
    """Latitude and longitude of each image in degrees, float64 (N, 2), NaN where unknown; None where nothing says them.

    Args:
        table: its rows belong to the images; None: the names alone.
        needed: whether columns that are no coordinates are a mistake; else they are columns of something else.

    Raises:
        DataError: a coordinate that is none.
    """
    if table is not None and len(found := place_columns(table)) == 2:
        try:
            read = [_degrees(table, name, limit) for name, limit in zip(found, (90.0, 180.0), strict=True)]
        except DataError:
            if needed:
                raise
            return None
        return np.stack(read, axis=1)
    parts = [name_parts(path) for path in paths]
    if not parts or not all(parts):
        return None
    cells = [[coordinate(part[k], limit) for k, limit in ((0, 90.0), (1, 180.0))] for part in parts if part]
    if any(value is None for row in cells for value in row):
        return None  # four words in a name that are no place
    return np.array(cells, dtype=np.float64)


def _degrees(table: Table, column: str, limit: float) -> Floats:
    cells = table.column(column, "--metadata")
    values = [coordinate(cell, limit) for cell in cells]
    for row, value in enumerate(values):
        if value is None:
            raise DataError(
                f"--metadata={table.name}: {column} is {cells[row]!r} in line {table.frame.index[row]}, no coordinate (degrees "
                f"between -{limit:g} and {limit:g})"
            )
    return np.array(values, dtype=np.float64)


def place_cells(places: Floats) -> list[list[float | None]]:
    """Rows of a table, (N, 2): None where a place is not known."""
    return [[None if np.isnan(value) else value for value in place] for place in places.tolist()]


def about_places(places: Floats | None) -> list[str]:
    """A line about images at latitude 0 and longitude 0, where many programs put what has no place."""
    lost = 0 if places is None else int((places == 0).all(axis=1).sum())
    if not lost:
        return []
    return [
        f"{plural(lost, 'image')} at latitude 0, longitude 0; where this means that the place is not known, leave the cells empty"
    ]


def extent(places: Floats) -> float:
    """The diagonal of the box around all places, degrees (N, 2), in metres."""
    return float(metres(np.array([np.linalg.norm(np.ptp(on_sphere(places), axis=0))]))[0])


def check_places(places: Floats | None, flag: str) -> Floats:
    """The places, all of them known; DataError otherwise. flag: what needs them, as given."""
    if places is None:
        raise DataError(
            f"{flag}: needs coordinates; the table has no columns latitude and longitude, and the files are not named "
            "LAT_LON_ID_CITY.JPG"
        )
    if unknown := int(np.isnan(places).any(axis=1).sum()):
        raise DataError(
            f'{flag}: {plural(unknown, "image", "have")} no coordinates; fill the cells, or exclude these rows with --where="COLUMN!=", with the '
            "table's column of latitudes"
        )
    return places


def grid_cells(places: Floats, side: float) -> NDArray[np.str_]:
    """The cell of each image, text (N,): rows of equal latitude, in each of which cells have the same width in metres.

    Args:
        places: degrees (N, 2). side: metres.
    """
    step = np.degrees(side / RADIUS)
    rows = np.floor(places[:, 0] / step).astype(np.int64)
    width = step / np.maximum(np.cos(np.radians((rows + 0.5) * step)), 1e-6)
    columns = np.floor(places[:, 1] / width).astype(np.int64)
    return np.char.add(np.char.add(rows.astype(str), ":"), columns.astype(str))


def on_sphere(places: Floats) -> Floats:
    """Points on the unit sphere, (N, 3), whose straight distance orders pairs as their distance on the ground does."""
    latitude, longitude = np.radians(places).T
    return np.stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)], axis=1
    )


def metres(chord: Floats) -> Floats:
    """Distance on the ground of points whose straight distance on the unit sphere is `chord`."""
    return 2 * RADIUS * np.arcsin(np.clip(chord / 2, 0, 1))


def chord_of(length: float) -> float:
    """The inverse of `metres`."""
    return float(2 * np.sin(min(length / (2 * RADIUS), np.pi / 2)))


def nearer_than(places: Floats, others: Floats, length: float) -> NDArray[np.bool_]:
    """Which places, degrees (N, 2), are at most `length` metres from one of the others (M, 2)."""
    from scipy.spatial import cKDTree

    if not len(others) or not len(places):
        return np.zeros(len(places), dtype=bool)
    distance, _ = cKDTree(on_sphere(others)).query(
        on_sphere(places), distance_upper_bound=chord_of(length) * (1 + 1e-12)
    )
    return np.isfinite(distance)


@dataclass(frozen=True)
class Variogram:
    """How unlike scores are with distance. range: metres, within which they are alike; share: of the variance that place explains."""

    range: float
    share: float


def variogram(places: Floats, values: Floats, seed: int = 0) -> Variogram | None:
    """Fit an exponential variogram to half the mean squared difference of pairs, by distance; None where none fits.

    Least squares weighted by the number of pairs over the squared distance (Pebesma, "Multivariable geostatistics in S: the gstat package",
    2004), so that the many far pairs do not hide the near ones. Cressie, "Statistics for spatial data", 1993. The range is the practical one, at which 95% of the sill is reached.

    Args:
        places: degrees (N, 2). values: (N,), NaN where unknown.
    """
    from scipy.optimize import curve_fit

    known = np.flatnonzero(~np.isnan(values) & ~np.isnan(places).any(axis=1))
    known = known[permutation(seed, 0, len(known), "variogram")][:VARIOGRAM_IMAGES]
    if len(known) < 50 or np.ptp(values[known]) == 0:
        return None
    points, z = on_sphere(places[known]), values[known]
    i, j = np.triu_indices(len(known), 1)
    distance = metres(np.sqrt(np.square(points[i] - points[j]).sum(axis=1)))
    squared = np.square(z[i] - z[j]) / 2
    spread = float(np.var(z))
    farthest = float(np.quantile(distance, 0.5))
    nearest = float(np.quantile(distance, 0.0005)) or 1.0
    edges = np.geomspace(max(nearest, 1.0), max(farthest, 2.0), LAGS + 1)
    lag = np.searchsorted(edges, distance) - 1
    inside = (lag >= 0) & (lag < LAGS)
    counts = np.bincount(lag[inside], minlength=LAGS)
    used = counts >= 30
    if used.sum() < 5:
        return None
    height = np.bincount(lag[inside], squared[inside], LAGS)[used] / counts[used] / spread
    where = np.bincount(lag[inside], distance[inside], LAGS)[used] / counts[used]

    def model(h: Floats, nugget: float, sill: float, reach: float) -> Floats:
        return nugget + sill * (1 - np.exp(-3 * h / reach))

    bounds = ([0.0, 0.0, float(edges[0])], [2.0, 3.0, float(edges[-1])])
    try:
        (nugget, sill, reach), _ = curve_fit(
            model,
            where,
            height,
            p0=(0.5, 0.5, float(np.sqrt(edges[0] * edges[-1]))),
            bounds=bounds,
            sigma=where / np.sqrt(counts[used]),
        )
    except (RuntimeError, ValueError):  # no fit: that is an answer, too
        return None
    share = sill / (nugget + sill) if nugget + sill > 0 else 0.0
    at_end = reach > 0.95 * edges[-1]  # still rising at the farthest pairs: a trend, or nothing
    return Variogram(float(reach), float(share)) if share > 0.1 and not at_end else None


def round_length(length: float) -> str:
    """'450 m' or '1.5 km': two significant digits."""
    digits = int(np.floor(np.log10(max(length, 1.0))))
    rounded = round(length, 1 - digits)
    return f"{rounded / 1000:g} km" if rounded >= 1000 else f"{rounded:g} m"


def advice(places: Floats, values: Floats, name: str) -> str | None:
    """A line about how far scores are alike, and the cell and buffer that follow from it."""
    found = variogram(places, values)
    if found is None:
        return None
    cell, buffer = round_length(CELL_RANGES * found.range), round_length(found.range)
    return (
        f"{name} of places up to about {round_length(found.range)} apart is alike (range of the variogram; place explains "
        f"{100 * found.share:.0f}% of the variance). A test on new places needs --group=grid:{cell.replace(' ', '')} or more, or "
        f"--buffer={buffer.replace(' ', '')}"
    )
