"""The figures of a test set, as the registry FIGURES lists them for a task."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from deep_cnn.config.registries import FIGURES, Figure, resolve
from deep_cnn.reporting.plots.map_areas import Sites
from deep_cnn.reporting.plots.panel import Panel, write_png
from deep_cnn.tasks.base import Task


def figures_of(task: Task) -> list[Figure]:
    """The rows of a task's figures, in the order in which the report shows them."""
    return [row for row in FIGURES.values() if task.name in row.tasks]


def panels_of(
    row: Figure, task: Task, decoded: np.ndarray, targets: np.ndarray, sites: Sites | None = None
) -> list[Panel]:
    """The panels of one figure; [] of a map where it is not known where the images are.

    Args:
        decoded: float64 (N, K), as `Task.decode` gives it. targets: of the same samples, as the index has them.
    """
    if row.by_place and sites is None:
        return []
    where = [sites] if row.by_place else []
    found: list[Panel] = resolve(row.code)(task, decoded, targets, *where)
    return found


def draw(
    rows: Iterable[Figure],
    task: Task,
    decoded: np.ndarray,
    targets: np.ndarray,
    folder: Path,
    sites: Sites | None = None,
) -> None:
    """Write NAME.png for each row that has panels; arguments as of `panels_of`."""
    for row in rows:
        if panels := panels_of(row, task, decoded, targets, sites):
            write_png(panels, folder / f"{row.name}.png", columns=row.columns)
