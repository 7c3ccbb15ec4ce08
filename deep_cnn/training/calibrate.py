"""What a run's checkpoint says of errors on images that did not train it: temperature, and what `predict --coverage` needs."""

import hashlib
import json
import logging
from typing import Any

import numpy as np

from deep_cnn.config.schema import Config
from deep_cnn.data.dataset import Dataset
from deep_cnn.data.split import groups_trained_on
from deep_cnn.models import checkpoint
from deep_cnn.runtime.atomic import read_json
from deep_cnn.runtime.manifest import Manifest
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.tasks.base import Task, plain_values
from deep_cnn.tasks.conformal import Calibration

log = logging.getLogger(__name__)


def calibrated(task: Task, dataset: Dataset, outputs: np.ndarray | None) -> dict[str, Any]:
    """The parts of best.pt that come from the validation set's raw outputs (n, K): task and calibration; {} without outputs."""
    if outputs is None:
        return {}
    task = task.calibrated(outputs, task.truth(dataset, "validation"))
    errors = errors_of(task, dataset, "validation", outputs)
    return {"task": plain_values(task.to_dict())} | ({"calibration": errors.to_dict()} if errors else {})


def errors_of(task: Task, dataset: Dataset, split: str, outputs: np.ndarray) -> Calibration | None:
    """The errors of a split, from its raw outputs (n, K); None of a task that has no regions.

    Without groups where some of them were trained on: such errors say nothing of new groups, but of new images of these.
    """
    index, rows = dataset.index, dataset.samples(split)
    errors = task.calibration_errors(task.decode(outputs[dataset.own_rows(split)]), task.truth(dataset, split))
    if errors is None:
        return None
    names = "\n".join(index.paths[i] for i in rows.tolist())
    digest = hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    known = groups_trained_on(index.groups, rows, dataset.splits.train) > 0
    return Calibration(errors, None if index.groups is None or known else index.groups[rows], digest)


def save_fold_errors(files: RunFiles, config: Config, best: dict[str, Any], errors: Calibration) -> None:
    """Add to a fold's best.pt the errors on the images that it tests: together with the other folds' they are those of all images."""
    identity, flags = best["identity"], best["identity"]["flags"]
    common = {"flags": {name: value for name, value in flags.items() if name != "fold"}, "data": identity["data"]}
    plan = hashlib.sha256(json.dumps(common, sort_keys=True).encode()).hexdigest()[:16]
    saved = read_json(RunFiles(files.outputs, config.run_name).fold_plan)
    if saved is None and config.folds == "groups":
        return  # one fold that Python trained by itself: how many there are is not known
    folds = int(config.folds or 0) if saved is None else int(saved["folds"])
    tested = errors.to_dict() | {"plan": plan, "fold": flags["fold"], "folds": folds}
    try:
        checkpoint.save_making_room(files.best, best | {"fold_errors": tested}, files.last, Manifest(files).announce)
    except OSError as error:
        log.warning("Could not write %s (%s), so predict has no --coverage out of fold", files.best, error.strerror)
