"""The figures of a test set, as the registry FIGURES lists them for a task."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from deep_cnn.config.registries import FIGURES, Figure, resolve
from deep_cnn.tasks.base import Task


def figures_of(task: Task) -> list[Figure]:
    """The rows of a task's figures, in the order in which the report shows them."""
    return [row for row in FIGURES.values() if task.name in row.tasks]


def draw(rows: Iterable[Figure], task: Task, decoded: np.ndarray, targets: np.ndarray, folder: Path) -> None:
    """Write NAME.png for each row.

    Args:
        decoded: float64 (N, K), as `Task.decode` gives it. targets: of the same samples, as the index has them.
    """
    for row in rows:
        resolve(row.code)(task, decoded, targets, folder / f"{row.name}.png")
