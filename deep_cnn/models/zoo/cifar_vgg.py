"""VGG with batch norm for 32x32 images: one linear layer instead of three.

Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015; Ioffe and Szegedy,
"Batch normalization", ICML 2015.
"""

from functools import partial

from torch import Tensor, nn

from deep_cnn.models.zoo.small import SmallFamily, he_initialise

WIDTHS = (64, 128, 256, 512, 512)
DEPTHS = {  # convolutions in each of the five blocks
    "cifar_vgg11": (1, 1, 2, 2, 2),
    "cifar_vgg13": (2, 2, 2, 2, 2),
    "cifar_vgg16": (2, 2, 3, 3, 3),
    "cifar_vgg19": (2, 2, 4, 4, 4),
}


class VGG(nn.Module):
    """depths: convolutions in each of the five blocks."""

    def __init__(self, depths: tuple[int, ...], outputs: int = 10):
        super().__init__()
        layers, inputs = [], 3
        for depth, width in zip(depths, WIDTHS, strict=True):
            for _ in range(depth):
                # with a bias, though batch norm takes it away again: the published counts have it
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
                inputs = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(WIDTHS[-1], outputs)
        he_initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, outputs)."""
        return self.classifier(self.features(images).mean((2, 3)))  # (B, 512, S/32, S/32) -> (B, K)


FAMILY = SmallFamily(
    networks={name: partial(VGG, depths) for name, depths in DEPTHS.items()},
    head="classifier",
    stages=(),
    pooled="features",
    smallest=32,
)
