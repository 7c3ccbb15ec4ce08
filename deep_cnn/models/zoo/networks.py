"""The table of networks.

To add one: write its file in this folder, the paper cited at its top, ending in a `Family` whose `networks` maps names to
constructors; then add that value to NETWORKS. Nothing else knows networks by name.
"""

from deep_cnn.models.zoo import (
    cifar_densenet,
    cifar_fast,
    cifar_mobilenet_v2,
    cifar_preact_resnet,
    cifar_resnet,
    cifar_vgg,
    cifar_wide_resnet,
    efficientnet_lite,
    torchvision_families,
    tutorial_net,
)
from deep_cnn.models.zoo.family import Family
from deep_cnn.models.zoo.timm_models import TimmModels
from deep_cnn.runtime.errors import ConfigError, nearest

NETWORKS: tuple[Family | TimmModels, ...] = (
    *torchvision_families.FAMILIES,
    cifar_densenet.FAMILY,
    cifar_fast.FAMILY,
    cifar_mobilenet_v2.FAMILY,
    cifar_preact_resnet.FAMILY,
    cifar_resnet.FAMILY,
    cifar_vgg.FAMILY,
    cifar_wide_resnet.FAMILY,
    efficientnet_lite.FAMILY,
    tutorial_net.FAMILY,
    TimmModels(),
)


def names() -> list[str]:
    """All names for --model, sorted, apart from timm/NAME."""
    return sorted(name for source in NETWORKS for name in source.names())


def find(name: str) -> Family | TimmModels:
    """The family that builds `name`; ConfigError with the nearest known name when there is none."""
    for source in NETWORKS:
        if source.knows(name):
            return source
    raise ConfigError(
        f"--model={name}: unknown.{nearest(name, names())} Choose one from `python -m deep_cnn summary --list`, "
        "or timm/NAME"
    )
