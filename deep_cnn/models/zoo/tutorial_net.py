"""The network of PyTorch's tutorial "Training a classifier", after LeNet-5.

LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", 1998. 62,006 parameters.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from deep_cnn.models.zoo.small import SmallFamily


class Net(nn.Module):
    """Two convolutions and three linear layers; side: of the images, in pixels."""

    def __init__(self, side: int = 32, outputs: int = 10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        cells = ((side - 4) // 2 - 4) // 2  # 5 for 32 pixels: each 5x5 convolution costs four, each pooling halves
        self.fc1 = nn.Linear(16 * cells * cells, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, outputs)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, outputs)."""
        x = F.max_pool2d(F.relu(self.conv1(images)), 2)  # (B, 6, 14, 14)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)  # (B, 16, 5, 5)
        x = F.relu(self.fc2(F.relu(self.fc1(x.flatten(1)))))  # (B, 84)
        return self.fc3(x)


FAMILY = SmallFamily(
    networks={"net": Net},
    head="fc3",
    stages=(("conv{}", r"conv(\d)"), ("linear{}", r"fc([12])")),
    smallest=16,
    options=lambda size: {"side": size},
)
