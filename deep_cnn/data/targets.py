"""From the cells of a table to targets: what its columns could be, classes, labels or numbers, and why."""

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from deep_cnn.data.cells import is_missing, label_key, labels, missing, numbers, of_each, parse, spelled
from deep_cnn.data.doubts import (
    FEW,
    combinations,
    doubtful_semicolons,
    measures,
    several_labels,
    speaks_of_classes,
    unescaped,
)
from deep_cnn.data.table import Table
from deep_cnn.runtime.errors import ConfigError, DataError
from deep_cnn.runtime.format import plural, some

DENSE = 0.8  # share of the whole numbers between the smallest and the largest one that occur, of classes
# With what surveys and programs mark a missing answer: -99, 999, -9999; 77 refused, 88 does not know; -1, -9
CODES = [
    *(sign * (10.0**digits - less) for digits in (2, 3, 4, 5) for less in (1, 2, 3) for sign in (-1, 1)),
    *(sign * code for code in (77.0, 78.0, 88.0, 89.0, 777.0, 888.0, 7777.0, 8888.0) for sign in (-1, 1)),
    *(-1.0, -2.0, -7.0, -8.0, -9.0),
]
MOST_POINTS = 11  # of a scale of answers
FAR = 1000  # distances between the quartiles
LARGEST = 1e18  # of a target: its square still fits float32
ZERO_ONE = ({"0": False, "1": True, "False": False, "True": True}, {"-1": False, "1": True})  # the second are CelebA's
RANGE = re.compile(r"\d+\s?[-–/]\s?\d+")
MONTH = "(?:jan|feb|m[aä]r|mrz|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])[a-z]*"
DAY_AND_MONTH = re.compile(rf"\d{{1,2}}[-. ]+{MONTH}\.?|{MONTH}[-. ]+\d{{1,2}}", re.IGNORECASE)  # as Excel writes them


@dataclass(frozen=True)
class Targets:
    """What index.Index holds of the same names, and `rows`: which rows of the table have a target, bool (M,)."""

    classes: tuple[str, ...]
    names: tuple[str, ...]
    values: np.ndarray  # of the rows that have one
    rows: np.ndarray
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """One thing that columns could be.

    task: what of --task learns it; reason: for it, in words; doubt: why it must be asked for.
    """

    task: str
    read: Callable[[Table, tuple[str, ...]], Targets]
    reason: str = ""
    doubt: str = ""


def candidates(table: Table, columns: tuple[str, ...]) -> list[Candidate]:
    """What the columns could be, the most likely first; the others are there to be asked for.

    Raises:
        DataError: no such column.
    """
    if len(columns) > 1:
        several = replace(NUMBERS, reason=f"{len(columns)} columns ({','.join(columns)}) -> regression")
        found = _ones(table, columns)
        if found is None or len(set(columns)) < 2:
            return [several]
        if (found[0].sum(axis=1) == 1)[found[1]].all():
            said, likely = "a single 1 a row -> classification", ONE_HOT
        else:
            said, likely = "any number of them a row -> multi-label classification", LABEL_COLUMNS
        signs = any(label_key(cell) == "-1" for name in set(columns) for cell in set(table.column(name, "--target")))
        reason = f"{len(columns)} columns of {'-1 and 1' if signs else '0 and 1'} ({','.join(columns)}), {said} (to change: --task=regression)"
        return [replace(likely, reason=reason), LABEL_COLUMNS, ONE_HOT, several]
    likely = _likely(table, columns[0])
    return [likely, *(other for other in (CLASSES, LABELS, NUMBERS) if other.task != likely.task)]


def choose(found: list[Candidate], task: str, columns: tuple[str, ...]) -> Candidate:
    """The candidate that --task asks for; of "auto" the most likely one.

    Raises:
        ConfigError: the columns cannot be that. DataError: what they could be is not clear.
    """
    if task == "auto":
        if found[0].doubt:
            raise DataError(found[0].doubt)
        return found[0]
    names = ",".join(columns)
    for candidate in found:
        if candidate.task == task:
            return replace(candidate, reason=f"--task={task}: column {names}")
    raise ConfigError(
        f"--task={task}: needs exactly one --target, or several columns of 0 and 1, not {names}; several columns of numbers need "
        "--task=regression"
    )


