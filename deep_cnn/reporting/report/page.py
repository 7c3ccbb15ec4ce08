"""report.html: one page that tells a run, with everything in it: no network, no other file."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from deep_cnn.config.registries import METRICS, metric_row
from deep_cnn.config.schema import Config
from deep_cnn.data.index import SPLITS
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.inference.explain.gallery import explanation_pictures
from deep_cnn.reporting.plots import of_task
from deep_cnn.reporting.plots.figures import learning_curves
from deep_cnn.reporting.report.images import Photographs, Shown, png
from deep_cnn.reporting.report.record import Record, read_record
from deep_cnn.reporting.result_text import few_groups, shown
from deep_cnn.runtime.atomic import write_atomically
from deep_cnn.runtime.format import duration, quantity
from deep_cnn.runtime.run_files import RunFiles

MAX_CLASSES = 60  # more, and a table is longer than anybody reads
EXAMPLE_CLASSES, EXAMPLES_EACH = 24, 4
EXAMPLE_SCORES = 4
GALLERY = 12
STATISTICS = {
    "mean": np.mean,
    "spread": lambda values: np.std(values, ddof=1) if len(values) > 1 else np.nan,
    "lowest": np.min,
    "highest": np.max,
}
SPLIT_NAMES = {"train": "training", "validation": "validation", "test": "test"}


def write_report(files: RunFiles, data: Path | None, state: str | None = None) -> Path:
    """Write outputs/results/RUN/report.html from the run's own files; returns its path.

    Args:
        data: the folder of images that splits.csv's files lie in; None, or one that is gone: a page without photographs.
        state: of the run, where status.json does not say it yet.
    Raises:
        DataError: no such run, or no finished epoch.
    """
    record = read_record(files)
    photographs = Photographs(
        data if data is not None and data.is_dir() else None, Preprocessing.from_dict(record.config["preprocessing"])
    )
    said = {"state": state, "reason": ""} if state else {}
    page = render("run.html", **contents(record, photographs) | said)
    path = files.results / "report.html"
    write_page(path, page)
    return path


def render(template: str, **values: Any) -> str:
    """A template of this folder; all text in it is escaped, and a name it lacks is an error."""
    environment = Environment(
        loader=PackageLoader("deep_cnn.reporting.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def write_page(path: Path, page: str) -> None:
    # a file name that is no UTF-8 is shown with question marks
    write_atomically(path, lambda p: p.write_bytes(page.encode("utf-8", "replace")))


def contents(record: Record, photographs: Photographs) -> dict[str, Any]:
    """Everything the template shows, as plain values."""
    draw_pictures(record)
    default = Config()
    flags = {k: _flag(v) for k, v in record.config["config"].items() if _flag(v) != _flag(getattr(default, k, None))}
    results = record.files.results
    figures = {p.stem: png(p) for p in sorted(results.glob("*.png"))}
    return {
        "name": record.files.name,
        "state": record.status.get("state", "unknown"),
        "reason": record.status.get("reason", ""),
        "kind": record.task.title,
        "headline": headline(record),
        "command": record.config["command"],
        "flags": flags,
        "model": record.config["model"],
        "preprocessing": record.config["preprocessing"],
        "split_table": split_table(record),
        "left_out": record.config.get("left_out", []),
        "example_rows": (examples := example_rows(record, photographs)),
        "side_by_side": all(len(images) <= EXAMPLES_EACH for _, images in examples),
        "figures": figures,
        "weights_tested": weights_tested(record),
        "advice": record.advice(),
        "epochs": epoch_table(record),
        "metrics": metric_table(record),
        "resampled": (record.test or {}).get("bootstrap", {}).get("resampled", "images"),
        "few_groups": few_groups(record.test or {}),
        "test_count": (record.test or {}).get("count", 0),
        "groups": group_table(record),
        "classes": class_table(record),
        "galleries": galleries(record, photographs),
        "explanations": [(caption, png(path)) for caption, path in explanation_pictures(record.files.explanations)],
        "ece": expected_error(record),
        "cost": cost(record),
        "versions": record.config["versions"],
        "photographs_missing": photographs.folder is None,
    }


def weights_tested(record: Record) -> str:
    """Which epoch's weights were tested, and why those; empty where nothing was."""
    if record.test is None or record.best_epoch is None:
        return ""
    if f"val_{record.task.select}" not in record.history[-1]:
        return f"There is no validation set: the weights of the last epoch, {record.best_epoch}, were tested."
    by = metric_row(record.task.select).label
    return f"The best epoch on validation, by {by}, is {record.best_epoch}; its weights were tested."


