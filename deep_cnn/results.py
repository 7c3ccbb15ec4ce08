"""What a run has found, as files: metrics.csv, timing.csv, test.json, predictions_test.csv and the pictures."""

import logging
from typing import Any

import numpy as np

from deep_cnn import plots
from deep_cnn.data.index import Index
from deep_cnn.intervals import held_out_result
from deep_cnn.metrics import ClassificationScores
from deep_cnn.prediction import rows
from deep_cnn.run_files import RunFiles
from deep_cnn.storage import csv_line, write_json, write_rows, write_text
from deep_cnn.tasks import Task, sample_scores, validation_loss
from deep_cnn.training_state import TrainingState

log = logging.getLogger(__name__)

FEW_GROUPS = 20
SHARES = {"top1", "top5", "balanced_accuracy", "macro_f1", "micro_f1", "map"}  # shown in percent on the console
LABELS = {
    "top1": "top-1",
    "top5": "top-5",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "map": "mAP",
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R2",
    "pearson": "Pearson",
    "spearman": "Spearman",
    "loss": "loss",
}


def flat_scores(task: Task, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float | None]:
    """An epoch's metrics by name; one of a target is 'price/mae'. `loss` is what training minimises, without smoothing."""
    return {"loss": validation_loss(task, outputs, targets)} | {
        name: value for name, value in sample_scores(task, outputs, targets).scores().items() if name != "loss"
    }


def held_out(
    task: Task, index: Index, samples: np.ndarray, outputs: np.ndarray, split: str, seed: int
) -> dict[str, Any]:
    """What test.json holds: all metrics of a split, their 95% intervals, and each group's, where there are groups."""
    targets = index.targets[samples]
    groups = None if index.groups is None else index.groups[samples]
    scores = sample_scores(task, outputs, targets)
    result = held_out_result(scores, seed, groups=groups, group_names=index.group_names)
    return {"split": split, "task": task.kind} | result | {"loss": validation_loss(task, outputs, targets)}


def with_views(
    result: dict[str, Any], level: str, task: Task, index: Index, samples: np.ndarray, outputs: np.ndarray, seed: int
) -> dict[str, Any]:
    """`held_out`'s result and, under "tta", that of outputs (n, K) which are means over views of each image (--tta=level)."""
    return result | {"tta": {"views": level} | held_out(task, index, samples, outputs, result["split"], seed)}


def write_epochs(files: RunFiles, state: TrainingState) -> None:
    """metrics.csv and timing.csv: written whole from the state, so that a resumed run's are those of an unbroken one."""
    write_rows(files.results / "metrics.csv", state.history)
    write_rows(files.results / "timing.csv", state.timing)


def write_test(
    files: RunFiles, task: Task, index: Index, samples: np.ndarray, outputs: np.ndarray, result: dict
) -> None:
    """predictions_test.csv first, test.json last: where it is, everything is."""
    write_predictions(files.results / "predictions_test.csv", task, index, samples, outputs)
    write_json(files.results / "test.json", result, durable=True)


def write_predictions(path, task: Task, index: Index, samples: np.ndarray, outputs: np.ndarray) -> None:
    """A row per image: file, truth, and what the network says (probabilities, or scores in their own units)."""
    targets = index.targets[samples]
    said = rows.cells(task, task.decode(outputs))
    if task.kind == "scores":
        header = ["file", *(f"{kind}_{name}" for name in task.names for kind in ("target", "predicted"))]
        table = (
            [index.paths[s], *(None if np.isnan(v) else float(v) for pair in zip(t, d, strict=True) for v in pair)]
            for s, t, d in zip(samples, targets, said, strict=True)
        )
    else:
        header = ["file", "target", *rows.columns(task)]
        table = ([index.paths[s], truth(task, t), *d] for s, t, d in zip(samples, targets, said, strict=True))
    write_text(path, "".join([csv_line(header), *(csv_line(row) for row in table)]))


