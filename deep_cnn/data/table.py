"""Tables and lists of images, read as text: every encoding, separator and header that people's programs write."""

import codecs
import csv
import hashlib
import itertools
import os
import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BufferedReader, TextIOWrapper
from pathlib import Path

import numpy as np
import pandas as pd

from deep_cnn.config.registries import IMAGE_ENDINGS
from deep_cnn.data.mistaken import no_table, what_else
from deep_cnn.data.row_lengths import check_long, check_short, check_unnamed, fill, fit, is_number
from deep_cnn.runtime.errors import DataError, nearest
from deep_cnn.runtime.format import plural, some

TABLE_ENDINGS = (".csv", ".tsv", ".txt")
# tables in formats that are not read
NO_TEXT = frozenset((
    ".xls", ".xlsx", ".xlsm", ".xlsb", ".ods", ".numbers", ".gsheet", ".json", ".jsonl", ".xml", ".sav", ".zsav", ".dta", ".sas7bdat", ".rds", ".rdata", ".rda", ".mat", ".feather", ".arrow", ".h5", ".hdf5", ".sqlite", ".db", ".pkl", ".pickle", ".npy", ".npz", ".pdf", ".rtf", ".doc", ".docx",
))  # fmt: skip
NO_TEXT_MAGIC = {b"PK\3\4": ".xlsx or .zip", b"\xd0\xcf\x11\xe0": ".xls", b"PAR1": ".parquet", b"\x1f\x8b": ".gz"}
ROW_PER_IMAGE = "write a row for each image (or for each rating: image, rater, rating)"
ROWS_OF_HEAD = 50  # by which the separator is told
ROWS_AT_ONCE = 1 << 12  # of a frame: pandas keeps text in a third of the memory that Python's strings need
ESCAPED = re.compile("[\udc80-\udcff]")  # a byte that is not UTF-8
NO_CP1252 = re.compile("[\udc81\udc8d\udc8f\udc90\udc9d]")  # nor a letter of Windows-1252
# What is in no cell: the mark of UTF-8 where files were joined, zeros behind a file that a disk cut, the end of a file in DOS
NO_TEXT_OF_CELLS = {0: None, 0x1A: None, 0xFEFF: None}
INVISIBLE = "\u200b\u2060\ufeff\u00ad"  # spaces of no width and soft hyphens, which browsers' clipboards bring along
FORMULA = re.compile(r'="(.*)"', re.DOTALL)  # ="007": text that a spreadsheet must not take for a number
QUALTRICS = '{"ImportId":'  # each cell of its third line
CELL_ENDS = r"[,;\t|]"
# before the header, or before the first name of a list; "#," is a column's name
COMMENT = re.compile(rf"\s*#(?!{CELL_ENDS})")
Lines = Sequence[int] | np.ndarray | pd.Index  # of each row, its line in the file


@dataclass(frozen=True)
class Table:
    """Cells as text; `frame` has the line of the file in its index, for messages."""

    name: str
    frame: pd.DataFrame
    digest: str  # sha256 of the file's bytes
    notes: tuple[str, ...]
    separator: str = ","  # of the columns
    twice: tuple[str, ...] = ()  # names that several columns have; the second one is called "NAME (column 3)"
    unread: tuple[str, ...] = ()  # columns of Parquet that are neither text nor numbers

    def column(self, name: str, flag: str) -> np.ndarray:
        """The cells of a column without the blanks around them, object (M,).

        Raises:
            DataError: no such column, or two of this name.
        """
        return self.frame[self.find(name, flag)].str.strip().to_numpy(dtype=object)

    def find(self, name: str, flag: str) -> str:
        """The column of this name, blanks, line breaks and the form of accents aside."""
        columns = [str(column) for column in self.frame.columns]
        found = [columns[k] for k in same_name(columns, name)]
        if len(found) == 1 and found[0] not in self.twice:
            return found[0]
        if found:
            raise DataError(f"{flag}={name}: {self.name}: two columns are named {found[0]!r}; rename one of them")
        raise DataError(
            f"{flag}={name}: {self.name} has no such column.{nearest(name, columns)} Columns: {some(columns, 12)}"
            + ("; separate columns by commas or tabs, not by blanks" if len(columns) == 1 and " " in columns[0] else "")
        )

    def names(self, words: Sequence[str], flag: str) -> tuple[str, ...]:
        """The columns that a list separated by commas means, where names of columns may themselves hold commas.

        Raises:
            DataError: no such column, or a list that can be read in two ways.
        """
        by_words: dict[tuple[str, ...], list[str]] = {}
        for column in self.frame.columns:
            by_words.setdefault(_words([column]), []).append(column)
        parts, longest = _words(words), max(map(len, by_words), default=1)
        readings: list[list[tuple[str, ...]]] = [[()], *([] for _ in parts)]  # of the first k words
        for k in range(1, len(parts) + 1):
            for start in range(max(0, k - longest), k):
                for column in by_words.get(parts[start:k], []):
                    readings[k] = [*readings[k], *((*before, column) for before in readings[start])][:3]
        found = list(dict.fromkeys(readings[-1]))
        if len(found) > 1:
            ways = " or ".join("+".join(map(repr, way)) for way in found[:2])
            raise DataError(f"{flag}={','.join(words)}: may be the columns {ways}; rename one of them")
        if found:
            return tuple(self.find(column, flag) for column in found[0])
        flat = [word for word in words if word]
        return tuple(self.find(word, flag) for word in flat)  # names the word that is no column

    def take(self, rows: np.ndarray) -> "Table":
        """The rows of a mask or of positions."""
        return replace(self, frame=self.frame.iloc[np.flatnonzero(rows) if rows.dtype == bool else rows])


