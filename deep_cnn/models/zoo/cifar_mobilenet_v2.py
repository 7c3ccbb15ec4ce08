"""MobileNetV2 for 32x32 images: the stem and the first of the narrowing blocks keep the map's size.

Sandler, Howard, Zhu, Zhmoginov and Chen, "MobileNetV2: inverted residuals and linear bottlenecks", CVPR 2018. As in the published count
for CIFAR-10, a block that keeps the size but not the channels has a shortcut by projection.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from deep_cnn.models.zoo.small import SmallFamily, conv, he_initialise

GROUPS = (  # expansion, channels, blocks, stride of the first: table 2 of the paper, the second group's stride 1 for 2
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class Inverted(nn.Module):
    """A 1x1 convolution that widens, a 3x3 one channel by channel, a 1x1 one that narrows, without a ReLU at the end."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int):
        super().__init__()
        wide = expansion * inputs
        self.conv1, self.bn1 = conv(inputs, wide, 1), nn.BatchNorm2d(wide)
        self.conv2, self.bn2 = conv(wide, wide, 3, stride, groups=wide), nn.BatchNorm2d(wide)
        self.conv3, self.bn3 = conv(wide, outputs, 1), nn.BatchNorm2d(outputs)
        self.shortcut = None
        if stride == 1:
            projection = nn.Sequential(conv(inputs, outputs, 1), nn.BatchNorm2d(outputs))
            self.shortcut = nn.Identity() if inputs == outputs else projection

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H/stride, W/stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return y if self.shortcut is None else y + self.shortcut(x)


class MobileNetV2(nn.Module):
    """MobileNetV2 with 3x3 kernels and strides for 32x32 images."""

    def __init__(self, outputs: int = 10):
        super().__init__()
        channels = 32
        self.conv1, self.bn1 = conv(3, channels, 3), nn.BatchNorm2d(channels)
        self.body = nn.Sequential()
        for number, (expansion, width, depth, stride) in enumerate(GROUPS):
            blocks = []
            for k in range(depth):
                blocks.append(Inverted(channels, width, expansion, 1 if k else stride))
                channels = width
            self.body.add_module(f"group{number + 1}", nn.Sequential(*blocks))
        self.conv2, self.bn2 = conv(channels, 1280, 1), nn.BatchNorm2d(1280)
        self.classifier = nn.Linear(1280, outputs)
        he_initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, outputs)."""
        x = F.relu(self.bn1(self.conv1(images)))  # (B, 32, S, S)
        x = F.relu(self.bn2(self.conv2(self.body(x))))  # (B, 1280, S/8, S/8)
        return self.classifier(x.mean((2, 3)))


FAMILY = SmallFamily(
    networks={"cifar_mobilenet_v2": MobileNetV2},
    head="classifier",
    stages=(("stem", "conv1|bn1"), ("group{}", r"body\.group(\d)"), ("conv2", "conv2|bn2")),
)
