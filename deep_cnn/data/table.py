"""Tables and lists of images: read as text, rows chosen, numbers parsed safely, cells matched to files."""

import codecs
import csv
import hashlib
import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd

from deep_cnn.config.registries import IMAGE_ENDINGS
from deep_cnn.runtime.errors import ConfigError, DataError, nearest

TABLE_ENDINGS = (".csv", ".tsv", ".txt")
NO_TEXT = (".xls", ".xlsx", ".ods", ".parquet", ".json")  # tables in formats that are not read
ROWS_AT_ONCE = 1 << 12  # of a frame: pandas keeps text in a third of the memory that Python's strings need
ESCAPED = re.compile("[\udc80-\udcff]")  # a byte that is not UTF-8
NO_NUMBER = frozenset(("", "na", "n/a", "nan", "null", "none", "-"))  # cells of a numeric column that mean "missing"
Lines = Sequence[int] | np.ndarray | pd.Index  # of each row, its line in the file
COMPARISONS = {
    "==": np.equal,
    "!=": np.not_equal,
    "<=": np.less_equal,
    ">=": np.greater_equal,
    "<": np.less,
    ">": np.greater,
}


@dataclass(frozen=True)
class Table:
    """Cells as text; `frame` has the line of the file in its index, for messages."""

    name: str
    frame: pd.DataFrame
    digest: str  # sha256 of the file's bytes
    notes: tuple[str, ...]

    def column(self, name: str, flag: str) -> np.ndarray:
        """The cells of a column without the blanks around them, object (M,)."""
        if name not in self.frame.columns:
            columns = [str(column) for column in self.frame.columns]
            more = ", ..." if len(columns) > 12 else ""
            raise DataError(
                f"{flag}={name}: {self.name} has no such column.{nearest(name, columns)} "
                f"Columns: {', '.join(columns[:12])}{more}"
            )
        return self.frame[name].str.strip().to_numpy(dtype=object)

    def take(self, rows: np.ndarray) -> "Table":
        """The rows of a mask or of positions."""
        return Table(
            self.name, self.frame.iloc[np.flatnonzero(rows) if rows.dtype == bool else rows], self.digest, self.notes
        )


# --- text ------------------------------------------------------------------------------------------------------------


def open_text(path: Path) -> TextIO:
    """Open a table or a list: UTF-8 with or without a byte order mark, or UTF-16 as Excel and PowerShell write it.

    Bytes that are not UTF-8 are kept as escapes: they may be the name of a file on disk, or letters for `as_text`.
    """
    with open(path, "rb") as file:
        utf16 = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    if utf16:
        return open(path, encoding="utf-16", errors="replace", newline="")
    return open(path, encoding="utf-8-sig", errors="surrogateescape", newline="")


def as_text(cell: str) -> str:
    """The letters of a cell: bytes that are not UTF-8 are Windows' cp1252."""
    if cell.isascii() or not ESCAPED.search(cell):
        return cell
    return cell.encode("utf-8", "surrogateescape").decode("cp1252", errors="replace")


class TableReader:
    """Reads a table row by row, so that a million rows take no memory.

    Iterating gives (line of the file, cells) of each row below the header; blank lines are left out.

    Attributes:
        columns: names without the blanks around them; [] for a file without text.
        escaped: whether a byte so far is not UTF-8.
    """

    def __init__(self, lines: Iterable[str], ending: str, what: str):
        """lines: of an open file, with their ends; ending: the file's; what: names the table in messages."""
        csv.field_size_limit(2**31 - 1)  # a cell may hold the outline of a city
        self.what, self.escaped, self._ended = what, False, False
        lines = iter(lines)
        separator, self._skipped, head = _preamble(lines)
        delimiter = separator or _separator("".join(head), ending)
        self._rows = csv.reader(self._watched(itertools.chain(head, lines)), delimiter=delimiter)
        names = next(self._rows, [])
        self.columns = [as_text(name).strip() or f"column {k}" for k, name in enumerate(names, start=1)]

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        before = self._rows.line_num
        for row in self._rows:
            if self._ended:  # it asked for more lines than there are
                raise DataError(
                    f"{self.what}: the quote opened in line {before + 1 + self._skipped} is never closed; add the closing quote"
                )
            if len(row) > 1 or (row and row[0].strip()):
                yield before + 1 + self._skipped, row
            before = self._rows.line_num

    def _watched(self, lines: Iterable[str]) -> Iterator[str]:
        for line in lines:
            self.escaped = self.escaped or (not line.isascii() and bool(ESCAPED.search(line)))
            yield line
        self._ended = True


def _preamble(lines: Iterator[str]) -> tuple[str | None, int, list[str]]:
    """The separator where a line names it, how many lines stand before the header, and the header's lines."""
    separator = None
    for skipped, line in enumerate(lines):
        if directive := re.fullmatch(r'"?sep=(.)"?[,;\t]*[\r\n]*', line):  # Excel's own
            separator = directive[1]
        elif line.strip() and not line.startswith("#TYPE "):  # PowerShell's Export-Csv
            head = [line]
            while "".join(head).count('"') % 2 and len(head) < 100:  # a name of several lines
                if (following := next(lines, None)) is None:
                    break
                head.append(following)
            return separator, skipped, head
    return separator, 0, []


