"""Which images `predict` is asked for: a folder, a table, a list of paths, or the standard input."""

import functools
import hashlib
import itertools
import math
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deep_cnn.config.registries import IMAGE_ENDINGS
from deep_cnn.data.files import Paths, scan
from deep_cnn.data.table import (
    Lines,
    Matcher,
    TableReader,
    as_text,
    check_is_text,
    guess_image_column,
    match_files,
    open_text,
)
from deep_cnn.runtime.errors import DataError, nearest

IMAGE_COLUMNS = ("file", "image", "path", "filename", "file_name", "image_path", "image_name", "img")
LATITUDES, LONGITUDES = ("latitude", "lat"), ("longitude", "lon", "lng", "long")
SEPARATORS = ",;\t"

Row = tuple[int, str, float, float]  # line in the table or list, file, latitude, longitude


@dataclass(frozen=True)
class Images:
    """The images in the order in which they are asked for, each once.

    Attributes:
        root: what relative paths start from.
        places: float64 (N, 2) of latitude and longitude, NaN where unknown, or None.
        rows: int64 (M,), the image of each row of the table or list, or None for a folder.
    """

    root: Path
    paths: Paths
    places: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    rows: np.ndarray | None = None

    def digest(self) -> str:
        """Names the list, so that a table is not gone on with for other images."""
        digest = hashlib.sha256(self.paths.blob)
        digest.update(np.ascontiguousarray(self.paths.offsets, dtype=np.int64).tobytes())
        return digest.hexdigest()[:16]


class Search:
    """The files below some folders, which cells of a table may name in the ways that training accepts."""

    def __init__(self, folders: Sequence[Path]):
        self.folders = [folder for folder in dict.fromkeys(folders) if folder.is_dir()]
        self.matcher = functools.cache(
            lambda folder: Matcher(scan(folder).paths)
        )  # reads a folder when it is asked for

    def image_column(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str | None:
        """The column whose cells in these rows name files of a folder, or None."""
        cells = dict(zip(columns, itertools.zip_longest(*rows, fillvalue=""), strict=False))
        texts = {name: [as_text(cell) for cell in column] for name, column in cells.items()}
        guesses = (guess_image_column(texts, self.matcher(folder)) for folder in self.folders)
        return next((column for column in guesses if column is not None), None)

    def find(self, cells: Sequence[str], lines: Lines, what: str) -> tuple[Path, list[str]] | None:
        """The first folder that has files of these names, and each cell's file there (the cell itself without one)."""
        for folder in self.folders:
            matcher = self.matcher(folder)
            positions = match_files(cells, lines, matcher, what)
            if (positions >= 0).any():
                return folder, [
                    matcher.paths[p] if p >= 0 else cell for p, cell in zip(positions.tolist(), cells, strict=True)
                ]
        return None


def read_images(
    given: str, image_column: str | None, folders: Sequence[Path], data_dirs: Sequence[Path] = ()
) -> Images:
    """Find the images that --images means.

    Args:
        given: a folder; a table with a column of files; a text file with a path per line; an image; "-".
        folders: where relative paths of a table or list may start from, after its own folder and the current one.
        data_dirs: folders of images that the user names: their files are matched as in training, by the end of a path or
            by name, where no path is found as it stands. No other folder's: it may have other images of the same names.

    Raises:
        DataError: nothing there, no column of files, or none of the folders holds the files.
    """
    path = Path(given).expanduser()
    if given != "-" and path.is_dir():
        files = scan(path)
        if not len(files.paths):
            raise DataError(f"--images={given}: no images in this folder ({' '.join(sorted(IMAGE_ENDINGS))})")
        return Images(path, files.paths, None, tuple(files.notes()))
    check_there(given)
    if path.suffix.lower() in IMAGE_ENDINGS:
        return Images(path.parent, Paths.from_list([path.name]))
    own = [] if given == "-" else [path.parent]
    search = Search(data_dirs)
    with ExitStack() as stack:
        lines = sys.stdin if given == "-" else stack.enter_context(open_text(path))
        rows = _rows(lines, path, image_column, search)
        return _found(f"--images={given}", rows, [*own, Path(), *folders], search)


def check_there(given: str) -> None:
    """DataError where --images is nothing that can be read: to be asked before networks are loaded."""
    path = Path(given).expanduser()
    if given != "-" and not path.exists():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"--images={given}: no such folder or file.{nearest(path.name, beside)}")
    check_is_text(path, f"--images={given}")


def images_from_list(files: Iterable[str], folders: Sequence[Path] = (), data_dirs: Sequence[Path] = ()) -> Images:
    """The images of a list of paths, as Python gives them. folders, data_dirs: as of `read_images`."""
    rows = ((number, str(file), math.nan, math.nan) for number, file in enumerate(files, start=1))
    return _found("the list of images", rows, [Path(), *folders], Search(data_dirs))


def _rows(lines: Iterable[str], path: Path, image_column: str | None, search: Search) -> Iterator[Row]:
    ending, lines = path.suffix.lower(), iter(lines)
    head = list(itertools.islice(lines, 1))
    first = head[0].strip() if head else ""
    # other endings: a list of paths, unless its first line is the names of columns
    names_columns = any(sign in first for sign in SEPARATORS) and Path(first).suffix.lower() not in IMAGE_ENDINGS
    lines = itertools.chain(head, lines)
    if ending in (".csv", ".tsv") or image_column is not None or names_columns:
        return _table_rows(TableReader(lines, ending, f"--images={path}"), image_column, search)
    return ((n, name, math.nan, math.nan) for n, line in enumerate(lines, start=1) if (name := line.strip()))


