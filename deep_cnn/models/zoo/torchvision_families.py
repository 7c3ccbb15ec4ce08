"""All classification networks of torchvision, a row for each family.

Head and stages are found by name and the network's own `forward` stays whole: cutting `children()[:-1]` breaks DenseNet
(its last ReLU and pooling are in `forward`), VGG (three linear layers), Inception (auxiliary branch) and others.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn
from torchvision import models

from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.models.zoo.family import Family, Published, resized_positions

INCEPTION_SIDE = 299  # below it, the auxiliary branch's 5x5 convolution gets a map smaller than its kernel


def _networks(pattern: str) -> dict[str, Callable[..., nn.Module]]:
    """The networks of torchvision whose whole name matches."""
    names = [name for name in models.list_models(module=models) if re.fullmatch(pattern, name)]
    return {name: partial(models.get_model, name, weights=None) for name in names}


def _published(name: str) -> Published:
    """torchvision's DEFAULT weights: the newest."""
    return _described(models.get_model_weights(name).DEFAULT)


def _named(name: str) -> dict[str, Published]:
    """All of torchvision's weights, by their names, but for those of VGG16 whose linear layers have no values."""
    return {
        entry.name: _described(entry) for entry in models.get_model_weights(name) if entry.name != "IMAGENET1K_FEATURES"
    }


def _described(entry: models.WeightsEnum) -> Published:
    """A file of weights and its own evaluation transforms."""
    own = entry.transforms()
    preprocessing = Preprocessing(
        resize=own.resize_size[0],
        crop=own.crop_size[0],
        mean=tuple(own.mean),
        std=tuple(own.std),
        interpolation=own.interpolation.value,
    )
    return Published(preprocessing, entry.url.rsplit("/", 1)[1], entry.url, label=entry.name)


