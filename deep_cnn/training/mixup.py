"""Mixup and CutMix: a batch blended with its own permutation."""

from dataclasses import dataclass

import numpy as np
import torch

from deep_cnn.runtime.device import upload
from deep_cnn.runtime.rng import number
from deep_cnn.tasks.base import Task


@dataclass(frozen=True)
class Mixer:
    """Mixup (Zhang et al., 2018) and CutMix (Yun et al., 2019), one share for the whole batch, partners from all of it.

    mixup, cutmix: alpha of the Beta(alpha, alpha) that the share is drawn from; 0 is off; with both on, each takes half of the
    steps (as in torchvision's and timm's recipes). Everything is drawn from (seed, step).
    """

    mixup: float = 0.0
    cutmix: float = 0.0

    @property
    def is_on(self) -> bool:
        """Whether anything is blended."""
        return bool(self.mixup or self.cutmix)

    def __call__(
        self, images: torch.Tensor, targets: torch.Tensor, task: Task, seed: int, step: int, *, shared: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (B, 3, S, S) and encoded targets -> the blended ones, or the same when neither is on.

        shared: of a batch that several processes share: images (2b, 3, S, S), this process's rows and behind them their partners
        -> the blended rows (b, 3, S, S), and the targets of the whole batch.
        """
        if not self.is_on:
            return images, targets
        generator, cut, share, partner = self._drawn(len(targets), seed, step)
        rows = upload(partner, images.device)
        others = images[len(images) // 2 :] if shared else images[rows]
        images = images[: len(others)]
        if cut:
            top, bottom, left, right = cut_box(share, images.shape[-1], generator)
            images = images.clone()
            images[..., top:bottom, left:right] = others[..., top:bottom, left:right]
            share = 1 - (bottom - top) * (right - left) / images.shape[-1] ** 2  # the box may reach over the edge
        else:
            images = images * share + others * (1 - share)
        soft = task.soft(targets)
        # a score that is missing in either of the two stays missing: NaN spreads through the sum
        return images, soft * share + soft[rows] * (1 - share)

    def partners(self, size: int, seed: int, step: int) -> np.ndarray:
        """Which row of a batch of `size` each row is blended with, int64 (size,)."""
        return self._drawn(size, seed, step)[3]

    def _drawn(self, size: int, seed: int, step: int) -> tuple[np.random.Generator, bool, float, np.ndarray]:
        """The generator, for what is still to be drawn; whether to cut; what remains of each image itself; the partners."""
        generator = np.random.default_rng(number(seed, "mix", step))
        cut = self.cutmix > 0 and (self.mixup == 0 or generator.random() < 0.5)
        alpha = self.cutmix if cut else self.mixup
        return generator, cut, float(generator.beta(alpha, alpha)), generator.permutation(size)


def cut_box(share: float, side: int, generator: np.random.Generator) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of a box of (1 - share) of the area around a random centre, cut at the edges."""
    half = int(side * np.sqrt(1 - share)) // 2
    y, x = generator.integers(side, size=2)
    return max(0, y - half), min(side, y + half), max(0, x - half), min(side, x + half)
