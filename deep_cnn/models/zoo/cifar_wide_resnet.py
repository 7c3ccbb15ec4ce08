"""Wide ResNets for 32x32 images: shallow ones of blocks with norm and ReLU first, `k` times as wide as ResNet110's.

Zagoruyko and Komodakis, "Wide residual networks", BMVC 2016. cifar_wide_resnet28_10: depth 28, ten times as wide. Without the dropout
within blocks, with which the paper experiments.
"""

from functools import partial

from deep_cnn.models.zoo.cifar_preact_resnet import STAGES, PreActBasic, PreActResNet
from deep_cnn.models.zoo.small import SmallFamily


def _wide_resnet(depth: int, k: int) -> partial[PreActResNet]:
    blocks = (
        depth - 4
    ) // 6  # of two convolutions, in each of three layers; 4: the stem and three shortcuts' convolutions
    return partial(PreActResNet, PreActBasic, (blocks,) * 3, (16, 16 * k, 32 * k, 64 * k), True)


FAMILY = SmallFamily(
    networks={f"cifar_wide_resnet{depth}_{k}": _wide_resnet(depth, k) for depth, k in ((16, 4), (28, 10))},
    head="fc",
    stages=STAGES,
)
