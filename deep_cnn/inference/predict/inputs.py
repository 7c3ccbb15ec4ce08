"""Which images `predict` is asked for: a folder, a table, a list of paths, or the standard input."""

import functools
import hashlib
import itertools
import math
import os
import re
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from deep_cnn.config.fields import wrong
from deep_cnn.config.registries import IMAGE_ENDINGS
from deep_cnn.data.archives import ARCHIVE_ENDINGS, COMPRESSED_ENDINGS, Members, Source
from deep_cnn.data.cells import coordinate
from deep_cnn.data.files import Paths
from deep_cnn.data.match import NAME, PATH, SAMPLE, Match, Matcher, check_single, choose_column, standing
from deep_cnn.data.parquet import has_images, is_parquet, read_frame
from deep_cnn.data.row_lengths import fill
from deep_cnn.data.sources import Place, archive_above, find_files, is_source
from deep_cnn.data.space import LATITUDES, LONGITUDES
from deep_cnn.data.table import (
    COMMENT,
    ROWS_OF_HEAD,
    Lines,
    TableReader,
    as_lines,
    as_text,
    check_is_text,
    looks_like_image,
    open_text,
    same_name,
)
from deep_cnn.runtime.atomic import unescaped
from deep_cnn.runtime.errors import DataError, nearest
from deep_cnn.runtime.format import plural, some

SEPARATORS = ",;\t|"
UNDERLINE = re.compile(r"-+(\s+-+)*")  # below the names of columns, as PowerShell shows tables

Row = tuple[int, str, float, float]  # line in the table or list, file as it is written, latitude, longitude


@dataclass(frozen=True)
class Images:
    """The images in the order in which they are asked for, each once.

    Attributes:
        root: what relative paths start from.
        places: float64 (N, 2) of latitude and longitude, NaN where unknown, or None.
        rows: int64 (M,), the image of each row of the table or list, or None for a folder.
        written: how the table or list names the images, where that is not `paths`.
        members: where they lie in archives, or None.
    """

    root: Path
    paths: Paths
    places: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    rows: np.ndarray | None = None
    written: Paths | None = None
    members: Members | None = None

    @property
    def names(self) -> Paths:
        """What the images are called in predictions: as they were named."""
        return self.paths if self.written is None else self.written

    def source(self, i: int) -> Source:
        """Where the bytes of the i-th image are."""
        return self.root / self.paths[i] if self.members is None else self.members.at(i, self.paths[i])

    def digest(self) -> str:
        """Names the list, so that a table is not gone on with for other images."""
        digest = hashlib.sha256()
        for paths in (self.paths,) if self.written is None else (self.paths, self.written):
            digest.update(paths.blob)
            digest.update(np.ascontiguousarray(paths.offsets, dtype=np.int64).tobytes())
        return digest.hexdigest()[:16]

    def digest_of_places(self) -> str:
        """Names the latitudes and longitudes, which are columns of the table."""
        assert self.places is not None
        return hashlib.sha256(np.ascontiguousarray(self.places, dtype=np.float64).tobytes()).hexdigest()[:16]


@dataclass(frozen=True)
class Found:
    """Files that a table or list names: paths below root (as written where there is no file), and a line for the log."""

    root: Path
    paths: Paths
    written: Paths
    note: str = ""


