"""What is learnt: one class per image, several labels, or scores. Output width, loss, decoding and the metric that selects."""

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from deep_cnn.config.schema import Config
from deep_cnn.data.index import Index
from deep_cnn.runtime.errors import ConfigError
from deep_cnn.tasks import metrics


@dataclass(frozen=True)
class Task(ABC):
    """The interface of the tasks below.

    names: the classes, labels or targets, in the order of the network's outputs.
    loss: name of the loss; label_smoothing: for classes, in training only.
    """

    names: tuple[str, ...]
    loss: str
    label_smoothing: float = 0.0

    kind: ClassVar[str]
    losses: ClassVar[tuple[str, ...]]  # the default first
    select: ClassVar[str]  # the validation metric that chooses the best epoch
    higher_is_better: ClassVar[bool] = True

    @property
    def outputs(self) -> int:
        """Width K of the network's output."""
        return len(self.names)

    @abstractmethod
    def encode(self, targets: np.ndarray) -> torch.Tensor:
        """The index's targets as the loss wants them; row n belongs to sample n."""

    def soft(self, targets: torch.Tensor) -> torch.Tensor:
        """Encoded targets in a form that can be averaged between two images (mixup): float (B, K)."""
        return targets

    @abstractmethod
    def losses_and_weights(self, outputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss of each sample, summed over what it has of targets, and how many those are: float (B,), float (B,)."""

    @abstractmethod
    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """Raw outputs (N, K) as probabilities, or as scores in their own units: float64 (N, K)."""

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind} | dataclasses.asdict(self)


@dataclass(frozen=True)
class Classification(Task):
    kind = "single"
    losses = ("cross_entropy",)
    select = "top1"

    def encode(self, targets):
        return torch.from_numpy(np.ascontiguousarray(targets, dtype=np.int64))  # (N,)

    def soft(self, targets):
        return F.one_hot(targets, self.outputs).float()

    def losses_and_weights(self, outputs, targets):
        losses = F.cross_entropy(outputs, targets, reduction="none", label_smoothing=self.label_smoothing)
        return losses, torch.ones_like(losses)

    def decode(self, outputs):
        shifted = np.exp(outputs.astype(np.float64) - outputs.max(1, keepdims=True))
        return shifted / shifted.sum(1, keepdims=True)


@dataclass(frozen=True)
class MultiLabel(Task):
    kind = "multi"
    losses = ("bce",)
    select = "map"

    def encode(self, targets):
        return torch.from_numpy(np.ascontiguousarray(targets, dtype=np.float32))  # (N, K) of 0 and 1

    def losses_and_weights(self, outputs, targets):
        goal = targets * (1 - self.label_smoothing) + self.label_smoothing / 2
        losses = F.binary_cross_entropy_with_logits(outputs, goal, reduction="none").mean(1)
        return losses, torch.ones_like(losses)

    def decode(self, outputs):
        return 1 / (1 + np.exp(-np.clip(outputs.astype(np.float64), -700, 700)))  # exp(710) overflows


@dataclass(frozen=True)
class Regression(Task):
    """Scores, standardised by the training set's mean and spread (never the test's) and reported in their own units."""

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    kind = "scores"
    losses = ("mse", "huber")
    select = "loss"
    higher_is_better = False

    def encode(self, targets):
        standardised = (np.asarray(targets, np.float64) - np.array(self.mean)) / np.array(self.std)
        return torch.from_numpy(standardised.astype(np.float32))  # (N, K), NaN where a score is missing

    def losses_and_weights(self, outputs, targets):
        # (B, K) against (B, K), always: (B, 1) against (B,) would broadcast to (B, B)
        assert outputs.shape == targets.shape, (outputs.shape, targets.shape)
        known = ~torch.isnan(targets)
        # the missing ones are replaced before the loss, not masked after it: NaN * 0 is NaN, also in the gradient
        goal = torch.where(known, targets, outputs.detach())
        function = F.mse_loss if self.loss == "mse" else F.huber_loss
        losses = function(outputs, goal, reduction="none") * known
        return losses.sum(1), known.sum(1).float()

    def decode(self, outputs):
        return outputs.astype(np.float64) * np.array(self.std) + np.array(self.mean)


TASKS: dict[str, type[Task]] = {task.kind: task for task in (Classification, MultiLabel, Regression)}


def make_task(kind: str, names: tuple[str, ...], train_targets: np.ndarray, loss: str, label_smoothing: float) -> Task:
    """The task of an index (its `kind`), with what it learns from the training set alone."""
    cls = TASKS[kind]
    loss = cls.losses[0] if loss == "auto" else loss
    if loss not in cls.losses:
        raise ConfigError(f"--loss={loss}: does not fit the task; choose one of {', '.join(cls.losses)}")
    if kind != "scores":
        return cls(names, loss, label_smoothing)
    if label_smoothing:
        raise ConfigError(
            "--label_smoothing: only for classes, and the targets are scores; leave it out (--label_smoothing=0 where a recipe sets it)"
        )
    mean, std = np.nanmean(train_targets, 0), np.nanstd(train_targets, 0)
    return Regression(names, loss, 0.0, tuple(mean.tolist()), tuple(np.where(std > 0, std, 1.0).tolist()))


def task_of(config: Config, index: Index, train: np.ndarray) -> Task:
    """The task of a run. train: the training samples, int64 (n,), from which a regression takes mean and spread."""
    names = index.classes if index.kind != "scores" else index.target_names
    return make_task(index.kind, names, index.targets[train], config.loss, config.label_smoothing)


def encoded(task: Task, index: Index, dtype: torch.dtype) -> torch.Tensor:
    """The targets of all samples of the index, as the loss takes them, (N, ...)."""
    targets = task.encode(index.targets)
    return targets.to(dtype) if targets.is_floating_point() else targets


def task_from_dict(values: dict[str, Any]) -> Task:
    """The task that `to_dict` described."""
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return TASKS[values.pop("kind")](**values)


def validation_loss(task: Task, outputs: np.ndarray, targets: np.ndarray) -> float:
    """Mean loss per sample (nats), or per known score (units of the training set's spread, squared with mse).

    Args:
        outputs: raw, float (N, K); targets: the index's own, row by row.
    """
    losses, weights = _plain_losses(task, outputs, targets)
    return float(losses.sum() / weights.sum())


def _plain_losses(task: Task, outputs: np.ndarray, targets: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Losses without smoothing, and their weights, float64 (N,)."""
    plain = dataclasses.replace(task, label_smoothing=0.0)
    return plain.losses_and_weights(torch.from_numpy(outputs).double(), plain.encode(targets))


def sample_scores(task: Task, outputs: np.ndarray, targets: np.ndarray) -> metrics.SampleScores:
    """A split's raw outputs (N, K) and targets, ready to be scored as the task is scored."""
    scores = scores_of_decoded(task, task.decode(outputs), targets)
    if task.kind == "scores":
        return scores
    # of the outputs themselves: a probability that was rounded to 0 has lost how wrong it was, and the mean loss would
    # lie outside its own interval
    return dataclasses.replace(scores, loss=_plain_losses(task, outputs, targets)[0].numpy())


def scores_of_decoded(task: Task, decoded: np.ndarray, targets: np.ndarray) -> metrics.SampleScores:
    """The same from what `Task.decode` gave, which is what predictions_test.csv holds: float64 (N, K)."""
    if task.kind == "single":
        return metrics.ClassificationScores.of(decoded, targets, task.names)
    if task.kind == "multi":
        return metrics.MultilabelScores.of(decoded, targets, task.names)
    return metrics.RegressionScores.of(decoded, targets, task.names, np.array(task.mean))
