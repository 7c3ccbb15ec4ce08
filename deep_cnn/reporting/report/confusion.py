"""Which classes are taken for which: a table of all of them, or of many classes the most confused pairs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deep_cnn.runtime.format import percent

MAX_CLASSES = 30  # more, and a matrix is wider than a page
PAIRS = 15
STRONGEST = (
    0.45  # opacity of a cell with all images of its class: the text on it stays readable, light or dark (WCAG 4.5:1)
)


@dataclass(frozen=True)
class Cell:
    """count: images; share: of the true class, in words; opacity: of the cell's colour; right: on the diagonal."""

    count: str
    share: str
    opacity: float
    right: bool


@dataclass(frozen=True)
class Confusion:
    """Either the matrix, a row for each true class, or the most confused pairs: (true, predicted, images, share of the true class)."""

    names: Sequence[str]
    matrix: list[tuple[str, str, list[Cell]]]
    pairs: list[tuple[str, str, str, str]]
    wrong: int
    more: int


def confusion(matrix: np.ndarray, names: Sequence[str]) -> Confusion:
    """For the page.

    Args:
        matrix: counts (K, K), true class by row, predicted class by column. names: of the K classes.
    """
    totals = matrix.sum(axis=1)
    shares = matrix / np.maximum(totals, 1)[:, None]
    off = matrix * (1 - np.eye(len(names), dtype=matrix.dtype))
    wrong = int(off.sum())
    if len(names) <= MAX_CLASSES:
        rows = [
            (name, f"{totals[k]:,}", [_cell(matrix[k, j], shares[k, j], k == j) for j in range(len(names))])
            for k, name in enumerate(names)
        ]
        return Confusion(names, rows, [], wrong, 0)
    # the most images first; of equally many the larger share of their class
    order = sorted(np.argwhere(off).tolist(), key=lambda pair: (-off[tuple(pair)], -shares[tuple(pair)]))
    pairs = [(names[k], names[j], f"{off[k, j]:,.0f}", percent(shares[k, j], 0)) for k, j in order[:PAIRS]]
    return Confusion(names, [], pairs, wrong, len(order) - len(pairs))


def _cell(count: int, share: float, right: bool) -> Cell:
    return Cell(f"{count:,}" if count else "", percent(share, 0) if count else "", round(STRONGEST * share, 2), right)
