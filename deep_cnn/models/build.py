"""From a name to a network with a new head, and weights into it."""

import dataclasses
import functools
import hashlib
import logging
import re
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torchvision.models import GoogLeNetOutputs, InceptionOutputs

from deep_cnn.config.fields import names_weights
from deep_cnn.config.schema import WEIGHTS_DIGEST
from deep_cnn.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from deep_cnn.models import weights
from deep_cnn.models.zoo import networks
from deep_cnn.models.zoo.family import Published, Stages
from deep_cnn.runtime import download
from deep_cnn.runtime.errors import CheckpointError, nearest
from deep_cnn.runtime.rng import number

log = logging.getLogger(__name__)

HEAD_SPREAD = 0.01  # new heads: N(0, 0.01^2) and zero bias, so that the first outputs are near 0 and the loss near ln K

# What an auxiliary head's loss counts: 0.3 in Szegedy et al., "Going deeper with convolutions" (2014), section 5;
# 0.4 as Inception v3's authors released its training code.
AUXILIARY_WEIGHTS = {InceptionOutputs: 0.4, GoogLeNetOutputs: 0.3}


@dataclass(frozen=True)
class ModelSpec:
    """All it takes to build a network again, apart from its weights.

    name: as --model; outputs: classes, labels or targets; dropout: probability before the head, 0 keeps the network's own;
    image_size: side of its input in pixels, None for the network's default.
    """

    name: str
    outputs: int
    dropout: float = 0.0
    image_size: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """As a checkpoint keeps it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ModelSpec":
        """From `to_dict`."""
        return cls(**values)


def model_names() -> list[str]:
    """Every name --model takes, in order, apart from timm/NAME."""
    return networks.names()


def build_model(spec: ModelSpec, seed: int) -> nn.Module:
    """The network of `spec` with new heads; all its initial weights are a pure function of the seed.

    The backbone's do not depend on the number of outputs (timm's networks excepted). Nobody else's random numbers are touched.

    Returns:
        float32 images (B, 3, S, S) -> outputs (B, outputs); in training Inception and GoogLeNet give a named tuple,
        see `main_and_auxiliary`.

    Raises:
        ConfigError: unknown name, or an image size that the network cannot take.
    """
    generator = torch.random.default_generator  # torch.manual_seed would reset the GPU's generators too
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        generator.manual_seed(number(seed, "backbone"))
        model = _network(spec)
        for head in head_modules(spec.name, model):
            generator.manual_seed(number(seed, "head", head))
            _start_head(model.get_submodule(head))
    return model


def empty_model(spec: ModelSpec) -> nn.Module:
    """The network of `spec` whose parameters hold no values yet: for a complete state dict, or to look at its shapes.

    Seconds faster than `build_model` for large networks. Unlike one from the meta device, it has its buffers (Swin's
    position indices), and the RegNets can be built.
    """
    with _Unset(), torch.device("cpu"):
        return _network(spec)


def load_weights(
    model: nn.Module, spec: ModelSpec, source: str, names: tuple[str, ...] | None = None, nouns: str = "outputs"
) -> list[str]:
    """Load weights into a network in place: the backbone, and the heads where they have the same size.

    Args:
        source: "none", "pretrained", a library's name of weights, a file or a URL, as --weights.
        names: the run's classes or targets; a checkpoint of ours that was trained for others keeps its head to itself.
        nouns: see `weights.fit`.

    Returns:
        Lines for the log; heads that were left out are named.

    Raises:
        CheckpointError: no file and no network, not a file of weights, truncated, or of another network.
    """
    if source == "none":
        return ["Weights: none (random initialization)"]
    path, published = _locate(spec.name, source), published_weights(spec.name, source)
    source = source.partition(WEIGHTS_DIGEST)[0]
    family, heads = networks.find(spec.name), head_modules(spec.name, model)
    if published is not None and not published.path:
        state = family.published_state(spec.name, path, _size(spec))
        return weights.fit(model, state, heads, weights_label(spec.name, source), family.adapt, nouns=nouns)
    file = weights.read(path)
    theirs = file.info.get("model", {}).get("name", spec.name)
    if theirs != spec.name:
        raise CheckpointError(f"--weights={source}: these weights are for {theirs}, but --model={spec.name}")
    trained_for = tuple(file.info.get("task", {}).get("names", ()))
    others = trained_for if names and trained_for != tuple(names) else ()
    return weights.fit(model, file.state, heads, weights_label(spec.name, source), family.adapt, others, nouns)


def weights_label(name: str, source: str) -> str:
    """What to call the weights of --weights: the file's name, and the library's name for them, or where they are from."""
    if source == "none":
        return "none (random initialization)"
    file, published = _locate(name, source).name, published_weights(name, source.partition(WEIGHTS_DIGEST)[0])
    if published is None:
        return file
    whence = "included with deep_cnn" if published.path else published.label
    whence = published.package.name if published.package else whence
    return f"{file} ({whence})" if whence else file


def weights_preprocessing(name: str, source: str) -> Preprocessing:
    """What images must go through for these weights.

    Returns:
        Of a checkpoint of ours, also one that comes with the program: as it was trained. Of "none": the geometry of the network's published
        weights, with ImageNet's mean and spread (a run takes its own images' instead, see training/setup.py). Of published weights and
        others' files: what the published weights were trained with.
    """
    of_library = published_weights(name, source)
    if of_library is not None and not of_library.path:
        return of_library.preprocessing
    published = networks.find(name).published(name).preprocessing
    if source == "none":
        return dataclasses.replace(published, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    path = _locate(name, source)
    own = weights.read(path).info.get("preprocessing")
    try:
        return Preprocessing.from_dict(dict(own)) if own else published
    except (TypeError, ValueError, KeyError) as error:
        raise CheckpointError(f"--weights={path}: is marked as a checkpoint of deep_cnn, but {error}") from error


def check_weights_present(name: str, source: str) -> None:
    """Make sure that the weights are on this disk, downloading them if need be.

    Raises:
        CheckpointError: within seconds, when there is neither file nor network.
    """
    if source != "none":
        _locate(name, source)


def prefetch(name: str, source: str = "pretrained") -> Path:
    """Download a network's published weights, once; a file that cannot be read is fetched again. Returns its path.

    Weights that come with the program, or as a Python package, are there already.
    """
    path, published = _locate(name, source), published_weights(name, source)
    try:
        weights.read(path)
    except CheckpointError:
        if published is None or published.path or published.package:
            raise
        path.unlink()
        path = _locate(name, source)
    return path


def published_weights(name: str, source: str) -> Published | None:
    """The network's weights on offer that --weights means: "pretrained", or a library's name; None for anything else.

    Raises:
        CheckpointError: a library's name that this network has no weights of.
    """
    family = networks.find(name)
    if source == "pretrained":
        return family.published(name)
    if not names_weights(source):
        return None
    named = family.named(name)
    if source not in named:
        has = f"it has {', '.join(named)}" if named else "use --weights=pretrained"
        raise CheckpointError(f"--weights={source}: {name} has no weights of this name; {has}")
    return named[source]


def weights_names(name: str) -> list[str]:
    """The names that --weights takes for a network, besides none, pretrained, files and URLs."""
    return list(networks.find(name).named(name))


def weights_on_offer() -> list[tuple[str, str]]:
    """For `summary --list`: every network's name, and which values of --weights it has beside none, in words."""
    rows = []
    for name in model_names():
        published, named = networks.find(name).published(name), weights_names(name)
        if named:
            offer = ", ".join(f"{each} (pretrained)" if each == published.label else each for each in named)
        elif published.package:
            offer = f"pretrained (pip package {published.package.name})"
        else:
            offer = "pretrained (included)" if published.path else "none"
        rows.append((name, offer))
    return [
        *rows,
        ("timm/NAME", "pretrained: any network of timm; NAME may end in the name of weights: timm/resnet50.a1_in1k"),
    ]


