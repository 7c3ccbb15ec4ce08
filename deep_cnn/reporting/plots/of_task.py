"""The figures of a test set, as the registry FIGURES lists them for a task."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from deep_cnn.config.registries import FIGURES, Figure, resolve
from deep_cnn.reporting.plots.panel import Panel, write_png
from deep_cnn.tasks.base import Task


def figures_of(task: Task) -> list[Figure]:
    """The rows of a task's figures, in the order in which the report shows them."""
    return [row for row in FIGURES.values() if task.name in row.tasks]


def panels_of(row: Figure, task: Task, decoded: np.ndarray, targets: np.ndarray) -> list[Panel]:
    """The panels of one figure.

    Args:
        decoded: float64 (N, K), as `Task.decode` gives it. targets: of the same samples, as the index has them.
    """
    found: list[Panel] = resolve(row.code)(task, decoded, targets)
    return found


def draw(rows: Iterable[Figure], task: Task, decoded: np.ndarray, targets: np.ndarray, folder: Path) -> None:
    """Write NAME.png for each row; arguments as of `panels_of`."""
    for row in rows:
        write_png(panels_of(row, task, decoded, targets), folder / f"{row.name}.png")
