"""Parameter groups, optimizers, the moving average of weights, and the learning rate as a function of the step."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import nn

from deep_cnn.muon import Muon, is_matrix


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


def parameter_groups(
    model: nn.Module,
    head: Iterable[str],
    *,
    lr: float,
    backbone_lr: float,
    weight_decay: float,
    pace: Callable[[str], float] = lambda name: 1.0,
    muon: bool = False,
) -> list[dict]:
    """Backbone and head, with and without weight decay: up to four groups, and one for each pace of their own.

    Norms' scales and all biases (tensors of one dimension) are not decayed: shrinking them does not regularise
    (Goyal et al., "Accurate, large minibatch SGD", 2017, section 5.3). Frozen parameters are in the groups too: they have
    no gradient, so the optimizer passes them by until they are thawed.

    Args:
        head: names of the modules that are the head; everything else is backbone.
        pace: name of a parameter -> how many times the learning rate it gets. One with a pace of its own is decayed as
            the weights are, by as much in a step as they.
        muon: for `Muon`: `backbone_lr` is that of the backbone's filters and matrices alone, and everything else has `lr`.
    """
    head = tuple(head)
    groups: dict[tuple[bool, bool, float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        in_head = any(name == module or name.startswith(module + ".") for module in head)
        turned = muon and not in_head and is_matrix(parameter)
        key = (in_head, parameter.ndim > 1 or pace(name) != 1, pace(name), turned)
        groups.setdefault(key, []).append(parameter)
    described = []
    for (in_head, decayed, times, turned), parameters in sorted(groups.items(), key=lambda item: item[0]):
        flag = "lr" if in_head or (muon and not turned) else "backbone_lr"
        rate = times * {"lr": lr, "backbone_lr": backbone_lr}[flag]
        described.append(
            {
                "params": parameters,
                "part": "head" if in_head else "backbone",
                "flag": flag,
                "base_lr": rate,
                "lr": rate,
                "weight_decay": weight_decay / times if decayed else 0.0,
                "orthogonal": turned,
            }
        )
    return described


def make_optimizer(name: str, groups: list[dict], *, momentum: float, nesterov: bool) -> torch.optim.Optimizer:
    """AdamW, Adam or SGD in their fused form (one pass over the parameters instead of one per operation), or Muon."""
    if name == "muon":
        return Muon(groups, momentum=momentum, nesterov=nesterov)
    fused = all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for g in groups for p in g["params"])
    if name == "sgd":
        return torch.optim.SGD(groups, momentum=momentum, nesterov=nesterov, fused=fused)
    return {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[name](groups, fused=fused)


def follows_lr(group: dict, backbone_lr: float | None) -> bool:
    """Whether a group's rate is made from --lr: the head's is, a backbone's unless it is given, that of Muon's turns never."""
    return group["flag"] == "lr" or (backbone_lr is None and not group["orthogonal"])


def set_lr(optimizer: torch.optim.Optimizer, factor: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor  # from the base, not from the last one: nothing to drift or to forget


def add_l1(optimizer: torch.optim.Optimizer, l1: float) -> None:
    """Add the gradient of l1 * sum |w| to the gradients of the weights that decay applies to."""
    weights = [p for g in optimizer.param_groups for p in g["params"] if p.ndim > 1 and p.grad is not None]
    torch._foreach_add_([p.grad for p in weights], [p.detach().sign() for p in weights], alpha=l1)


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
