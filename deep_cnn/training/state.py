"""The whole state of a run: weights, optimizer, scaler, moving average, best so far, and the step."""

import copy
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn

from deep_cnn.runtime.errors import CheckpointError
from deep_cnn.training.optim.average import MovingAverage
from deep_cnn.training.optim.schedules import PLATEAU_EPOCHS


@dataclass
class Progress:
    """Where a run is. epoch: the one being trained, from 0; step: optimizer steps taken in it; best_epoch: -1 before any."""

    epoch: int = 0
    step: int = 0
    global_step: int = 0
    best: float | None = None
    best_loss: float | None = None  # the validation loss of the best epoch; None: unknown, of a run begun by 0.1.0
    best_epoch: int = -1
    epochs_without_better: int = 0  # for --patience
    plateau_waited: int = 0  # for --schedule=plateau
    plateau_factor: float = 1.0
    told: tuple[float, float] = (0.0, 0.0)  # the epoch's sums when `recent_loss` was last asked
    train_seconds: float = 0.0  # spent on this epoch's steps, by all processes that took them
    finished: bool = False  # no epoch is left to train: the test is next, or done

    def validated(self, value: float, loss: float | None, higher_is_better: bool, plateau: bool) -> bool:
        """Take note of an epoch's validation; True when it is the best so far. A NaN is never the best.

        Of epochs with the same value the one with the lowest loss is the best: on 15 validation images a network may classify
        all of them after three epochs, and be hardly trained.

        Args:
            value: of the metric that selects the best epoch. loss: the validation loss, where it is known.
            plateau: --schedule=plateau, the only one whose rate is cut where the validation stands still.
        """
        better = value == value and (
            self.best is None or (value > self.best if higher_is_better else value < self.best)
        )
        tied = value == self.best and loss is not None and self.best_loss is not None and loss < self.best_loss
        if better or tied:
            self.best, self.best_loss, self.best_epoch = value, loss, self.epoch
        self.epochs_without_better = 0 if better else self.epochs_without_better + 1
        self.plateau_waited = 0 if better or not plateau else self.plateau_waited + 1
        if self.plateau_waited > PLATEAU_EPOCHS:
            self.plateau_factor, self.plateau_waited = self.plateau_factor / 10, 0
        return better or tied

    def next_epoch(self, epochs: int, patience: int) -> None:
        """Go on to the next epoch, or be finished: after --epochs, or after --patience epochs without a better one."""
        self.finished = self.epoch + 1 >= epochs or (0 < patience <= self.epochs_without_better)
        self.epoch, self.step, self.train_seconds, self.told = self.epoch + 1, 0, 0.0, (0.0, 0.0)


@dataclass
class TrainingState:
    """Everything that one more step depends on, and everything that has been measured so far."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: MovingAverage | None
    sums: torch.Tensor  # float64 (2,): loss times weight, and weight, over the steps of this epoch
    progress: Progress = field(default_factory=Progress)
    history: list[dict[str, Any]] = field(default_factory=list)  # the rows of metrics.csv
    timing: list[dict[str, Any]] = field(default_factory=list)  # the rows of timing.csv

    @property
    def selected(self) -> nn.Module:
        """The network that is validated, saved as best and tested: the average where there is one."""
        return self.average.averaged if self.average else self.model

    def recent_loss(self) -> float:
        """Mean training loss of this epoch's steps since this was last asked; a resumed run remembers when that was."""
        (loss, weight), (old_loss, old_weight) = self.sums.tolist(), self.progress.told
        self.progress.told = (loss, weight)
        return (loss - old_loss) / (weight - old_weight)

    def capture(self) -> dict[str, Any]:
        """As plain values and tensors (not copied: to be written before the next step)."""
        return {
            "weights": self.model.state_dict(),
            "average": self.average.averaged.state_dict() if self.average else None,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "sums": self.sums,
            "progress": asdict(self.progress),
            "history": copy.deepcopy(self.history),
            "timing": copy.deepcopy(self.timing),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """The inverse of `capture`.

        Raises:
            CheckpointError: the state's optimizer has other groups of parameters.
        """
        self.model.load_state_dict(saved["weights"])
        if self.average:
            self.average.averaged.load_state_dict(saved["average"])
        try:
            self.optimizer.load_state_dict(saved["optimizer"])
        except ValueError as error:  # begun by a version that decayed other weights of this network
            raise CheckpointError(
                "this unfinished run began with another version of deep_cnn, which grouped the network's weights in another way; "
                "continue it with that version, or use --resume=never to start over"
            ) from error
        self.scaler.load_state_dict(saved["scaler"])
        self.sums.copy_(saved["sums"])
        self.progress = Progress(**saved["progress"])
        self.history, self.timing = saved["history"], saved["timing"]
