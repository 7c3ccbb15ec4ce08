"""From the cells of a table to what is learnt: one class, several labels, or scores; and the reason for the choice."""

from dataclasses import dataclass

import numpy as np

from deep_cnn.data.table import Table, numbers, numeric_share, parse
from deep_cnn.runtime.errors import ConfigError, DataError

FEW = 20  # whole numbers with at most this many values may be classes: ratings, floors, digits
NO_CLASS = frozenset(("", "nan"))  # "NA" and "none" may be classes


@dataclass(frozen=True)
class Targets:
    """What index.Index holds of the same names, and `rows`: which rows of the table have a target, bool (M,)."""

    kind: str
    classes: tuple[str, ...]
    names: tuple[str, ...]
    values: np.ndarray  # of the rows that have one
    rows: np.ndarray
    reason: str


def decide(table: Table, columns: tuple[str, ...], task: str) -> tuple[str, str]:
    """The kind of target ("single", "multi" or "scores") and why.

    Raises:
        ConfigError: classification of several columns.
    """
    names = ",".join(columns)
    if task == "regression":
        return "scores", f"--task=regression: column {names}"
    if len(columns) > 1:
        if task != "auto":
            raise ConfigError(f"--task={task} takes one --target, not {names}; several columns are regression.")
        return "scores", f"{len(columns)} columns ({names}) -> regression"
    cells = table.column(columns[0], "--target")
    if task == "multilabel":
        return "multi", f"--task=multilabel: column {names}"
    if any(";" in cell for cell in cells):
        return "multi", f"column {names} holds labels separated by ';' -> multi-label classification"
    if task == "classification":
        return "single", f"--task=classification: column {names}"
    present = cells[[cell.lower() not in NO_CLASS for cell in cells]]
    distinct = len(set(present))
    # half of the cells being numbers makes the others mistakes in a column of numbers, to be told, not a class each
    if numeric_share(cells) < 0.5:
        return "single", f"column {names}: {distinct} distinct texts -> classification"
    values = parse(np.array(sorted(set(present)), dtype=object))[1]
    values = values[~np.isnan(values)]
    whole = bool(np.all(values == np.round(values)))
    if whole and distinct <= FEW and 2 * distinct <= len(present):
        return "single", f"column {names}: {distinct} distinct whole numbers -> classification (else --task=regression)"
    return "scores", f"column {names}: {distinct} distinct numbers -> regression"


def read_targets(table: Table, columns: tuple[str, ...], task: str) -> Targets:
    """The targets of every row of a table.

    Raises:
        DataError: no such column, text or infinity among numbers, a constant target, one class only, classes that
            are hardly repeated.
    """
    kind, reason = decide(table, columns, task)
    if kind == "scores":
        return _scores(table, columns, reason)
    name, cells = columns[0], table.column(columns[0], "--target")
    rows = np.array([cell.lower() not in NO_CLASS for cell in cells], dtype=bool)
    if kind == "multi":
        return _labels(cells, rows, name, reason)
    names, values = np.unique(cells[rows].astype(str), return_inverse=True)
    classes = names.tolist()
    if numeric_share(names.astype(object)) == 1.0:  # 2 before 10
        order = np.argsort(names.astype(np.float64), kind="stable")
        classes, values = names[order].tolist(), np.argsort(order)[values]
    if len(classes) < 2:
        only = f"only {classes[0]!r}" if len(classes) else "no value at all"
        raise DataError(f"--target={name}: the rows with an image hold {only}; classification needs two classes.")
    if len(classes) > FEW and 2 * len(classes) > len(values):
        raise DataError(
            f"--target={name}: {len(classes):,} different values in {len(values):,} rows are not classes "
            f"(e.g. {classes[0]!r}, {classes[1]!r}); choose a column whose values repeat, or one of numbers."
        )
    return Targets("single", tuple(classes), (name,), values.astype(np.int64), rows, reason)


def _scores(table: Table, columns: tuple[str, ...], reason: str) -> Targets:
    columns = tuple(dict.fromkeys(columns))
    lines = table.frame.index
    values = np.stack([numbers(table.column(c, "--target"), lines, f"--target={c}") for c in columns], axis=1)  # (M, T)
    for name, column in zip(columns, values.T, strict=True):
        present = column[~np.isnan(column)]
        if len(present) == 0:
            raise DataError(f"--target={name}: no row with an image has a number in it.")
        if np.all(present == present[0]):
            raise DataError(f"--target={name}: every value is {present[0]:g}; a constant cannot be learnt.")
    rows = ~np.isnan(values).all(axis=1)
    return Targets("scores", (), columns, values[rows], rows, reason)


def _labels(cells: np.ndarray, rows: np.ndarray, name: str, reason: str) -> Targets:
    sets = [{label.strip() for label in cell.split(";")} - {""} for cell in cells[rows]]
    classes = tuple(sorted(set().union(*sets)))
    if len(classes) < 2:
        raise DataError(
            f"--target={name}: {len(classes)} label; multi-label classification needs two, separated by ';'."
        )
    code = {label: k for k, label in enumerate(classes)}
    values = np.zeros((len(sets), len(classes)), dtype=np.float32)
    for row, labels in enumerate(sets):
        values[row, [code[label] for label in labels]] = 1
    return Targets("multi", classes, (name,), values, rows, reason)
