"""Eight numbers of an image that need no network: mean and spread of its colours, and how much edge it has."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from deep_cnn.data.assemble import Pixels
from deep_cnn.runtime import signals

NAMES = (
    "mean_red",
    "mean_green",
    "mean_blue",
    "spread_red",
    "spread_green",
    "spread_blue",
    "edges_across",
    "edges_down",
)
SIDE = 64  # about so many rows and columns of pixels are looked at
BLOCK = 64  # images per task of a thread


def colour_and_edges(
    pixels: Pixels, samples: np.ndarray, workers: int, between: Callable[[], None] = lambda: None
) -> np.ndarray:
    """Of each sample: mean and standard deviation of red, green and blue, and the mean step of brightness to the right and down.

    Sums of integers, so that the bits are the same whatever the threads and the machine.

    Args:
        samples: int64 (n,). between: called after each block; may end the work by raising.

    Returns:
        float64 (n, 8), in values of pixels from 0 to 255.
    """

    def of_block(start: int) -> np.ndarray:
        signals.raise_if_requested()
        return np.stack([_numbers(image) for image in pixels.read(samples[start : start + BLOCK])])

    parts = []
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for part in pool.map(of_block, range(0, len(samples), BLOCK)):
            parts.append(part)
            between()
    return np.concatenate(parts) if parts else np.empty((0, len(NAMES)))


def _numbers(image: torch.Tensor) -> np.ndarray:
    """image: uint8 (3, R, R) -> float64 (8,)."""
    step = max(1, image.shape[-1] // SIDE)
    values = image[:, ::step, ::step].to(torch.int64)  # (3, r, r)
    brightness = values.sum(0)
    count = brightness.numel()
    mean = values.flatten(1).sum(1).double() / count
    squares = (values * values).flatten(1).sum(1).double() / count
    across, down = ((brightness.diff(dim=dim)).abs().sum().double() / (3 * count) for dim in (1, 0))
    return torch.cat([mean, (squares - mean * mean).clamp(min=0).sqrt(), torch.stack([across, down])]).numpy()
