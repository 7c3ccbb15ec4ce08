"""The moving average of a network's weights."""

import torch
from torch import nn


class MovingAverage:
    """Exponential moving average of a network's weights and statistics, as a second network.

    The decay rises as (1 + t) / (10 + t) to its value, so that the random start is forgotten in the first steps
    (the rule of TensorFlow's ExponentialMovingAverage).
    """

    def __init__(self, model: nn.Module, averaged: nn.Module, decay: float):
        """`averaged` is a copy of `model`; it becomes the average and is what validation scores."""
        self.model, self.averaged, self.decay = model, averaged.requires_grad_(False).eval(), decay
        self.averaged.load_state_dict(model.state_dict())

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After optimizer step `step` (from 0)."""
        ours, theirs = self.averaged.state_dict().values(), self.model.state_dict().values()
        floats = [(a, b) for a, b in zip(ours, theirs, strict=True) if a.is_floating_point()]
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_([a for a, _ in floats], [b for _, b in floats], 1 - decay)
        for a, b in zip(ours, theirs, strict=True):
            if not a.is_floating_point():  # BatchNorm's counter
                a.copy_(b)
