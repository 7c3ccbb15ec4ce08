"""The common result of all folds: each image predicted by the network that was not trained on it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deep_cnn.config.registries import METRICS, shown
from deep_cnn.data.space import place_cells
from deep_cnn.reporting.compare.runs import Run
from deep_cnn.reporting.report.folds import on_votes, write_folds_report
from deep_cnn.reporting.report.record import Record, names_in, read_record
from deep_cnn.reporting.result_text import cautions, difference_lines, interval_lines, metric_line
from deep_cnn.runtime.atomic import read_csv, write_csv, write_json
from deep_cnn.runtime.errors import DataError
from deep_cnn.runtime.format import plural
from deep_cnn.runtime.manifest import Manifest, understood
from deep_cnn.tasks.across_folds import ESTIMANDS, difference_of_folds, fold_intervals, group_intervals
from deep_cnn.tasks.base import Task
from deep_cnn.tasks.confidence import effective_groups
from deep_cnn.tasks.differences import LINEAR_BASELINE, differences
from deep_cnn.tasks.dyadic import share_of_votes
from deep_cnn.tasks.intervals import Estimate, intervals, mean_of_groups, nested, per_group
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
        return self.task.pooled([(record.task, *record.tested) for record in self.records if record.tested])


def write_outcome(plan: Plan) -> dict[str, Any]:
    """Write predictions_folds.csv, suspects.csv, folds.json and report.html from the files of the finished folds; returns folds.json's values.

    Raises:
        DataError: a fold was tested on other images than folds.csv says, or a file of it is gone.
    """
    found = gather(plan)
    write_predictions(plan, found)
    write_suspects(plan, found)
    result = common_result(plan, found)
    write_json(plan.files.results / "folds.json", result, durable=True, announce=Manifest(plan.files).announce)
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
    with understood(plan.assignment):
        rows = read_csv(plan.assignment)
        grouped = "group" in next(rows, [])
        return {row[0]: (row[-1], row[-2] if grouped else None) for row in rows}


def write_predictions(plan: Plan, found: OutOfFold) -> None:
    """predictions_folds.csv: file, fold, group (with --group), truth, prediction and place (if known) of each image, sorted by file."""
    grouped = found.group is not None
    columns = ["file", "fold", *(["group"] if grouped else []), *found.task.tested_columns()]
    cells = [row for record in found.records if record.tested for row in record.task.tested_cells(*record.tested)]
    groups = [[name] for name in found.group.tolist()] if found.group is not None else [[]] * len(found.files)
    sites = [record.sites.places for record in found.records if record.sites is not None]
    located = len(sites) == len(found.records)
    places = place_cells(np.concatenate(sites)) if located else [[]] * len(found.files)
    rows = zip(found.files, found.fold.tolist(), groups, cells, places, strict=True)
    write_csv(
        plan.files.results / "predictions_folds.csv",
        [*columns, *(["latitude", "longitude"] if located else [])],
        ([file, fold, *group, *row, *place] for file, fold, group, row, place in sorted(rows, key=lambda row: row[0])),
        announce=Manifest(plan.files).announce,
    )


def write_suspects(plan: Plan, found: OutOfFold) -> None:
    """suspects.csv: images whose target may be wrong, the most suspicious first."""
    grouped = found.group is not None
    rows = []
    for suspect in found.task.suspects(found.decoded, found.targets):
        group = [found.group[suspect.row]] if found.group is not None else []
        rows.append([found.files[suspect.row], found.fold[suspect.row], *group, *suspect[1:]])
    columns = ["file", "fold", *(["group"] if grouped else []), "given", "suggested", "score"]
    write_csv(plan.files.results / "suspects.csv", columns, rows, announce=Manifest(plan.files).announce)
    if rows:
        log.info("%s may be wrong; look at them in the report, or in suspects.csv", plural(len(rows), "target"))


def common_result(plan: Plan, found: OutOfFold) -> dict[str, Any]:
    """What folds.json says: without groups each metric's mean over the folds, with groups that of all images together."""
    per_fold, counts = [fold_scores(record) for record in found.records], np.bincount(found.fold)[1:].tolist()
    pooled, means = found.scores, mean_of_folds(per_fold)
    result: dict[str, Any] = {
        "folds": plan.count,
        "task": found.task.old_name,
        "task_name": found.task.name,
        "count": len(found.files),
        **(of_images if found.group is None else of_groups)(plan, found, pooled, per_fold, counts),
        "mean_of_folds": nested(means),
        "pooled": nested(pooled.scores()),
        "per_fold": [
            {
                "fold": fold,
                "name": plan.names[fold - 1] if plan.names else None,
                "run_name": record.files.name,
                "count": count,
                "best_epoch": record.best_epoch,
                **({"votes": record.test["votes"]} if record.task.vote_metrics and record.test else {}),
                **nested(scores),
            }
            for fold, record, count, scores in zip(plan.folds, found.records, counts, per_fold, strict=True)
        ],
    }
    if per_class := pooled.metrics().get("per_class"):
        result["per_class"] = per_class
    differences = baseline_differences(plan, found)
    if trivial := mean_predictor(found.records):
        against = differences.get(found.task.blind_name, {}) if found.group is not None else {}
        of_all = {name: result[name] - against[name]["value"] for name in trivial if name in against}
        result["mean_predictor"] = trivial | of_all  # beside metrics of all images together, theirs
    return result | {"differences": differences}


