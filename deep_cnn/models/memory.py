"""How much memory a training step needs, and in how many micro-batches it therefore computes a batch."""

import copy
import math

import torch
from torch import nn

from deep_cnn.runtime.device import GIB

# (a network as text, side of its images) -> what `_kept_numbers` found: a search or a notebook trains one network many times
_COUNTED: dict[tuple[str, int], int] = {}


def saved_bytes_per_image(model: nn.Module, size: int, precision: str) -> int:
    """Bytes that a training step keeps per image for its backward pass, counted on the meta device, which takes no memory.

    For each network and size it is counted once in a process: a second for a network of many layers.
    """
    key = (str(model), size)
    if key not in _COUNTED:
        _COUNTED[key] = _kept_numbers(model, size)
    width = {"fp64": 8, "fp32": 4}.get(precision, 2)
    return _COUNTED[key] * width // 2


def _kept_numbers(model: nn.Module, size: int) -> int:
    """How many numbers a step on two images keeps; BatchNorm refuses one image."""
    shadow = copy.deepcopy(model).to("meta").train().requires_grad_(True)
    # meta tensors have no address: a storage is told by its own object, which `alive` keeps from being reused
    weights = {t.untyped_storage()._cdata for t in (*shadow.parameters(), *shadow.buffers())}
    kept: dict[int, int] = {}
    alive: list[torch.UntypedStorage] = []

    def count(tensor: torch.Tensor) -> None:  # a tensor given back would hold the graph that holds it, for ever
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = tensor.numel()
            alive.append(storage)

    with torch.autograd.graph.saved_tensors_hooks(count, lambda nothing: nothing):  # there is no backward pass
        shadow(torch.empty(2, 3, size, size, device="meta"))
    return sum(kept.values())


def step_bytes(images: int, bytes_per_image: int, weights: int) -> float:
    """Memory of a training step on so many images.

    Args:
        bytes_per_image: from `saved_bytes_per_image`; half as much again for the gradients of activations and the kernels'
            own work space.
        weights: number of the network's parameters; weight, gradient, two moments and an average are 20 bytes each.
    """
    return 1.5 * bytes_per_image * images + 20 * weights + 1 * GIB  # 1 GiB for Python and libraries


def images_that_fit(bytes_per_image: int, weights: int, memory: int) -> int:
    """On how many images, at least 1, a training step takes at most 60% of `memory` bytes."""
    return max(1, int((0.6 * memory - step_bytes(0, bytes_per_image, weights)) / (1.5 * bytes_per_image)))


def pieces_for(batch_size: int, bytes_per_image: int, weights: int, memory: int) -> int:
    """In how many parts a batch is computed so that each fits in `memory` bytes, as `images_that_fit`."""
    return min(batch_size, math.ceil(batch_size / images_that_fit(bytes_per_image, weights, memory)))