def _likely(table: Table, name: str) -> Candidate:
    cells = table.column(name, "--target")
    if several := sum(";" in unescaped(cell) for cell in cells):
        reason = f"column {name} contains labels separated by ';' ({several:,} of {len(cells):,} cells) -> multi-label classification"
        return replace(LABELS, reason=reason, doubt=doubtful_semicolons(cells[~missing(cells)], name, table.separator))
    present = cells[~missing(cells)]
    read = parse(present, table.separator)
    # half of the cells being numbers makes the others mistakes in a column of numbers, to be told, not a class each
    if read.share < 0.5:
        distinct = len(set(labels(present, name, table.separator)[0]))
        reason = f"column {name}: {distinct} distinct text values -> classification"
        return replace(CLASSES, reason=reason, doubt=several_labels(present, name) or measures(present, name))
    known = read.values[~np.isnan(read.values)]
    values, counts = np.unique(known, return_counts=True)
    others = set(present[np.isnan(read.values)])
    distinct = len(values) + len(others)
    whole = not read.notation and bool(np.all(values == np.round(values)))
    recur = 2 * distinct <= len(present)  # or too many for classes
    if whole and distinct <= FEW and recur:
        reason = f"column {name}: {distinct} distinct whole numbers -> classification (to change: --task=regression)"
        return replace(CLASSES, reason=reason, doubt=several_labels(present, name))
    reason = f"column {name}: {distinct} distinct numbers -> regression"
    if not whole or others or distinct == len(present) or not (recur or distinct <= FEW):
        return replace(NUMBERS, reason=reason)
    if not speaks_of_classes(name):
        return replace(NUMBERS, reason=f"{reason} (to change: --task=classification)")
    if (counts > 1).sum() >= DENSE * (values[-1] - values[0] + 1):
        reason = (
            f"column {name}: {distinct} distinct whole numbers, and the column's name speaks of classes -> classification "
            "(to change: --task=regression)"
        )
        return replace(CLASSES, reason=reason)
    doubt = (
        f"--target={name}: {distinct} distinct whole numbers in a column whose name speaks of classes; use --task=classification if they "
        "are numbers of classes, or --task=regression if they are amounts"
    )
    return replace(NUMBERS, reason=reason, doubt=doubt)


# --- reading cells: DataError for what cannot be learnt ----------------------------------------------------------------


def _classes(table: Table, columns: tuple[str, ...]) -> Targets:
    name, cells = columns[0], table.column(columns[0], "--target")
    rows = ~missing(cells)
    said, notes = labels(cells[rows], name, table.separator)
    names, values = np.unique(said.astype(str), return_inverse=True)
    classes = names.tolist()
    read = parse(names.astype(object), table.separator)
    if read.all_read:  # 2 before 10
        notes += far_values(name, read.values[values])
        order = np.argsort(read.values, kind="stable")
        classes, values = names[order].tolist(), np.argsort(order)[values]
    elif 0.5 <= read.share < 1 and not read.notation:
        text = [str(word) for word in names[np.isnan(read.values)]]
        notes.append(
            f"{name}: most classes are numbers, but {some(map(repr, text))} {'is' if len(text) == 1 else 'are'} text; "
            "correct the table if that is a mistake"
        )
    notes += _dates_among(name, classes) + combinations(name, classes)
    if len(classes) < 2:
        only = f"are all {classes[0]!r}" if len(classes) else "have no value"
        raise DataError(
            f"--target={name}: rows with an image {only}, so there is nothing to learn; choose a column that varies"
        )
    if len(classes) > FEW and 2 * len(classes) > len(values):
        raise DataError(
            f"--target={name}: {len(classes):,} different values in {len(values):,} rows are too many for classes "
            f"(e.g. {classes[0]!r}, {classes[1]!r}); choose a column with repeated values; numbers are learnt as scores with --task=regression"
        )
    return Targets(tuple(classes), (name,), values.astype(np.int64), rows, tuple(notes))


def _dates_among(name: str, classes: list[str]) -> list[str]:
    """A line about classes that a spreadsheet may have made dates: 4-Mar of 3-4."""
    dates = [text for text in classes if DAY_AND_MONTH.fullmatch(text)]
    if not dates or not any(RANGE.fullmatch(text) for text in classes):
        return []
    return [
        f"{name}: {some(map(repr, dates))} may be a range (3-4) that a spreadsheet has made a date; correct the table if so"
    ]


