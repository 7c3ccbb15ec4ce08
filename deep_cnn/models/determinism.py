"""Networks under --deterministic on a GPU: poolings made of matrix products, and operations that cannot be had at all."""

import contextlib
import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from deep_cnn.runtime.errors import ConfigError

# Backward passes (and forward ones) that torch.use_deterministic_algorithms refuses on CUDA; from its documentation
NOT_DETERMINISTIC = frozenset(
    (
        "_adaptive_avg_pool2d_backward",
        "_adaptive_avg_pool3d_backward",
        "adaptive_max_pool2d_backward",
        "avg_pool3d_backward",
        "fractional_max_pool2d_backward",
        "fractional_max_pool3d_backward",
        "grid_sampler_2d_backward",
        "grid_sampler_3d_backward",
        "histc",
        "max_pool3d_with_indices_backward",
        "max_unpool2d",
        "max_unpool3d",
        "reflection_pad1d_backward",
        "reflection_pad2d_backward",
        "reflection_pad3d_backward",
        "upsample_bicubic2d_backward",
        "upsample_linear1d_backward",
        "upsample_trilinear3d_backward",
    )
)


class MatrixPool(nn.Module):
    """nn.AdaptiveAvgPool2d as two matrix products, whose gradients are sums in a fixed order."""

    def __init__(self, height: int, width: int):
        super().__init__()
        self.height, self.width = height, width

    def forward(self, x: Tensor) -> Tensor:
        """(..., H, W) -> (..., height, width)."""
        if x.shape[-2:] == (self.height, self.width):
            return x
        # a mean in bfloat16 would lose half its digits; the meta device has no autocast
        with contextlib.nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False):
            rows = pooling_matrix(x.shape[-2], self.height, x.device)
            columns = pooling_matrix(x.shape[-1], self.width, x.device)
            return (rows @ x.float() @ columns.T).to(x.dtype)


def pooling_matrix(size: int, target: int, device: torch.device) -> Tensor:
    """Means of windows as nn.AdaptiveAvgPool2d divides a side, from floor(k size / target) to ceil((k + 1) size / target).

    Returns:
        float32 (target, size).
    """
    k, position = torch.arange(target, device=device)[:, None], torch.arange(size, device=device)
    start, stop = k * size // target, -(-(k + 1) * size // target)
    inside = (position >= start) & (position < stop)
    return inside / (stop - start)


def with_matrix_pools(model: nn.Module) -> nn.Module:
    """Replace adaptive poolings to more than one pixel (to one they are a mean) in place; weights keep their names."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.AdaptiveAvgPool2d):
                sides: Any = child.output_size
                height, width = (sides, sides) if isinstance(sides, int) else sides
                if height and width and (height, width) != (1, 1):
                    setattr(module, name, MatrixPool(height, width))
    return model


class _Operations(TorchDispatchMode):
    """Takes note of the names of all operations."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.add(function.overloadpacket.__name__)
        return function(*args, **(kwargs or {}))


def operations(model: nn.Module, side: int) -> set[str]:
    """ATen's names of all operations of one training step on images of `side` pixels, without memory or time (meta device)."""
    shadow = copy.deepcopy(model).to("meta").train().requires_grad_(True)
    with _Operations() as seen:
        outputs = shadow(torch.empty(2, 3, side, side, device="meta"))
        parts = [outputs] if isinstance(outputs, Tensor) else [part for part in outputs if part is not None]
        sum(part.sum() for part in parts).backward()  # type: ignore[union-attr]
    return seen.names


def check_deterministic(model: nn.Module, name: str, side: int) -> None:
    """Raise ConfigError for a network that needs an operation without a deterministic form on a GPU, before the run begins."""
    if missing := sorted(operations(model, side) & NOT_DETERMINISTIC):
        raise ConfigError(
            f"--deterministic: {name} at {side} pixels uses {missing[0]}, for which GPUs have no deterministic kernel; "
            "choose another network or image size, or omit --deterministic"
        )
