"""The pictures of a test set that a task asks for by name."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from deep_cnn.reporting.plots import figures, report_figures
from deep_cnn.tasks.base import Task


def draw(names: Sequence[str], task: Task, decoded: np.ndarray, targets: np.ndarray, folder: Path) -> None:
    """Write NAME.png for each name, of `Task.figures` or `Task.report_figures`.

    Args:
        decoded: float64 (N, K), as `Task.decode` gives it. targets: of the same samples, as the index has them.
    """
    for name in names:
        FIGURES[name](task, decoded, targets, folder / f"{name}.png")


def _confusion_matrix(task: Task, decoded: np.ndarray, targets: np.ndarray, path: Path) -> None:
    figures.confusion_matrix(task.scored_decoded(decoded, targets).confusion(), task.names, path)


def _reliability(task: Task, decoded: np.ndarray, targets: np.ndarray, path: Path) -> None:
    report_figures.reliability(task.calibration(decoded, targets)["bins"], path)


def _predicted_vs_true(task: Task, decoded: np.ndarray, targets: np.ndarray, path: Path) -> None:
    figures.predicted_vs_true(decoded, targets, task.names, path)


def _residuals(task: Task, decoded: np.ndarray, targets: np.ndarray, path: Path) -> None:
    report_figures.residuals(decoded, targets, task.names, path)


FIGURES: dict[str, Callable[[Task, np.ndarray, np.ndarray, Path], None]] = {
    "confusion_matrix": _confusion_matrix,
    "predicted_vs_true": _predicted_vs_true,
    "reliability": _reliability,
    "residuals": _residuals,
}
