"""What mean colours and edges alone say of the test set: a network should be better than this, and by how much is in test.json."""

import logging
from collections.abc import Callable

import numpy as np

from deep_cnn.data.colour_edges import colour_and_edges
from deep_cnn.data.dataset import Dataset
from deep_cnn.inference.ood import chosen
from deep_cnn.runtime.atomic import read_csv, write_csv
from deep_cnn.runtime.manifest import Manifest, understood
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.tasks.base import Task
from deep_cnn.tasks.differences import LINEAR_BASELINE, differences

log = logging.getLogger(__name__)

TABLE = "predictions_baseline.csv"
TRAINING = 5000  # images: eight numbers are known well from fewer


def linear_predictions(
    task: Task, dataset: Dataset, seed: int, workers: int, between: Callable[[], None]
) -> np.ndarray | None:
    """Decoded predictions of the test images, float64 (n, K), learnt from the training images (at most 5,000 of them).

    None of a task of votes.
    """
    if not task.has_linear:
        return None
    index, splits = dataset.index, dataset.splits
    rows = chosen(splits.train, TRAINING, seed)
    log.info("Computing a baseline without a network: mean colours and edges of %d training images", len(rows))
    train, test = (colour_and_edges(dataset.pixels, part, workers, between) for part in (rows, splits.test))
    return task.uncalibrated().linear(train, index.targets[rows], test)


def with_linear_baseline(result: dict, task: Task, dataset: Dataset, outputs: np.ndarray, said: np.ndarray) -> dict:
    """The test's result with the difference between the network and the baseline. outputs: raw (n, K); said: decoded (n, K)."""
    index, rows = dataset.index, dataset.splits.test
    targets, groups = index.targets[rows], None if index.groups is None else index.groups[rows]
    baseline = task.uncalibrated().scored_decoded(said, targets)
    found = differences(task.scored(outputs, targets), baseline, groups)
    return result | {"differences": result["differences"] | {LINEAR_BASELINE: found}}


def write_baseline(files: RunFiles, task: Task, dataset: Dataset, said: np.ndarray) -> None:
    """predictions_baseline.csv: what the baseline says of each test image, for `compare` and `evaluate`."""
    paths, rows = dataset.index.paths, dataset.splits.test.tolist()
    table = ([paths[i], *row] for i, row in zip(rows, said.tolist(), strict=True))
    write_csv(files.results / TABLE, ["file", *task.decoded_columns], table, announce=Manifest(files).announce)


def read_baseline(files: RunFiles, dataset: Dataset) -> np.ndarray | None:
    """The inverse of `write_baseline`; None for a run of an earlier version, which has no such file.

    Raises:
        DataError: the file is damaged.
    """
    if not (files.results / TABLE).exists():
        return None
    with understood(table := Manifest(files).require(TABLE)):
        rows = read_csv(table)
        next(rows)
        of_file = {row[0]: [float(cell) for cell in row[1:]] for row in rows}
        return np.array([of_file[dataset.index.paths[i]] for i in dataset.splits.test.tolist()])
