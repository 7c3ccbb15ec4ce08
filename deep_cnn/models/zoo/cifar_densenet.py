"""DenseNets for 32x32 images: each layer sees the maps of all layers before it in its block.

Huang, Liu, van der Maaten and Weinberger, "Densely connected convolutional networks", CVPR 2017: DenseNet-BC, transitions halve the
channels. 3x3 stem, no early pooling.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deep_cnn.models.zoo.small import SmallFamily, conv, he_initialise


class Dense(nn.Module):
    """Adds `growth` channels to what it is given, by a 1x1 and a 3x3 convolution."""

    def __init__(self, inputs: int, growth: int):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), conv(inputs, 4 * growth, 1)
        self.bn2, self.conv2 = nn.BatchNorm2d(4 * growth), conv(4 * growth, growth, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, growth + C, H, W)."""
        y = self.conv1(F.relu(self.bn1(x)))
        return torch.cat((self.conv2(F.relu(self.bn2(y))), x), 1)


class DenseNet(nn.Module):
    """depths: layers in each of the four blocks; growth: channels that each layer adds."""

    def __init__(self, depths: tuple[int, ...], growth: int, outputs: int = 10):
        super().__init__()
        channels = 2 * growth
        self.conv1, self.body = conv(3, channels, 3), nn.Sequential()
        for number, depth in enumerate(depths):
            layers: list[nn.Module] = [Dense(channels + k * growth, growth) for k in range(depth)]
            channels += depth * growth
            if number + 1 < len(depths):  # a transition
                layers += [nn.BatchNorm2d(channels), nn.ReLU(), conv(channels, channels // 2, 1), nn.AvgPool2d(2)]
                channels //= 2
            self.body.add_module(f"block{number + 1}", nn.Sequential(*layers))
        self.norm = nn.BatchNorm2d(channels)
        self.classifier = nn.Linear(channels, outputs)
        he_initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, outputs)."""
        x = F.relu(self.norm(self.body(self.conv1(images))))  # (B, C, S/8, S/8)
        return self.classifier(x.mean((2, 3)))


FAMILY = SmallFamily(
    networks={
        "cifar_densenet121": partial(DenseNet, (6, 12, 24, 16), 32),
        "cifar_densenet169": partial(DenseNet, (6, 12, 32, 32), 32),
        "cifar_densenet_small": partial(DenseNet, (6, 12, 24, 16), 12),
    },
    head="classifier",
    stages=(("stem", "conv1"), ("block{}", r"body\.block(\d)"), ("norm", "norm")),
    smallest=8,
)