def same_name(columns: Sequence[str], name: str) -> list[int]:
    """The positions of the columns of this name; without one, of those that differ in blanks, line breaks and the form of accents."""
    exact = [k for k, column in enumerate(columns) if column == name]
    return exact or [k for k, column in enumerate(columns) if _spaced(column) == _spaced(name)]


def _spaced(name: str) -> str:
    return " ".join(visible(unicodedata.normalize("NFC", name)).split())


def visible(text: str) -> str:
    """The text without letters that nobody sees."""
    return text if text.isascii() else text.translate(dict.fromkeys(map(ord, INVISIBLE)))


def _words(names: Sequence[str]) -> tuple[str, ...]:
    """The parts of names between commas."""
    return tuple(word for name in names for part in name.split(",") if (word := _spaced(part)))


# --- text ------------------------------------------------------------------------------------------------------------


def open_text(path: Path) -> TextIOWrapper:
    """Open a table or a list: UTF-8 with or without a byte order mark, or UTF-16 as Excel and PowerShell write it.

    Bytes that are not UTF-8 are kept as escapes: they may be the name of a file on disk, or letters for `as_text`.
    """
    return as_lines(open(path, "rb"))


def as_lines(stream: BufferedReader) -> TextIOWrapper:
    """The text of an open file or of the standard input, see `open_text`."""
    encoding = _encoding(stream.peek(4)[:4])
    errors = "surrogateescape" if encoding.startswith("utf-8") else "replace"
    return TextIOWrapper(stream, encoding=encoding, errors=errors, newline="")


def _encoding(start: bytes) -> str:
    """By the byte order mark; without one by the zeros that UTF-16 has beside letters of ASCII."""
    if start in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
        return "utf-32"
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    if len(start) > 1 and 0 in start[:2] and start[:2] != b"\0\0":
        return "utf-16-le" if start[1] == 0 else "utf-16-be"
    return "utf-8-sig"


def stem(name: str) -> str:
    """A file name without its ending, when that is an image's: "42.36_-71.06_id" keeps its last point."""
    dot = name.rfind(".")
    return name[:dot] if dot > 0 and name[dot:].lower() in IMAGE_ENDINGS else name


def looks_like_image(cell: str) -> bool:
    """Whether a cell has the ending of an image."""
    cell = cell.strip()
    return stem(cell) != cell


def as_text(cell: str) -> str:
    """The letters of a cell: bytes that are not UTF-8 are Windows' cp1252."""
    if cell.isascii() or not ESCAPED.search(cell):
        return cell
    return cell.encode("utf-8", "surrogateescape").decode("cp1252", errors="replace")


