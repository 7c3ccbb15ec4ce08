"""What a run has found, as files: metrics.csv, timing.csv, test.json, predictions_test.csv and the pictures."""

import logging
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from deep_cnn.data.dataset import Dataset
from deep_cnn.data.index import Index
from deep_cnn.data.space import place_cells
from deep_cnn.reporting.plots import of_task
from deep_cnn.reporting.plots.learning_curves import learning_curves
from deep_cnn.runtime.atomic import write_csv, write_json, write_rows
from deep_cnn.runtime.manifest import Manifest
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.tasks.base import Task

log = logging.getLogger(__name__)


def write_epochs(files: RunFiles, history: list[dict[str, Any]], timing: list[dict[str, Any]]) -> None:
    """metrics.csv and timing.csv: written whole from the state, so that a resumed run's are those of an unbroken one."""
    announce = Manifest(files).announce
    write_rows(files.results / "metrics.csv", history, announce=announce)
    write_rows(files.results / "timing.csv", timing, announce=announce)


class Tested(NamedTuple):
    """A test set: sample numbers int64 (n,), what is true of each image, and what the network says, decoded, float64 (n, K)."""

    samples: np.ndarray
    truth: np.ndarray
    decoded: np.ndarray


def tested(task: Task, dataset: Dataset, outputs: np.ndarray) -> Tested:
    """outputs: raw, of the images `dataset.scored("test")`."""
    decoded = task.decode(outputs[dataset.own_rows("test")])
    return Tested(dataset.samples("test"), task.truth(dataset, "test"), decoded)


def write_test(files: RunFiles, task: Task, index: Index, tested: Tested, result: dict) -> None:
    """predictions_test.csv first, test.json last: where it is, everything is."""
    write_predictions(files, task, index, tested)
    write_json(files.results / "test.json", result, durable=True, announce=Manifest(files).announce)


def write_tables(files: RunFiles, tables: Iterable[tuple[str, list[str], list[list[Any]]]]) -> None:
    """What else a task writes of a test; see `Task.test_tables`."""
    for name, columns, rows in tables:
        write_csv(files.results / name, columns, rows, announce=Manifest(files).announce)


def write_predictions(files: RunFiles, task: Task, index: Index, tested: Tested) -> None:
    """A row per image: file, truth, what the network says (probabilities, or scores in their own units), its place and group, if any."""
    samples = tested.samples
    said = task.tested_cells(tested.decoded, tested.truth)
    places = [[]] * len(samples) if index.places is None else place_cells(index.places[samples])
    groups = [[]] * len(samples) if index.groups is None else [[index.group_names[g]] for g in index.groups[samples]]
    rows = zip(samples, said, places, groups, strict=True)
    table = ([index.paths[i], *row, *place, *group] for i, row, place, group in rows)
    where = [] if index.places is None else ["latitude", "longitude"]
    columns = ["file", *task.tested_columns(), *where, *([] if index.groups is None else ["group"])]
    write_csv(files.results / "predictions_test.csv", columns, table, announce=Manifest(files).announce)


def write_plots(
    files: RunFiles, task: Task, history: list[dict[str, Any]], best: int | None, tested: Tested | None
) -> None:
    """learning_curves.png and the task's own pictures of the test set.

    Args:
        best: the best epoch, None where there is none yet.
    """
    learning_curves(history, files.results / "learning_curves.png", best)
    if tested is not None:
        early = [row for row in of_task.figures_of(task) if row.by_run]
        of_task.draw(early, task, tested.decoded, tested.truth, files.results)
