"""Mixup and CutMix: a batch blended with its own permutation."""

from dataclasses import dataclass

import numpy as np
import torch

from deep_cnn.draws import number
from deep_cnn.tasks import Task


@dataclass(frozen=True)
class Mixer:
    """Mixup (Zhang et al., 2018) and CutMix (Yun et al., 2019), one share for the whole batch, partners from all of it.

    mixup, cutmix: alpha of the Beta(alpha, alpha) that the share is drawn from; 0 is off; with both on, each takes half of the
    steps (as in torchvision's and timm's recipes). Everything is drawn from (seed, step).
    """

    mixup: float = 0.0
    cutmix: float = 0.0

    def __call__(
        self, images: torch.Tensor, targets: torch.Tensor, task: Task, seed: int, step: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (B, 3, S, S) and encoded targets -> the blended ones, or the same when neither is on."""
        if not (self.mixup or self.cutmix):
            return images, targets
        generator = np.random.default_rng(number(seed, "mix", step))
        cut = self.cutmix > 0 and (self.mixup == 0 or generator.random() < 0.5)
        alpha = self.cutmix if cut else self.mixup
        share = float(generator.beta(alpha, alpha))  # what remains of each image itself
        partner = torch.from_numpy(generator.permutation(len(images))).to(images.device)
        if cut:
            top, bottom, left, right = cut_box(share, images.shape[-1], generator)
            images = images.clone()
            images[..., top:bottom, left:right] = images[partner][..., top:bottom, left:right]
            share = 1 - (bottom - top) * (right - left) / images.shape[-1] ** 2  # the box may reach over the edge
        else:
            images = images * share + images[partner] * (1 - share)
        soft = task.soft(targets)
        # a score that is missing in either of the two stays missing: NaN spreads through the sum
        return images, soft * share + soft[partner] * (1 - share)


def cut_box(share: float, side: int, generator: np.random.Generator) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of a box of (1 - share) of the area around a random centre, cut at the edges."""
    half = int(side * np.sqrt(1 - share)) // 2
    y, x = generator.integers(side, size=2)
    return max(0, y - half), min(side, y + half), max(0, x - half), min(side, x + half)