class TableReader:
    """Reads a table row by row, so that a million rows take no memory.

    Iterating gives (line of the file, cells) of each row below the header; blank lines are left out.

    Attributes:
        names: of the columns, without the blanks around them; [] for a file without text.
        columns: the same, where those without a name are "column 3"...
        separator: of the columns.
        first_images: what the first line names instead of columns, without repetitions.
        headless: whether it does; the columns are then "column 1", "column 2"...
        escaped: whether a byte so far is not UTF-8. undecoded: the first line with a byte that Windows-1252 has not either; 0.
        repeated: how often the header has come again so far; such rows are left out.
        described: whether the first two rows were Qualtrics' descriptions of the columns; they are left out.
    """

    def __init__(self, lines: Iterable[str], ending: str, what: str):
        """lines: of an open file, with their ends; ending: the file's; what: names the table in messages."""
        csv.field_size_limit(2**31 - 1)  # a cell may hold the outline of a city
        self.repeated, self.described = 0, False
        self.what, self.escaped, self._formulas, self._ended, self.undecoded = what, False, False, False, 0
        lines = iter(lines)
        separator, self._skipped, head = _preamble(lines)
        head += itertools.islice(lines, ROWS_OF_HEAD)
        self.separator = separator or _separator(head, ending)
        blank = self.separator == " "
        watched = self._watched(itertools.chain(head, lines))
        self._rows = csv.reader(watched, delimiter=self.separator, skipinitialspace=blank)
        names = next(self._rows, [])
        for lines in (name.split("\n")[1:] for name in names if "\n" in name):
            widths = {len(part.split(self.separator)) for part in lines[:-1]}
            named = any(looks_like_image(cell) for part in lines for cell in part.split(self.separator))
            if named or (len(lines) > 2 and len(widths) == 1 and widths != {1}):
                raise DataError(
                    f"{what}: the name of a column in quotes has rows in it ({lines[0].strip()[:40]!r}); correct the quotes in the header"
                )
        self.first_images = tuple(dict.fromkeys(name for name in names if looks_like_image(name)))
        self.headless = bool(self.first_images)
        self._first = [(self._skipped + 1, names)] if self.headless else []
        names = [""] * len(names) if self.headless else [visible(as_text(name)).strip() for name in names]
        names = [_without_formula(name) for name in names]
        self.names, self._names = names, frozenset(() if self.headless else names)
        self.columns = [name or f"column {k}" for k, name in enumerate(names, start=1)]

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        rows = self._all_rows()
        first = list(itertools.islice(rows, 2))
        if len(first) == 2 and (cells := [cell for cell in first[1][1] if cell.strip()]):
            self.described = all(cell.startswith(QUALTRICS) for cell in cells)
        for line, row in itertools.chain([] if self.described else first, rows):
            if len(row) > 1 and row[0].strip() in self._names and self._is_header(line, row):
                self.repeated += 1
            else:
                yield line, row

    def _is_header(self, line: int, row: list[str]) -> bool:
        """Whether a row is the header once more, as where files were joined; DataError where the columns have another order."""
        names = [visible(as_text(name)).strip() for name in row]
        if names != self.names and sorted(names) == sorted(self.names):
            raise DataError(
                f"{self.what}: line {line} is a header again, with the columns in another order; join files whose columns are in the "
                "same order"
            )
        if names != self.names and row[0].strip() == self.names[0] and not any(map(_names_or_counts, row)):
            raise DataError(
                f"{self.what}: line {line} looks like another header ({some(row, 4)}); remove it, or, where files were joined, join only those "
                "whose columns are the same"
            )
        return names == self.names

    def _all_rows(self) -> Iterator[tuple[int, list[str]]]:
        yield from self._first
        before = self._rows.line_num
        for row in self._rows:
            if self._ended:  # it asked for more lines than there are
                raise DataError(
                    f"{self.what}: the quote opened in line {before + 1 + self._skipped} is never closed; add the closing quote"
                )
            if self._rows.line_num > before + 1:
                self._check_quotes(before + 1 + self._skipped, row)
            if any(cell.strip() for cell in row):
                yield before + 1 + self._skipped, [_without_formula(c) for c in row] if self._formulas else row
            before = self._rows.line_num

    def _check_quotes(self, line: int, row: list[str]) -> None:
        """DataError where a cell of several lines has other rows in it: two quotes that were never closed."""
        for k, cell in enumerate(row):
            lines = cell.split("\n")[1:]
            for number, part in enumerate(lines, start=1):
                cells = part.split(self.separator)
                whole = cells + (row[k + 1 :] if number == len(lines) else [])
                if len(cells) > 1 and (any(map(looks_like_image, cells)) or self._is_like_a_row(whole, row)):
                    raise DataError(
                        f"{self.what}: the cell in quotes that begins in line {line} has another row in it ({part.strip()[:40]!r}); correct "
                        "the quotes"
                    )

    def _is_like_a_row(self, cells: list[str], row: list[str]) -> bool:
        """Whether cells are as many as the columns, of the row's kinds, and begin as the row does."""
        alike = fit(map(is_number, cells), map(is_number, row)) and _form(row[0]) == _form(cells[0])
        return alike and len(cells) >= len(self.columns)

    def _watched(self, lines: Iterable[str]) -> Iterator[str]:
        for number, line in enumerate(lines, start=self._skipped + 1):
            if not line.isascii() and ESCAPED.search(line):
                self.escaped = True
                if not self.undecoded and NO_CP1252.search(line):
                    self.undecoded = number
            self._formulas = self._formulas or '="' in line
            yield line.translate(NO_TEXT_OF_CELLS) if _has_no_text(line) else line
        self._ended = True


