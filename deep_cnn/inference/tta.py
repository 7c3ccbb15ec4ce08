"""Test-time augmentation: the mean answer of a network to several views of each image."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Averaged(nn.Module):
    """A network asked several times. level: of --tta: "flip" or "shift" (Jordan 2024, section 3.5).

    The mean is that of the raw outputs: of scores themselves, of the logarithms of probabilities.
    """

    def __init__(self, network: nn.Module, level: str):
        super().__init__()
        self.network, self.level = network, level

    def forward(self, images: Tensor) -> Tensor:  # (B, 3, S, S) -> (B, K)
        outputs = self._both_sides(images)
        if self.level == "flip":
            return outputs
        padded, (height, width) = F.pad(images, [1] * 4, mode="reflect"), images.shape[-2:]
        moved = [self._both_sides(padded[..., at : at + height, at : at + width]) for at in (0, 2)]
        return outputs / 2 + sum(moved) / 4

    def _both_sides(self, images: Tensor) -> Tensor:
        images = images.contiguous(memory_format=torch.channels_last)
        return (self.network(images).float() + self.network(images.flip(-1)).float()) / 2
