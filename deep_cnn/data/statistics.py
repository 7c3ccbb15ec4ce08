"""Mean and spread of the training images' own pixels, for a network that no weights tie to others'."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from deep_cnn.data.assemble import Pixels
from deep_cnn.runtime import signals

# looked at: all of CIFAR-10, or 2,048 photographs of 256 x 256, whose mean is then known to about 0.003
PIXELS = 1 << 27
BLOCK = 64  # images per task of a thread


def pixel_statistics(
    pixels: Pixels, samples: np.ndarray, workers: int
) -> tuple[tuple[float, float, float], tuple[float, float, float], int]:
    """Mean and standard deviation of each channel over all pixels of the canonical images, for values in [0, 1].

    Args:
        samples: int64 (n,), of the training set; evenly spaced ones of them where all would be more than PIXELS.

    Returns:
        Means (3,), standard deviations (3,), and of how many images. Sums of integers: the same whatever the threads.
    """
    count = min(len(samples), max(1, PIXELS // pixels.pre.resize**2))
    seen = samples[np.linspace(0, len(samples) - 1, count).round().astype(np.int64)]

    def sums(start: int) -> torch.Tensor:
        signals.raise_if_requested()
        block = torch.stack(pixels.read(seen[start : start + BLOCK])).transpose(0, 1).flatten(1)
        values = block.to(torch.int64)  # (3, b * R * R)
        return torch.stack((values.sum(1), (values * values).sum(1)))  # (2, 3)

    with ThreadPoolExecutor(max(1, workers)) as pool:
        added = sum(pool.map(sums, range(0, count, BLOCK)), start=torch.zeros(2, 3, dtype=torch.int64))
    total, squares = added.double() / (count * pixels.pre.resize**2)
    mean, spread = total / 255, (squares - total * total).clamp(min=0).sqrt() / 255
    spread = torch.where(spread > 0, spread, 1.0)  # images of one colour
    return tuple(mean.tolist()), tuple(spread.tolist()), count
