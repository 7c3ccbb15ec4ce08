"""ResNets for 32x32 images whose norm and ReLU come before each convolution, so that the shortcuts stay clean.

He, Zhang, Ren and Sun, "Identity mappings in deep residual networks", ECCV 2016. As in the published counts for CIFAR-10, no
norm stands behind the last block.
"""

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from deep_cnn.models.zoo.small import SmallFamily, conv, he_initialise


class PreActBasic(nn.Module):
    """Norm, ReLU, 3x3 convolution, twice. Where the shape changes, the shortcut is a 1x1 convolution of the first ReLU's output."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), conv(inputs, width, 3, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(width), conv(width, width, 3)
        self.shortcut = conv(inputs, width, 1, stride) if stride != 1 or inputs != width else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, width, H/stride, W/stride)."""
        y = F.relu(self.bn1(x))
        skip = x if self.shortcut is None else self.shortcut(y)
        return self.conv2(F.relu(self.bn2(self.conv1(y)))) + skip


class PreActBottleneck(nn.Module):
    """The same with 1x1, 3x3 and 1x1 convolutions; the last widens four times."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), conv(inputs, width, 1)
        self.bn2, self.conv2 = nn.BatchNorm2d(width), conv(width, width, 3, stride)
        self.bn3, self.conv3 = nn.BatchNorm2d(width), conv(width, 4 * width, 1)
        self.shortcut = conv(inputs, 4 * width, 1, stride) if stride != 1 or inputs != 4 * width else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, 4 * width, H/stride, W/stride)."""
        y = F.relu(self.bn1(x))
        skip = x if self.shortcut is None else self.shortcut(y)
        y = self.conv2(F.relu(self.bn2(self.conv1(y))))
        return self.conv3(F.relu(self.bn3(y))) + skip


class PreActResNet(nn.Module):
    """widths: channels of the stem, then of each layer; last_norm: a norm and ReLU behind the last block, as in the papers."""

    def __init__(
        self,
        block: type[PreActBasic] | type[PreActBottleneck],
        depths: tuple[int, ...],
        widths: tuple[int, ...],
        last_norm: bool,
        outputs: int = 10,
    ):
        super().__init__()
        channels, *wide = widths
        self.conv1, self.body = conv(3, channels, 3), nn.Sequential()
        for number, (depth, width) in enumerate(zip(depths, wide, strict=True)):
            blocks = []
            for k in range(depth):
                blocks.append(block(channels, width, 2 if number and not k else 1))
                channels = width * block.expansion
            self.body.add_module(f"layer{number + 1}", nn.Sequential(*blocks))
        self.norm = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU()) if last_norm else nn.Identity()
        self.fc = nn.Linear(channels, outputs)
        he_initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, outputs)."""
        x = self.norm(self.body(self.conv1(images)))  # (B, C, S/8, S/8), S/4 with three layers
        return self.fc(x.mean((2, 3)))


STAGES = (("stem", "conv1"), ("layer{}", r"body\.layer(\d)"), ("norm", "norm"))

_preact = partial(PreActResNet, widths=(64, 64, 128, 256, 512), last_norm=False)

FAMILY = SmallFamily(
    networks={
        "cifar_preact_resnet18": partial(_preact, PreActBasic, (2, 2, 2, 2)),
        "cifar_preact_resnet34": partial(_preact, PreActBasic, (3, 4, 6, 3)),
        "cifar_preact_resnet50": partial(_preact, PreActBottleneck, (3, 4, 6, 3)),
    },
    head="fc",
    stages=STAGES,
)
