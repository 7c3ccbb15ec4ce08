"""Rows of a table with more or fewer cells than the header: which can be completed, and which may have their cells in wrong columns."""

import itertools
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from deep_cnn.runtime.errors import DataError
from deep_cnn.runtime.format import plural, some

# a missing cell, of numbers or of words
NOTHING = re.compile(r"[\W_]*|#.*|n\.?/?a\.?|nan|null|none", re.IGNORECASE)
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
        fits = all(None in pair or pair[0] == pair[1] for pair in zip(found, kinds, strict=False))
        if not fits or (not usual and _ways(found, kinds) > 1):
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
    row, count = next(iter(long.items()))
    whole = [_all_digits(column) for column in frame.to_numpy(dtype=object).T] if separator == "," else [False]
    if len(long) < len(frame) or any(one and other for one, other in itertools.pairwise(whole)):
        raise DataError(
            f"{what}: line {frame.index[row]} has {count} cells, the last of them empty, but the header has {len(frame.columns)}; put quotes "
            "around cells that contain the separator (a number with a decimal comma, too), or remove the separators at the ends of rows"
        )


def _all_digits(column: np.ndarray) -> bool:
    return all(cell.strip().lstrip("+-").isdecimal() for cell in column)


def is_number(cell: str) -> bool | None:
    """Whether a cell is a number; None where it is missing, as either may be."""
    word = cell.strip()
    return None if NOTHING.fullmatch(word) else NUMBER.fullmatch(word) is not None


def _kind(column: np.ndarray) -> bool | None:
    """Whether a column has numbers; None where it has both numbers and words."""
    kinds = set(map(is_number, column)) - {None}
    return kinds.pop() if len(kinds) == 1 else None


def _ways(row: list[bool | None], kinds: list[bool | None]) -> int:
    """In how many ways the cells may be those of some of the columns in order, by whether they are numbers; None: either."""
    ways = [1, *(0 for _ in row)]  # of the first k cells among the columns so far
    for kind in kinds:
        for k in range(len(row), 0, -1):
            ways[k] += ways[k - 1] if None in (row[k - 1], kind) or row[k - 1] == kind else 0
    return ways[-1]