def of_images(
    plan: Plan, found: OutOfFold, pooled: Scored, per_fold: Sequence[Flat], counts: Sequence[int]
) -> dict[str, Any]:
    """Means over the folds, with their intervals."""
    estimates = fold_intervals(
        per_fold,
        counts,
        independent=intervals(pooled, None) | independent_votes(found.records),
        own_counts=decided_votes(found.records),
    )
    return nested(mean_of_folds(per_fold)) | described("images", plan.count, estimates)


def of_groups(
    plan: Plan, found: OutOfFold, pooled: Scored, per_fold: Sequence[Flat], counts: Sequence[int]
) -> dict[str, Any]:
    """Metrics of all images together, with intervals by leaving out one group at a time; and each group's.

    Metrics of votes are the folds' means, since no vote is between images of two folds.
    """
    assert found.group is not None
    names, codes = np.unique(found.group.astype(str), return_inverse=True)
    scores = pooled.scores()
    of_votes = [{name: value for name, value in fold.items() if name not in scores} for fold in per_fold]
    records = found.records
    by_folds = fold_intervals(
        of_votes, counts, independent=independent_votes(records), own_counts=decided_votes(records)
    )
    estimates = by_folds | group_intervals(pooled, codes, plan.count)
    return (
        nested(mean_of_folds(of_votes) | scores)
        | described("groups", plan.count, estimates)
        | {
            "number_of_groups": len(names),
            "effective_groups": effective_groups(np.bincount(codes)),
            "mean_of_groups": mean_of_groups(pooled, codes),
            "per_group": per_group(pooled, codes, names.tolist()),
        }
    )


def decided_votes(records: Sequence[Record]) -> dict[str, list[int]]:
    """{"pair_accuracy": how many votes it is of in each fold}; {} where a network learns no votes."""
    if not records[0].task.vote_metrics:
        return {}
    counts = [record.test["votes"]["test_decided"] for record in records if record.test]
    return {name: counts for name in records[0].task.vote_metrics}


def independent_votes(records: Sequence[Record]) -> dict[str, Estimate]:
    """The interval of pair accuracy of all folds' test votes as if one network had been tested; {} where there are none.

    Votes that share an image are not independent; no vote is between images of two folds.
    """
    tested = [Run(record, None).votes("") for record in records if record.task.vote_metrics]
    known = [votes for votes in tested if votes is not None and len(votes.right)]
    if not known:
        return {}
    images = np.unique(np.array([name[:2] for votes in known for name in votes.names]), return_inverse=True)[1]
    found = share_of_votes(np.concatenate([votes.right for votes in known]), images.reshape(-1, 2))
    return {name: found for name in records[0].task.vote_metrics}