def _table_rows(table: TableReader, wanted: str | None, search: Search) -> Iterator[Row]:
    rows = iter(table)
    first = list(itertools.islice(rows, 200))
    if not first:
        return
    file = image_column(table.columns, [row for _, row in first], wanted, table.what, search)
    lower = [name.lower() for name in table.columns]
    latitude, longitude = (
        next((lower.index(n) for n in names if n in lower), None) for names in (LATITUDES, LONGITUDES)
    )
    for line, row in itertools.chain(first, rows):
        if file < len(row) and (name := row[file].strip()):
            yield line, name.replace("\\", "/"), _number(row, latitude), _number(row, longitude)


def image_column(
    columns: list[str], rows: Sequence[Sequence[str]], wanted: str | None, what: str, search: Search
) -> int:
    """The position of the column that names the images.

    Args:
        rows: the first ones of the table. wanted: by --image_column. what: names the table in messages.

    Raises:
        DataError: no such column, or none that can be told.
    """
    if wanted is not None:
        if wanted not in columns:
            raise DataError(
                f"--image_column={wanted}: the table has no such column.{nearest(wanted, columns)} "
                f"Its columns: {', '.join(columns[:12])}"
            )
        return columns.index(wanted)
    lower = [name.lower() for name in columns]
    named = [lower.index(name) for name in IMAGE_COLUMNS if name in lower]
    looks = [i for i, cell in enumerate(rows[0][: len(columns)]) if Path(cell.strip()).suffix.lower() in IMAGE_ENDINGS]
    if named or looks:
        return next((i for i in named if i in looks), (looks or named)[0])
    if (found := search.image_column(columns, rows)) is not None:
        return columns.index(found)
    raise DataError(
        f"{what}: no column of image files was recognised; give --image_column. The columns: {', '.join(columns[:12])}"
    )


def _number(row: list[str], column: int | None) -> float:
    try:
        return math.nan if column is None else float(row[column])
    except (IndexError, ValueError):
        return math.nan


def _found(what: str, rows: Iterable[Row], folders: Sequence[Path], search: Search) -> Images:
    """The images of a table or list: paths that start from one of the folders, or files that `search` finds."""
    paths, places, lines, images = _collect(rows)
    if not len(paths):
        raise DataError(f"{what}: no images are listed")
    notes = []
    # a folder holds them when one of the first files lies below it
    some = [paths[i] for i in range(min(len(paths), 20))]
    root = next((folder for folder in folders if any((folder / name).is_file() for name in some)), None)
    if root is None:
        matched = search.find([as_text(path) for path in paths], lines, what)
        if matched is None:
            looked = ", ".join(dict.fromkeys(str(folder) for folder in folders))
            raise DataError(
                f"{what}: {paths[0]} is not found below {looked}; give the folder of images as --data_dir, below which "
                "files are also found by their names alone"
            )
        root, names = matched
        notes.append(f"No path exists as written: images are matched by name with the files below {root}")
        again = zip(lines.tolist(), names, *places.T.tolist(), strict=True)
        paths, places, lines, of_names = _collect(again)
        images = of_names[images]
    if repeated := len(images) - len(paths):
        notes.append(f"{repeated:,} images are listed more than once; each is predicted once")
    return Images(root, paths, places if np.isfinite(places).all(1).any() else None, tuple(notes), images)


def _collect(rows: Iterable[Row]) -> tuple[Paths, np.ndarray, np.ndarray, np.ndarray]:
    """Paths, places (N, 2) and lines (N,) of the images, each once, and the image of each row, int64 (M,).

    In columns: a million strings would take 100 MB.
    """
    blob, ends, hashes, places, lines = bytearray(), array("q", [0]), array("q"), array("d"), array("q")
    for line, name, latitude, longitude in rows:
        blob += name.encode("utf-8", "surrogateescape")
        ends.append(len(blob))
        hashes.append(hash(name))
        places.extend((latitude, longitude))
        lines.append(line)
    paths = Paths(bytes(blob), np.frombuffer(ends, dtype=np.int64).copy())
    first = _first_of_equals(paths, np.frombuffer(hashes, dtype=np.int64))
    keep = np.flatnonzero(first == np.arange(len(first)))
    where, numbers = np.frombuffer(places, dtype=np.float64).reshape(-1, 2), np.frombuffer(lines, dtype=np.int64)
    paths = paths if len(keep) == len(paths) else paths.take(keep)
    return paths, where[keep], numbers[keep], np.searchsorted(keep, first)


def _first_of_equals(paths: Paths, hashes: np.ndarray) -> np.ndarray:
    """The position of the first path that equals each one, int64 (M,)."""
    values, counts = np.unique(hashes, return_counts=True)
    first = np.arange(len(paths))
    seen: dict[str, int] = {}
    for i in np.flatnonzero(np.isin(hashes, values[counts > 1])).tolist():  # these alone are compared letter by letter
        first[i] = seen.setdefault(paths[i], i)
    return first
