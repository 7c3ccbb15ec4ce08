"""Which part of a network is frozen, and its training mode."""

from collections.abc import Iterable

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from deep_cnn.config.schema import Config
from deep_cnn.models.zoo.custom_training import OwnTraining


def parts(model: nn.Module, names: list[str]) -> tuple[list[nn.Module], list[nn.Parameter]]:
    """The modules among the names of a stage, and all its parameters (those of the modules and the bare ones)."""
    modules, parameters = dict(model.named_modules()), dict(model.named_parameters())
    found = [modules[name] for name in names if name in modules]
    bare = [parameters[name] for name in names if name not in modules]
    return found, bare + [parameter for module in found for parameter in module.parameters()]


def frozen_modules(config: Config, model: nn.Module, stages: list[tuple[str, list[str]]], epoch: int) -> list[str]:
    """The modules and parameters that are frozen in an epoch: a function of the epoch, so no resumed run forgets it.

    Args:
        stages: the backbone's, from the input on, as of `build.stages`.
    """
    own = model.still(epoch) if isinstance(model, OwnTraining) else []
    if config.freeze == "none" or (config.unfreeze_epoch is not None and epoch >= config.unfreeze_epoch):
        return own
    count = len(stages) if config.freeze == "backbone" else int(config.freeze)
    return [module for _, modules in stages[:count] for module in modules] + own


def training_mode(model: nn.Module, frozen: Iterable[str], keep_statistics: bool = False) -> None:
    """Train mode, but the frozen part wholly in eval mode: its BatchNorm statistics and its dropout stay still too.

    Args:
        keep_statistics: every BatchNorm normalises by the means and variances that it has; its scales and shifts are trained.
        frozen: names of modules and parameters, from the input on; layers without weights before the last of them
            (VGG's dropout between two frozen layers) are frozen with them.
    """
    model.train().requires_grad_(True)
    modules, parameters = parts(model, list(frozen))
    for parameter in parameters:
        parameter.requires_grad_(False)
    inside = {id(part) for module in modules for part in module.modules()}
    order = list(model.modules())
    last = max((position for position, module in enumerate(order) if id(module) in inside), default=-1)
    for module in order[: last + 1]:
        if id(module) in inside or not [*module.children(), *module.parameters()]:
            module.eval()
    if keep_statistics:
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