def _numbers(table: Table, columns: tuple[str, ...]) -> Targets:
    columns = tuple(dict.fromkeys(columns))
    lines = table.frame.index
    read = [numbers(table.column(c, "--target"), lines, f"--target={c}", table.separator) for c in columns]
    values = np.stack(read, axis=1)  # (M, T)
    for name, column in zip(columns, values.T, strict=True):
        present = column[~np.isnan(column)]
        if len(large := np.flatnonzero(np.abs(column) > LARGEST)):
            raise DataError(
                f"--target={name}: {column[large[0]]:g} in line {lines[large[0]]} is too large for the network's numbers "
                f"(float32, at most {LARGEST:.2g}; {len(large):,} such cells); correct them, or choose another unit"
            )
        if len(present) == 0:
            raise DataError(f"--target={name}: no row with an image has a number in this column")
        if (largest := float(np.abs(present).max())) > LARGEST:
            raise DataError(f"--target={name}: {largest:g} is too large to compute with; correct it or change the unit")
        if np.all(present == present[0]):
            zeros = ", or write 0 where a cell is empty and means no" if len(present) < len(column) else ""
            raise DataError(f"--target={name}: every value is {present[0]:g}; choose a column that varies{zeros}")
    rows = ~np.isnan(values).all(axis=1)
    notes = [note for name, column in zip(columns, values.T, strict=True) for note in far_values(name, column)]
    return Targets((), columns, values[rows], rows, tuple(notes))


def far_values(name: str, values: np.ndarray) -> list[str]:
    """A line about 99, -9, 88 and the like, with which surveys mark a missing answer, and about values far from all others."""
    known = values[~np.isnan(values)]
    scale = bool((known == np.round(known)).all())
    codes = np.isin(known, CODES)
    rest = known[~codes & ~(scale & (known == 9))]
    if not len(rest):
        return []
    low, high = float(rest.min()), float(rest.max())
    far = codes & ((known < low - (high - low)) | (known > high + (high - low)))
    if scale and high - low < MOST_POINTS and high < 2 * MOST_POINTS:  # answers on a scale, of which 9 or -1 is none
        far |= (codes | (known == 9)) & ((known < low - 1) | (known > high + 1))
    quarter, middle, three = np.percentile(known, [25, 50, 75])
    if three > quarter:
        far |= np.abs(known - middle) > FAR * (three - quarter)
    if far.all():
        return []
    low, high = float(known[~far].min()), float(known[~far].max())
    if not far.any():
        return []
    marks = ", ".join(
        f"{value:g}: {count:,}" for value, count in zip(*np.unique(known[far], return_counts=True), strict=True)
    )
    return [
        f"{name}: values far from all others ({marks}; the others are from {low:g} to {high:g}); if they mean that the value is "
        "missing, leave these cells empty"
    ]


def _check_lists(lists: list[list[str]], classes: set[str], name: str) -> None:
    """DataError where lists are vectors of numbers, or where some separate labels by commas."""
    all_numbers = parse(np.array(sorted(classes), dtype=object)).all_read
    vector = next((cell for cell in lists if len(set(cell)) < len(cell)), None) if all_numbers else None
    if vector is not None or (all_numbers and any("." in label for label in classes)):
        example = ";".join(vector or lists[0])[:40]
        raise DataError(
            f"--target={name}: {example!r} is a list of numbers, not of labels; write each number into a column of its own and give the "
            "columns as --target, or write the names of the labels that an image has"
        )
    separators = ",|、；，،" + ("" if any(len(cell) > 1 for cell in lists) else " ")  # a wine glass beside wine;glass
    for label, separator in itertools.product(sorted(classes), separators):
        parts = [part.strip() for part in label.split(separator) if part.strip()]
        if len(parts) > 1 and all(part in classes for part in parts):
            raise DataError(
                f"--target={name}: {label!r} is taken as one label, but {' and '.join(map(repr, parts))} are labels of other images; write "
                "';' between labels"
            )


