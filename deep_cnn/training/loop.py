"""The loop that trains and the loop that scores. Opens no files, knows of no clock, no signal and no checkpoint."""

import contextlib
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from deep_cnn.data.feed import Batch
from deep_cnn.models.build import main_and_auxiliary
from deep_cnn.runtime.device import seed_generators
from deep_cnn.runtime.rng import number
from deep_cnn.tasks.base import Task
from deep_cnn.training.mixup import Mixer
from deep_cnn.training.optim import optimizers
from deep_cnn.training.state import TrainingState


@dataclass(frozen=True)
class StepSettings:
    """How one optimizer step is computed.

    Attributes:
        micro_batches: a batch is computed in so many parts, whose gradients add up.
        lr_multiplier: global step -> factor on each group's learning rate.
        autocast: opens the reduced precision.
        dropout_stream: where ranks share a batch: numbers the draws of dropout, which differ between them.
        no_sync: within it a backward pass keeps its gradients, to be summed over the ranks by the next one outside of it.
        all_reduce: adds a tensor over all ranks.
    """

    seed: int = 0
    micro_batches: int = 1
    clip: float = 0.0
    l1: float = 0.0
    mixer: Mixer = field(default_factory=Mixer)
    lr_multiplier: Callable[[int], float] = lambda step: 1.0
    autocast: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext
    dropout_stream: int = 0
    no_sync: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext
    all_reduce: Callable[[torch.Tensor], torch.Tensor] = lambda loss: loss


@dataclass(frozen=True)
class Step:
    """What one step leaves behind. loss: of this batch, a scalar on the device; nothing has waited for it yet."""

    number: int
    loss: torch.Tensor
    indices: np.ndarray


def train_one_epoch(
    model: Callable[[torch.Tensor], Any],
    batches: Iterable[Batch],
    task: Task,
    state: TrainingState,
    settings: StepSettings,
) -> Generator[Step, None, None]:
    """Train on each batch in turn; yields after each optimizer step, so that the caller may save, show or stop there.

    Args:
        model: float images (B, 3, S, S) -> outputs (B, K); already in its training mode.
        state: whose optimizer, scaler and average are used, from its global step on; to its sums, float64 (2,) on the
            device, the loss times its weight and the weight are added, step by step.
    """
    optimizer, scaler, average, sums = state.optimizer, state.scaler, state.average, state.sums
    first_step = state.progress.global_step
    for step, batch in enumerate(batches, first_step):
        # dropout and stochastic depth draw from torch's generator: seeded by the step, so a resumed run draws the same
        stream = ("part", settings.dropout_stream) if settings.dropout_stream and batch.shard.parts > 1 else ()
        seed_generators(number(settings.seed, "step", step, *stream), batch.images.device)
        optimizers.set_lr(optimizer, settings.lr_multiplier(step))
        images, targets = settings.mixer(
            batch.images, batch.targets, task, settings.seed, step, shared=batch.shard.parts > 1
        )  # (b, 3, S, S), (B, ...); b = B where the batch is not shared

        rows = len(targets) // batch.shard.parts  # of the smallest part
        micro_batches = min(settings.micro_batches, max(1, rows // 2))  # BatchNorm cannot train on a piece of one
        total = task.batch_weight(targets, batch.weights)  # of the whole batch, so that the parts' gradients add up
        loss = torch.zeros((), device=images.device)
        local = (images, targets[batch.shard.local_rows], batch.weights[batch.shard.local_rows])
        parts = zip(*(divided(v, len(local[1]), micro_batches) for v in local), strict=True)
        for piece, (x, t, w) in enumerate(parts, 1):
            with settings.no_sync() if piece < micro_batches else contextlib.nullcontext():
                with settings.autocast():
                    outputs = model(x)
                part = loss_sum(outputs, t, w, task) / (total * batch.shard.copies)
                scaler.scale(part).backward()
            loss += part.detach()
        loss = settings.all_reduce(loss)

        scaler.unscale_(optimizer)
        if settings.l1:
            optimizers.add_l1(optimizer, settings.l1)
        if settings.clip:
            nn.utils.clip_grad_norm_((p for g in optimizer.param_groups for p in g["params"]), settings.clip)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        if average is not None:
            average.update(step)
        sums += torch.stack((loss * total, total)).to(sums.dtype)
        yield Step(step, loss, batch.indices)


def divided(rows: torch.Tensor, samples: int, parts: int) -> list[torch.Tensor]:
    """The rows of so many samples, V of each one after the other, (samples * V, ...), in parts of whole samples."""
    views = len(rows) // samples
    least, more = divmod(samples, parts)  # as `tensor_split`: the first parts have one sample more
    return list(rows.split([views * (least + (part < more)) for part in range(parts)]))


def loss_sum(outputs, targets: torch.Tensor, weights: torch.Tensor, task: Task) -> torch.Tensor:
    """Weighted sum of the samples' losses, in float32, auxiliary heads included with their own share."""
    main, auxiliary = main_and_auxiliary(outputs)
    total = torch.zeros((), device=weights.device)
    for share, part in ((1.0, main), *auxiliary):
        losses, _ = task.losses_and_weights(part.float() if part.dtype != torch.float64 else part, targets)
        total = total + share * (losses * weights).sum()
    return total
