"""Test-time augmentation: the mean answer of a network to several views of each image."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# How often each of `views` counts, by the level of --tta
COUNTS = {"none": (1,), "flip": (1, 1), "shift": (2, 2, 1, 1, 1, 1)}


def views(images: Tensor, level: str) -> Iterator[Tensor]:
    """Each image, and what --tta adds to it: (B, 3, S, S) -> as many batches of this shape as COUNTS[level] has numbers.

    Args:
        level: "none"; "flip" adds the mirror image; "shift" also adds both, moved by a pixel up and left, and by one down
            and right (Jordan 2024, section 3.5).
    """
    moved = [images]
    if level == "shift":
        padded, (height, width) = F.pad(images, [1] * 4, mode="reflect"), images.shape[-2:]
        moved += [padded[..., at : at + height, at : at + width] for at in (0, 2)]
    for image in moved:
        image = image.contiguous(memory_format=torch.channels_last)
        yield image
        if level != "none":
            yield image.flip(-1)


class Averaged(nn.Module):
    """A network asked several times. level: of --tta: "flip" or "shift".

    The mean is that of the raw outputs: of scores themselves, of the logarithms of probabilities.
    """

    def __init__(self, network: nn.Module, level: str):
        super().__init__()
        self.network, self.level = network, level

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, K)."""
        outputs = [self.network(view).float() for view in views(images, self.level)]
        both_sides = [(left + right) / 2 for left, right in zip(outputs[::2], outputs[1::2], strict=True)]
        return both_sides[0] if len(both_sides) == 1 else both_sides[0] / 2 + sum(both_sides[1:]) / 4
