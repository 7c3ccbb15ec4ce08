"""report.html of a cross-validation: one page about all folds."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from deep_cnn.config.registries import METRICS, metric_row
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.data.sources import is_source
from deep_cnn.reporting.plots import of_task
from deep_cnn.reporting.report import sections
from deep_cnn.reporting.report.images import Photographs, Shown
from deep_cnn.reporting.report.page import render, write_page
from deep_cnn.reporting.report.record import Record, names_in, read_record
from deep_cnn.reporting.result_text import cautions, interval_lines, shown
from deep_cnn.runtime.atomic import read_json
from deep_cnn.runtime.errors import DataError
from deep_cnn.runtime.manifest import REPAIR, Manifest, understood
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.runtime.status import read_status

SUSPECTS = 24  # photographs of them


@dataclass(frozen=True)
class FoldsRecord(Record):
    """The common result of all folds as their files tell it. `config` is that of the first fold, `test` is folds.json."""

    plan: dict[str, Any]

    @cached_property
    def predictions(self) -> pd.DataFrame | None:
        """predictions_folds.csv, all of it text."""
        return self._table("predictions_folds.csv")

    @cached_property
    def suspects(self) -> pd.DataFrame:
        """suspects.csv, all of it text."""
        return self._table("suspects.csv")

    def read_all(self) -> None:
        """Read what is read only where it is needed otherwise."""
        _ = self.task, self.tested, self.suspects, self.plan["command"]
        result = self.test or {}
        _ = result["folds"], result["count"], result["pooled"]
        name = next(name for name in self.task.headline if isinstance(result.get(name), (int, float)))
        _ = result["mean_of_folds"][name], result["intervals"].get(name), [fold[name] for fold in result["per_fold"]]


def read_folds(files: RunFiles) -> FoldsRecord:
    """DataError where the folds of this name are not all finished, or a file of them is damaged."""
    manifest = Manifest(files)
    if damaged := manifest.damaged():
        raise DataError(f"--run_name={files.name}: {', '.join(damaged)}: damaged or edited; {REPAIR}")
    result, plan = read_json(files.results / "folds.json"), read_json(files.fold_plan)
    if result is None or plan is None:
        raise DataError(f"--run_name={files.name}: not all folds are finished; run the same command to resume")
    with understood(files.results):
        first = read_record(RunFiles(files.outputs, result["per_fold"][0]["run_name"]))
        record = FoldsRecord(
            files, first.config, read_status(files) or {}, [], [], result, plan, verified=manifest.verifies
        )
        if not record.verified:  # nothing vouches for its files: read them all, so that a damaged one is named
            record.read_all()
    return record


def write_folds_report(files: RunFiles, data: Path | None) -> Path:
    """Write outputs/results/NAME/report.html from the files of all folds; returns its path.

    Args:
        data: the folder of the images; without it, or if it is gone, the page has no photographs.
    """
    record = read_folds(files)
    assert record.test is not None and record.tested is not None
    of_task.draw(of_task.figures_of(record.task), record.task, *record.tested, files.results)
    pre = Preprocessing.from_dict(record.config["preprocessing"])
    photographs = Photographs(data if data is not None and is_source(data) else None, pre)
    page = render(
        "folds.html",
        name=files.name,
        result=record.test,
        headline=headline(record),
        kind=record.task.title,
        model=record.config["model"]["name"],
        crop=pre.crop,
        metrics=metric_table(record),
        intervals=interval_lines(record.test),
        cautions=cautions(record.test),
        by_fold=fold_table(record),
        groups=sections.group_table(record),
        classes=sections.class_table(record),
        figures=sections.figures(record, "test"),
        galleries=sections.galleries(record, photographs),
        suspects=suspect_gallery(record, photographs),
        suspects_count=len(record.suspects),
        command=record.plan["command"],
        versions=record.config["versions"],
    )
    path = files.results / "report.html"
    write_page(path, page)
    return path


def headline(record: FoldsRecord) -> str:
    """The main metric, with its interval."""
    assert record.test is not None
    name = next(n for n in record.task.headline if record.test.get(n) is not None)
    interval = record.test["intervals"].get(name)
    between = f" [{shown(name, interval[0])}, {shown(name, interval[1])}]" if interval else ""
    value = f"{metric_row(name).label} {shown(name, record.test[name])}{between}"
    return f"{value}, {record.test['folds']} folds of {record.test['count']:,} images"


def metric_table(record: FoldsRecord) -> list[tuple[str, list[list[str]]]]:
    """[(target or "", [[metric, value, interval, mean of folds, all images together, without learning]])]."""
    result = record.test or {}
    chance = record.task.chance(record.tested[1]) if record.tested else None

    def rows(target: str, trivial: dict[str, Any]) -> list[list[str]]:
        values, intervals, means, pooled = (
            found.get("per_target", {}).get(target, {}) if target else found
            for found in (result, result["intervals"], result["mean_of_folds"], result["pooled"])
        )
        found = []
        for name in (n for n in METRICS if n in values and not isinstance(values[n], dict)):
            interval = intervals.get(name)
            between = f"{shown(name, interval[0])} to {shown(name, interval[1])}" if interval else ""
            without = shown(name, trivial[name]) if name in trivial else ""
            if chance and name == record.task.select:
                without = f"{shown(name, chance.value)} ({chance.how})"
            cells = [shown(name, of.get(name)) if name in of else "" for of in (values, means, pooled)]
            found.append([METRICS[name].label, cells[0], between, *cells[1:], without])
        return found

    tables = [("", rows("", result.get("mean_predictor", {})))]
    targets = list(result["pooled"].get("per_target", {}))
    if len(targets) > 1:
        tables += [(target, rows(target, {})) for target in targets]
    return tables


def fold_table(record: FoldsRecord) -> dict[str, Any]:
    """The test's metrics of each fold, {columns, rows}."""
    folds = (record.test or {})["per_fold"]
    names = [name for name in METRICS if name in folds[0]]
    titles = [f"{fold['fold']}" + (f" ({fold['name']})" if fold["name"] else "") for fold in folds]
    rows = [
        [
            title,
            f"{fold['count']:,}",
            *(shown(n, fold[n]) for n in names),
            "" if fold["best_epoch"] is None else fold["best_epoch"],
        ]
        for title, fold in zip(titles, folds, strict=True)
    ]
    return {"columns": ["fold", "images", *(METRICS[n].label for n in names), "best epoch"], "rows": rows}


def suspect_gallery(record: FoldsRecord, photographs: Photographs) -> list[Shown]:
    """Photographs of the targets that are most likely wrong."""
    table = record.suspects.head(SUSPECTS)
    rows = zip(*(names_in(table[column]) for column in ("file", "given", "suggested")), strict=True)
    images = [photographs(file, f"{given}?", f"perhaps {suggested}; {file}") for file, given, suggested in rows]
    return [image for image in images if image is not None]
