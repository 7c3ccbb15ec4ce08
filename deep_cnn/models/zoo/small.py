"""What the networks for 32x32 images share: mostly no pretrained weights, CIFAR-10's own mean, He's initial weights."""

from functools import partial

from torch import nn

from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.models.zoo.family import Family, Published

# mean and spread of all pixels of CIFAR-10's training set, for files of weights that say nothing of their own
CIFAR10 = Preprocessing(32, 32, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))

SmallFamily = partial(Family, published=lambda name: Published(CIFAR10))


def conv(inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution that keeps the side of its map (or divides it by the stride), without a bias: a norm follows."""
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, groups=groups, bias=False)


def he_initialise(model: nn.Module) -> None:
    """Variance 2 / fan-out for convolutions: He et al., "Delving deep into rectifiers", 2015."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
