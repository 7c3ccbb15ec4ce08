"""How large a network is and what it costs: its parameters, and the multiply-adds of one image.

count(ModelSpec("resnet18", outputs=10, image_size=32))  # Size(parameters=11181642, multiply_adds=37016576)
"""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from deep_cnn.models.build import ModelSpec, empty_model
from deep_cnn.models.zoo import networks


@dataclass(frozen=True)
class Size:
    """parameters: see `parameters`; multiply_adds: of one image, see `multiply_adds`."""

    parameters: int
    multiply_adds: int


def count(spec: ModelSpec) -> Size:
    """The size of a network by its name; nothing is downloaded and no weight gets a value (0.1 to 1 s for most).

    Args:
        spec: name as --model; outputs: classes, labels or targets; image_size in pixels, None for what its weights expect.

    Raises:
        ConfigError: unknown name, or an image size that the network cannot take.
    """
    model = empty_model(spec)
    side = spec.image_size or networks.find(spec.name).published(spec.name).preprocessing.crop
    return Size(parameters(model), multiply_adds(model, side))


def parameters(model: nn.Module) -> int:
    """All numbers that training can change, frozen ones and auxiliary heads included, shared ones once; no running statistics."""
    return sum(parameter.numel() for parameter in model.parameters())


def multiply_adds(model: nn.Module, image_size: int) -> int:
    """Multiplications, each with its addition, for one image (1, 3, image_size, image_size) in eval mode.

    What papers and torchvision's `weights.meta["_ops"]` (in thousand millions) count: convolutions, matrix products and
    attention; not norms, activations and pooling. FLOPs in the strict sense are twice as many. torch's FlopCounterMode
    counts the operations as they are called, so it knows grouped convolutions and attention, where a table of layers
    such as torchinfo's does not. The pass runs on the meta device, which has shapes and no numbers, and on which torch
    never takes its fast path for attention: one operation that the counter does not know.

    Args:
        model: any network, on any device, of any precision, in train or eval mode; it is left as it is.
    """
    return multiply_adds_of_modules(model, image_size)[""]


def multiply_adds_of_modules(model: nn.Module, image_size: int) -> dict[str, int]:
    """The same of each module by its name, "" for the whole network; modules without any are left out."""
    shapes = shapes_of(model)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        shapes(torch.empty(1, 3, image_size, image_size, device="meta"))
    found = {"": counter.get_total_flops() // 2}
    for name, operations in counter.get_flop_counts().items():  # "ResNet.layer1.0.conv1", and "Global"
        if "." in name:
            found[name.partition(".")[2]] = sum(operations.values()) // 2
    return found


def shapes_of(model: nn.Module) -> nn.Module:
    """A float32 copy in eval mode whose parameters and buffers are on the meta device; the numbers are never copied."""
    memo: dict[int, Any] = {id(p): nn.Parameter(p.detach().to("meta"), p.requires_grad) for p in model.parameters()}
    memo |= {id(buffer): buffer.detach().to("meta") for buffer in model.buffers()}
    return copy.deepcopy(model, memo).float().eval()
