"""Rows of a table with more or fewer cells than the header: which can be completed, and which may have their cells in wrong columns."""

import re
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from deep_cnn.runtime.errors import DataError
from deep_cnn.runtime.format import plural, some

# a missing cell, of numbers or of words
NOTHING = re.compile(r"[\W_]*|#.*|n\.?/?a\.?|nan|null|none", re.IGNORECASE)
NAME_OF_FILE = re.compile(r"\.\w{2,5}$")
NUMBER = re.compile(r"[+-]?[.,]?\d[\d.,' ]*(?:[eE][+-]?\d+)?\s?%?")


def fill(row: list[str], names: Sequence[str], line: int, what: str) -> None:
    """Give a row as many cells as the header; DataError where it has more than that."""
    width = len(names)
    if any(row[width:]):
        raise DataError(
            f"{what}: line {line} has {len(row)} cells, but the header has {width}; put quotes around cells that "
            "contain the separator (a number with a decimal comma, too), remove lines above the header "
            f"({some(names)} is taken for it), and in R use write.csv, whose header names every column"
        )
    row[width:] = [""] * (width - len(row))


def check_short(frame: pd.DataFrame, short: dict[int, int], what: str) -> None:
    """DataError for a row with fewer cells than the header, unless only its last ones can be missing.

    Spreadsheets leave out empty cells at the ends of rows, but a cell that was lost elsewhere moves the others to wrong columns.

    Args:
        short: row -> its cells.
    """
    if not short:
        return
    cells = frame.to_numpy(dtype=object)
    whole = np.delete(cells, list(short), axis=0) if len(short) < len(cells) else cells
    kinds = [_kind(column) for column in whole.T]
    usual = 2 * len(short) >= len(cells) or not all(map(str.strip, whole[:, -1]))
    for row, count in short.items():
        found = [is_number(cell) for cell in cells[row, :count]]
        if not fit(found, kinds) or not (usual or _numbers_are_certain(found, kinds)):
            raise DataError(
                f"{what}: line {frame.index[row]} has {plural(count, 'cell')}, but the header has {len(kinds)}, and which are missing is not "
                "known; correct the line, or write a separator for each empty cell"
            )


def check_long(frame: pd.DataFrame, long: dict[int, int], separator: str, what: str) -> None:
    """DataError for rows with more separators than the header and nothing behind them, where one of them may be within a number or a text.

    Args:
        long: row -> its cells.
    """
    if not long:
        return
    cells = frame.to_numpy(dtype=object)
    usual = np.delete(cells, list(long), axis=0) if len(long) < len(cells) else cells
    kinds = [_kind(column) for column in usual.T]
    rare = 2 * len(long) < len(cells)  # a program that ends rows with a separator ends all of them so
    for row, count in long.items():
        cut = separator == "," and (_may_be_cut(cells[row], usual) or (rare and _may_be_words(cells[row], kinds)))
        if cut or not fit(map(is_number, cells[row]), kinds):
            raise DataError(
                f"{what}: line {frame.index[row]} has {count} cells, the last of them empty, but the header has {len(kinds)}; put quotes around "
                "cells that contain the separator (a number with a decimal comma, too), or remove the separators at the ends of rows"
            )


def check_unnamed(frame: pd.DataFrame, what: str) -> None:
    """DataError where the last column has values but no name: the names may be those of other columns, or numbers were cut at a comma."""
    cells = frame.iloc[:, -1].str.strip().to_numpy(dtype=object)
    filled = np.flatnonzero(cells.astype(bool))
    if len(filled) and (2 * len(filled) >= len(cells) or _all_digits(cells[filled])):
        raise DataError(
            f"{what}: the last column has values ({cells[filled[0]]} in line {frame.index[filled[0]]}) but no name; give every column a name, "
            "write numbers with decimal points, and put quotes around cells that contain the separator"
        )


def _may_be_cut(row: np.ndarray, usual: np.ndarray) -> bool:
    """Whether two cells may be one with a comma: 3,5 where all rows have two whole numbers, or Boston, MA where no other has the blank."""
    for k in range(1, len(row)):
        if row[k].startswith(" ") and (usual is row or not any(cell.startswith(" ") for cell in usual[:, k])):
            return True
        pair = usual[:, k - 1 : k + 1].ravel()
        if _all_digits(np.append(pair, row[k - 1 : k + 1])) and not set(map(str.strip, pair)) <= {"0", "1"}:
            return True
    return False


def _may_be_words(row: np.ndarray, kinds: Sequence[bool | None]) -> bool:
    """Whether two neighbouring words may be one cell, as Boston,MA, and the row's last cell be missing."""
    found = [is_number(cell) for cell in row]
    return any(
        found[k - 1] is False
        and found[k] is False
        and not NAME_OF_FILE.search(row[k - 1].strip())
        and fit([*found[:k], *found[k + 1 :]], kinds)
        for k in range(1, len(row))
    )


def _all_digits(column: np.ndarray) -> bool:
    return all(cell.strip().lstrip("+-").isdecimal() for cell in column)


def is_number(cell: str) -> bool | None:
    """Whether a cell is a number; None where it is missing, as either may be."""
    word = cell.strip()
    return None if NOTHING.fullmatch(word) else NUMBER.fullmatch(word) is not None


def fit(found: Iterable[bool | None], kinds: Iterable[bool | None]) -> bool:
    """Whether cells are numbers where the columns have numbers, and words where they have words; None: either."""
    return all(None in pair or pair[0] == pair[1] for pair in zip(found, kinds, strict=False))


def _kind(column: np.ndarray) -> bool | None:
    """Whether a column has numbers; None where it has both numbers and words."""
    kinds = set(map(is_number, column)) - {None}
    return kinds.pop() if len(kinds) == 1 else None


def _numbers_are_certain(row: list[bool | None], kinds: list[bool | None]) -> bool:
    """Whether each number can only be in one column, the cells being those of some of the columns in order."""

    def places(cells: list[bool | None], columns: list[bool | None]) -> list[int]:
        k, found = 0, []  # each cell as early as it can be
        for cell in cells:
            while k < len(columns) and None not in (cell, columns[k]) and cell != columns[k]:
                k += 1
            found.append(k)
            k += 1
        return found

    earliest, last = places(row, kinds), len(kinds) - 1
    latest = [last - k for k in places(row[::-1], kinds[::-1])][::-1]
    return all(one == other for cell, one, other in zip(row, earliest, latest, strict=True) if cell)
