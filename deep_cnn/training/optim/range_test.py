"""--lr=auto: the learning rate by a range test, which leaves no trace in the state of the run.

Smith, "Cyclical learning rates for training neural networks", 2017, section 3.3: train a few steps with a rate that rises
exponentially, and look where the loss falls and where it explodes.
"""

import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from deep_cnn.reporting.plots.style import BLUE, ORANGE, save
from deep_cnn.training import loop
from deep_cnn.training.optim.optimizers import follows_lr, optimizer_row

if TYPE_CHECKING:
    from deep_cnn.training.trainer import Trainer

STEPS = 100
LOWEST = 1e-6
EXPLODED = 4.0  # times the lowest loss so far: nothing is learnt from further steps
SMOOTHING = 0.9  # decay of the mean of the losses: single batches differ more than neighbouring rates
BELOW = 10.0  # the rate of the lowest loss is at the edge of stability; a tenth of it is the usual choice


@dataclass(frozen=True)
class RangeTest:
    """rates, losses: float64 (n,), of each step, the losses smoothed; lr: what they suggest."""

    rates: np.ndarray
    losses: np.ndarray
    lr: float


def range_test(trainer: "Trainer", between: Callable[[], None]) -> RangeTest:
    """Train with rising rates from the state in which the trainer is, and put that state back.

    Args:
        trainer: whose parameter groups have rates relative to --lr. between: called after each step; may raise to stop.
    """
    state = trainer.state
    before = copy.deepcopy((state.model.state_dict(), state.optimizer.state_dict(), state.scaler.state_dict()))
    highest = optimizer_row(trainer.config.optimizer).highest_lr
    rates = LOWEST * (highest / LOWEST) ** (np.arange(STEPS) / (STEPS - 1))
    try:
        losses = _losses(trainer, rates, between)
    finally:
        state.optimizer.zero_grad(set_to_none=True)
        state.model.load_state_dict(before[0])
        state.optimizer.load_state_dict(before[1])
        state.scaler.load_state_dict(before[2])
    smooth, rates = smoothed(np.array(losses)), rates[: len(losses)]
    return RangeTest(rates, smooth, suggest(rates, smooth))


def _losses(trainer: "Trainer", rates: np.ndarray, between: Callable[[], None]) -> list[float]:
    """Of each step, until they explode."""
    state, backbone_lr = trainer.state, trainer.config.backbone_lr
    trainer.compute_features("train", between)
    network, count = trainer.training_network(0), len(rates)
    # rates that are given in full stay as the run will have them; whoever called puts the groups back
    groups = state.optimizer.param_groups
    given = [(group, group["base_lr"]) for group in groups if not follows_lr(group, backbone_lr)]

    def lr_multiplier(step: int) -> float:
        for group, rate in given:
            group["base_lr"] = rate / float(rates[step])
        return float(rates[step])

    repeats = range(0, count, trainer.steps)  # the first epoch, again and again
    batches = itertools.chain.from_iterable(trainer.train_batches(0, 0, first) for first in repeats)
    settings = replace(trainer.step_settings(network), lr_multiplier=lr_multiplier)
    trial = replace(state, average=None, sums=state.sums.new_zeros(2))
    steps = loop.train_one_epoch(network, itertools.islice(batches, count), trainer.task, trial, settings)
    losses: list[float] = []
    for step in steps:
        losses.append(float(step.loss))
        between()
        if not np.isfinite(losses[-1]) or losses[-1] > EXPLODED * min(losses):
            break
    return losses


def smoothed(losses: np.ndarray) -> np.ndarray:
    """Exponential mean, float64 (n,), corrected for its start at 0; without a last value that is not finite."""
    losses = losses[np.isfinite(losses)]
    means, mean = [], 0.0
    for step, loss in enumerate(losses, 1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        means.append(mean / (1 - SMOOTHING**step))
    return np.array(means)


def suggest(rates: np.ndarray, losses: np.ndarray) -> float:
    """A tenth of the rate with the lowest smoothed loss, to two digits; 1e-3 where no rate lowered the loss."""
    if len(losses) < 10 or losses.argmin() < 5:
        return 1e-3
    return float(f"{rates[losses.argmin()] / BELOW:.1e}")


def plot(test: RangeTest, path: Path) -> None:
    """Loss against learning rate, with the one that was chosen."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    ax = figure.add_subplot()
    ax.plot(test.rates, test.losses, color=BLUE)
    ax.axvline(test.lr, color=ORANGE, linestyle="--", label=f"chosen: {test.lr:g}")
    ax.set(xscale="log", xlabel="--lr", ylabel="training loss, smoothed")
    ax.grid(alpha=0.25)
    ax.legend()
    save(figure, path)
