"""Parameter groups, the optimizers of the registry, and the learning rate of each group."""

import logging
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from typing import Any

import torch
from torch import nn

from deep_cnn.config.registries import FAMILY, OPTIMIZERS, Optimizer, known_as, resolve
from deep_cnn.config.schema import Config
from deep_cnn.training.optim import timm_optimizers
from deep_cnn.training.optim.muon import is_matrix

log = logging.getLogger(__name__)


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
    (Goyal et al., "Accurate, large minibatch SGD", 2017, section 5.3). Neither is what a network of timm itself excludes by its
    method `no_weight_decay`: position embeddings, class tokens and the like. Frozen parameters are in the groups too: they
    have no gradient, so the optimizer passes them by until they are thawed.

    Args:
        head: names of the modules that are the head; everything else is backbone.
        pace: name of a parameter -> how many times the learning rate it gets. One with a pace of its own is decayed as
            the weights are, by as much in a step as they.
        muon: for `Muon`: `backbone_lr` is that of the backbone's filters and matrices alone, and everything else has `lr`.
    """
    head, undecayed = tuple(head), tuple(getattr(model, "no_weight_decay", tuple)())  # patterns of names
    groups: dict[tuple[bool, bool, float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        in_head = any(name == module or name.startswith(module + ".") for module in head)
        turned = muon and not in_head and is_matrix(parameter)
        is_weight = parameter.ndim > 1 and not name.endswith(".bias")
        decayed = (is_weight or pace(name) != 1) and not any(fnmatch(name, pattern) for pattern in undecayed)
        groups.setdefault((in_head, decayed, pace(name), turned), []).append(parameter)
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
                "decayed": decayed,
                "orthogonal": turned,
            }
        )
    return described


def optimizer_row(name: str) -> Optimizer:
    """The row of --optimizer's value; ConfigError for a name that timm does not have, before any data is read."""
    row = OPTIMIZERS[str(known_as(name, OPTIMIZERS))]
    if row.name.endswith(FAMILY):
        timm_optimizers.check_name(name)
    return row


def make_optimizer(name: str, groups: list[dict], *, momentum: float, nesterov: bool) -> torch.optim.Optimizer:
    """The optimizer of a row of OPTIMIZERS, in its fused form (one pass over the parameters instead of one per operation) if it has one."""
    row, flags = optimizer_row(name), {"momentum": momentum, "nesterov": nesterov}
    options: dict[str, Any] = {flag: flags[flag] for flag in row.flags}
    if row.fused:
        parameters = [p for group in groups for p in group["params"]]
        options["fused"] = all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in parameters)
    make = resolve(row.code)
    optimizer = make(name, groups, **options) if row.name.endswith(FAMILY) else make(groups, **options)
    if momentum != Config.momentum and not any("momentum" in group for group in optimizer.param_groups):
        log.warning("--momentum=%s has no effect: --optimizer=%s has no momentum", momentum, name)
    return optimizer


def follows_lr(group: dict, backbone_lr: float | None) -> bool:
    """Whether a group's rate is made from --lr: the head's is, a backbone's unless it is given, that of Muon's turns never."""
    return group["flag"] == "lr" or (backbone_lr is None and not group["orthogonal"])


def set_lr(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set each group's rate for a step: `factor` times the group's own."""
    for group in optimizer.param_groups:
        if "max_lr_snapshot" in group:  # timm's adamc and its kind decay by lr^2 / this; --lr=auto finds the peak later
            group["max_lr_snapshot"] = group["base_lr"] or 1.0  # divided by, also where the rate is 0
        group["lr"] = group["base_lr"] * factor  # from the base, not from the last one: nothing to drift or to forget


def add_l1(optimizer: torch.optim.Optimizer, l1: float) -> None:
    """Add the gradient of l1 * sum |w| to the gradients of the weights that decay applies to."""
    # the key is missing in the groups of a run that 0.1.0 began
    decayed = [p for group in optimizer.param_groups if group.get("decayed", True) for p in group["params"]]
    weights = [p for p in decayed if p.ndim > 1 and p.grad is not None]
    torch._foreach_add_([p.grad for p in weights], [p.detach().sign() for p in weights], alpha=l1)
