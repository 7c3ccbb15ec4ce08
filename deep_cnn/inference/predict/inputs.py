"""Which images `predict` is asked for: a folder, a table, a list of paths, or the standard input."""

import csv
import hashlib
import itertools
import math
import sys
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deep_cnn.config.registries import IMAGE_ENDINGS
from deep_cnn.data.files import Paths, scan
from deep_cnn.runtime.errors import DataError, nearest

IMAGE_COLUMNS = ("file", "image", "path", "filename", "file_name", "image_path", "image_name", "img")
LATITUDES, LONGITUDES = ("latitude", "lat"), ("longitude", "lon", "lng", "long")


@dataclass(frozen=True)
class Images:
    """The images in the order in which they are asked for, each once.

    root: what relative paths start from; places: float64 (N, 2) of latitude and longitude, NaN where unknown, or None.
    """

    root: Path
    paths: Paths
    places: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    def digest(self) -> str:
        """Names the list, so that a table is not gone on with for other images."""
        digest = hashlib.sha256(self.paths.blob)
        digest.update(np.ascontiguousarray(self.paths.offsets, dtype=np.int64).tobytes())
        return digest.hexdigest()[:16]


def read_images(given: str, image_column: str | None, bases: Sequence[Path]) -> Images:
    """What --images means.

    Args:
        given: a folder; a table (.csv, .tsv) with a column of files; a text file with a path per line; an image; "-".
        bases: folders that relative paths of a table or list may start from, after its own folder.
    Raises:
        DataError: nothing there, no column of files, or none of the folders holds the first file.
    """
    path = Path(given).expanduser()
    if given != "-" and path.is_dir():
        files = scan(path)
        if not len(files.paths):
            raise DataError(f"--images={given}: holds no images ({' '.join(sorted(IMAGE_ENDINGS))})")
        return Images(path, files.paths, None, tuple(files.notes()))
    check_there(given)
    if path.suffix.lower() in IMAGE_ENDINGS:
        return Images(path.parent, Paths.from_list([path.name]))
    with ExitStack() as stack:
        stream = (
            sys.stdin
            if given == "-"
            else stack.enter_context(open(path, encoding="utf-8-sig", errors="surrogateescape", newline=""))
        )
        is_table = path.suffix.lower() in (".csv", ".tsv")
        rows = _table_rows(stream, path, image_column) if is_table else _listed(stream)
        paths, places, twice = _collect(rows)
    if not len(paths):
        raise DataError(f"--images={given}: names no image")
    notes = (f"{twice:,} images are named more than once and predicted once",) if twice else ()
    folders = [*([] if given == "-" else [path.parent]), Path(), *bases]
    return Images(_base(given, paths, folders), paths, places, notes)


def check_there(given: str) -> None:
    """DataError where --images is nothing at all: to be asked before networks are loaded."""
    path = Path(given).expanduser()
    if given != "-" and not path.exists():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"--images={given}: no such folder or file.{nearest(path.name, beside)}")


def images_from_list(files: Sequence[str], bases: Sequence[Path] = ()) -> Images:
    """The images of a list of paths, as Python gives them."""
    paths, _, _ = _collect((str(file), math.nan, math.nan) for file in files)
    return Images(_base("the list", paths, [Path(), *bases]), paths)


def _listed(lines: Iterator[str]) -> Iterator[tuple[str, float, float]]:
    for line in lines:
        if name := line.strip():
            yield name, math.nan, math.nan


def _table_rows(stream, path: Path, wanted: str | None) -> Iterator[tuple[str, float, float]]:
    """(file, latitude, longitude) of each row; read row by row, so that a million rows take no memory."""
    header = stream.readline()
    separator = max(("\t" if path.suffix.lower() == ".tsv" else ",", ",", ";", "\t"), key=header.count)
    columns = [name.strip() for name in next(csv.reader([header], delimiter=separator), [])]
    reader = csv.reader(stream, delimiter=separator)
    first = next(reader, None)
    if first is None:
        return
    file = image_column(columns, first, wanted, path.name)
    lower = [name.lower() for name in columns]
    latitude, longitude = (
        next((lower.index(n) for n in names if n in lower), None) for names in (LATITUDES, LONGITUDES)
    )
    for row in itertools.chain([first], reader):
        if file < len(row) and (name := row[file].strip()):
            yield name.replace("\\", "/"), _number(row, latitude), _number(row, longitude)


def image_column(columns: list[str], first: list[str], wanted: str | None, table: str) -> int:
    """The position of the column that names the images; `first`: a row of the table."""
    if wanted is not None:
        if wanted not in columns:
            raise DataError(
                f"--image_column={wanted}: {table} has no such column.{nearest(wanted, columns)} "
                f"Its columns: {', '.join(columns[:12])}"
            )
        return columns.index(wanted)
    lower = [name.lower() for name in columns]
    named = [lower.index(name) for name in IMAGE_COLUMNS if name in lower]
    looks = [i for i, cell in enumerate(first[: len(columns)]) if Path(cell.strip()).suffix.lower() in IMAGE_ENDINGS]
    if not named and not looks:
        raise DataError(
            f"--images={table}: which column names the images? Give --image_column; there are {', '.join(columns[:12])}"
        )
    return next((i for i in named if i in looks), (looks or named)[0])


def _number(row: list[str], column: int | None) -> float:
    try:
        return float(row[column])
    except (TypeError, IndexError, ValueError):
        return math.nan


def _collect(rows: Iterator[tuple[str, float, float]]) -> tuple[Paths, np.ndarray | None, int]:
    """Paths, places and how many rows repeat an image. In columns: a million strings would take 100 MB."""
    blob, ends, hashes, places = bytearray(), array("q", [0]), array("q"), array("d")
    for name, latitude, longitude in rows:
        blob += name.encode("utf-8", "surrogateescape")
        ends.append(len(blob))
        hashes.append(hash(name))
        places.extend((latitude, longitude))
    paths = Paths(bytes(blob), np.frombuffer(ends, dtype=np.int64).copy())
    where = np.frombuffer(places, dtype=np.float64).reshape(-1, 2).copy()
    again = _repeats(paths, np.frombuffer(hashes, dtype=np.int64))
    if len(again):
        keep = np.delete(np.arange(len(paths)), again)
        paths, where = paths.take(keep), where[keep]
    return paths, where if np.isfinite(where).all(1).any() else None, len(again)


def _repeats(paths: Paths, hashes: np.ndarray) -> list[int]:
    """Positions of paths that came before."""
    values, counts = np.unique(hashes, return_counts=True)
    seen, again = set(), []
    for i in np.flatnonzero(np.isin(hashes, values[counts > 1])).tolist():  # these alone are compared letter by letter
        if paths[i] in seen:
            again.append(i)
        seen.add(paths[i])
    return again


def _base(given: str, paths: Paths, folders: Sequence[Path]) -> Path:
    """The first folder below which one of the first files lies."""
    for folder in folders:
        if any((folder / paths[i]).is_file() for i in range(min(len(paths), 20))):
            return folder
    looked = ", ".join(dict.fromkeys(str(folder) for folder in folders))
    raise DataError(
        f"--images={given}: {paths[0]} is not found below {looked}; paths are relative to the table, to the "
        "current folder, to --root_dir or to --data_dir"
    )