def _densenet_names(state: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """torchvision's files of 2017 call `denselayer1.norm1` `denselayer1.norm.1`."""
    return {re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", name): t for name, t in state.items()}


def _vit_positions(state: Mapping[str, Tensor], model: models.VisionTransformer) -> Mapping[str, Tensor]:
    positions = state.get("encoder.pos_embedding")
    if positions is None or positions.shape == model.encoder.pos_embedding.shape:
        return state
    side = round((model.seq_length - 1) ** 0.5)
    return {**state, "encoder.pos_embedding": resized_positions(positions, side)}


def _inception_options(size: int) -> dict[str, Any]:
    return {"aux_logits": size >= INCEPTION_SIDE, **_IN_TENSORFLOW_UNITS}


# The weights of these two were trained on inputs in [-1, 1], while torchvision's preprocessing (and ours) gives them
# ImageNet's mean and spread: `transform_input` converts. torchvision sets it only when it loads its weights itself, so a
# file or URL with the same weights would be fed wrong numbers. Set always, it also holds for a rebuilt checkpoint.
_IN_TENSORFLOW_UNITS = {"transform_input": True, "init_weights": True}

_family = partial(Family, published=_published, named=_named)

FAMILIES = (
    _family(
        networks=_networks(r"(wide_)?resnet.*|resnext.*"),
        head="fc",
        stages=(("stem", "conv1|bn1"), ("layer{}", r"layer(\d)")),
    ),
    _family(
        networks=_networks(r"regnet.*"),
        head="fc",
        stages=(("stem", "stem"), ("block{}", r"trunk_output\.block(\d)")),
    ),
    _family(
        networks=_networks(r"densenet.*"),
        head="classifier",
        stages=(
            ("stem", r"features\.(?:conv0|norm0)"),
            ("block{}", r"features\.(?:denseblock|transition)(\d)"),
            ("block4", r"features\.norm5"),
        ),
        smallest=29,
        adapt=_densenet_names,
    ),
    _family(
        networks=_networks(r"vgg.*"),
        head="classifier.6",
        stages=(("linear1", r"classifier\.0"), ("linear2", r"classifier\.3")),
        pooled="features",
        dropout="classifier.5",
        smallest=32,
    ),
    _family(
        networks=_networks(r"alexnet"),
        head="classifier.6",
        stages=(("linear1", r"classifier\.1"), ("linear2", r"classifier\.4")),
        pooled="features",
        smallest=63,
    ),
    _family(
        networks=_networks(r"squeezenet.*"),
        head="classifier.1",
        stages=(),
        pooled="features",
        dropout="classifier.0",
        after_head="classifier.2",  # a ReLU: no regression could predict below its mean
        smallest=21,
    ),
    _family(
        networks=_networks(r"inception_v3"),
        head="fc",
        stages=(
            ("stem", r"Conv2d_\w+"),
            ("mixed5", r"Mixed_5\w"),
            ("mixed6", r"Mixed_6\w|AuxLogits\.conv\d"),
            ("mixed7", r"Mixed_7\w"),
        ),
        auxiliary=("AuxLogits.fc",),
        dropout="dropout",
        smallest=75,
        options=_inception_options,
    ),
    _family(
        networks=_networks(r"googlenet"),
        head="fc",
        stages=(
            ("stem", r"conv\d"),
            ("inception3", r"inception3\w"),
            ("inception4", r"inception4\w|aux[12]\.(?:conv|fc1)"),
            ("inception5", r"inception5\w"),
        ),
        auxiliary=("aux1.fc2", "aux2.fc2"),
        dropout="dropout",
        smallest=15,
        options=lambda size: {"aux_logits": True, **_IN_TENSORFLOW_UNITS},
    ),
    _family(
        networks=_networks(r"efficientnet.*|mobilenet_v2"),
        head="classifier.1",
        stages=(("stage{}", r"features\.(\d+)"),),
        dropout="classifier.0",
    ),
    _family(
        networks=_networks(r"mobilenet_v3.*"),
        head="classifier.3",
        stages=(("stage{}", r"features\.(\d+)"), ("linear", r"classifier\.0")),
        dropout="classifier.2",
    ),
    _family(
        networks=_networks(r"mnasnet.*"),
        head="classifier.1",
        stages=(("stem", r"layers\.[0-7]"), ("stage{}", r"layers\.(8|9|1[0-3])"), ("conv", r"layers\.1[45]")),
        dropout="classifier.0",
    ),
    _family(
        networks=_networks(r"shufflenet.*"),
        head="fc",
        stages=(("stem", "conv1"), ("stage{}", r"stage(\d)"), ("conv5", "conv5")),
    ),
    _family(
        networks=_networks(r"convnext.*"),
        head="classifier.2",
        stages=(
            ("stem", r"features\.0"),
            ("stage1", r"features\.1"),
            ("stage2", r"features\.[23]"),
            ("stage3", r"features\.[45]"),
            ("stage4", r"features\.[67]|classifier\.0"),
        ),
        smallest=32,
    ),
    _family(
        networks=_networks(r"swin.*"),
        head="head",
        stages=(
            ("stem", r"features\.0"),
            ("stage1", r"features\.1"),
            ("stage2", r"features\.[23]"),
            ("stage3", r"features\.[45]"),
            ("stage4", r"features\.[67]|norm"),
        ),
        smallest=32,
    ),
    _family(
        networks=_networks(r"maxvit.*"),
        head="classifier.5",
        stages=(("stem", "stem"), ("block{}", r"blocks\.(\d)"), ("linear", r"classifier\.[23]")),
        multiple=224,  # each of four maps, side/4 to side/32, is cut into windows of 7x7
        options=lambda size: {"input_size": (size, size)},
    ),
    *(
        _family(
            networks=_networks(rf"vit_._{patch}"),
            head="heads.head",
            stages=(
                ("embedding", r"conv_proj|class_token|encoder\.pos_embedding"),
                ("layer{}", r"encoder\.layers\.encoder_layer_(\d+)"),
                ("norm", r"encoder\.ln"),
            ),
            multiple=patch,
            options=lambda size: {"image_size": size},
            adapt=_vit_positions,
        )
        for patch in (14, 16, 32)
    ),
)
