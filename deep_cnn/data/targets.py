"""From the cells of a table to targets: what its columns could be, classes, labels or numbers, and why."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from deep_cnn.data.table import Table, numbers, numeric_share, parse
from deep_cnn.runtime.errors import ConfigError, DataError

FEW = 20  # whole numbers with at most this many values may be classes: ratings, floors, digits
NO_CLASS = frozenset(("", "nan"))  # "NA" and "none" may be classes


@dataclass(frozen=True)
class Targets:
    """What index.Index holds of the same names, and `rows`: which rows of the table have a target, bool (M,)."""

    classes: tuple[str, ...]
    names: tuple[str, ...]
    values: np.ndarray  # of the rows that have one
    rows: np.ndarray


@dataclass(frozen=True)
class Candidate:
    """One thing that columns could be. task: what of --task learns it; reason: for it, in words."""

    task: str
    read: Callable[[Table, tuple[str, ...]], Targets]
    reason: str = ""


def candidates(table: Table, columns: tuple[str, ...]) -> list[Candidate]:
    """What the columns could be, the most likely first; the others are there to be asked for.

    Raises:
        DataError: no such column.
    """
    if len(columns) > 1:
        return [replace(NUMBERS, reason=f"{len(columns)} columns ({','.join(columns)}) -> regression")]
    likely = _likely(table.column(columns[0], "--target"), columns[0])
    return [likely, *(other for other in (CLASSES, LABELS, NUMBERS) if other.task != likely.task)]


def choose(found: list[Candidate], task: str, columns: tuple[str, ...]) -> Candidate:
    """The candidate that --task asks for; of "auto" the most likely one.

    Raises:
        ConfigError: the columns cannot be that.
    """
    if task == "auto":
        return found[0]
    names = ",".join(columns)
    for candidate in found:
        if candidate.task == task:
            return replace(candidate, reason=f"--task={task}: column {names}")
    raise ConfigError(f"--task={task}: needs exactly one --target, not {names}; several columns need --task=regression")


def _likely(cells: np.ndarray, name: str) -> Candidate:
    if any(";" in cell for cell in cells):
        return replace(LABELS, reason=f"column {name} contains labels separated by ';' -> multi-label classification")
    present = cells[[cell.lower() not in NO_CLASS for cell in cells]]
    distinct = len(set(present))
    # half of the cells being numbers makes the others mistakes in a column of numbers, to be told, not a class each
    if numeric_share(cells) < 0.5:
        return replace(CLASSES, reason=f"column {name}: {distinct} distinct text values -> classification")
    values = parse(np.array(sorted(set(present)), dtype=object))[1]
    values = values[~np.isnan(values)]
    whole = bool(np.all(values == np.round(values)))
    if whole and distinct <= FEW and 2 * distinct <= len(present):
        reason = f"column {name}: {distinct} distinct whole numbers -> classification (to change: --task=regression)"
        return replace(CLASSES, reason=reason)
    return replace(NUMBERS, reason=f"column {name}: {distinct} distinct numbers -> regression")


# --- reading cells: DataError for what cannot be learnt ----------------------------------------------------------------


def _with_target(cells: np.ndarray) -> np.ndarray:
    return np.array([cell.lower() not in NO_CLASS for cell in cells], dtype=bool)


def _classes(table: Table, columns: tuple[str, ...]) -> Targets:
    name, cells = columns[0], table.column(columns[0], "--target")
    rows = _with_target(cells)
    names, values = np.unique(cells[rows].astype(str), return_inverse=True)
    classes = names.tolist()
    if numeric_share(names.astype(object)) == 1.0:  # 2 before 10
        order = np.argsort(names.astype(np.float64), kind="stable")
        classes, values = names[order].tolist(), np.argsort(order)[values]
    if len(classes) < 2:
        only = f"only {classes[0]!r}" if len(classes) else "no value"
        raise DataError(f"--target={name}: rows with an image have {only}; classification needs at least two classes")
    if len(classes) > FEW and 2 * len(classes) > len(values):
        raise DataError(
            f"--target={name}: {len(classes):,} different values in {len(values):,} rows are too many for classes "
            f"(e.g. {classes[0]!r}, {classes[1]!r}); choose a column with repeated values, or a numeric column"
        )
    return Targets(tuple(classes), (name,), values.astype(np.int64), rows)


def _numbers(table: Table, columns: tuple[str, ...]) -> Targets:
    columns = tuple(dict.fromkeys(columns))
    lines = table.frame.index
    values = np.stack([numbers(table.column(c, "--target"), lines, f"--target={c}") for c in columns], axis=1)  # (M, T)
    for name, column in zip(columns, values.T, strict=True):
        present = column[~np.isnan(column)]
        if len(present) == 0:
            raise DataError(f"--target={name}: no row with an image has a number in this column")
        if np.all(present == present[0]):
            raise DataError(f"--target={name}: every value is {present[0]:g}; choose a column that varies")
    rows = ~np.isnan(values).all(axis=1)
    return Targets((), columns, values[rows], rows)


def _labels(table: Table, columns: tuple[str, ...]) -> Targets:
    name, cells = columns[0], table.column(columns[0], "--target")
    rows = _with_target(cells)
    sets = [{label.strip() for label in cell.split(";")} - {""} for cell in cells[rows]]
    classes = tuple(sorted(set().union(*sets)))
    if len(classes) < 2:
        raise DataError(
            f"--target={name}: only {len(classes)} label; multi-label classification needs at least two, separated by ';'"
        )
    code = {label: k for k, label in enumerate(classes)}
    values = np.zeros((len(sets), len(classes)), dtype=np.float32)
    for row, labels in enumerate(sets):
        values[row, [code[label] for label in labels]] = 1
    return Targets(classes, (name,), values, rows)


CLASSES = Candidate("classification", _classes)
LABELS = Candidate("multilabel", _labels)
NUMBERS = Candidate("regression", _numbers)
