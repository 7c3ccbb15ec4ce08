"""A table of predictions by area: mean score, interval and number of images of each district or grid cell."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deep_cnn.config.fields import grid_size
from deep_cnn.data.archived_table import read_any_table
from deep_cnn.data.cells import labels, missing, numbers
from deep_cnn.data.parquet import has_images, is_parquet
from deep_cnn.data.place_pulse import name_parts
from deep_cnn.data.rows import same_value
from deep_cnn.data.space import grid_cells
from deep_cnn.data.table import TABLE_ENDINGS, Table, TableReader, open_text, same_name
from deep_cnn.data.targets import far_values
from deep_cnn.inference.predict.convert import place_of
from deep_cnn.inference.predict.output_table import rows_of
from deep_cnn.runtime.atomic import read_csv, unescaped, write_csv, write_text
from deep_cnn.runtime.errors import ConfigError, DataError, nearest
from deep_cnn.runtime.format import plural, some
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.tasks.area_means import AreaErrors, AreaMean, area_errors, area_mean
from deep_cnn.tasks.base import Task

UNKNOWN = ""  # an area without a name: these images are left out and counted


def aggregate(
    predictions: Path, by: str, images: str | None, image_column: str | None, task: Task, run: RunFiles | None
) -> tuple[list[Path], list[str]]:
    """Write PREDICTIONS_areas.csv, and .geojson where coordinates are known; the files, and lines for the log.

    Args:
        by: --aggregate, a column of the table of images or grid:SIZE. images: --images, whose table has that column and,
            under the names of the targets, local ratings, if any. image_column: that names the images, if given. run: whose grouped test says how alike errors of an area are.

    Raises:
        DataError: no such column, no coordinates.
    """
    rows = list(rows_of(predictions))
    files = [unescaped(row["file"]) for row in rows]
    places = np.array([place_of(row) or (np.nan, np.nan) for row in rows], dtype=np.float64).reshape(-1, 2)
    notes: list[str] = []
    table_rows = _rows_of(images, image_column, files, (by, *task.names))
    area = _areas(by, files, places, table_rows, notes)
    known = np.array([name != UNKNOWN for name in area])
    if not known.all():
        notes.append(f"--aggregate={by}: {plural(int((~known).sum()), 'image', 'have')} no area; left out")
    names = sorted(set(area) - {UNKNOWN})
    lines, features = [], []
    code = np.array(area, dtype=object)
    errors = [None if run is None else _errors_of(run, name) for name in task.names]
    ratings = {name: _ratings(table_rows, name, files) for name in task.names}
    for k, name in enumerate(task.names):
        notes += _about_ratings(table_rows, name, ratings[name], task.usual_range(k))
    notes += [
        f"On the run's own test, {name} is predicted too {'low' if error.mean > 0 else 'high'} by {abs(error.mean):.4g} on average (standard error "
        f"{error.mean_error:.3g}); means of areas without ratings are off by as much"
        for name, error in zip(task.names, errors, strict=True)
        if error is not None and abs(error.mean) > 2 * error.mean_error
    ]
    for name in names:
        here = np.flatnonzero(code == name)
        found = [
            area_mean(np.array([float(rows[i][f"predicted_{target}"]) for i in here]), ratings[target][here], error)
            for target, error in zip(task.names, errors, strict=True)
        ]
        lines.append([name, len(here), *(cell for one in found for cell in _cells(one))])
        centre = np.nanmean(places[here], axis=0) if np.isfinite(places[here]).all(1).any() else None
        features.append(_feature(name, len(here), dict(zip(task.names, found, strict=True)), centre))
    columns = ["area", "images", *(f"{what}{target}" for target in task.names for what in _COLUMNS)]
    target = predictions.with_name(f"{predictions.stem}_areas.csv")
    write_csv(target, columns, lines)
    written = [target]
    if any(feature["geometry"] for feature in features):
        written.append(target.with_suffix(".geojson"))
        text = json.dumps(
            {"type": "FeatureCollection", "features": features}, ensure_ascii=False, allow_nan=False, indent=1
        )
        write_text(written[-1], text + "\n")
    methods = sorted({str(line[k]) for line in lines for k in range(6, len(line), len(_COLUMNS))})
    notes += [f"Intervals of area means: {method}" for method in methods]
    return written, notes


def check_aggregate(by: str, images: str | None, task: Task) -> None:
    """ConfigError for what can be told before anything is predicted: no scores with a unit, no such column, a grid of no size."""
    if not task.has_unit_scores:
        raise ConfigError(f"--aggregate={by}: areas have means of scores; this network predicts {task.describe()}")
    if grid_size(by, "aggregate") is not None or by == "city":  # a city may be in the file names
        return
    path = Path(images).expanduser() if images else None
    if path is None or not path.is_file() or not _is_table(path):
        raise ConfigError(
            f"--aggregate={by}: a column needs a table of images; give --images=TABLE.csv, or --aggregate=grid:1km"
        )
    columns = [str(name) for name in read_any_table(path).frame.columns]
    if not same_name(columns, by):
        raise ConfigError(
            f"--aggregate={by}: {path.name} has no such column.{nearest(by, columns)} Columns: {some(columns, 12)}"
        )


_COLUMNS = ("mean_", "lower_", "upper_", "rated_", "method_")


def _cells(found: AreaMean) -> list[Any]:
    low, high = found.interval or ("", "")
    return [found.mean, low, high, found.rated, found.method]


def _feature(name: str, count: int, found: dict[str, AreaMean], centre: np.ndarray | None) -> dict[str, Any]:
    properties: dict[str, Any] = {"area": name, "images": count}
    for target, one in found.items():
        low, high = one.interval or (None, None)
        properties |= {
            f"mean_{target}": one.mean,
            f"lower_{target}": low,
            f"upper_{target}": high,
            f"rated_{target}": one.rated,
        }
    geometry = None if centre is None else {"type": "Point", "coordinates": [float(centre[1]), float(centre[0])]}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


@dataclass(frozen=True)
class _Rows:
    """The table of images, and the row of each predicted file, int64 (n,), -1 without one."""

    table: Table
    row_of: np.ndarray

    @property
    def columns(self) -> list[str]:
        return [str(name) for name in self.table.frame.columns]

    def cells(self, column: str) -> np.ndarray:
        """The cells of a column beside the files, object (n,); "" without a row."""
        return np.where(self.row_of < 0, "", self.table.column(column, "--images")[self.row_of])

    @property
    def lines(self) -> np.ndarray:
        """The line of the table that each file is in, for messages, int64 (n,)."""
        return self.table.frame.index.to_numpy()[self.row_of]


def _rows_of(images: str | None, column: str | None, files: list[str], used: Sequence[str]) -> _Rows | None:
    """The rows of the table of images by what they call the file; None where --images is no table.

    Raises:
        DataError: two columns that name as many of the files, two rows about one file that differ in one of the columns `used`.
    """
    path = None if images in (None, "-") else Path(str(images)).expanduser()
    if path is None or not path.is_file() or not _is_table(path):
        return None
    table = read_any_table(path)
    wanted = set(files)
    names = {str(name): table.frame[name].str.strip() for name in table.frame.columns}
    hits = {name: int(cells.isin(wanted).sum()) for name, cells in names.items()}
    if column is not None:
        hits = {found: hits[found] for found in [table.find(column, "--image_column")]}
    best = max(hits, key=lambda name: hits[name], default=None)
    if best is None or not hits[best]:
        return None
    if len(equal := [name for name in hits if hits[name] == hits[best] and not names[name].equals(names[best])]):
        raise DataError(
            f"--images={path.name}: the images may be those of column {best} or of {equal[0]}; name the right one as --image_column"
        )
    first: dict[str, int] = {}
    again = [(row, first[cell]) for row, cell in enumerate(names[best]) if first.setdefault(cell, row) != row]
    for name in (name for name in used if same_name(list(names), name)):
        cells, lines = table.column(name, "--images"), table.frame.index
        for row, before in again:
            if names[best].iloc[row] in wanted and not same_value(cells[row], cells[before], table.separator):
                raise DataError(
                    f"--images={path.name}: {names[best].iloc[row]} has two rows with different values of {name} (lines "
                    f"{lines[before]} and {lines[row]}); keep one of them"
                )
    return _Rows(table, np.array([first.get(file, -1) for file in files], dtype=np.int64))


def _is_table(path: Path) -> bool:
    """Whether a file has columns with names: neither a list of images nor Parquet that holds the images themselves."""
    if is_parquet(path):
        return not has_images(path, "--images")
    if path.suffix.lower() not in TABLE_ENDINGS:
        return False
    with open_text(path) as file:
        return not TableReader(file, path.suffix.lower(), f"--images={path.name}").headless


def _areas(by: str, files: list[str], places: np.ndarray, rows: _Rows | None, notes: list[str]) -> list[str]:
    """The area of each file, UNKNOWN where it has none."""
    side = grid_size(by, "aggregate")
    if side is not None:
        known = np.isfinite(places).all(axis=1)
        if not known.any():
            raise DataError(
                f"--aggregate={by}: no image has coordinates; the table needs columns latitude and longitude"
            )
        cells = np.full(len(files), UNKNOWN, dtype=object)
        cells[known] = grid_cells(places[known], side)
        return [str(cell) for cell in cells]
    if rows is not None and same_name(rows.columns, by):
        cells = rows.cells(by)
        known = ~missing(cells)
        named = np.full(len(cells), UNKNOWN, dtype=object)
        named[known], said = labels(cells[known], f"--aggregate={by}", rows.table.separator)
        notes += said
        return named.tolist()
    parts = [name_parts(file) for file in files]
    if by == "city" and all(parts):
        return [part[3] for part in parts if part]
    columns = [] if rows is None else rows.columns
    raise DataError(
        f"--aggregate={by}: neither grid:SIZE nor a column of the table of images.{nearest(by, columns)} "
        f"{'Columns: ' + some(columns, 12) if columns else 'Give the images as a table (--images=TABLE.csv)'}"
    )


def _ratings(rows: _Rows | None, target: str, files: list[str]) -> np.ndarray:
    """Local ratings: the column of the table of images that is named as the target, float64 (n,), NaN without one."""
    if rows is None or not same_name(rows.columns, target):
        return np.full(len(files), np.nan)
    return numbers(rows.cells(target), rows.lines, f"--images: {target}", rows.table.separator)


def _about_ratings(
    rows: _Rows | None, target: str, ratings: np.ndarray, usual: tuple[float, float] | None
) -> list[str]:
    """Lines about local ratings: a column that is spelled in another way, values that mean missing, another scale."""
    if np.isnan(ratings).all():
        columns = [] if rows is None else rows.columns
        near = next((name for name in columns if name.strip().lower() == target.lower() and name != target), None)
        return [f"Column {near} is not taken for ratings of {target}; write its name as the target's"] if near else []
    known = ~np.isnan(ratings)
    notes = [
        f"{plural(int(known.sum()), 'image', 'have')} a local rating in column {target}",
        *far_values(target, ratings),
    ]
    low, high = usual or (-np.inf, np.inf)
    margin = (high - low) / 2
    outside = (ratings[known] < low - margin) | (ratings[known] > high + margin)
    if outside.any():
        notes.append(
            f"{plural(int(outside.sum()), 'local rating', 'are')} far from those of {target} that the network was trained on ({np.nanmin(ratings):g} "
            f"to {np.nanmax(ratings):g}; it learnt scores from about {low:.3g} to {high:.3g}); check that both are on one scale"
        )
    return notes


def _errors_of(run: RunFiles, target: str) -> AreaErrors | None:
    """How alike errors of a group are, from a run's own test with --group, or from all folds of one; None where it has none."""
    paths = [run.results / name for name in ("predictions_folds.csv", "predictions_test.csv")]
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        return None
    rows = read_csv(path)
    header = next(rows)
    if "group" not in header or f"target_{target}" not in header:
        return None
    true, said, group = (header.index(name) for name in (f"target_{target}", f"predicted_{target}", "group"))
    known = [(float(row[true]) - float(row[said]), row[group]) for row in rows if row[true]]
    return area_errors(np.array([error for error, _ in known]), np.array([group for _, group in known]))
