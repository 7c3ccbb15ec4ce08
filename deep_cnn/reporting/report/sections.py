"""The sections of report.html: a function for each row of the registry REPORT_SECTIONS.

Each takes the record of a run and its photographs and returns the values of templates/sections/NAME.html, or None if the run has
no such section.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from deep_cnn.config.identity import flag_text
from deep_cnn.config.registries import METRICS, metric_row
from deep_cnn.config.schema import Config
from deep_cnn.data.index import SPLITS
from deep_cnn.inference.explain.gallery import explanation_pictures
from deep_cnn.reporting.plots.of_task import figures_of
from deep_cnn.reporting.report.images import Photographs, Shown, png
from deep_cnn.reporting.report.record import Record, names_in
from deep_cnn.reporting.result_text import cautions, ceiling_lines, difference_lines, interval_lines, shown, vote_lines
from deep_cnn.runtime.format import duration, percent, plural, quantity

Values = dict[str, Any]

MAX_CLASSES = 60  # more, and a table is longer than anybody reads
EXAMPLE_CLASSES, EXAMPLES_EACH = 24, 4
EXAMPLE_SCORES = 4
GALLERY = 12
STATISTICS: dict[str, Callable[[np.ndarray], float]] = {
    "mean": np.mean,
    "spread": lambda values: np.std(values, ddof=1) if len(values) > 1 else np.nan,
    "lowest": np.min,
    "highest": np.max,
}
SPLIT_NAMES = {"train": "training", "validation": "validation", "test": "test"}


def command(record: Record, photographs: Photographs) -> Values:
    """The command of the run, and its flags that differ from their defaults."""
    default = Config()
    flags = {name: flag_text(value) for name, value in record.config["config"].items()}
    changed = {name: text for name, text in flags.items() if text != flag_text(getattr(default, name, None))}
    if file := record.config.get("weights_file"):
        changed["weights"] = f"{flags['weights']}: {file}"
    return {"command": record.config["command"], "flags": changed}


def data(record: Record, photographs: Photographs) -> Values:
    """How many images each split has, and examples of them."""
    examples = example_rows(record, photographs)
    return {
        "split_table": split_table(record),
        "left_out": record.config.get("left_out", []),
        "examples": examples,
        "side_by_side": all(len(images) <= EXAMPLES_EACH for _, images in examples),
        "photographs_missing": photographs.place is None,
    }


def learning_curves(record: Record, photographs: Photographs) -> Values:
    """Loss, metrics and learning rate by epoch."""
    results = record.files.results
    range_test = results / "lr_range.png"
    return {
        "curves": png(results / "learning_curves.png"),
        "range_test": png(range_test) if range_test.exists() else None,
        "weights_tested": weights_tested(record),
        "epochs": epoch_table(record),
    }


def test(record: Record, photographs: Photographs) -> Values | None:
    """The held-out result: metrics, groups, figures and classes."""
    if record.test is None:
        return None
    return {
        "count": record.test["count"],
        "intervals": interval_lines(record.test),
        "differences": [*vote_lines(record.test), *ceiling_lines(record.test), *difference_lines(record.test)],
        "cautions": cautions(record.test),
        "metrics": metric_table(record),
        "groups": group_table(record),
        "figures": figures(record, "test"),
        "classes": class_table(record),
    }


def mistakes(record: Record, photographs: Photographs) -> Values | None:
    """Photographs of what the network got most wrong."""
    found = galleries(record, photographs)
    return {"galleries": found} if found else None


def explanations(record: Record, photographs: Photographs) -> Values | None:
    """What `explain` has drawn for this run."""
    found = [(caption, png(path)) for caption, path in explanation_pictures(record.files.explanations)]
    return {"pictures": found} if found else None


def calibration(record: Record, photographs: Photographs) -> Values | None:
    """Whether the network's confidence is its accuracy."""
    found = None if record.tested is None else record.task.calibration(*record.tested)
    return None if found is None else {"error": percent(found["ece"]), "figures": figures(record, "calibration")}