def _separator(header: str, ending: str) -> str:
    """The separator that splits the header into most columns; the file's ending decides when there is a tie."""
    if header.count('"') % 2:
        header = header.partition("\n")[0]
    header = re.sub(r'"[^"]*"', "", header)
    usual = "\t" if ending == ".tsv" else ","
    return max((usual, ",", ";", "\t"), key=header.count)


def find_table(path: Path) -> Path:
    """The table that --metadata means: a file, or the one table (or qscores.tsv) in a folder."""
    if path.is_dir():
        tables = sorted(p for p in path.iterdir() if p.suffix.lower() in TABLE_ENDINGS and not p.name.startswith("."))
        scores = [p for p in tables if p.name == "qscores.tsv"]
        if len(scores or tables) != 1:
            names = ", ".join(p.name for p in tables[:6]) or "none"
            raise DataError(f"--metadata={path}: the folder contains {len(tables)} tables ({names}); give one of them")
        return (scores or tables)[0]
    if not path.is_file():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"--metadata={path}: no such file; give a CSV or TSV file.{nearest(path.name, beside)}")
    check_is_text(path, f"--metadata={path}")
    return path


def check_is_text(path: Path, what: str) -> None:
    """DataError, naming the way out, for a spreadsheet and other files that are no text."""
    if path.suffix.lower() in NO_TEXT:
        raise DataError(f"{what}: {path.suffix} files are not supported; save the table as CSV (UTF-8)")


def read_table(path: Path) -> Table:
    """Read a CSV or TSV file; every cell stays text, so that "007" is not 7 and "NA" may be a country.

    Raises:
        DataError: no such file, empty, rows of differing widths.
    """
    path = find_table(path)
    what = f"--metadata={path.name}"
    with open_text(path) as file:
        reader = TableReader(file, path.suffix.lower(), what)
        names = reader.columns
        if not names:
            raise DataError(f"{what}: the file is empty; expected a header row and data")
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise DataError(f"{what}: two columns are named {twice[0]!r}; rename one of them")
        lines: list[int] = []
        parts, rows = [], iter(reader)
        while block := list(itertools.islice(rows, ROWS_AT_ONCE)):
            for line, row in block:
                if len(row) != len(names):
                    if any(row[len(names) :]):
                        raise DataError(
                            f"{what}: line {line} has {len(row)} cells, but the header has {len(names)}; "
                            "put quotes around cells that contain the separator"
                        )
                    row[len(names) :] = [""] * (len(names) - len(row))
            block_lines, cells = zip(*block, strict=True)
            lines += block_lines
            columns: Iterable[Iterable[str]] = zip(*cells, strict=True)
            if reader.escaped:
                columns = (map(as_text, column) for column in columns)
            parts.append(pd.DataFrame({name: list(c) for name, c in zip(names, columns, strict=True)}, dtype=str))
    if not parts:
        raise DataError(f"{what}: no rows below the header")
    frame = pd.concat(parts, ignore_index=True).set_axis(lines)
    notes = (f"{path.name} is not UTF-8; reading it as Windows-1252",) if reader.escaped else ()
    with open(path, "rb") as file:
        return Table(path.name, frame, hashlib.file_digest(file, "sha256").hexdigest(), notes)


# --- cells -----------------------------------------------------------------------------------------------------------


def numbers(cells: np.ndarray, lines: Lines, what: str) -> np.ndarray:
    """Text to float64 (M,), missing cells to NaN.

    Raises:
        DataError: a cell that is no number, or an infinite one; names its line.
    """
    missing, values = parse(cells)
    wrong = np.flatnonzero(~missing & np.isnan(values))
    if len(wrong):
        raise DataError(
            f"{what}: {cells[wrong[0]]!r} in line {lines[wrong[0]]} is not a number ({len(wrong):,} such cells); "
            f"correct them, or use --task=classification for a column of classes"
        )
    endless = np.flatnonzero(np.isinf(values))
    if len(endless):
        raise DataError(
            f"{what}: infinite value in line {lines[endless[0]]} ({len(endless):,} such cells); "
            f"correct them, or leave the cells empty to ignore them"
        )
    return values