def draw_pictures(record: Record) -> None:
    """Those that the run itself has not drawn."""
    task, results = record.task, record.files.results
    if not (results / "learning_curves.png").exists():
        learning_curves(record.history, results / "learning_curves.png", record.best_epoch)
    if record.tested is not None:
        missing = [name for name in task.figures if not (results / f"{name}.png").exists()]
        of_task.draw([*missing, *task.report_figures], task, *record.tested, results)


def headline(record: Record) -> str:
    """The one number: of the test, or of validation where there was no test."""
    if record.test is not None:
        name = next(n for n in record.task.headline if record.test.get(n) is not None)
        interval = record.test["intervals"].get(name)
        between = f" [{shown(name, interval[0])}, {shown(name, interval[1])}]" if interval else ""
        return f"{metric_row(name).label} {shown(name, record.test[name])}{between} on {record.test['count']:,} test images"
    if record.best_epoch is not None:
        name, row = record.task.select, next(r for r in record.history if r["epoch"] == record.best_epoch)
        return f"validation {metric_row(name).label} {shown(name, row[f'val_{name}'])}, not tested"
    return "neither validated nor tested"


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
    files, targets = record.splits["file"][record.splits["split"] == "train"].tolist(), record.targets("train")
    rows = []
    for name, has in islice(record.task.members(targets), EXAMPLE_CLASSES):
        rows.append((name, [photographs(files[i], "") for i in _evenly(np.flatnonzero(has), EXAMPLES_EACH)]))
    for name, values in islice(record.task.measured(targets), EXAMPLE_SCORES):
        known = np.flatnonzero(~np.isnan(values))
        chosen = _evenly(known[np.argsort(values[known], kind="stable")], 10)
        title = f"{name}, from the lowest to the highest"
        rows.append((title, [photographs(files[i], quantity(values[i])) for i in chosen]))
    rows = [(title, [image for image in images if image is not None]) for title, images in rows]
    return [row for row in rows if row[1]]


def _evenly(rows: np.ndarray, count: int) -> list[int]:
    """At most so many of these, from the first to the last."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int))].tolist()


def galleries(record: Record, photographs: Photographs) -> list[tuple[str, list[Shown]]]:
    """The most confident mistakes, or each score's largest errors, the worst first."""
    if record.tested is None:
        return []
    files = record.predictions["file"].tolist()
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
            (f"As the mean over views of each image (--tta={views['views']})", rows(views, views["intervals"], {}))
        )
    return tables


def class_table(record: Record) -> dict[str, Any] | None:
    """Precision, recall and F1 of each class, the worst first: {rows, more}."""
    per_class = (record.test or {}).get("per_class")
    if not per_class:
        return None
    ordered = sorted(per_class.items(), key=lambda item: (item[1]["f1"] is None, item[1]["f1"] or 0))
    rows = [
        [
            name,
            *("" if v[k] is None else f"{100 * v[k]:.1f}%" for k in ("precision", "recall", "f1")),
            f"{v['count']:,}",
        ]
        for name, v in ordered[:MAX_CLASSES]
    ]
    return {"rows": rows, "more": max(0, len(ordered) - MAX_CLASSES)}


def group_table(record: Record) -> dict[str, Any] | None:
    per_group = (record.test or {}).get("per_group")
    if not per_group:
        return None
    names = [n for n in METRICS if any(isinstance(g.get(n), (int, float)) for g in per_group.values())]
    rows = [
        [group, f"{values['count']:,}", *(shown(n, values.get(n)) for n in names)]
        for group, values in list(per_group.items())[:MAX_CLASSES]
    ]
    return {"columns": ["group", "images", *(METRICS[n].label for n in names)], "rows": rows}


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


def expected_error(record: Record) -> str | None:
    found = None if record.tested is None else record.task.calibration(*record.tested)
    return None if found is None else f"{100 * found['ece']:.1f}%"


def cost(record: Record) -> dict[str, str]:
    """Time and machine, in words."""
    decisions, timing = record.config["decisions"], record.timing
    seconds = sum((row["train_seconds"] or 0) + (row["validation_seconds"] or 0) for row in timing)
    speed = float(np.median([row["images_per_second"] for row in timing])) if timing else 0.0
    return {
        "training and validation": f"{duration(seconds)} in {_count(len(timing), 'epoch')}",
        "speed": f"{speed:,.0f} images per second in training (median of the epochs)",
        "device": f"{decisions['device']}, {_count(decisions['threads'], 'thread')}",
        "precision": decisions["precision"] + (", compiled" if decisions["compile"] else ""),
    }


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _flag(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
