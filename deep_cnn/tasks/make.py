"""Which task the data and the flags are, and a task as a checkpoint keeps it."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from deep_cnn.config.fields import wrong
from deep_cnn.config.registries import LOSSES, resolve
from deep_cnn.config.schema import Config
from deep_cnn.data.index import Index
from deep_cnn.tasks.base import Task
from deep_cnn.tasks.transforms import SKEWED, skewness

log = logging.getLogger(__name__)

TASKS = (
    "deep_cnn.tasks.classification:Classification",
    "deep_cnn.tasks.multilabel:MultiLabel",
    "deep_cnn.tasks.regression:Regression",
    "deep_cnn.tasks.pairwise:Pairwise",
    "deep_cnn.tasks.ordinal:Ordinal",
)


def new_task(name: str, names: Sequence[str], loss: str = "auto", label_smoothing: float = 0.0) -> Task:
    """A task that has seen no training targets yet; see `Task.fitted`.

    Raises:
        ConfigError: a loss, or a smoothing of labels, that the task does not have.
    """
    cls = _class_of(name)
    fitting = [row.name for row in LOSSES.values() if cls.name in row.tasks]
    if loss not in ("auto", *fitting):
        raise wrong("loss", loss, f"not available for --task={cls.name}", f"choose one of {', '.join(fitting)}")
    if label_smoothing and not cls.smooths_labels:
        raise wrong(
            "label_smoothing", label_smoothing, f"not available for --task={cls.name}", "use --label_smoothing=0"
        )
    chosen = LOSSES[fitting[0] if loss == "auto" else loss]
    return (resolve(chosen.task) if chosen.task else cls)(tuple(names), chosen.name, label_smoothing)


def make_task(config: Config, index: Index) -> Task:
    """The task of a run, before anything is split; `Task.fitted` follows when the training set is known."""
    loss = config.loss
    if loss == "auto" and index.votes is not None and index.votes.has_ties:
        loss = "davidson"  # ties say that two images are alike, which half a vote for each says less well
        log.info(
            "Some votes are ties: --loss=davidson learns how likely they are (--loss=bradley_terry: half a vote for each)"
        )
    task = new_task(index.task, index.classes or index.target_names, loss, config.label_smoothing)
    task = task.with_targets(index.targets)
    if config.target_transform != "none":
        task = task.on_scale(config.target_transform, index.targets)
    else:
        note_skewed(task, index)
    task = task.in_one_unit() if config.study_id else task  # all studies of Place Pulse have one scale
    return task.with_units(config.unit)


def note_skewed(task: Task, index: Index) -> None:
    """Say which scores have a few values far from all others."""
    for name, values in task.measured(index.targets) if task.has_scales else ():
        if abs(skewed := skewness(values)) > SKEWED:
            scale = "log" if skewed > 0 and np.nanmin(values) > 0 else "rank"
            log.info(
                "%s is skewed (%.1f): a few values make up most of the loss; --target_transform=%s learns on another scale",
                name,
                skewed,
                scale,
            )


def task_from_dict(values: dict[str, Any]) -> Task:
    """The task that `to_dict` described, in this version or in 0.1.0, which had no "name"."""
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    old_name = values.pop("kind")
    return _class_of(values.pop("name", old_name))(**values)


def _class_of(name: str) -> type[Task]:
    """By its name, or by that of 0.1.0."""
    classes: list[type[Task]] = [resolve(code) for code in TASKS]
    found = next((cls for cls in classes if name in (cls.name, cls.old_name)), None)
    if found is None:
        raise ValueError(f"there is no task {name!r}")
    return found
