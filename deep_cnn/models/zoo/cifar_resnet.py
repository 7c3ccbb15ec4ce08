"""ResNets for 32x32 images.

He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016. Two kinds:

- ResNet18 to ResNet101: the paper's networks for ImageNet with a 3x3 stem and no early pooling, shortcuts by projection;
- ResNet20 to ResNet110: the paper's own for CIFAR-10 (section 4.2), with shortcuts that have no parameters (option A).
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from deep_cnn.models.zoo.family import Published
from deep_cnn.models.zoo.small import CIFAR10, SmallFamily, conv, he_initialise

# of half a megabyte, and so within the package; its model card lies beside it (benchmarks/ship_network.py writes both)
SHIPPED = Path(__file__).parent / "shipped" / "cifar_resnet20.pt"


class Basic(nn.Module):
    """Two 3x3 convolutions."""

    expansion = 1  # channels that leave a block, per `width`

    def __init__(self, inputs: int, width: int, stride: int, shortcut: nn.Module):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, width, 3, stride), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(width, width, 3), nn.BatchNorm2d(width)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, width, H/stride, W/stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions; the last widens four times."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int, shortcut: nn.Module):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(width, width, 3, stride), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = conv(width, 4 * width, 1), nn.BatchNorm2d(4 * width)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, 4 * width, H/stride, W/stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.shortcut(x))


class Subsample(nn.Module):
    """Option A: every second cell, and zeros for the channels that are new."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.new, self.stride = outputs - inputs, stride

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C + new, H/stride, W/stride)."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new))


def projection(inputs: int, outputs: int, stride: int) -> nn.Module:
    """Option B: a 1x1 convolution where the shape changes."""
    return nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


class ResNet(nn.Module):
    """depths: blocks of each layer; width: channels of the first, doubled with each halving of the map; shortcut: of a
    block that changes the shape, by its channels before and after, and its stride.
    """

    def __init__(
        self,
        block: type[Basic] | type[Bottleneck],
        depths: tuple[int, ...],
        width: int,
        shortcut: Callable[[int, int, int], nn.Module],
        outputs: int = 10,
    ):
        super().__init__()
        self.conv1, self.bn1 = conv(3, width, 3), nn.BatchNorm2d(width)
        self.body, channels = nn.Sequential(), width
        for number, depth in enumerate(depths):
            blocks, wide = [], width * 2**number
            for k in range(depth):
                stride = 2 if number and not k else 1
                leaving = wide * block.expansion
                same = stride == 1 and channels == leaving
                skip = nn.Identity() if same else shortcut(channels, leaving, stride)
                blocks.append(block(channels, wide, stride, skip))
                channels = leaving
            self.body.add_module(f"layer{number + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, outputs)
        he_initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, outputs)."""
        x = F.relu(self.bn1(self.conv1(images)))  # (B, width, S, S)
        return self.fc(self.body(x).mean((2, 3)))


def _published(name: str) -> Published:
    return Published(CIFAR10, path=SHIPPED if name == SHIPPED.stem else None)


_wide = partial(ResNet, width=64, shortcut=projection)
_thin = partial(ResNet, width=16, shortcut=Subsample)

FAMILY = SmallFamily(
    networks={
        "cifar_resnet18": partial(_wide, Basic, (2, 2, 2, 2)),
        "cifar_resnet34": partial(_wide, Basic, (3, 4, 6, 3)),
        "cifar_resnet50": partial(_wide, Bottleneck, (3, 4, 6, 3)),
        "cifar_resnet101": partial(_wide, Bottleneck, (3, 4, 23, 3)),
        # depth 6n + 2: a stem, three layers of n blocks of two convolutions, and the head
        **{f"cifar_resnet{6 * n + 2}": partial(_thin, Basic, (n, n, n)) for n in (3, 5, 7, 9, 18)},
    },
    head="fc",
    stages=(("stem", "conv1|bn1"), ("layer{}", r"body\.layer(\d)")),
    published=_published,
)
