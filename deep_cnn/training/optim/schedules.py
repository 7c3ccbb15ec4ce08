"""The learning rate as a function of the step."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """The learning rate's course: a factor on each group's own rate, as a function of the step alone.

    steps: optimizer steps of the whole run; warmup: how many of them rise linearly.
    """

    name: str
    steps: int
    warmup: int = 0

    def factor(self, step: int) -> float:
        """Factor for step 0, 1, ..., steps - 1. `plateau` is constant here: its cuts depend on the validation."""
        if self.name == "onecycle":
            return self._onecycle(step)
        if self.name == "triangle":
            return self._triangle(step)
        if step < self.warmup:
            return (step + 1) / (self.warmup + 1)
        done = (step - self.warmup) / max(1, self.steps - self.warmup)  # in [0, 1)
        if self.name == "cosine":  # Loshchilov and Hutter, "SGDR", 2017, without restarts
            return 0.5 * (1 + math.cos(math.pi * done))
        if self.name == "step":
            return 0.1 ** int(3 * step / max(1, self.steps))  # a tenth after each third
        return 1.0

    def _onecycle(self, step: int) -> float:
        """Smith and Topin, "Super-convergence", 2019: up from 1/25 in 30% of the steps, down to 1/10,000, by cosines."""
        rise = 0.3 * self.steps
        if step < rise:
            return 1 / 25 + (1 - 1 / 25) * 0.5 * (1 - math.cos(math.pi * step / rise))
        done = (step - rise) / max(1.0, self.steps - 1 - rise)
        return 1e-4 + (1 - 1e-4) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def _triangle(self, step: int) -> float:
        """Jordan, "94% on CIFAR-10 in 3.29 seconds", 2024: straight from a fifth to the peak, and straight down to 7%."""
        if step < self.warmup:
            return 0.2 + 0.8 * step / self.warmup
        return 1 - 0.93 * (step - self.warmup) / max(1, self.steps - self.warmup)


def make_schedule(name: str, steps: int, warmup_share: float) -> Schedule:
    """The one place where a share of the run becomes steps."""
    return Schedule(name, steps, 0 if name == "onecycle" else round(warmup_share * steps))


PLATEAU_EPOCHS = 2  # so many may pass without a better validation; after one more `plateau` cuts the rate to a tenth
