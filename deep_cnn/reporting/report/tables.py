"""The tables of a report, from the values of its files."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from deep_cnn.config.registries import METRICS, metric_row
from deep_cnn.data.index import SPLITS
from deep_cnn.reporting.report.front import baseline, between, metric_text, unit_of
from deep_cnn.reporting.report.record import Record
from deep_cnn.runtime.format import number, percent, plural
from deep_cnn.tasks.base import Task

NUMBER = re.compile(r"[+−-]?[<~]? ?\.?\d|[-–]$")  # how the cells of a column of numbers begin
FEW_ROWS = 12  # of classes: more, and the page shows the worst, or a summary, and the rest on demand
WORST = 8
MAX_ROWS = 400  # as many classes as Places365 has; the rest is in the files
STATISTICS: dict[str, Callable[[np.ndarray], float]] = {
    "mean": np.mean,
    "standard deviation": lambda values: np.std(values, ddof=1) if len(values) > 1 else np.nan,
    "lowest": np.min,
    "highest": np.max,
}
SPLIT_NAMES = {"train": "training", "validation": "validation", "test": "test"}


class Small(NamedTuple):
    """A cell with small print below its text."""

    text: str
    small: str


@dataclass(frozen=True)
class Table:
    """title: for people who hear the page; rest: rows that are shown on demand, below rest_title; more: how many only the files have."""

    title: str
    columns: list[str]
    rows: list[list[Any]]
    rest: list[list[Any]] = field(default_factory=list)
    more: int = 0
    rest_title: str = ""

    @property
    def of_words(self) -> list[bool]:
        """Of each column, whether it holds words, which are aligned on the left: no cell begins as a number does."""
        columns = zip(*(map(str, row) for row in self.rows), strict=True)
        return [any(cells) and not any(map(NUMBER.match, cells)) for cells in columns]


# ---- data --------------------------------------------------------------------------------------------------------------


def split_table(record: Record) -> Table:
    """Images by class and split, or each score's spread."""
    targets = {split: record.targets(split) for split in SPLITS}
    everything = ["all images", *(f"{len(of_split):,}" for of_split in targets.values())]
    if next(record.task.measured(targets["train"]), None) is not None:
        return _scores_table(record.task, targets, everything)
    columns = [record.task.noun, *SPLIT_NAMES.values()]
    rows = [
        [name, *(f"{int(mask.sum()):,}" for mask in masks)] for name, *masks in _by_split(record.task.members, targets)
    ]
    if len(rows) <= FEW_ROWS:
        return Table("Images by class and split", columns, [*rows, everything])
    counts = np.array(
        [[mask.sum() for mask in masks] for _, *masks in _by_split(record.task.members, targets)]
    )  # (K, 3)
    words: dict[str, Callable[..., Any]] = {
        f"fewest of a {record.task.noun}": np.min,
        "median": np.median,
        f"most of a {record.task.noun}": np.max,
    }
    summary = [[word, *(f"{value:,.0f}" for value in statistic(counts, axis=0))] for word, statistic in words.items()]
    more = max(0, len(rows) - MAX_ROWS)
    return Table(
        "Images by split",
        ["", *SPLIT_NAMES.values()],
        [*summary, everything],
        rows[:MAX_ROWS],
        more,
        f"each {record.task.noun}",
    )


def _scores_table(task: Task, targets: dict[str, np.ndarray], everything: list[str]) -> Table:
    """A row for each target: how many images have it in each split, and its values in training."""
    rows = []
    for k, (name, *values) in enumerate(_by_split(task.measured, targets)):
        known = [of_split[~np.isnan(of_split)] for of_split in values]
        spread = [number(statistic(known[0])) if len(known[0]) else "" for statistic in STATISTICS.values()]
        unit = f" ({task.unit(k)})" if task.unit(k) else ""
        rows.append([f"{name}{unit}", *(f"{len(of_split):,}" for of_split in known), *spread])
    columns = [task.noun, *SPLIT_NAMES.values(), *STATISTICS]
    rows = rows[:MAX_ROWS]
    if any(row[1:4] != everything[1:] for row in rows):  # some values are missing
        rows.append([*everything, *[""] * len(STATISTICS)])
    return Table(
        "Images with a value by split, and the values in training",
        columns,
        rows,
        more=max(0, len(task.names) - MAX_ROWS),
    )


