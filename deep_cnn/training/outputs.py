"""What a run has found, as files: metrics.csv, timing.csv, test.json, predictions_test.csv and the pictures."""

import logging
from typing import Any

import numpy as np

from deep_cnn.data.index import Index
from deep_cnn.reporting.plots import figures
from deep_cnn.reporting.result_text import LABELS
from deep_cnn.runtime.atomic import csv_line, write_json, write_rows, write_text
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.tasks import rows
from deep_cnn.tasks.base import Task
from deep_cnn.tasks.metrics import ClassificationScores

log = logging.getLogger(__name__)


def write_epochs(files: RunFiles, history: list[dict[str, Any]], timing: list[dict[str, Any]]) -> None:
    """metrics.csv and timing.csv: written whole from the state, so that a resumed run's are those of an unbroken one."""
    write_rows(files.results / "metrics.csv", history)
    write_rows(files.results / "timing.csv", timing)


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


def write_plots(
    files: RunFiles, task: Task, index: Index, history: list[dict[str, Any]], best: int | None, test: tuple | None
) -> None:
    """learning_curves.png and, of the test set, confusion_matrix.png or predicted_vs_true.png.

    Args:
        best: the best epoch, None where there is none yet. test: (sample numbers, raw outputs) of the test set, or None.
    """
    figures.learning_curves(history, files.results / "learning_curves.png", best, LABELS)
    if test is None:
        return
    samples, outputs = test
    targets = index.targets[samples]
    if task.kind == "single":
        scores = ClassificationScores.of(task.decode(outputs), targets, task.names)
        figures.confusion_matrix(scores.confusion(), task.names, files.results / "confusion_matrix.png")
    elif task.kind == "scores":
        figures.predicted_vs_true(task.decode(outputs), targets, task.names, files.results / "predicted_vs_true.png")
