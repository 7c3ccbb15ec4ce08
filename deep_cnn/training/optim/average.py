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
        pairs = list(zip(averaged.state_dict().values(), model.state_dict().values(), strict=True))
        # the tensors themselves, which change in place: making a state dict takes longer than the average
        floats = [pair for pair in pairs if pair[0].is_floating_point()]
        counters = [pair for pair in pairs if not pair[0].is_floating_point()]  # BatchNorm's
        self._floats = [a for a, _ in floats], [b for _, b in floats]
        self._counters = [a for a, _ in counters], [b for _, b in counters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After optimizer step `step` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(*self._floats, 1 - decay)
        if self._counters[0]:
            torch._foreach_copy_(*self._counters)