def shipped(name: str) -> Path | None:
    """The file of weights that comes with the program; None for a network that has none there."""
    return networks.find(name).published(name).path


@functools.cache  # a run asks several times, and timm's networks are built to answer
def check_image_size(name: str, size: int) -> None:
    """Raise ConfigError for a side of the input, in pixels, that the network cannot take."""
    networks.find(name).check_size(name, size)


def head_modules(name: str, model: nn.Module) -> list[str]:
    """Module names of the new heads: the main one, then the auxiliary ones of Inception and GoogLeNet."""
    return networks.find(name).heads(name, model)


def stages(name: str, model: nn.Module) -> Stages:
    """[(stage, names of its modules)] from the input to just before the head; every backbone parameter is in one stage.

    A few names are of parameters that belong to no smaller module, such as ViT's class_token: see `parts`.
    """
    return networks.find(name).stages_of(name, model)


def main_and_auxiliary(outputs: Tensor | tuple) -> tuple[Tensor, list[tuple[float, Tensor]]]:
    """Split what a network gives in training.

    Returns:
        The main outputs (B, K), and for each auxiliary head the weight of its loss and its outputs (B, K).
    """
    if isinstance(outputs, Tensor):
        return outputs, []
    main, *auxiliary = outputs
    weight = AUXILIARY_WEIGHTS[type(outputs)]
    return main, [(weight, each) for each in auxiliary if each is not None]


