"""The networks that predict: one, or several checkpoints as an ensemble."""

import hashlib
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deep_cnn.data.feed import Batch
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.inference import evaluate, load
from deep_cnn.inference.ood import FeatureTap, Reference
from deep_cnn.models.build import ModelSpec, head_modules
from deep_cnn.runtime.device import (
    CHANNELS_LAST,
    Decisions,
    autocast_for,
    dtype_of,
    granted_cores,
    keep_freed_memory,
    pick_device,
    pick_precision,
    set_determinism,
    set_threads,
)
from deep_cnn.runtime.errors import ConfigError
from deep_cnn.runtime.launch import this_rank
from deep_cnn.tasks.base import Task

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Member:
    """A network on its device, and all that its checkpoint says of how it is used."""

    model: nn.Module
    spec: ModelSpec
    head: str
    task: Task
    pre: Preprocessing
    decisions: Decisions
    reference: Reference | None
    data_dir: str
    digest: str  # of the checkpoint's bytes
    device: torch.device

    def outputs(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Raw outputs float32 (n, K) of a batch, and each image's distance from the training set (n,), above 1 unlike it."""
        autocast = autocast_for(self.device, self.decisions.precision)
        with FeatureTap(self.model, self.head) as tap:
            indices, outputs = next(evaluate.evaluate(self.model, (batch,), autocast))
        # of the whole batch, padding included: the distances of another number of rows differ in the last bits
        distances = None if self.reference is None else self.reference.distances(tap.features)[: len(indices)]
        return outputs, distances


def load_members(paths: Sequence[Path], *, device: str, precision: str) -> list[Member]:
    """The networks of some checkpoints.

    Args:
        device: as --device. precision: "auto", that of the run, or one that overrides it.
    Raises:
        CheckpointError: one cannot be read. ConfigError: they do not predict the same.
    """
    target = pick_device(device)
    members = [_load(path, target, precision) for path in paths]
    first = members[0].task
    for path, member in zip(paths, members, strict=True):
        if (member.task.name, member.task.names) != (first.name, first.names):
            raise ConfigError(
                f"--checkpoint: {path} predicts {_named(member.task)}, {paths[0]} {_named(first)}; "
                "an ensemble is of networks that predict the same"
            )
    threads = max(member.decisions.threads for member in members)
    set_threads(threads if this_rank().world_size == 1 else granted_cores())
    keep_freed_memory()
    return members


def _load(path: Path, device: torch.device, precision: str) -> Member:
    model, meta = load.load_model(path)
    task, pre = load.task_and_preprocessing(meta)
    decisions = Decisions(**meta["decisions"])
    if precision != "auto":
        decisions = replace(decisions, precision=pick_precision(precision, device))
    elif decisions.precision == "fp16" and device.type == "cpu":
        log.info("%s was trained in fp16, which a CPU only emulates: predicting in fp32", path)
        decisions = replace(decisions, precision="fp32")
    set_determinism(meta["config"]["deterministic"], device)
    spec = ModelSpec.from_dict(meta["model"])
    head = head_modules(spec.name, model)[0]
    model = model.to(device, dtype_of(decisions.precision), memory_format=CHANNELS_LAST)
    reference = Reference.from_dict(meta["reference"]).to(device) if "reference" in meta else None
    return Member(
        model, spec, head, task, pre, decisions, reference, meta["config"]["data_dir"], file_digest(path), device
    )


def rows_together(members: Sequence[Member]) -> int:
    """How many images make a block in which every member's batches are whole."""
    return math.lcm(*(member.decisions.eval_batch for member in members))


def file_digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _named(task: Task) -> str:
    names: list[Any] = [*task.names[:3], *(["..."] if len(task.names) > 3 else [])]
    return f"{', '.join(names)} ({task.name})"