class Search:
    """Where files that a table or list names may lie.

    Attributes:
        folders: where relative paths may start from, those that the user named first.
        named: folders that the user named: cells may name their files in all the ways that training accepts. No other
            folder's: it may have other images of the same names.
    """

    def __init__(self, folders: Sequence[Path], named: Sequence[Path] = ()):
        self.named = [folder for folder in dict.fromkeys(named) if is_source(folder)]
        self.folders = list(dict.fromkeys((*self.named, *folders)))
        self.place = functools.cache(Place)
        self.matcher = functools.cache(
            lambda folder: Matcher(find_files(folder).paths, folder)
        )  # reads a folder when it is asked for
        self._numbers: dict[str, int] = {}  # of files

    def evidence(self, cells: Sequence[str]) -> Match:
        """Which files these cells name, in the folder that has most of them."""
        found = [self._as_written(folder, cells) for folder in self.folders]
        if max((match.found for match in found), default=0) < len(cells):
            found += [self._by_name(folder, cells) for folder in self.named]
        return max(found, key=lambda match: match.found)

    def _as_written(self, folder: Path, cells: Sequence[str]) -> Match:
        place = self.place(folder)
        paths = [as_path(place, cell.strip()) if looks_like_image(cell) else None for cell in cells]
        ways = [-1 if path is None else PATH if "/" in path else NAME for path in paths]
        return Match(self._numbered(folder, paths), np.array(ways, dtype=np.int8))

    def _by_name(self, folder: Path, cells: Sequence[str]) -> Match:
        matcher = self.matcher(folder)
        match = matcher.match([as_text(cell) for cell in cells])
        paths = [matcher.paths[p] if p >= 0 else None for p in match.positions.tolist()]
        positions = np.where(match.positions < 0, match.positions, self._numbered(folder, paths))
        return Match(positions, match.ways, match.dropped, match.endings)

    def _numbered(self, folder: Path, paths: Sequence[str | None]) -> np.ndarray:
        """A number for each file, the same however it is named; -1 for None."""
        whole = [None if path is None else os.path.abspath(folder / path) for path in paths]
        numbers = [-1 if path is None else self._numbers.setdefault(path, len(self._numbers)) for path in whole]
        return np.array(numbers, dtype=np.int64)

    def find(self, names: Paths, lines: Lines, what: str) -> "Found":
        """The folder that has most of the files of these names, and each one's path there.

        Raises:
            DataError: none of the folders has one, or a name fits several files.
        """
        rows = np.unique(np.linspace(0, len(names) - 1, min(len(names), SAMPLE)).astype(np.int64)).tolist()
        some = [names[row] for row in rows]
        hits: dict[Path, int] = {}
        for folder in self.folders:
            hits[folder] = sum(as_path(self.place(folder), name) is not None for name in some)
            if hits[folder] == len(some):
                break  # others are not looked at: they may be on a slow disk, or archives
        best = max(hits, key=hits.__getitem__)
        if hits[best] < len(some):
            for folder in self.named:
                if self.matcher(folder).match_values([as_text(name) for name in some]).found > hits[best]:
                    return self._matched(folder, names, lines, what)
        if not hits[best]:
            raise DataError(f"{what}: {names[0]} is not found below {self._looked()}; {self._advice(names[0])}")
        if b"\\" not in names.blob:
            return Found(best, names, names)
        place = self.place(best)
        paths = [as_path(place, name) or name for name in names]
        written = [path if path == unescaped(name) else name for path, name in zip(paths, names, strict=True)]
        return Found(best, Paths.from_list(paths), Paths.from_list(written))

    def _matched(self, folder: Path, names: Paths, lines: Lines, what: str) -> "Found":
        matcher, cells = self.matcher(folder), [as_text(name) for name in names]
        match = matcher.match_values(cells)
        check_single(match, cells, lines, matcher, what)
        paths = [matcher.paths[p] if p >= 0 else cell for p, cell in zip(match.positions.tolist(), cells, strict=True)]
        dropped = f"; {match.theirs} in the paths is taken as this folder" if match.dropped else ""
        note = f"Images are matched with the files below {folder}: {match.evidence()}{dropped}"
        written = [path if path == unescaped(cell) else cell for path, cell in zip(paths, cells, strict=True)]
        return Found(folder, Paths.from_list(paths), Paths.from_list(written), note)

    def _looked(self) -> str:
        return ", ".join(dict.fromkeys(str(folder) for folder in self.folders))

    def _advice(self, name: str) -> str:
        for folder in self.named:
            if (there := self.matcher(folder).of_this_name(as_text(name))) is not None:
                return f"{folder} has {there}, and the folders that are written must be those on the disk"
        return "give the folder of images as --data_dir, below which files are also found by their names alone"


def as_path(place: Place, name: str) -> str | None:
    """The path in a folder or archive that a name is, or None; also with the separators of Windows, and as our own tables write it."""
    spellings = (name, name.replace("\\", "/"), unescaped(name)) if "\\" in name else (name,)
    return next((spelling for spelling in spellings if place.has(spelling)), None)


def read_images(
    given: str, image_column: str | None, folders: Sequence[Path], data_dirs: Sequence[Path] = ()
) -> Images:
    """Find the images that --images means.

    Args:
        given: a folder; a table with a column of files; a text file with a path per line; an image; "-".
        folders: where relative paths of a table or list may start from, after its own folder and the current one.
        data_dirs: folders of images that the user names, see `Search`.

    Raises:
        ConfigError: a column of what is not a table. DataError: nothing there, no column of files, or none of the folders holds the
            files.
    """
    path = Path(given).expanduser()
    one = path.suffix.lower() in IMAGE_ENDINGS and not path.is_dir()  # on the disk or in an archive
    if image_column is not None and given != "-" and (one or is_images(path)):
        raise wrong("image_column", image_column, f"--images={given} is not a table", "omit it")
    if given != "-" and not one and is_images(path):
        files = find_files(path)
        if not len(files.paths):
            raise DataError(f"--images={given}: no images in it ({' '.join(sorted(IMAGE_ENDINGS))})")
        return Images(path, files.paths, None, tuple(files.notes()), members=files.members)
    check_there(given)
    if one:
        members = Place(path.parent).locate([path.name])
        return Images(path.parent, Paths.from_list([path.name]), members=members)
    own = [] if given == "-" else [path.parent]
    search = Search([*own, Path(), *folders], data_dirs)
    if is_parquet(path):
        table = FrameRows(read_frame(path, f"--images={path}"), f"--images={path}")
        said: list[str] = []
        return _found(f"--images={given}", _table_rows(table, image_column, search, said), said, search)
    with ExitStack() as stack:
        lines = _standard_input() if given == "-" else stack.enter_context(open_text(path))
        notes: list[str] = []  # complete when the rows are read
        rows = _rows(lines, path, image_column, search, notes)
        return _found(f"--images={given}", rows, notes, search)