def cost(record: Record, photographs: Photographs) -> Values:
    """Time and machine."""
    decisions, timing = record.config["decisions"], record.timing
    seconds = sum((row["train_seconds"] or 0) + (row["validation_seconds"] or 0) for row in timing)
    speed = float(np.median([row["images_per_second"] for row in timing])) if timing else 0.0
    facts = {
        "training and validation": f"{duration(seconds)} in {plural(len(timing), 'epoch')}",
        "speed": f"{speed:,.0f} images per second in training (median of the epochs)",
        "device": f"{decisions['device']}, {plural(decisions['threads'], 'thread')}",
        "precision": decisions["precision"] + (", compiled" if decisions["compile"] else ""),
    }
    return {"facts": facts}


def versions(record: Record, photographs: Photographs) -> Values:
    """What is needed to repeat the run."""
    return {"versions": record.config["versions"], "command": record.config["command"]}


# ---- parts of sections -----------------------------------------------------------------------------------------------


def figures(record: Record, section: str) -> list[tuple[str, str, str]]:
    """(title, caption, data: address) of the task's figures that a section shows."""
    rows = [row for row in figures_of(record.task) if row.section == section]
    paths = [(row, record.files.results / f"{row.name}.png") for row in rows]
    return [(row.title, row.description, png(path)) for row, path in paths if path.exists()]


def weights_tested(record: Record) -> str:
    """Which epoch's weights were tested, and why those; empty where nothing was."""
    if record.test is None or record.best_epoch is None:
        return ""
    if f"val_{record.task.select}" not in record.history[-1]:
        return f"There is no validation set: the weights of the last epoch, {record.best_epoch}, were tested."
    by = metric_row(record.task.select).label
    return f"The best epoch on validation, by {by}, is {record.best_epoch}; its weights were tested."


def split_table(record: Record) -> dict[str, Any]:
    """Images by class and split, or each score's spread by split: {columns, rows, more}."""
    task = record.task
    targets = {split: record.targets(split) for split in SPLITS}
    rows = []
    for name, *masks in islice(_by_split(task.members, targets), MAX_CLASSES):
        rows.append([name, *(f"{int(mask.sum()):,}" for mask in masks)])
    for name, *values in islice(_by_split(task.measured, targets), MAX_CLASSES):
        known = [of_split[~np.isnan(of_split)] for of_split in values]
        rows.append([f"{name}: known", *(f"{len(of_split):,}" for of_split in known)])
        for word, statistic in STATISTICS.items():
            rows.append([f"{name}: {word}", *(quantity(statistic(v) if len(v) else np.nan) for v in known)])
    rows.append(["all images", *(f"{len(of_split):,}" for of_split in targets.values())])
    more = len(task.names) - MAX_CLASSES
    return {"columns": [task.noun, *SPLIT_NAMES.values()], "rows": rows, "more": max(0, more)}


def _by_split(parts: Callable[[np.ndarray], Iterable], targets: dict[str, np.ndarray]) -> Iterator[tuple]:
    """(name, its values of each split...) of `Task.members` or `Task.measured`."""
    for of_splits in zip(*(parts(of_split) for of_split in targets.values()), strict=True):
        yield of_splits[0][0], *(values for _, values in of_splits)


def example_rows(record: Record, photographs: Photographs) -> list[tuple[str, list[Shown]]]:
    """Training images of each class, or from the lowest to the highest score."""
    files = names_in(record.splits["file"][record.splits["split"] == "train"])
    targets = record.targets("train")
    rows = []
    for name, has in islice(record.task.members(targets), EXAMPLE_CLASSES):
        rows.append((name, [photographs(files[i], "") for i in _evenly(np.flatnonzero(has), EXAMPLES_EACH)]))
    for name, values in islice(record.task.measured(targets), EXAMPLE_SCORES):
        known = np.flatnonzero(~np.isnan(values))
        chosen = _evenly(known[np.argsort(values[known], kind="stable")], 10)
        title = f"{name}, from the lowest to the highest"
        rows.append((title, [photographs(files[i], quantity(values[i])) for i in chosen]))
    found = [(title, [image for image in images if image is not None]) for title, images in rows]
    return [row for row in found if row[1]]