def _by_split(parts: Callable[[np.ndarray], Iterable], targets: dict[str, np.ndarray]) -> Iterator[tuple]:
    """(name, its values of each split...) of `Task.members` or `Task.measured`."""
    for of_splits in zip(*(parts(of_split) for of_split in targets.values()), strict=True):
        yield of_splits[0][0], *(values for _, values in of_splits)


# ---- results -----------------------------------------------------------------------------------------------------------


def metric_tables(record: Record) -> list[Table]:
    """The metrics of a result with intervals and baselines; of several targets also a row for each; and with --tta."""
    result, task = record.test or {}, record.task
    tables = [_metrics(task, result, "Metrics")]
    if len(targets := result.get("per_target") or result.get("pooled", {}).get("per_target", {})) > 1:
        tables.append(_by_target(task, result, list(targets)))
    if views := result.get("tta"):
        tables.append(_metrics(task, views, f"Averaged over views of each image (--tta={views['views']})"))
    return [*tables, *_prediction_intervals(task, result)]


def _metrics(task: Task, result: dict[str, Any], title: str) -> Table:
    """A row for each metric; of a cross-validation with the mean over the folds and the value of all images together."""
    found = [
        (word, result[key])
        for word, key in (("mean of folds", "mean_of_folds"), ("all together", "pooled"))
        if key in result
    ]
    others = {word: of for word, of in found if any(of.get(n) != result[n] for n in METRICS if n in result)}
    rows = []
    for name in (n for n in METRICS if n in result and not isinstance(result[n], dict)):
        unit, interval = unit_of(task, name), result.get("intervals", {}).get(name)
        base = None if result[name] is None else baseline(task, result, name)
        cells = [
            METRICS[name].label,
            metric_text(name, result[name], unit),
            between(name, interval, unit) if interval else "",
        ]
        cells += [metric_text(name, values.get(name), unit) for values in others.values()]
        rows.append([*cells, "" if base is None else metric_text(name, base, unit)])
    return Table(title, ["metric", "value", "95% interval", *others, "without learning"], rows)


def _by_target(task: Task, result: dict[str, Any], targets: Sequence[str]) -> Table:
    """A row for each target, a column for each metric, its interval below the value."""
    values = {t: result.get("per_target", {}).get(t) or result["pooled"]["per_target"][t] for t in targets}
    names = [n for n in METRICS if any(isinstance(of.get(n), (int, float)) for of in values.values())]
    names.sort(key=lambda name: name not in ("r2", "mae"))  # what people look for first
    blind = next(
        (n for n in ("mae", "mae_sd") if any(n in of.get("mean_predictor", {}) for of in values.values())), None
    )
    rows = []
    for target, of_target in values.items():
        intervals = result.get("intervals", {}).get("per_target", {}).get(target, {})
        row: list[Any] = [target]
        for name in names:
            unit, interval = unit_of(task, f"{target}/{name}"), intervals.get(name)
            row.append(Small(metric_text(name, of_target.get(name), unit), between(name, interval) if interval else ""))
        if blind:
            row.append(
                metric_text(blind, of_target.get("mean_predictor", {}).get(blind), unit_of(task, f"{target}/{blind}"))
            )
        rows.append(row)
    last = [f"{metric_row(blind).label} of predicting the mean"] if blind else []
    return Table("By target, with 95% intervals", ["target", *(METRICS[n].label for n in names), *last], rows)


