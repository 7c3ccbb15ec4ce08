"""Which preprocessing a network's images get: --pre, --image_size and --fit."""

import dataclasses

from deep_cnn.config.schema import Config
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.dataset_generator import PREPROCESSINGS
from deep_cnn.models.build import check_image_size, model_names, weights_preprocessing
from deep_cnn.runtime.errors import ConfigError, nearest

SMALL = 64  # pixels: networks made for smaller images see them as they are, whatever the geometry of the table's rows


def check_pre(name: str) -> None:
    """ConfigError, naming the nearest, for a name that --pre does not know."""
    known = ("auto", *PREPROCESSINGS)
    if name not in (*known, *model_names()) and not name.startswith("timm/"):
        hint = nearest(name, (*known, *model_names()))
        raise ConfigError(f"--pre={name}: unknown; choose {', '.join(known)} or a network's name.{hint}")


def choose_preprocessing(config: Config) -> Preprocessing:
    """--pre, --image_size and --fit, checked against what the network can take."""
    check_pre(config.pre)
    if config.pre == "auto":
        pre = weights_preprocessing(config.model, config.weights_source)
    elif config.pre in PREPROCESSINGS:
        pre = PREPROCESSINGS[config.pre]
        own = weights_preprocessing(config.model, "none")
        if own.crop < SMALL:
            pre = dataclasses.replace(pre, resize=own.resize, crop=own.crop)
    else:
        pre = weights_preprocessing(config.pre, "pretrained")
    if config.image_size:
        pre = pre.with_crop(config.image_size)
    check_image_size(config.model, pre.crop)
    return dataclasses.replace(pre, fit=config.fit)