def _evenly(rows: np.ndarray, count: int) -> list[int]:
    """At most so many of these, from the first to the last."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int))].tolist()


def galleries(record: Record, photographs: Photographs) -> list[tuple[str, list[Shown]]]:
    """The most confident mistakes, or each score's largest errors, the worst first."""
    if record.tested is None or record.predictions is None:
        return []
    files = names_in(record.predictions["file"])
    found = []
    for title, mistakes in record.task.mistakes(*record.tested, most=GALLERY)[:EXAMPLE_SCORES]:
        images = [photographs(files[m.row], m.predicted, f"{m.truth}; {files[m.row]}") for m in mistakes]
        found.append((title, [image for image in images if image is not None]))
    return [gallery for gallery in found if gallery[1]]


def metric_table(record: Record) -> list[tuple[str, list[tuple[str, str, str, str]]]]:
    """Of the test: [(target or "", [(metric, value, interval, without learning)])]."""
    if record.test is None:
        return []
    chance = record.chance("test")

    def rows(values: dict, intervals: dict, trivial: dict) -> list[tuple[str, str, str, str]]:
        found = []
        for name in (n for n in METRICS if n in values and not isinstance(values[n], dict)):
            interval = intervals.get(name)
            between = f"{shown(name, interval[0])} to {shown(name, interval[1])}" if interval else ""
            without = shown(name, trivial[name]) if name in trivial else ""
            if chance and name == record.task.select:
                without = f"{shown(name, chance.value)} ({chance.how})"
            found.append((METRICS[name].label, shown(name, values[name]), between, without))
        return found

    test = record.test
    tables = [("", rows(test, test["intervals"], test.get("mean_predictor", {})))]
    if len(test.get("per_target", {})) > 1:
        tables += [
            (
                target,
                rows(values, test["intervals"].get("per_target", {}).get(target, {}), values.get("mean_predictor", {})),
            )
            for target, values in test["per_target"].items()
        ]
    if views := test.get("tta"):
        tables.append(
            (f"Averaged over views of each image (--tta={views['views']})", rows(views, views["intervals"], {}))
        )
    return tables


def class_table(record: Record) -> dict[str, Any] | None:
    """Precision, recall and F1 of each class, the worst first: {rows, more}."""
    per_class = (record.test or {}).get("per_class")
    if not per_class:
        return None
    recalls = (record.test or {}).get("intervals", {}).get("per_class", {})
    ordered = sorted(per_class.items(), key=lambda item: (item[1]["f1"] is None, item[1]["f1"] or 0))
    rows = [
        [
            name,
            "" if v["precision"] is None else percent(v["precision"]),
            _recall(v["recall"], recalls.get(name, {}).get("recall")),
            "" if v["f1"] is None else percent(v["f1"]),
            f"{v['count']:,}",
        ]
        for name, v in ordered[:MAX_CLASSES]
    ]
    return {"rows": rows, "more": max(0, len(ordered) - MAX_CLASSES)}


def _recall(value: float | None, interval: list[float] | None) -> str:
    if value is None:
        return ""
    return percent(value) + (f" [{percent(interval[0])}, {percent(interval[1])}]" if interval else "")


def group_table(record: Record) -> dict[str, Any] | None:
    """The test's metrics of each group (--group), {columns, rows}; None without groups."""
    per_group = (record.test or {}).get("per_group")
    if not per_group:
        return None
    names = [n for n in METRICS if any(isinstance(g.get(n), (int, float)) for g in per_group.values())]
    rows = [
        [group, f"{values['count']:,}", *(_with_interval(n, values) for n in names)]
        for group, values in list(per_group.items())[:MAX_CLASSES]
    ]
    if means := (record.test or {}).get("mean_of_groups"):
        rows.append(["mean of the groups", "", *(shown(n, means.get(n)) for n in names)])
    return {"columns": ["group", "images", *(METRICS[n].label for n in names)], "rows": rows}


def _with_interval(name: str, values: dict[str, Any]) -> str:
    """'51.39% [50.45%, 52.37%]'; version 0.1.0 has no intervals of groups."""
    interval = values.get("intervals", {}).get(name)
    between = f" [{shown(name, interval[0])}, {shown(name, interval[1])}]" if interval else ""
    return shown(name, values.get(name)) + between


def epoch_table(record: Record) -> dict[str, Any]:
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
        return shown(name.removeprefix("val_"), value) if name.startswith("val_") else f"{value:.4g}"

    rows = [[cell(name, row.get(name)) for name in names] for row in record.history]
    return {"columns": [title(name) for name in names], "rows": rows}