def _prediction_intervals(task: Task, result: dict[str, Any]) -> list[Table]:
    """A row for each of several targets; a single one has a sentence."""
    found = result.get("coverage", {})
    if len(found.get("per_target", {})) < 2:
        return []
    rows: list[list[Any]] = []
    for target, about in found["per_target"].items():
        if "reached" in about:
            share = Small(percent(about["reached"]), _share_interval(about["interval"]))
            width = metric_text("mae", about["mean_width"], unit_of(task, f"{target}/mae"))
            rows.append([target, share, width, f"{about['method']}, {plural(about['calibration_images'], 'image')}"])
        else:
            rows.append([target, "", "", about["method"]])
    columns = ["target", "contain the truth", "mean width", "calibrated on validation"]
    return [Table(f"{percent(found['level'], 0)} prediction intervals", columns, rows)]


def class_table(record: Record) -> Table | None:
    """Precision, recall and F1 of each class, the worst first; of many classes the worst ones, and the rest on demand."""
    result = record.test or {}
    if not (per_class := result.get("per_class")):
        return None
    recalls = result.get("intervals", {}).get("per_class", {})
    ordered = sorted(per_class.items(), key=lambda item: (item[1]["f1"] is None, item[1]["f1"] or 0))
    rows = [
        [
            name,
            _share(values["precision"]),
            Small(_share(values["recall"]), _share_interval(recalls.get(name, {}).get("recall"))),
            _share(values["f1"]),
            f"{values['count']:,}",
        ]
        for name, values in ordered
    ]
    shown = len(rows) if len(rows) <= FEW_ROWS else WORST
    columns = [record.task.noun, "precision", "recall", "F1", "images"]
    more = max(0, len(rows) - MAX_ROWS)
    return Table(f"By {record.task.noun}, the worst first", columns, rows[:shown], rows[shown:MAX_ROWS], more)


def _share(value: float | None) -> str:
    return "" if value is None else percent(value)


def _share_interval(interval: list[float] | None) -> str:
    return f"{percent(interval[0])} to {percent(interval[1])}" if interval else ""


def group_table(record: Record) -> Table | None:
    """The metrics of each group (--group); None without groups."""
    result = record.test or {}
    if not (per_group := result.get("per_group")):
        return None
    names = [n for n in METRICS if any(isinstance(g.get(n), (int, float)) for g in per_group.values())]
    units = {name: unit_of(record.task, name) for name in names}
    rows: list[list[Any]] = [
        [group, f"{values['count']:,}", *(_with_interval(n, values, units[n]) for n in names)]
        for group, values in per_group.items()
    ]
    shown = len(rows) if len(rows) <= 2 * FEW_ROWS else FEW_ROWS
    means: list[list[Any]] = []
    if known := result.get("mean_of_groups"):
        means = [["mean of the groups", "", *(metric_text(n, known.get(n), units[n]) for n in names)]]
    columns = ["group", "images", *(METRICS[n].label for n in names)]
    return Table("By group", columns, [*means, *rows[:shown]], rows[shown:MAX_ROWS], max(0, len(rows) - MAX_ROWS))


def _with_interval(name: str, values: dict[str, Any], unit: str) -> Small:
    """Version 0.1.0 has no intervals of groups."""
    interval = values.get("intervals", {}).get(name)
    return Small(metric_text(name, values.get(name), unit), between(name, interval) if interval else "")


def epoch_table(record: Record) -> Table:
    """metrics.csv in the words and units of the test's table; a target's own columns stay in the file."""
    names = [n for n in record.history[-1] if "/" not in n]
    splits = {"train": "training", "val": "validation"}

    def title(name: str) -> str:
        split, _, metric = name.partition("_")
        return f"{splits[split]} {metric_row(metric).label}" if split in splits else name.replace("_", " ")

    def cell(name: str, value: float | None) -> str:
        if value is None:
            return ""
        if name in ("epoch", "step"):
            return str(int(value))
        return metric_text(name.removeprefix("val_"), value) if name.startswith("val_") else number(value)

    rows = [[cell(name, row.get(name)) for name in names] for row in record.history]
    return Table("All epochs", [title(name) for name in names], rows)