def _standard_input() -> Iterable[str]:
    """Its bytes, not as the console's encoding has them; a test may have text in its place."""
    return as_lines(cast(BufferedReader, sys.stdin.buffer)) if hasattr(sys.stdin, "buffer") else sys.stdin


def is_images(path: Path) -> bool:
    """Whether --images is a folder, an archive, or a folder within an archive; a table or a list is neither."""
    if is_parquet(path):
        return has_images(path, "--images")
    if path.is_file():
        return path.name.lower().endswith((*ARCHIVE_ENDINGS, *COMPRESSED_ENDINGS))
    return path.is_dir() or archive_above(path) is not None


def check_there(given: str) -> None:
    """DataError where --images is nothing that can be read: to be asked before networks are loaded."""
    path = Path(given).expanduser()
    if given != "-" and (is_images(path) or is_parquet(path)):
        return
    if given != "-" and not path.exists():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"--images={given}: no such folder or file.{nearest(path.name, beside)}")
    if given != "-" and (path.is_char_device() or path.is_block_device()):  # /dev/zero never ends
        raise DataError(f"--images={given}: is a device, not a folder or a file; for standard input give --images=-")
    if not looks_like_image(path.name):
        check_is_text(path, f"--images={given}")


def images_from_list(files: Iterable[str], folders: Sequence[Path] = (), data_dirs: Sequence[Path] = ()) -> Images:
    """The images of a list of paths, as Python gives them. folders, data_dirs: as of `read_images`."""
    rows = ((number, str(file), math.nan, math.nan) for number, file in enumerate(files, start=1))
    return _found("the list of images", rows, [], Search([Path(), *folders], data_dirs))


def _rows(
    lines: Iterable[str], path: Path, image_column: str | None, search: Search, notes: list[str]
) -> Iterator[Row]:
    lines = iter(lines)
    head: list[str] = []
    comments: list[str] = []
    for line in lines:
        if _is_comment(line) and not any(map(str.strip, head)):
            comments.append(line)
            continue
        head.append(line)
        if line.strip() and ("".join(head).count('"') % 2 == 0 or len(head) > ROWS_OF_HEAD):  # a name of several lines
            break
    first = "".join(head).strip()
    # other endings: a list of paths, unless its first line is the names of columns
    separated = any(sign in line for line in head for sign in SEPARATORS)  # "sep=" may end in a tab
    names_columns = first.startswith("#TYPE ") or (separated and not looks_like_image(first))
    lines = itertools.chain(comments, head, lines)
    if (ending := path.suffix.lower()) in (".csv", ".tsv") or image_column is not None or names_columns:
        return _table_rows(TableReader(lines, ending, f"--images={path}"), image_column, search, notes)
    return _list_rows(lines)


def _is_comment(line: str) -> bool:
    """Whether a line is a comment and not the name #1.jpg, or what PowerShell writes above a table."""
    return bool(COMMENT.match(line)) and not line.startswith("#TYPE ") and not looks_like_image(line)


def _list_rows(lines: Iterable[str]) -> Iterator[Row]:
    """A path a line, blank lines left out; a heading with or without a line below it (PowerShell), quotes, NUL as line end.

    Comments (#) before the first name are passed over.
    """
    named = itertools.dropwhile(lambda row: not row[1].strip() or _is_comment(row[1]), enumerate(lines, start=1))
    parts = ((number, part.strip()) for number, line in named for part in line.split("\0"))
    names = ((number, name[1:-1] if name[0] == name[-1] == '"' else name) for number, name in parts if name)
    first = list(itertools.islice(names, 2))
    if len(first) == 2 and UNDERLINE.fullmatch(first[1][1]):
        first = []
    elif first and standing(first[0][1]) == 3:
        first = first[1:]
    for number, name in itertools.chain(first, names):
        yield number, name, math.nan, math.nan


