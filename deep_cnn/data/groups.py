"""--group and --split_column: which images belong together, and which split they are in, as a table says."""

import numpy as np
import pandas as pd

from deep_cnn.config.fields import grid_size
from deep_cnn.data.cells import labels, missing, spelled
from deep_cnn.data.space import check_places, extent, grid_cells, round_length
from deep_cnn.data.split_names import ALIASES, FREE, TRAIN
from deep_cnn.data.table import Table
from deep_cnn.runtime.errors import DataError
from deep_cnn.runtime.format import plural, some


def read_groups(
    table: Table, places: np.ndarray | None, group: str | None, notes: list[str]
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Codes of groups int64 (M,) and their names; None and () without --group."""
    if not group:
        return None, ()
    return cells_of_grid(places, group, notes) or coded_groups(
        table.column(group, "--group"), group, notes, table.separator
    )


def cells_of_grid(places: np.ndarray | None, group: str, notes: list[str]) -> tuple[np.ndarray, tuple[str, ...]] | None:
    """Codes and names of the cells of --group=grid:500m; None where --group is a column."""
    side = grid_size(group)
    if side is None:
        return None
    places = check_places(places, f"--group={group}")
    names, codes = np.unique(grid_cells(places, side), return_inverse=True)
    if len(names) < 2:
        size = extent(places)
        if size < 1:
            raise DataError(f"--group={group}: all images have the same coordinates, so cells cannot divide them")
        smaller = round_length(min(size / 10, side)).replace(" ", "")
        raise DataError(
            f"--group={group}: all images are in one cell, which cannot be split; choose smaller cells, such as --group=grid:{smaller}"
        )
    notes.append(f"--group={group}: {len(names):,} cells with images, {len(codes) / len(names):.3g} images a cell")
    return codes.astype(np.int64), tuple(map(str, names))


def coded_groups(cells: np.ndarray, group: str, notes: list[str], separator: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Codes and names of the groups that a column names.

    Raises:
        DataError: a row has no group, or all are in one.
    """
    if (empty := missing(cells)).any():
        raise DataError(
            f"--group={group}: {plural(int(empty.sum()), 'image', 'have')} no group ({spelled(cells[empty])}); fill the cells, or exclude "
            f'these rows with --where="{group}!="'
        )
    said, spellings = labels(cells, group, separator)
    notes += spellings
    names, codes = np.unique(said.astype(str), return_inverse=True)
    if len(names) < 2:
        raise DataError(
            f"--group={group}: all images are in the group {str(names[0])!r}, which cannot be split; choose another column"
        )
    return codes.astype(np.int64), tuple(map(str, names))


def unused_splits(table: Table, target: tuple[str, ...]) -> list[str]:
    """A hint where a column has the names of splits and no flag says so."""
    for name in table.frame.columns:
        if name in target or str(table.frame[name].iloc[0]).strip().lower() not in {*ALIASES, ""}:
            continue  # a glance at the first cell: a million rows have their price
        values = {cell.strip().lower() for cell in pd.unique(table.frame[name])} - {""}
        if values <= ALIASES.keys() and TRAIN in (splits := {ALIASES[value] for value in values}) and len(splits) > 1:
            return [
                f"Column {name} has the values {', '.join(sorted(values))}; to split by it, give --split_column={name}"
            ]
    return []


def given_split(table: Table, column: str, notes: list[str]) -> np.ndarray:
    """The split that --split_column gives each row, int8 (M,), FREE for an empty cell; adds a line to `notes` where there are some.

    Raises:
        DataError: a cell is no split, or no row is in train.
    """
    cells = table.column(column, "--split_column")
    cells = np.where(missing(cells), "", cells).astype(object)
    known = {**ALIASES, "": FREE}
    wrong = sorted({cell for cell in cells if cell.lower() not in known})
    if wrong:
        raise DataError(
            f"--split_column={column}: unknown values {some(wrong)}; expected train, val, test or an empty cell"
        )
    given = np.array([known[cell.lower()] for cell in cells], dtype=np.int8)
    if not np.isin(given, (FREE, TRAIN)).any():
        raise DataError(f"--split_column={column}: no image is in train; mark some rows as train")
    if empty := int((given == FREE).sum()):
        notes.append(f"Column {column}: {plural(empty, 'empty cell')}; these images are used like those of train")
    return given