def _names_or_counts(cell: str) -> bool:
    return looks_like_image(cell) or is_number(cell) is True


def _form(cell: str) -> str:
    """What kind of words and numbers a cell has, for example a0 for p01."""
    return re.sub(r"\d+", "0", re.sub(r"[^\W\d]+", "a", cell.strip()))


def _without_formula(cell: str) -> str:
    found = FORMULA.fullmatch(cell)
    return found[1] if found else cell


def _has_no_text(line: str) -> bool:
    return "\0" in line or "\x1a" in line or "\ufeff" in line


def _preamble(lines: Iterator[str]) -> tuple[str | None, int, list[str]]:
    """The separator where a line names it, how many lines stand before the header, and the header's first line.

    Comments (#) before the header are passed over; the last of them is the header where images follow at once.
    """
    separator, comment = None, ""
    for skipped, line in enumerate(lines):
        if directive := re.fullmatch(r'"?sep=(.)"?[,;\t]*[\r\n]*', line):  # Excel's own
            separator = directive[1]
        elif line.startswith("#TYPE ") or not line.strip():  # PowerShell's Export-Csv
            continue
        elif COMMENT.match(line):
            comment = line
        elif (
            comment
            and (_names_an_image(line) or any(is_number(cell) for cell in re.split(CELL_ENDS, line)))
            and not any(is_number(cell) for cell in re.split(CELL_ENDS, COMMENT.sub("", comment)))
            and _ends(comment) == _ends(line)
        ):
            return separator, skipped - 1, [COMMENT.sub("", comment), line]
        else:
            return separator, skipped, [line]
    return separator, 0, [comment] if comment else []


def _ends(line: str) -> int:
    """How many separators a line has outside of quotes."""
    return len(re.findall(CELL_ENDS, re.sub(r'"(?:[^"]|"")*"', "", line)))


def _names_an_image(line: str) -> bool:
    return any(looks_like_image(cell.strip("\"' \r\n")) for cell in re.split(CELL_ENDS, line))


def _separator(head: list[str], ending: str) -> str:
    """The separator by which most rows have as many cells as the header; of equals the one that makes most columns.

    Where none does, the one that splits the first line into most columns; the file's ending decides when there is a tie.
    """
    usual = "\t" if ending == ".tsv" else ","
    preferred = dict.fromkeys(("\t", ";", ",", "|") if usual == "\t" else (";", ",", "\t", "|"))

    def fit(separator: str) -> tuple[float, int]:
        header, *rows = [row for row in csv.reader(head, delimiter=separator) if any(map(str.strip, row))] or [[]]
        rows = rows[:-1] if len(head) > ROWS_OF_HEAD and len(rows) > 1 else rows  # the last one may be cut
        width, named = len(header), len(_without_empty_end(header))
        if named < 2 or not rows:
            return 0.0, 0
        return sum(len(row) >= named and not any(row[width:]) for row in rows) / len(rows), named

    best = max(preferred, key=fit)
    if fit(best)[0] >= 0.5:
        return best
    if _by_blanks(head):
        return " "
    header = head[0] if head and not head[0].count('"') % 2 else ""
    header = re.sub(r'"[^"]*"', "", header or "".join(head[:1]))
    return max((usual, ",", ";", "\t"), key=header.count)


def _by_blanks(head: list[str]) -> bool:
    """Whether blanks separate an image from what is said of it: "train/1.jpg 0", as in ImageNet's train.txt.

    A name with blanks in it ends as an image does.
    """
    rows = [row for row in csv.reader(head, delimiter=" ", skipinitialspace=True) if row]
    body = [_without_empty_end(row) for row in rows[1 : ROWS_OF_HEAD - 1]]
    return bool(body) and all(
        len(row) == len(body[0]) > 1 and not looks_like_image(row[-1]) and any(map(looks_like_image, row))
        for row in body
    )


def _without_empty_end(row: list[str]) -> list[str]:
    while row and not row[-1].strip():
        row = row[:-1]
    return row