class FrameRows:
    """The rows of a frame of text, as TableReader gives those of a file; the lines are the rows, from 1 on."""

    def __init__(self, frame: pd.DataFrame, what: str):
        """what: names the table in messages."""
        self.frame, self.what, self.columns = frame, what, [str(name) for name in frame.columns]

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        for line, row in enumerate(self.frame.itertuples(index=False, name=None), start=1):
            yield line, list(row)


def _table_rows(table: TableReader | FrameRows, wanted: str | None, search: Search, notes: list[str]) -> Iterator[Row]:
    rows = _filled(table)
    first = list(itertools.islice(rows, SAMPLE))
    if not first:
        return
    file, note = image_column(table.columns, [row for _, row in first], wanted, table.what, search)
    notes += [note] if note else []
    lower = [name.lower() for name in table.columns]
    latitude, longitude = (
        next((lower.index(n) for n in names if n in lower), None) for names in (LATITUDES, LONGITUDES)
    )
    strange: list[tuple[int, str]] = []  # no coordinates

    def degrees(line: int, row: list[str], column: int | None, limit: float) -> float:
        if column is None or column >= len(row):
            return math.nan
        value = coordinate(row[column], limit)
        if value is None:
            strange.append((line, row[column]))
            return math.nan
        return value

    for line, row in itertools.chain(first, rows):
        if file < len(row) and (name := row[file].strip()):
            yield line, name, degrees(line, row, latitude, 90.0), degrees(line, row, longitude, 180.0)
    if strange:
        line, cell = strange[0]
        notes.append(
            f"{len(strange):,} coordinates are not degrees such as 47.37, and are left out: {cell!r} in line {line}"
        )


def _filled(table: TableReader | FrameRows) -> Iterator[tuple[int, list[str]]]:
    """The rows, each with as many cells as the header; DataError where one has more, so that its cells mean other columns."""
    for line, row in table:
        if len(row) != len(table.columns):
            fill(row, table.columns, line, table.what)
        yield line, row


def image_column(
    columns: Sequence[str], rows: Sequence[Sequence[str]], wanted: str | None, what: str, search: Search
) -> tuple[int, str]:
    """The position of the column that names the images, and a line for the log (or "").

    Args:
        rows: the first ones of the table. wanted: by --image_column. what: names the table in messages.

    Raises:
        DataError: no such column, or none that can be told.
    """
    twice = {name for name in columns if list(columns).count(name) > 1}
    columns = [f"{name} (column {k})" if name in columns[: k - 1] else name for k, name in enumerate(columns, start=1)]
    if wanted is not None:
        found = same_name(columns, wanted)
        if len(found) > 1 or any(columns[k] in twice for k in found):
            raise DataError(
                f"--image_column={wanted}: {what}: two columns are named {columns[found[0]]!r}; rename one of them"
            )
        if not found:
            raise DataError(
                f"--image_column={wanted}: the table has no such column.{nearest(wanted, columns)} "
                f"Its columns: {some(columns, 12)}"
            )
        return found[0], ""
    texts = zip(columns, itertools.zip_longest(*rows, fillvalue=""), strict=False)
    cells = {name: list(column) for name, column in texts}
    matches = {name: search.evidence(column) for name, column in cells.items()}
    chosen = choose_column(matches, cells, what)
    if chosen is not None:
        return columns.index(chosen), f"Image column: {chosen} (first rows: {matches[chosen].evidence()})"
    # without a file the names alone must tell, so that the files are what is missing
    likely = [name for name, column in cells.items() if 2 * sum(map(looks_like_image, column)) > len(rows)]
    likely = likely or [name for name in columns if standing(name) == 3]
    best = [name for name in likely if standing(name) == max(map(standing, likely))]
    if len(best) != 1:
        raise DataError(
            f"{what}: no column of image files was recognised; give --image_column. The columns: {some(columns, 12)}"
        )
    return columns.index(best[0]), ""


def _found(what: str, rows: Iterable[Row], notes: list[str], search: Search) -> Images:
    """The images of a table or list, each name once."""
    names, places, lines, images = _collect(rows)
    if not len(names):
        raise DataError(f"{what}: no images are listed")
    found = search.find(names, lines, what)
    notes = [*notes, *([found.note] if found.note else [])]
    if repeated := len(images) - len(names):
        notes.append(f"{plural(repeated, 'image', 'are')} listed more than once; each is predicted once")
    written = None if found.written == found.paths else found.written
    known = places if np.isfinite(places).all(1).any() else None
    members = search.place(found.root).locate(list(found.paths))
    return Images(found.root, found.paths, known, tuple(notes), images, written, members)


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
