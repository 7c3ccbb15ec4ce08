"""report.html of a cross-validation: one page about all folds."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from deep_cnn.config.registries import METRICS
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.reporting.plots import fold_values, of_task
from deep_cnn.reporting.report.charts import Chart, drawn, figures
from deep_cnn.reporting.report.front import front_of, main_metric, metric_text, unit_of
from deep_cnn.reporting.report.images import Gallery, Photographs, gallery, mistakes
from deep_cnn.reporting.report.page import data_name, render, write_page
from deep_cnn.reporting.report.record import Record, names_in, read_record
from deep_cnn.reporting.report.sections import calibration_lines, result_values
from deep_cnn.reporting.report.tables import Table
from deep_cnn.reporting.result_text import cautions, difference_lines, interval_lines
from deep_cnn.runtime.atomic import read_json
from deep_cnn.runtime.errors import DataError
from deep_cnn.runtime.format import plural
from deep_cnn.runtime.manifest import Manifest, understood
from deep_cnn.runtime.run_files import RunFiles, fold_name
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
        _ = self.task, self.tested, self.sites, self.suspects, self.plan["command"]
        result = self.test or {}
        _ = result["folds"], result["count"], result["pooled"]
        name = main_metric(self.task, result)
        _ = result["mean_of_folds"][name], result["intervals"].get(name), [fold[name] for fold in result["per_fold"]]


def read_folds(files: RunFiles, units: tuple[str, ...] = ()) -> FoldsRecord:
    """DataError where the folds of this name are not all finished, or a file of them is damaged; units: as of `read_record`."""
    manifest = Manifest(files)
    manifest.require_all()
    result, plan = read_json(files.results / "folds.json"), read_json(files.fold_plan)
    if result is None or plan is None:
        raise DataError(f"--run_name={files.name}: not all folds are finished; run the same command to resume")
    with understood(files.results):
        first = read_record(RunFiles(files.outputs, fold_name(files.name, result["per_fold"][0]["fold"])))
        record = FoldsRecord(
            files, first.config, read_status(files) or {}, [], [], result, plan, verified=manifest.verifies, units=units
        )
        if not record.verified:  # nothing vouches for its files: read them all, so that a damaged one is named
            record.read_all()
    return record


def write_folds_report(files: RunFiles, data: Path | None, units: tuple[str, ...] = ()) -> Path:
    """Write outputs/results/NAME/report.html from the files of all folds; returns its path.

    Args:
        data: the folder of the images; without it, or if it is gone, the page has no photographs.
        units: of the targets, if not those of the run.
    """
    record = read_folds(files, units)
    assert record.test is not None and record.tested is not None
    of_task.draw(of_task.figures_of(record.task), record.task, *record.tested, files.results, record.sites)
    photographs = Photographs(data, Preprocessing.from_dict(record.config["preprocessing"]))
    confidence = record.task.calibration(*record.tested)
    page = render(
        "folds.html",
        name=files.name,
        folds=record.test["folds"],
        count=record.test["count"],
        sentences=sentences(record),
        front=front_of(
            record.task, record.test, f"images{on_votes(record.test)}, each in one of {record.test['folds']} folds"
        ),
        curve=fold_chart(record),
        cautions=cautions(record.test),
        intervals=[*interval_lines(record.test), *difference_lines(record.test)],
        by_fold=fold_table(record),
        result=result_values(record),
        calibration=calibration_lines(confidence["ece"], {}) if confidence else [],
        calibration_figures=figures(record, "calibration") if confidence else [],
        galleries=mistakes(record, photographs),
        suspects=suspect_gallery(record, photographs),
        suspects_count=plural(len(record.suspects), "image"),
        command=record.plan["command"],
        versions=record.config["versions"],
    )
    path = files.results / "report.html"
    write_page(path, page)
    return path


def sentences(record: FoldsRecord) -> str:
    """What was learnt from what."""
    result = record.test or {}
    groups = f" in {result['number_of_groups']:,} groups" if "number_of_groups" in result else ""
    return (
        f"The network {record.config['model']['name']} learnt {result['folds']} times to {record.task.aim()}, from {result['count']:,} images"
        f"{groups} of {data_name(record)}. Each image was tested once, by the network that was not trained on its fold."
    )


def on_votes(result: dict[str, Any]) -> str:
    """' and 11 decided votes within the folds', behind the images; '' where no votes are learnt."""
    if "votes" not in result["per_fold"][0]:
        return ""
    decided = sum(fold["votes"]["test_decided"] for fold in result["per_fold"])
    return f" and {plural(decided, 'decided vote')} within the folds"


def fold_chart(record: FoldsRecord) -> Chart:
    """The main metric of each fold."""
    result = record.test or {}
    metric = main_metric(record.task, result)
    names = [fold["name"] or str(fold["fold"]) for fold in result["per_fold"]]
    values = [fold.get(metric) for fold in result["per_fold"]]
    panel = fold_values.panel(metric, names, values, result[metric], result["intervals"].get(metric))
    return drawn([panel], "front")[0]


def fold_table(record: FoldsRecord) -> Table:
    """The test's metrics of each fold."""
    folds = (record.test or {})["per_fold"]
    names = [name for name in METRICS if name in folds[0]]
    rows = [
        [
            f"{fold['fold']}" + (f" ({fold['name']})" if fold["name"] else ""),
            f"{fold['count']:,}",
            *(metric_text(n, fold[n], unit_of(record.task, n)) for n in names),
            "" if fold["best_epoch"] is None else fold["best_epoch"],
        ]
        for fold in folds
    ]
    return Table("Each fold", ["fold", "images", *(METRICS[n].label for n in names), "best epoch"], rows)


def suspect_gallery(record: FoldsRecord, photographs: Photographs) -> Gallery:
    """Photographs of the targets that are most likely wrong."""
    table = record.suspects.head(SUSPECTS)
    rows = zip(*(names_in(table[column]) for column in ("file", "given", "suggested")), strict=True)
    return gallery(
        "Targets that may be wrong",
        (
            photographs(
                file, f"given as {given}, perhaps {suggested}", f"{given}?", f"perhaps {suggested}; {Path(file).name}"
            )
            for file, given, suggested in rows
        ),
    )