def find_table(path: Path) -> Path:
    """The table that --metadata means: a file, or the one table (or qscores.tsv) in a folder."""
    if path.is_dir():
        tables = sorted(
            p for p in path.iterdir() if p.suffix.lower() in TABLE_ENDINGS and not p.name.startswith((".", "~$"))
        )
        scores = [p for p in tables if p.name == "qscores.tsv"]
        if len(scores or tables) != 1:
            names = ", ".join(p.name for p in tables[:6]) or "none"
            raise DataError(f"--metadata={path}: the folder contains {len(tables)} tables ({names}); give one of them")
        return (scores or tables)[0]
    if path.is_symlink() and not path.exists():
        raise DataError(f"--metadata={path}: a link to a file that is not there ({os.readlink(path)})")
    if not path.is_file():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"--metadata={path}: no such file; give a CSV or TSV file.{nearest(path.name, beside)}")
    check_is_text(path, f"--metadata={path}")
    return path


def check_is_text(path: Path, what: str) -> None:
    """DataError, naming the way out, for a spreadsheet and other files that are no text."""
    ending = path.suffix.lower()
    if path.is_file() and ending not in NO_TEXT:
        with open(path, "rb") as file:
            start = file.read(200)
        ending = next((kind for magic, kind in NO_TEXT_MAGIC.items() if start.startswith(magic)), ending)
        if other := what_else(start):
            raise DataError(f"{what}: this is {other}")
        if other := no_table(start, _encoding(start[:4])):
            raise DataError(f"{what}: this is {other}; save the table as CSV (UTF-8)")
    if ending == ".parquet":  # one of this name is read as such
        raise DataError(f"{what}: a Parquet file without its ending; rename it to {path.stem}.parquet")
    if ending in NO_TEXT or ending in NO_TEXT_MAGIC.values():
        raise DataError(f"{what}: {ending} files are not supported; save the table as CSV (UTF-8)")


def read_table(path: Path) -> Table:
    """Read a CSV or TSV file; every cell stays text, so that "007" is not 7.

    Raises:
        DataError: no such file, empty, rows of differing widths.
    """
    path = find_table(path)
    what = f"--metadata={path.name}"
    with open_text(path) as file:
        reader = TableReader(file, path.suffix.lower(), what)
        if not reader.columns:
            raise DataError(f"{what}: the file is empty; expected a header row and data")
        if len(reader.first_images) > 2:
            raise DataError(
                f"{what}: the columns are named as images ({some(reader.first_images, 3)}); {ROW_PER_IMAGE}"
            )
        if reader.headless:
            raise DataError(f"{what}: the first line names an image, not columns; add a row with the columns' names")
        twice = tuple(name for name, count in Counter(reader.columns).items() if count > 1)
        names = [
            f"{name} (column {k})" if name in reader.columns[: k - 1] else name
            for k, name in enumerate(reader.columns, start=1)
        ]
        lines = array("q")
        named = len(_without_empty_end(reader.names))  # the last columns may have none
        parts, rows, short, long = [], iter(reader), dict[int, int](), dict[int, int]()
        while block := list(itertools.islice(rows, ROWS_AT_ONCE)):
            for number, (line, row) in enumerate(block, start=len(lines)):
                if len(row) != len(names):
                    if len(row) < named:
                        short[number] = len(row)
                    elif len(row) > len(names):
                        long[number] = len(row)
                    fill(row, names, line, what)
            block_lines, cells = zip(*block, strict=True)
            lines.extend(block_lines)
            columns: Iterable[Iterable[str]] = zip(*cells, strict=True)
            if reader.escaped:
                columns = (map(as_text, column) for column in columns)
            parts.append(pd.DataFrame({name: list(c) for name, c in zip(names, columns, strict=True)}, dtype=str))
    if not parts:
        raise DataError(f"{what}: no rows below the header")
    if reader.undecoded:  # letters that were lost would make one label of two
        raise DataError(
            f"{what}: line {reader.undecoded} is neither UTF-8 nor Windows-1252, so its letters are not known; save the table as UTF-8"
        )
    frame = pd.concat(parts, ignore_index=True).set_axis(np.frombuffer(lines, dtype=np.int64))
    if len(names) > 1 and not reader.names[-1]:
        check_unnamed(frame, what)
    check_short(frame, short, what)
    check_long(frame, long, reader.separator, what)
    notes = [f"{path.name} is not UTF-8; reading it as Windows-1252"] if reader.escaped else []
    if reader.repeated:
        notes.append(f"{path.name}: {plural(reader.repeated, 'line')} with the header again, left out")
    if reader.described:
        notes.append(f"{path.name}: the first two rows describe the columns (Qualtrics); they are left out")
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Table(path.name, frame, digest, tuple(notes), reader.separator, twice)
