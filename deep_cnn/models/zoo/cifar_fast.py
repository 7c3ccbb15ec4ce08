"""A shallow network made to be trained fast on 32x32 images: the one that holds the speed record for 94% on CIFAR-10.

Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024, which builds on Page's ResNet-9 (2018) and on tysam-code's
"hlb-CIFAR10" (2023). Of its methods, this file has those of the network: a first layer that whitens 2x2 patches and is
not trained, BatchNorm without scale whose biases learn 64 times faster, and convolutions that begin as the identity. The
others are flags, which `--recipe=cifar_fast` sets.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deep_cnn.models.zoo.custom_training import OwnTraining
from deep_cnn.models.zoo.small import SmallFamily, conv

PATCH = 2  # pixels
WIDTHS = (64, 256, 256)
LITTLE = 5e-4  # added to each eigenvalue: directions in which patches hardly vary would otherwise be amplified noise


class FastNorm(nn.BatchNorm2d):
    """BatchNorm without scale, whose statistics forget faster: a run has a few hundred steps.

    The scale is a constant of ones, not None: with a bias alone, CUDA's backward for channels_last gives the bias an empty
    gradient, and cuDNN's kernel is not used.
    """

    def __init__(self, channels: int):
        super().__init__(channels, eps=1e-12, momentum=0.4)
        del self.weight
        self.register_buffer("weight", torch.ones(channels), persistent=False)

    def reset_parameters(self) -> None:
        """Start at mean 0, variance 1 and bias 0."""
        self.reset_running_stats()
        nn.init.zeros_(self.bias)


class Group(nn.Module):
    """Two 3x3 convolutions, the pooling straight behind the first."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.conv1, self.norm1 = conv(inputs, width, 3), FastNorm(width)
        self.conv2, self.norm2 = conv(width, width, 3), FastNorm(width)
        for layer in (self.conv1, self.conv2):
            nn.init.dirac_(layer.weight.data[: layer.in_channels])

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, S, S) -> (B, width, S // 2, S // 2)."""
        x = F.gelu(self.norm1(F.max_pool2d(self.conv1(x), 2)))
        return F.gelu(self.norm2(self.conv2(x)))


class CifarFast(OwnTraining):
    """Whitening, three groups, the largest value of each channel, and a linear head."""

    looks_at = 5000
    whitening_epochs = 3  # in which the first layer's bias is trained; its filters never are

    def __init__(self, outputs: int = 10):
        super().__init__()
        self.whiten = nn.Conv2d(3, 2 * 3 * PATCH * PATCH, PATCH)
        self.body, channels = nn.Sequential(), self.whiten.out_channels
        for number, width in enumerate(WIDTHS, 1):
            self.body.add_module(f"group{number}", Group(channels, width))
            channels = width
        self.fc = nn.Linear(channels, outputs, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, outputs)."""
        x = self.body(F.gelu(self.whiten(images)))  # 32 pixels -> 31 -> 15 -> 7 -> 3
        x = F.max_pool2d(x, x.shape[-2:]).flatten(1)
        return self.fc(x / 9)  # outputs that begin small: with smoothed labels the loss has its least at small ones

    def start_from(self, images: Iterable[Tensor]) -> None:
        """Make the first layer's filters, each with its negative, from blocks of training images."""
        filters = whitening_filters(images)
        with torch.no_grad():
            self.whiten.weight.copy_(torch.cat([filters, -filters]))
            assert self.whiten.bias is not None
            self.whiten.bias.zero_()

    def still(self, epoch: int) -> list[str]:
        """The filters of the first layer, and its bias from the epoch `whitening_epochs` on."""
        return ["whiten.weight"] if epoch < self.whitening_epochs else ["whiten.weight", "whiten.bias"]

    def pace(self, parameter: str) -> float:
        """64 for the biases of the norms, 1 for all others."""
        return 64.0 if ".norm" in parameter else 1.0


def whitening_filters(images: Iterable[Tensor]) -> Tensor:
    """The eigenvectors of the second moments of all patches, each divided by the root of its eigenvalue.

    Args:
        images: blocks (b, 3, S, S).

    Returns:
        (12, 3, 2, 2), float32: filters whose answers to these images are uncorrelated and of about unit size.
    """
    moments, count = torch.zeros(3 * PATCH * PATCH, 3 * PATCH * PATCH, dtype=torch.float64), 0
    for block in images:
        patches = block.unfold(2, PATCH, 1).unfold(3, PATCH, 1)  # (b, 3, S - 1, S - 1, 2, 2)
        rows = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, len(moments)).double()
        moments, count = moments + rows.T @ rows, count + len(rows)
    values, vectors = torch.linalg.eigh(moments / count)  # (12,), (12, 12): a vector per column
    filters = vectors / (values + LITTLE).sqrt()
    return filters.T.reshape(-1, 3, PATCH, PATCH).float()


FAMILY = SmallFamily(
    networks={"cifar_fast": CifarFast},
    head="fc",
    stages=(("whiten", "whiten"), ("group{}", r"body\.group(\d)")),
    smallest=9,  # pixels, of which the last pooling is left one
)
