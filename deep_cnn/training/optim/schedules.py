"""The learning rate as a function of the step: one function a schedule, named in the registry SCHEDULES.

Each takes the step (0, 1, ..., steps - 1), the optimizer steps of the whole run, and how many of them are the linear warm-up; it
returns a factor on each parameter group's own rate.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from deep_cnn.config.registries import SCHEDULES, resolve

PLATEAU_EPOCHS = 2  # so many may pass without a better validation; after one more `plateau` cuts the rate to a tenth


def cosine(step: int, steps: int, warmup: int) -> float:
    """Loshchilov and Hutter, "SGDR", 2017, without restarts."""
    if step < warmup:
        return _rise(step, warmup)
    done = (step - warmup) / max(1, steps - warmup)  # in [0, 1)
    return 0.5 * (1 + math.cos(math.pi * done))


def onecycle(step: int, steps: int, warmup: int) -> float:
    """Smith and Topin, "Super-convergence", 2019: up from 1/25 in 30% of the steps, then down to 1/250,000, by cosines.

    The shares, and at which step the peak is, are those of torch's OneCycleLR.
    """
    start, end, peak = 1 / 25, 1 / 25e4, 0.3 * steps - 1
    if step <= peak:
        return start + (1 - start) * 0.5 * (1 - math.cos(math.pi * step / peak))
    if steps == 1:
        return 1.0  # torch's only step would be its last, the smallest
    done = (step - peak) / (steps - 1 - peak)  # in [0, 1]
    return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * done))


def triangle(step: int, steps: int, warmup: int) -> float:
    """Jordan, "94% on CIFAR-10 in 3.29 seconds", 2024: straight from a fifth to the peak, and straight down to 7%."""
    if step < warmup:
        return 0.2 + 0.8 * step / warmup
    return 1 - 0.93 * (step - warmup) / max(1, steps - warmup)


def step_decay(step: int, steps: int, warmup: int) -> float:
    """A tenth after each third."""
    return _rise(step, warmup) if step < warmup else 0.1 ** int(3 * step / max(1, steps))


def constant(step: int, steps: int, warmup: int) -> float:
    """Also `plateau`: its cuts depend on the validation (see training/state.py)."""
    return _rise(step, warmup) if step < warmup else 1.0


def _rise(step: int, warmup: int) -> float:
    return (step + 1) / (warmup + 1)


@dataclass(frozen=True)
class Schedule:
    """A schedule of a run of `steps` optimizer steps, of which `warmup` rise linearly."""

    function: Callable[[int, int, int], float]
    steps: int
    warmup: int = 0

    def factor(self, step: int) -> float:
        """Factor on each group's own rate at step 0, 1, ..., steps - 1: a function of the step alone."""
        return self.function(step, self.steps, self.warmup)


def make_schedule(name: str, steps: int, warmup_share: float) -> Schedule:
    """The one place where a share of the run becomes steps."""
    row = SCHEDULES[name]
    return Schedule(resolve(row.code), steps, 0 if row.own_rise else round(warmup_share * steps))