def _labels(table: Table, columns: tuple[str, ...]) -> Targets:
    name, cells = columns[0], table.column(columns[0], "--target")
    cells = of_each(cells, unescaped)  # the semicolon of &amp; separates nothing
    rows = ~missing(cells)
    if not any(";" in cell for cell in cells) and (problem := several_labels(cells[rows], name)):
        raise DataError(problem)
    lists = [[label.strip() for label in cell.split(";") if label.strip()] for cell in cells[rows]]
    gone = [label for labels_of_cell in lists for label in labels_of_cell if is_missing(label)]
    lists = [[label for label in labels_of_cell if not is_missing(label)] for labels_of_cell in lists]
    words = np.array([label for labels_of_cell in lists for label in labels_of_cell], dtype=object)
    said, notes = labels(words, name, table.separator)
    ends = np.cumsum([len(labels_of_cell) for labels_of_cell in lists])
    sets = [set(part) for part in np.split(said, ends[:-1])] if len(lists) else []
    classes = tuple(sorted(set(said)))
    if len(classes) < 2:
        raise DataError(
            f"--target={name}: only {len(classes)} label; multi-label classification needs at least two, separated by ';'"
        )
    if len(classes) > FEW and 2 * len(classes) > len(words):
        raise DataError(
            f"--target={name}: {len(classes):,} different labels in {len(words):,} are too many to learn (e.g. {classes[0]!r}, "
            f"{classes[1]!r}); choose a column with labels that recur, or --task=classification if ';' is a part of its texts"
        )
    _check_lists(lists, set(classes), name)
    if gone:
        notes.append(f"{name}: {plural(len(gone), 'label')} missing beside others ({spelled(gone)})")
    code = {label: k for k, label in enumerate(classes)}
    values = np.zeros((len(sets), len(classes)), dtype=np.float32)
    for row, present in enumerate(sets):
        values[row, [code[label] for label in present]] = 1
    return Targets(classes, (name,), values, rows, tuple(notes))


def _ones(table: Table, columns: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray] | None:
    """Where several columns of 0 and 1 (or of True and False, or -1 and 1) are 1, bool (M, K), and which rows are filled, bool (M,).

    None where a cell is neither, or only some cells of a row are empty.
    """
    ones, filled = [], []
    for name in dict.fromkeys(columns):
        cells = table.column(name, "--target")
        there = ~missing(cells)
        keys = of_each(cells, lambda cell: label_key(cell, table.separator))
        words = next((words for words in ZERO_ONE if words.keys() >= set(keys[there])), None)
        if words is None:
            return None
        ones.append(np.array([words.get(key, False) for key in keys], dtype=bool))
        filled.append(there)
    rows = np.all(filled, axis=0)
    return (np.stack(ones, axis=1), rows) if np.array_equal(rows, np.any(filled, axis=0)) and rows.any() else None


def _columns_of_ones(table: Table, columns: tuple[str, ...]) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """The columns, each a class or label; where they are 1, bool (n, K), in the filled rows; which rows those are, bool (M,)."""
    columns = tuple(dict.fromkeys(columns))
    found = _ones(table, columns)
    if found is None or len(columns) < 2:
        raise DataError(
            f"--target={','.join(columns)}: to learn classes or labels of several columns, each must hold 0 and 1 only"
        )
    ones, filled = found[0][found[1]], found[1]
    for name, column in zip(columns, ones.T, strict=True):
        if column.all() or not column.any():
            raise DataError(f"--target={name}: every value is {int(column[0])}; choose columns that vary")
    return columns, ones, filled


def _one_hot(table: Table, columns: tuple[str, ...]) -> Targets:
    columns, ones, rows = _columns_of_ones(table, columns)
    if len(wrong := np.flatnonzero(ones.sum(axis=1) != 1)):
        line = table.frame.index[np.flatnonzero(rows)[wrong[0]]]
        raise DataError(
            f"--target={','.join(columns)}: {int(ones[wrong[0]].sum())} of the columns are 1 in line {line} ({len(wrong):,} such rows), "
            "but an image has one class; correct them, or use --task=multilabel"
        )
    return Targets(columns, ("class",), ones.argmax(axis=1).astype(np.int64), rows)


def _label_columns(table: Table, columns: tuple[str, ...]) -> Targets:
    columns, ones, rows = _columns_of_ones(table, columns)
    return Targets(columns, ("labels",), ones.astype(np.float32), rows)


CLASSES = Candidate("classification", _classes)
ONE_HOT = Candidate("classification", _one_hot)
LABEL_COLUMNS = Candidate("multilabel", _label_columns)
LABELS = Candidate("multilabel", _labels)
NUMBERS = Candidate("regression", _numbers)