def baseline_differences(plan: Plan, found: OutOfFold) -> dict[str, dict[str, Any]]:
    """{baseline: {metric: {value, interval, p}}}: what was learnt beyond predictions that need no network, each fold's own.

    Without groups of the means over the folds, with groups of all images together, as the metrics themselves.
    """
    said = {
        found.task.blind_name: [blind(record) for record in found.records],
        LINEAR_BASELINE: [record.linear_baseline for record in found.records],
    }
    known = {name: [part for part in parts if part is not None] for name, parts in said.items()}
    return {
        name: over_groups(plan, found, parts) if found.group is not None else over_folds(found.records, parts)
        for name, parts in known.items()
        if name and len(parts) == len(found.records)
    }


def blind(record: Record) -> np.ndarray | None:
    """What one would say of a fold's test set without looking at it; None of votes, whose scores have no unit."""
    assert record.tested is not None
    if record.task.vote_metrics:
        return None
    return record.task.blind(record.targets("train"), len(record.tested[1]))


def over_folds(records: Sequence[Record], said: Sequence[np.ndarray]) -> dict[str, Any]:
    """Differences of the means over the folds, paired by fold. said: of each fold decoded predictions (n, K)."""
    ours, theirs = [], []
    for record, predictions in zip(records, said, strict=True):
        assert record.tested is not None
        ours.append(record.task.scored_decoded(*record.tested).scores())
        theirs.append(record.task.uncalibrated().scored_decoded(predictions, record.tested[1]).scores())
    pairs = {
        name: ([a.get(name) for a in ours], [b.get(name) for b in theirs]) for name in ours[0] if name in theirs[0]
    }
    differences = {name: difference_of_folds(*values) for name, values in pairs.items() if None not in values[0]}
    return {name: of_metric.told() for name, of_metric in differences.items() if of_metric is not None}


def over_groups(plan: Plan, found: OutOfFold, said: Sequence[np.ndarray]) -> dict[str, Any]:
    """Differences of all images together, by leaving out one group at a time, with the allowance of `group_intervals`."""
    assert found.group is not None
    codes = np.unique(found.group.astype(str), return_inverse=True)[1]
    theirs = found.task.uncalibrated().scored_decoded(np.concatenate(said), found.targets)
    return differences(found.scores, theirs, codes, allowance=plan.count / (plan.count - 1))


def described(units: str, folds: int, estimates: dict[str, Estimate]) -> dict[str, Any]:
    """Intervals, how they were made, and what they are of. units: images or groups."""
    return {
        "intervals": nested({name: estimate.interval for name, estimate in estimates.items()}),
        "interval_methods": nested({name: estimate.method for name, estimate in estimates.items()}),
        "interval_level": 0.95,
        "estimand": ESTIMANDS[units].format(folds=folds),
    }


def fold_scores(record: Record) -> Flat:
    """The metrics of one fold's test."""
    assert record.tested is not None and record.test is not None
    of_votes = {name: record.test[name] for name in record.task.vote_metrics}
    return of_votes | record.task.scored_decoded(*record.tested).scores() | {"loss": record.test["loss"]}


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
        "Result of %d folds on %d images%s, each predicted by a network that was not trained on it, with 95%% confidence intervals:",
        plan.count,
        result["count"],
        on_votes(result),
    )
    for name in (n for n in METRICS if n in result):
        interval = result["intervals"].get(name)
        between = f"  [{shown(name, interval[0])}, {shown(name, interval[1])}]" if interval else ""
        log.info("  %-18s %s%s", METRICS[name].label, shown(name, result[name]), between)
    if "mean_predictor" in result:
        log.info("  (predicting the training mean: %s)", metric_line(result["mean_predictor"]))
    for line in [*interval_lines(result), *difference_lines(result)]:
        log.info("  %s", line)
    for warning in cautions(result):
        log.warning("  %s", warning)
