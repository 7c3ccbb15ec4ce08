"""The common result of all folds: each image predicted by the network that was not trained on it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deep_cnn.config.registries import METRICS
from deep_cnn.reporting.report.folds import write_folds_report
from deep_cnn.reporting.report.record import Record, names_in, read_record
from deep_cnn.reporting.result_text import shown
from deep_cnn.runtime.atomic import read_csv, write_csv, write_json
from deep_cnn.runtime.errors import DataError
from deep_cnn.tasks.base import Task
from deep_cnn.tasks.intervals import nested, per_group
from deep_cnn.tasks.metrics import Scored
from deep_cnn.tools.folds.plan import Plan

log = logging.getLogger(__name__)

Flat = dict[str, float | None]  # "mae", and of one target "price/mae"


@dataclass(frozen=True)
class OutOfFold:
    """Out-of-fold predictions of n images, sorted by fold and, within it, in the order of its test set.

    Attributes:
        records: the folds' runs.
        fold: int64 (n,), from 1 on. group: names (n,), or None without --group.
        decoded: float64 (n, K). targets: as the index has them.
    """

    records: list[Record]
    task: Task
    files: list[str]
    fold: np.ndarray
    group: np.ndarray | None
    decoded: np.ndarray
    targets: np.ndarray

    @property
    def scores(self) -> Scored:
        """All images together, although different networks predicted them."""
        return self.task.scored_decoded(self.decoded, self.targets)


def write_outcome(plan: Plan) -> dict[str, Any]:
    """Write predictions_folds.csv, folds.json and report.html from the files of the finished folds; returns folds.json's values.

    Raises:
        DataError: a fold was tested on other images than folds.csv says, or a file of it is gone.
    """
    found = gather(plan)
    write_predictions(plan, found)
    result = common_result(plan, found)
    write_json(plan.files.results / "folds.json", result, durable=True)
    show(plan, result)
    log.info("Report: %s", write_folds_report(plan.files, plan.data))
    log.info("Everything is in %s", plan.files.results)
    return result


def gather(plan: Plan) -> OutOfFold:
    """Read the predictions of each fold's test set."""
    assigned = read_assignment(plan)
    records, tested, files, numbers = [], [], [], []
    for fold in plan.folds:
        record = read_record(plan.files_of(fold))
        if record.tested is None or record.predictions is None:
            raise DataError(f"{record.files.results}: has no predictions_test.csv; train {plan.title(fold)} again")
        own = names_in(record.predictions["file"])
        if set(own) != {file for file, (of, _) in assigned.items() if of == str(fold)}:
            raise DataError(f"{plan.title(fold)}: was tested on other images than {plan.assignment}; train it again")
        records.append(record)
        tested.append(record.tested)
        files += own
        numbers += [fold] * len(own)
    groups = [assigned[file][1] for file in files]
    return OutOfFold(
        records=records,
        task=records[0].task,
        files=files,
        fold=np.array(numbers),
        group=None if groups[0] is None else np.array(groups, dtype=object),
        decoded=np.concatenate([decoded for decoded, _ in tested]),
        targets=np.concatenate([targets for _, targets in tested]),
    )


def read_assignment(plan: Plan) -> dict[str, tuple[str, str | None]]:
    """folds.csv: file -> its fold, as text, and its group, if any."""
    rows = read_csv(plan.assignment)
    grouped = "group" in next(rows)[-2:-1]  # a target may be called group, too
    return {row[0]: (row[-1], row[-2] if grouped else None) for row in rows}


def write_predictions(plan: Plan, found: OutOfFold) -> None:
    """predictions_folds.csv: file, fold, group (with --group), truth and prediction of each image, sorted by file."""
    grouped = found.group is not None
    columns = ["file", "fold", *(["group"] if grouped else []), *found.task.tested_columns()]
    cells = found.task.tested_cells(found.decoded, found.targets)
    groups = [[name] for name in found.group.tolist()] if found.group is not None else [[]] * len(found.files)
    rows = zip(found.files, found.fold.tolist(), groups, cells, strict=True)
    write_csv(
        plan.files.results / "predictions_folds.csv",
        columns,
        ([file, fold, *group, *row] for file, fold, group, row in sorted(rows, key=lambda row: row[0])),
    )


def common_result(plan: Plan, found: OutOfFold) -> dict[str, Any]:
    """What folds.json says."""
    per_fold = [fold_scores(record) for record in found.records]
    pooled = found.scores
    means = mean_of_folds(per_fold)
    result: dict[str, Any] = {
        "folds": plan.count,
        "task": found.task.old_name,
        "task_name": found.task.name,
        "count": len(found.files),
        **nested(means),
        "pooled": nested(pooled.scores()),
        "per_fold": [
            {
                "fold": fold,
                "name": plan.names[fold - 1] if plan.names else None,
                "run_name": record.files.name,
                "count": int((found.fold == fold).sum()),
                "best_epoch": record.best_epoch,
                **nested(scores),
            }
            for fold, record, scores in zip(plan.folds, found.records, per_fold, strict=True)
        ],
    }
    if per_class := pooled.metrics().get("per_class"):
        result["per_class"] = per_class
    if trivial := mean_predictor(found.records):
        result["mean_predictor"] = trivial
    if found.group is not None:
        names, codes = np.unique(found.group.astype(str), return_inverse=True)
        result |= {"number_of_groups": len(names), "per_group": per_group(pooled, codes, names.tolist())}
    return result


def fold_scores(record: Record) -> Flat:
    """The metrics of one fold's test."""
    assert record.tested is not None and record.test is not None
    return record.task.scored_decoded(*record.tested).scores() | {"loss": record.test["loss"]}


def mean_of_folds(per_fold: Sequence[Flat]) -> Flat:
    """Each metric's mean over the folds; None where it is undefined in one of them."""
    means: Flat = {}
    for name in per_fold[0]:
        values = [value for scores in per_fold if (value := scores[name]) is not None]
        means[name] = float(np.mean(values)) if len(values) == len(per_fold) else None
    return means


def mean_predictor(records: Sequence[Record]) -> dict[str, float]:
    """Mean error over the folds of always predicting the mean of the fold's training set; {} where there are classes."""
    found = [record.test["mean_predictor"] for record in records if record.test and "mean_predictor" in record.test]
    return {name: float(np.mean([values[name] for values in found])) for name in (found[0] if found else ())}


def show(plan: Plan, result: dict[str, Any]) -> None:
    """The common result on the console."""
    log.info(
        "Result of %d folds on %d images, each predicted by a network that was not trained on it:",
        plan.count,
        result["count"],
    )
    for name in METRICS:
        if name in result:
            log.info("  %-18s %s", METRICS[name].label, shown(name, result[name]))