def parse(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which cells are missing, bool (M,), and the numbers, float64 (M,): NaN where missing and where it is no number."""
    missing = np.array([cell.lower() in NO_NUMBER for cell in cells], dtype=bool)
    values = pd.to_numeric(pd.Series(np.where(missing, "nan", cells), dtype=object), errors="coerce")
    return missing, values.to_numpy(dtype=np.float64)


def numeric_share(cells: np.ndarray) -> float:
    """The share of the cells that are not missing which are numbers; 0 when all are missing."""
    missing, values = parse(cells)
    return float((~np.isnan(values[~missing])).mean()) if (~missing).any() else 0.0


def parse_where(text: str) -> tuple[str, str, str]:
    """ "num_votes>=5" -> ("num_votes", ">=", "5"). Quotes around the value are dropped."""
    found = re.fullmatch(r"\s*(.+?)\s*(==|!=|<=|>=|<|>)\s*(.*?)\s*", text, flags=re.DOTALL)
    if not found:
        raise ConfigError(
            f'--where={text}: expected COLUMN, one of == != < <= > >=, and a value, e.g. --where="city==Boston"'
        )
    column, sign, value = found.groups()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    return column, sign, value


def where_mask(table: Table, condition: str) -> np.ndarray:
    """The rows that satisfy one condition, bool (M,). Numbers are compared as numbers; a missing one is unlike any (!=) and satisfies nothing else."""
    column, sign, value = parse_where(condition)
    cells = table.column(column, "--where")
    numeric = numeric_share(cells) == 1.0 and numeric_share(np.array([value], dtype=object)) == 1.0
    if numeric:
        values = numbers(cells, table.frame.index, f"--where={condition}")
        return COMPARISONS[sign](values, float(value))  # with NaN all are false but !=
    if sign in ("==", "!="):
        return COMPARISONS[sign](cells, value).astype(bool)
    raise DataError(
        f"--where={condition}: {sign} needs numbers, but column {column!r} of {table.name} or the value is text"
    )


# --- the files that cells mean ---------------------------------------------------------------------------------------


def stem(name: str) -> str:
    """A file name without its ending, when that is an image's: "42.36_-71.06_id" keeps its last point."""
    dot = name.rfind(".")
    return name[:dot] if dot > 0 and name[dot:].lower() in IMAGE_ENDINGS else name


def _plain(path: str) -> str:
    """One spelling of a path: slashes as in POSIX, composed accents (macOS writes them decomposed)."""
    path = path.replace("\\", "/")
    path = path[2:] if path.startswith("./") else path
    return path if path.isascii() else unicodedata.normalize("NFC", path)


def _name(path: str) -> str:
    return path[path.rfind("/") + 1 :]


class Matcher:
    """Finds the file that a cell of a table means: by path, by the end of a path, by file name, or by stem."""

    def __init__(self, paths: Sequence[str]):
        self.by_path: dict[str, int] = {}
        self.by_name: dict[str, list[int]] = {}
        self.by_stem: dict[str, list[int]] = {}
        for i, path in enumerate(map(_plain, paths)):
            name = _name(path)
            self.by_path[path] = i
            self.by_name.setdefault(name, []).append(i)
            self.by_stem.setdefault(stem(name), []).append(i)
        self.paths = paths

    def find(self, cell: str) -> list[int]:
        """Positions of the files it may mean: one when it is clear, none, or several."""
        wanted = _plain(cell)
        if not wanted:
            return []
        tail = wanted
        while tail:  # "/home/me/data/a/1.jpg" means a/1.jpg below the data folder
            if tail in self.by_path:
                return [self.by_path[tail]]
            tail = tail.partition("/")[2]
        name = _name(wanted)
        named = self.by_name.get(name) or self.by_stem.get(stem(name), [])
        return [i for i in named if self.is_path(cell, i)] or named if len(named) > 1 else named

    def is_path(self, cell: str, position: int) -> bool:
        """Whether the cell's folders (or the last of them) are the file's, the ending aside."""
        wanted, path = stem(_plain(cell)), stem(_plain(self.paths[position]))
        return f"/{path}".endswith(f"/{wanted}") or f"/{wanted}".endswith(f"/{path}")


def match_files(cells: Sequence[str] | np.ndarray, lines: Lines, matcher: Matcher, what: str) -> np.ndarray:
    """The position of each row's file, int64 (M,); -1 without one.

    Raises:
        DataError: a cell that fits several files; names them.
    """
    positions = np.full(len(cells), -1, dtype=np.int64)
    # train/1.jpg and val/1.jpg in one table are two images: where only one is on disk, its name must not stand for both
    sharing_a_name = Counter(_name(cell) for cell in set(map(_plain, cells)))
    for row, cell in enumerate(cells):
        found = matcher.find(cell)
        if len(found) == 1 and sharing_a_name[_name(_plain(cell))] > 1 and not matcher.is_path(cell, found[0]):
            continue
        if len(found) > 1:
            raise DataError(
                f"{what}: {cell!r} in line {lines[row]} matches {len(found)} files ({matcher.paths[found[0]]}, "
                f"{matcher.paths[found[1]]}); write paths relative to the data folder in the table"
            )
        if found:
            positions[row] = found[0]
    return positions


def guess_image_column(columns: Mapping[str, Sequence[str]], matcher: Matcher) -> str | None:
    """The column of which most cells name files; the leftmost of equals; None where no cell does.

    columns: some cells of each column, by its name.
    """
    hits = {name: sum(bool(matcher.find(cell.strip())) for cell in cells) for name, cells in columns.items()}
    best = max(hits, key=hits.__getitem__, default=None)
    return best if best is not None and hits[best] else None
