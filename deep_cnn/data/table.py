"""Tables of labels and scores: read as text, rows chosen, numbers parsed safely, rows matched to files."""

import codecs
import hashlib
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from deep_cnn.config.registries import IMAGE_ENDINGS
from deep_cnn.runtime.errors import ConfigError, DataError, nearest

TABLE_ENDINGS = (".csv", ".tsv", ".txt")
NO_NUMBER = frozenset(("", "na", "n/a", "nan", "null", "none", "-"))  # cells of a numeric column that mean "missing"
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
                f"{flag}: {self.name} has no column {name!r}.{nearest(name, columns)} "
                f"Its columns: {', '.join(columns[:12])}{more}."
            )
        return self.frame[name].str.strip().to_numpy(dtype=object)

    def take(self, rows: np.ndarray) -> "Table":
        """The rows of a mask or of positions."""
        return Table(
            self.name, self.frame.iloc[np.flatnonzero(rows) if rows.dtype == bool else rows], self.digest, self.notes
        )


def find_table(path: Path) -> Path:
    """The table that --metadata means: a file, or the one table (or qscores.tsv) in a folder."""
    if path.is_dir():
        tables = sorted(p for p in path.iterdir() if p.suffix.lower() in TABLE_ENDINGS and not p.name.startswith("."))
        scores = [p for p in tables if p.name == "qscores.tsv"]
        if len(scores or tables) != 1:
            names = ", ".join(p.name for p in tables[:6]) or "none"
            raise DataError(f"--metadata: {path} is a folder with {len(tables)} tables ({names}); name one of them.")
        return (scores or tables)[0]
    if not path.is_file():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"--metadata: {path} does not exist.{nearest(path.name, beside)} Expected a CSV or TSV file.")
    if path.suffix.lower() in (".xls", ".xlsx", ".ods", ".parquet", ".json"):
        raise DataError(f"--metadata: {path.name} is not text; save it as CSV (UTF-8) and give that file.")
    return path


def _decode(data: bytes, name: str) -> tuple[str, list[str]]:
    """Text of a table: UTF-8 with or without a byte order mark, UTF-16 as Excel writes it, else Windows' cp1252."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16"), []
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace"), [f"{name} is not UTF-8; read as Windows-1252."]


def _separator(text: str, ending: str) -> str:
    """The separator that splits the header into most columns; the file's ending decides when there is a tie."""
    header = re.sub(r'"[^"]*"', "", text.lstrip("\r\n").split("\n", 1)[0])
    usual = "\t" if ending == ".tsv" else ","
    return max((usual, ",", ";", "\t"), key=header.count)


def read_table(path: Path) -> Table:
    """Read a CSV or TSV file; every cell stays text, so that "007" is not 7 and "NA" may be a country.

    Raises:
        DataError: no such file, empty, rows of differing widths.
    """
    path = find_table(path)
    data = path.read_bytes()
    text, notes = _decode(data, path.name)
    try:
        # header=None: a row wider than the names is then an error, where pandas would shift or cut it without a word
        separator = _separator(text, path.suffix.lower())
        frame = pd.read_csv(io.StringIO(text), sep=separator, header=None, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as problem:
        why = str(problem).strip().splitlines()[-1]
        raise DataError(
            f"--metadata: {path.name} cannot be read as a table: {why}. Expected one row of names above the data."
        ) from None
    names = [str(name).strip() or f"column {k}" for k, name in enumerate(frame.iloc[0].fillna(""), start=1)]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(f"--metadata: {path.name} has two columns named {twice[0]!r}; rename one of them.")
    frame = frame.iloc[1:].fillna("")  # cells that short rows lack
    frame.columns = names
    if frame.empty:
        raise DataError(f"--metadata: {path.name} has no rows below its header.")
    frame.index = np.arange(2, len(frame) + 2)
    return Table(path.name, frame, hashlib.sha256(data).hexdigest(), tuple(notes))


def numbers(cells: np.ndarray, lines: Sequence[int], what: str) -> np.ndarray:
    """Text to float64 (M,), missing cells to NaN.

    Raises:
        DataError: a cell that is no number, or an infinite one; names its line.
    """
    missing, values = parse(cells)
    wrong = np.flatnonzero(~missing & np.isnan(values))
    if len(wrong):
        raise DataError(
            f"{what}: {cells[wrong[0]]!r} in line {lines[wrong[0]]} is not a number ({len(wrong):,} such cells); "
            f"correct them, or use --task=classification for a column of classes."
        )
    endless = np.flatnonzero(np.isinf(values))
    if len(endless):
        raise DataError(
            f"{what}: infinite value in line {lines[endless[0]]} ({len(endless):,} such cells); "
            f"correct them, or leave the cells empty to mask them."
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
            f'--where={text}: expected COLUMN, one of == != < <= > >=, and a value, e.g. --where="city==Boston".'
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
        f"--where={condition}: {sign} needs numbers, but column {column!r} of {table.name} or the value holds text."
    )


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


def match_files(cells: np.ndarray, lines: Sequence[int], paths: Sequence[str], what: str) -> np.ndarray:
    """The position of each row's file, int64 (M,); -1 without one.

    Raises:
        DataError: a cell that fits several files; names them.
    """
    matcher = Matcher(paths)
    positions = np.full(len(cells), -1, dtype=np.int64)
    # train/1.jpg and val/1.jpg in one table are two images: where only one is on disk, its name must not stand for both
    sharing_a_name = Counter(_name(cell) for cell in set(map(_plain, cells)))
    for row, cell in enumerate(cells):
        found = matcher.find(cell)
        if len(found) == 1 and sharing_a_name[_name(_plain(cell))] > 1 and not matcher.is_path(cell, found[0]):
            continue
        if len(found) > 1:
            raise DataError(
                f"{what}: {cell!r} in line {lines[row]} fits {len(found)} files ({paths[found[0]]}, {paths[found[1]]}); "
                f"write the path below the data folder in the table."
            )
        if found:
            positions[row] = found[0]
    return positions


def guess_image_column(table: Table, paths: Sequence[str], learnt: Sequence[str]) -> str:
    """The column of which most of 200 cells name files; the leftmost of equals; none of those to be learnt."""
    matcher = Matcher(paths)
    sample = table.frame.iloc[:: max(len(table.frame) // 200, 1)]
    hits = {
        str(name): sum(bool(matcher.find(str(cell).strip())) for cell in sample[name])
        for name in sample.columns
        if name not in learnt
    }
    best = max(hits, key=hits.__getitem__, default=None)
    if best is None or not hits[best]:
        row, example = table.frame.iloc[0], paths[0] if len(paths) else "no files"
        raise DataError(
            f"--metadata: no column of {table.name} names files of the data folder (its first row: "
            f"{', '.join(str(cell) for cell in row[:4])}; a file: {example}). Give --image_column, or another --data_dir."
        )
    return best
