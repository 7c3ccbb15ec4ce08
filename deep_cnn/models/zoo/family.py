"""A family of networks as one value: where its heads are, what its stages are called, which image sizes it takes.

What `model_builder` asks of any source of networks is the set of methods of `Family`; `timm_models` has the same.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.models import weights
from deep_cnn.models.weights_package import WeightsPackage
from deep_cnn.runtime.errors import ConfigError

Stages = list[tuple[str, list[str]]]  # (stage, names of its modules and bare parameters), from the input on


@dataclass(frozen=True)
class Published:
    """Pretrained weights on offer, and the preprocessing they expect: a library's, by their file's name and address, or ours.

    path: a checkpoint of ours that comes with this package; its own preprocessing is what counts. package: a Python package that
    has the file. label: the library's own name of these weights.
    """

    preprocessing: Preprocessing
    file: str = ""  # "" when a library has none
    url: str = ""
    path: Path | None = None
    package: WeightsPackage | None = None
    label: str = ""


class DropoutLinear(nn.Linear):
    """A linear head with dropout before it, under the plain layer's parameter names.

    A Sequential of two modules would rename `fc.weight` to `fc.1.weight`, and no other program could load the file.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool, dropout: float):
        super().__init__(in_features, out_features, bias)
        self.dropout = dropout

    def forward(self, features: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        return super().forward(F.dropout(features, self.dropout, self.training))

    def extra_repr(self) -> str:
        """What print(model) shows of the layer."""
        return f"{super().extra_repr()}, dropout={self.dropout}"


@dataclass(frozen=True)
class Family:
    """Networks that share one anatomy.

    Args:
        networks: name -> constructor, with the network's own number of classes.
        published: name -> the weights on offer and the preprocessing.
        named: name -> further weights on offer, by the library's names for them, such as IMAGENET1K_V1.
        head: module name of the last layer, nn.Linear or a 1x1 nn.Conv2d.
        stages: (title, pattern) pairs: a parameter belongs to the stage whose pattern matches the start of its name;
            "{}" in the title is the pattern's group, a stage for each of its values.
        pooled: name of a Sequential whose stages end at its max-poolings, "block1", "block2"... (its modules' numbers
            differ from depth to depth, so that no pattern would hold for the family).
        auxiliary: heads that exist in training only.
        dropout: the network's own dropout layer straight before the head.
        after_head: an activation behind the head, taken out together with the head's classes.
        smallest, multiple: the image side in pixels is at least the one and a multiple of the other.
        options: image side -> arguments of the constructor.
        adapt: (weights under the network's names, network) -> the same for today's names and the network's image size.
    """

    networks: Mapping[str, Callable[..., nn.Module]]
    published: Callable[[str], Published]
    head: str
    stages: tuple[tuple[str, str], ...]
    pooled: str = ""
    auxiliary: tuple[str, ...] = ()
    dropout: str = ""
    after_head: str = ""
    smallest: int = 1
    multiple: int = 1
    named: Callable[[str], Mapping[str, Published]] = lambda name: {}
    options: Callable[[int], dict[str, Any]] = lambda size: {}
    adapt: Callable[[Mapping[str, Tensor], nn.Module], Mapping[str, Tensor]] = lambda state, model: state

    def names(self) -> list[str]:
        """Names for --model."""
        return list(self.networks)

    def knows(self, name: str) -> bool:
        """Whether `build` can build it."""
        return name in self.networks

    def build(self, name: str, outputs: int, dropout: float, size: int) -> nn.Module:
        """The network with heads of `outputs` numbers, its weights random from torch's global generator."""
        model = self.networks[name](**self.options(size))
        own_outputs = _outputs(_head_layer(model, self.head))
        for head in self.heads(name, model):
            layer_dropout = dropout if head == self.head and not self.dropout else 0.0
            _replace(model, head, _new_head(_head_layer(model, head), outputs, layer_dropout))
        if self.dropout and dropout:
            layer = model.get_submodule(self.dropout)
            assert isinstance(layer, nn.Dropout)
            layer.p = dropout
        if self.after_head and outputs != own_outputs:
            _replace(model, self.after_head, nn.Identity())
        return model

    def heads(self, name: str, model: nn.Module) -> list[str]:
        """Module names of the heads: the main one, then the auxiliary ones that the network has."""
        modules = dict(model.named_modules())
        return [head for head in (self.head, *self.auxiliary) if head in modules]

    def stages_of(self, name: str, model: nn.Module) -> Stages:
        """The stages from the input on; every parameter outside the heads is in one."""
        blocks = _pooled_blocks(model, self.pooled) if self.pooled else {}

        def stage(parameter: str) -> str:
            for module, block in blocks.items():
                if parameter.startswith(module + "."):
                    return block
            for title, pattern in self.stages:
                if match := re.match(rf"(?:{pattern})(?=\.|$)", parameter):
                    return title.format(*match.groups())
            raise AssertionError(f"{name}: no stage for {parameter}")

        return group_parameters(model, self.heads(name, model), stage)

    def check_size(self, name: str, size: int) -> None:
        """Raise ConfigError for an image side, in pixels, that the network cannot take."""
        if size < self.smallest:
            raise ConfigError(f"--image_size={size}: too small; {name} needs at least {self.smallest} pixels")
        if size % self.multiple:
            below = size // self.multiple * self.multiple
            sizes = f"{below} or {below + self.multiple}" if below else str(self.multiple)
            raise ConfigError(
                f"--image_size={size}: {name} needs a multiple of {self.multiple}; use for example {sizes}"
            )

    def published_state(self, name: str, file: Path, size: int) -> Mapping[str, Tensor]:
        """The tensors of a downloaded file of published weights, as the library wrote them."""
        return weights.read(file).state


def group_parameters(model: nn.Module, heads: list[str], stage: Callable[[str], str]) -> Stages:
    """Group all parameters outside the heads by stage(name), as few names as will cover them: "layer1", not its 12 parts.

    A bare parameter (ViT's class_token) keeps its own name. Stages come in the order of their first parameter.
    """
    stage_of = {
        name: stage(name)
        for name, _ in model.named_parameters(remove_duplicate=False)
        if not any(name.startswith(head + ".") for head in heads)
    }
    grouped: dict[str, list[str]] = {title: [] for title in stage_of.values()}

    def cover(module: nn.Module, prefix: str) -> None:
        inside = [prefix + name for name, _ in module.named_parameters(remove_duplicate=False)]
        titles = {stage_of.get(name) for name in inside}
        if prefix and len(titles) == 1 and (title := titles.pop()) is not None:
            grouped[title].append(prefix[:-1])
            return
        for name, _ in module.named_parameters(recurse=False):
            if title := stage_of.get(prefix + name):
                grouped[title].append(prefix + name)
        for name, child in module.named_children():
            cover(child, f"{prefix}{name}.")

    cover(model, "")
    return list(grouped.items())


def _head_layer(model: nn.Module, name: str) -> nn.Linear | nn.Conv2d:
    layer = model.get_submodule(name)
    assert isinstance(layer, nn.Linear | nn.Conv2d), f"{name} is neither linear nor a convolution"
    return layer


def _outputs(head: nn.Linear | nn.Conv2d) -> int:
    return head.out_channels if isinstance(head, nn.Conv2d) else head.out_features


def _new_head(old: nn.Linear | nn.Conv2d, outputs: int, dropout: float) -> nn.Module:
    bias = old.bias is not None  # MaxViT's head has none
    if isinstance(old, nn.Conv2d):
        return nn.Conv2d(old.in_channels, outputs, 1, bias=bias)
    if dropout:
        return DropoutLinear(old.in_features, outputs, bias, dropout)
    return nn.Linear(old.in_features, outputs, bias)


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)


def _pooled_blocks(model: nn.Module, name: str) -> dict[str, str]:
    blocks, number = {}, 1
    for child, module in model.get_submodule(name).named_children():
        blocks[f"{name}.{child}"] = f"block{number}"
        number += isinstance(module, nn.MaxPool2d)
    return blocks


def resized_positions(positions: Tensor, side: int) -> Tensor:
    """Position embeddings of a class token and a square grid, resampled to a grid of side x side.

    Args:
        positions: (1, 1 + g * g, C).

    Returns:
        (1, 1 + side * side, C); the class token's row unchanged.
    """
    token, grid = positions[:, :1], positions[:, 1:]
    old = round(grid.shape[1] ** 0.5)
    grid = grid.float().reshape(1, old, old, -1).permute(0, 3, 1, 2)  # (1, C, g, g)
    grid = F.interpolate(grid, size=(side, side), mode="bicubic", antialias=True)
    return torch.cat([token.float(), grid.flatten(2).transpose(1, 2)], dim=1)