def truth(task: Task, target: Any) -> str:
    """The name of an image's class, or its labels with ';' between them."""
    if task.kind == "single":
        return task.names[target]
    return ";".join(name for name, flag in zip(task.names, target, strict=True) if flag > 0.5)


def write_plots(files: RunFiles, task: Task, index: Index, state: TrainingState, test: tuple | None) -> None:
    """learning_curves.png and, of the test set, confusion_matrix.png or predicted_vs_true.png.

    Args:
        test: (sample numbers, raw outputs) of the test set, or None.
    """
    best = state.progress.best_epoch if state.progress.best_epoch >= 0 else None
    plots.learning_curves(state.history, files.results / "learning_curves.png", best, LABELS)
    if test is None:
        return
    samples, outputs = test
    targets = index.targets[samples]
    if task.kind == "single":
        scores = ClassificationScores.of(task.decode(outputs), targets, task.names)
        plots.confusion_matrix(scores.confusion(), task.names, files.results / "confusion_matrix.png")
    elif task.kind == "scores":
        plots.predicted_vs_true(task.decode(outputs), targets, task.names, files.results / "predicted_vs_true.png")


def metric_line(scores: dict[str, Any]) -> str:
    """'loss 1.234, top-1 51.2%, ...' for the console: overall metrics, not each target's."""
    parts = [_metric(name, value) for name, value in scores.items() if name in LABELS and not isinstance(value, dict)]
    return ", ".join(parts)


def show_result(result: dict[str, Any]) -> None:
    """The held-out result on the console and in the log, with its intervals; each target's and the mean predictor's."""
    log.info(
        "%s result on %d images, with 95%% intervals from %s:",
        result["split"].capitalize(),
        result["count"],
        "resampled images" if "per_group" not in result else f"{result['number_of_groups']} resampled groups",
    )
    if warning := few_groups(result):
        log.warning("  %s", warning)
    _show_metrics(result, result["intervals"], "")
    if "mean_predictor" in result:
        log.info("  (the training mean would have: %s)", metric_line(result["mean_predictor"]))
    if len(result.get("per_target", {})) > 1:
        for name, values in result["per_target"].items():
            log.info("  %s:", name)
            _show_metrics(values, result["intervals"]["per_target"].get(name, {}), "  ")
            log.info("    (the training mean would have: %s)", metric_line(values["mean_predictor"]))
    if views := result.get("tta"):
        log.info("  As the mean over views of each image (--tta=%s):", views["views"])
        _show_metrics(views, views["intervals"], "  ")


def few_groups(result: dict[str, Any]) -> str:
    """What to say of intervals from few resampled groups, which hold the truth less often than they claim; else empty.

    Cameron, Gelbach and Miller, "Bootstrap-based improvements for inference with clustered errors", 2008: few are 5 to 30.
    """
    if not 1 < result.get("number_of_groups", 0) < FEW_GROUPS:
        return ""
    largest = max(group["count"] for group in result["per_group"].values()) / result["count"]
    return (
        f"Only {result['number_of_groups']} groups, the largest with {100 * largest:.0f}% of the images: such intervals are "
        f"too narrow; below {FEW_GROUPS} groups take them as a lower bound of the uncertainty."
    )


def _show_metrics(values: dict[str, Any], intervals: dict[str, Any], indent: str) -> None:
    for name in LABELS:
        if name in values and not isinstance(values[name], dict):
            interval = intervals.get(name)
            between = f"  [{shown(name, interval[0])}, {shown(name, interval[1])}]" if interval else ""
            log.info("%s  %-18s %s%s", indent, LABELS[name], shown(name, values[name]), between)


def _metric(name: str, value: float | None) -> str:
    return f"{LABELS[name]} {shown(name, value)}"


def shown(name: str, value: float | None) -> str:
    if value is None:
        return "undefined"
    if name in SHARES:
        return f"{100 * value:.2f}%"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
