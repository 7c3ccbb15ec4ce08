"""The table of networks.

To add one: write its file in this folder, the paper cited at its top, ending in a `Family` whose `networks` maps names to
constructors; then add that value to NETWORKS. Nothing else knows networks by name.
"""

from deep_cnn.errors import ConfigError, nearest
from deep_cnn.models.family import Family
from deep_cnn.models.timm_models import TimmModels
from deep_cnn.models.torchvision_families import FAMILIES

NETWORKS: tuple[Family | TimmModels, ...] = (*FAMILIES, TimmModels())


def names() -> list[str]:
    return sorted(name for source in NETWORKS for name in source.names())


def find(name: str) -> Family | TimmModels:
    """The family that builds `name`; ConfigError with the nearest known name when there is none."""
    for source in NETWORKS:
        if source.knows(name):
            return source
    raise ConfigError(
        f"--model {name}: unknown.{nearest(name, names())} Expected one of torchvision's classification networks or timm/NAME"
    )