def _start_head(head: nn.Module) -> None:
    for layer in head.modules():  # timm's LeViT wraps its linear layer together with a norm
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.normal_(layer.weight, std=HEAD_SPREAD)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _size(spec: ModelSpec) -> int:
    return spec.image_size or networks.find(spec.name).published(spec.name).preprocessing.crop


def _network(spec: ModelSpec) -> nn.Module:
    check_image_size(spec.name, _size(spec))
    return networks.find(spec.name).build(spec.name, spec.outputs, spec.dropout, _size(spec))


def _locate(name: str, source: str) -> Path:
    """The file that --weights means ("none" has no file), downloaded if need be."""
    published = published_weights(name, source)
    if published is not None:
        flag = f"--weights={source} --model={name}"
        if published.path:
            return published.path
        if published.package:
            return published.package.locate(flag)
        if not published.file:
            raise CheckpointError(
                f"--weights=pretrained: {name} has no published weights; train it from scratch with --recipe=scratch "
                "(or with --weights=none), or give a weights file"
            )
        which = "" if source == "pretrained" else f" --weights={source}"
        remedy = (
            f"Run on a computer with internet access: python -m deep_cnn prefetch --model={name}{which}; "
            "or use --model=efficientnet_lite0, whose weights are installed with the program, or random weights (--weights=none)"
        )
        return download.fetch(published.url, published.file, flag, remedy)
    source, _, sha256 = source.partition(WEIGHTS_DIGEST)
    path = _path_of(source)
    if path is None:
        return _downloaded(source, sha256 or None)
    if not path.is_file():
        if path.is_dir():
            raise CheckpointError(f"--weights={source}: is a folder; give the file of weights in it")
        hint = nearest(source, ["pretrained", "none"]) or nearest(source.upper(), weights_names(name))
        raise CheckpointError(f"--weights={source}: no such file; expected pretrained, none, a file or a URL.{hint}")
    return path


def check_digest(source: str) -> str | None:
    """The SHA-256 of the file of --weights, said and compared with --weights_sha256; None where it is not a user's file."""
    if source == "none" or names_weights(source):
        return None
    given, _, sha256 = source.partition(WEIGHTS_DIGEST)
    path = _path_of(given) or download.folder() / download.file_name(given)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 and digest != sha256:
        hint = "remove it to download it again" if "://" in given else "check the file and --weights_sha256"
        raise CheckpointError(f"--weights={given}: the SHA-256 of {path} is {digest}, expected {sha256}; {hint}")
    log.info("Weights: %s, SHA-256 %s", path, digest)
    return digest


def _path_of(given: str) -> Path | None:
    """The file that --weights names, as a path or as file:///path; None for what is to be downloaded."""
    if "://" not in given:
        return Path(given).expanduser()
    found = re.fullmatch(r"(?i:file)://(?:localhost)?(/.*)", given)
    return Path(urllib.request.url2pathname(found[1])) if found else None


def _downloaded(url: str, sha256: str | None) -> Path:
    """The file of a URL in torch's folder; one that is no file of weights does not stay there."""
    file = download.file_name(url)
    known = (download.folder() / file).is_file()
    remedy = "Download it on another computer and give the file"
    path = download.fetch(url, file, f"--weights={url}", remedy, sha256)
    if not known:
        try:
            weights.read(path)
        except CheckpointError:
            path.unlink(missing_ok=True)
            raise
    return path


class _Unset(TorchFunctionMode):
    """Inside, parameters are not filled with random numbers; constants and buffers are set as ever.

    The functions of nn.init are passed over where torch announces them as a whole, else the fills that they are made of.
    """

    RANDOM = frozenset(
        (
            "kaiming_uniform_",
            "kaiming_normal_",
            "xavier_uniform_",
            "xavier_normal_",
            "trunc_normal_",
            "uniform_",
            "normal_",
            "erfinv_",
            "mul_",
            "add_",
            "clamp_",  # the rest of trunc_normal_ where torch does not announce it
        )
    )

    def __torch_function__(self, function, types, args=(), kwargs=None):
        parameter = args[0] if args else (kwargs or {}).get("tensor")
        if isinstance(parameter, nn.Parameter) and getattr(function, "__name__", "") in self.RANDOM:
            return parameter
        return function(*args, **(kwargs or {}))
