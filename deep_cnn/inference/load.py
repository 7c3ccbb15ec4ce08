"""Open trained networks: one checkpoint, an ensemble of several, or the best one of a finished run."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deep_cnn.config.fields import given_text, wrong
from deep_cnn.data.archives import kind_of
from deep_cnn.data.augment.steps import center_crop
from deep_cnn.data.decode import decode
from deep_cnn.data.feed import Batch
from deep_cnn.data.normalise import Normaliser
from deep_cnn.data.parquet import is_parquet
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.data.sources import archive_above
from deep_cnn.inference import evaluate
from deep_cnn.inference.ood import FeatureTap, Reference
from deep_cnn.models import checkpoint
from deep_cnn.models.build import ModelSpec, empty_model, head_modules
from deep_cnn.models.weights import odd_tensors, unusable
from deep_cnn.runtime.device import (
    CHANNELS_LAST,
    ComputeSettings,
    autocast_for,
    dtype_of,
    granted_cores,
    keep_freed_memory,
    pick_device,
    pick_precision,
    set_determinism,
    set_threads,
)
from deep_cnn.runtime.errors import ConfigError
from deep_cnn.runtime.launch import this_rank
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.runtime.status import seen_status, unfinished
from deep_cnn.tasks.base import Task
from deep_cnn.tasks.conformal import Calibration
from deep_cnn.tasks.make import task_from_dict

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Transform:
    """An image's file -> what the network is given of it in validation."""

    preprocessing: Preprocessing

    def __call__(self, path: str | Path) -> Tensor:
        """float32 (3, S, S), normalised; DataError for a file that cannot be read."""
        pre = self.preprocessing
        return Normaliser(pre.mean, pre.std)(center_crop(decode(path, pre), pre.crop)[None])[0]


def load_model(path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """The network of a best.pt or last.pt, in eval mode on the CPU, and what the checkpoint says of it.

    Returns:
        The network: float32 images (B, 3, S, S), normalised -> outputs (B, K); and a dict with, among others, `model` (how it
        was built), `task`, `preprocessing`, `transform` (a function: file -> image (3, S, S)), `config` and `validation`.

    Raises:
        ConfigError: not a path. CheckpointError: no such file, or not a checkpoint of ours.
    """
    path = Path(given_text("path", path)).expanduser()
    meta = checkpoint.load(path)
    with checkpoint.understood(path):
        spec = ModelSpec.from_dict(meta["model"])
        average, weights = meta.pop("average", None), meta.pop("weights")
        state = average or weights  # a last.pt with --ema: the average is what was validated
        check_outputs(spec, state)
        model = empty_model(spec)
        if problem := odd_tensors(state) or unusable(state, model.state_dict()):
            raise ValueError(problem)
        model.load_state_dict(state)
        for name in ("optimizer", "scaler", "sums"):
            meta.pop(name, None)
        return model.eval(), meta | {"transform": Transform(Preprocessing.from_dict(meta["preprocessing"]))}


def check_outputs(spec: ModelSpec, state: dict[str, Any]) -> None:
    """ValueError where a network shall have more outputs than any of its tensors has rows: it would fill the memory."""
    rows = max((tensor.shape[0] for tensor in state.values() if tensor.dim()), default=0)
    if not isinstance(spec.outputs, int) or not 0 < spec.outputs <= rows:
        raise ValueError(f"{spec.outputs} outputs, but no weights for so many")


@dataclass(frozen=True)
class TrainedNetwork:
    """A network on its device, and how its checkpoint says it is used.

    Attributes:
        head: name of the module that turns features into outputs.
        reference: features of the training images; None for a run without a validation set.
        meta: everything else in the checkpoint, as `load_model` returns it.
        digest: 16 digits of the checkpoint file's SHA-256.
    """

    model: nn.Module
    spec: ModelSpec
    head: str
    task: Task
    pre: Preprocessing
    settings: ComputeSettings
    reference: Reference | None
    meta: dict[str, Any]
    digest: str
    device: torch.device

    @property
    def calibration(self) -> Calibration | None:
        """Its errors on the validation images; None without such, for several labels, and for checkpoints of 0.1.0."""
        return Calibration.from_dict(self.meta["calibration"]) if "calibration" in self.meta else None

    @property
    def autocast(self):
        """Opens the reduced precision of a forward pass."""
        return autocast_for(self.device, self.settings.precision)

    def outputs(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Raw outputs float32 (n, K) of a batch, and each image's distance from the training set (n,); above 1 is unusual."""
        with FeatureTap(self.model, self.head) as tap:
            indices, outputs = next(evaluate.evaluate(self.model, (batch,), self.autocast))
        # of the whole batch, padding included: the distances of another number of rows differ in the last bits
        distances = None if self.reference is None else self.reference.distances(tap.features)[: len(indices)]
        return outputs, distances


@dataclass(frozen=True)
class FinishedRun:
    """A run that has a best network. image_folders: where its images may lie."""

    files: RunFiles
    network: TrainedNetwork
    image_folders: list[Path]


def open_network(path: Path, device: torch.device, precision: str = "auto") -> TrainedNetwork:
    """Load a checkpoint onto a device.

    Args:
        precision: "auto", that of the training run, or another one as --precision.

    Raises:
        CheckpointError: no such file, or not a checkpoint of ours.
        ConfigError: the device does not have this precision.
    """
    model, meta = load_model(path)
    with checkpoint.understood(path):
        return _opened(path, model, meta, device, precision)


def _opened(path: Path, model: nn.Module, meta: dict[str, Any], device: torch.device, precision: str) -> TrainedNetwork:
    settings = ComputeSettings(**meta["decisions"])
    Path(meta["config"]["data_dir"]), bool(meta["config"]["deterministic"])  # are asked for later
    if precision != "auto":
        settings = replace(settings, precision=pick_precision(precision, device))
    elif settings.precision == "fp16" and device.type == "cpu":
        log.info("%s was trained in fp16, which a CPU only emulates: computing in fp32", path)
        settings = replace(settings, precision="fp32")
    spec = ModelSpec.from_dict(meta["model"])
    return TrainedNetwork(
        model=model.to(device, dtype_of(settings.precision)).to(memory_format=CHANNELS_LAST),
        spec=spec,
        head=head_modules(spec.name, model)[0],
        task=task_from_dict(meta["task"]),
        pre=Preprocessing.from_dict(meta["preprocessing"]),
        settings=settings,
        reference=Reference.from_dict(meta["reference"]).to(device) if "reference" in meta else None,
        meta=meta,
        digest=_digest(path),
        device=device,
    )


def open_networks(paths: Sequence[Path], *, device: str, precision: str = "auto") -> list[TrainedNetwork]:
    """Load the checkpoints of an ensemble, and prepare this process to compute with them as their runs did.

    Args:
        device: as --device. precision: as of `open_network`.

    Raises:
        CheckpointError: one cannot be read.
        ConfigError: they predict different things.
    """
    target = pick_device(device)
    networks = [open_network(path, target, precision) for path in paths]
    first = networks[0].task
    for path, network in zip(paths, networks, strict=True):
        _warn_of_unfinished(path)
        if (network.task.name, network.task.names) != (first.name, first.names):
            raise ConfigError(
                f"--checkpoint={path}: predicts {_named(network.task)}, but {paths[0]} predicts {_named(first)}; "
                "the networks of an ensemble must predict the same"
            )
        set_determinism(network.meta["config"]["deterministic"], target)
    # as many as in the run, so that the bits are the run's; several processes share the cores anew
    as_before = all(this_rank().world_size in (1, network.settings.processes) for network in networks)
    set_threads(max(network.settings.threads for network in networks) if as_before else granted_cores())
    keep_freed_memory()
    return networks


def _warn_of_unfinished(path: Path) -> None:
    """A network of a run that still trains is another one tomorrow, and its test would be looked at before the end."""
    files = RunFiles(path.absolute().parent.parent.parent, path.absolute().parent.name)
    status = seen_status(files) if path.absolute().parent.parent.name == "models" else None
    if status is not None and (reason := unfinished(status)) is not None:
        log.warning("%s: this run has not finished: %s. Its network is that of the best epoch so far", path, reason)


def open_run(
    run_name: str, root_dir: str, *, data_dir: str | None = None, device: str = "auto", precision: str = "auto"
) -> FinishedRun:
    """Open the best network of a run below ROOT_DIR/outputs. Arguments and errors: as of `open_networks`."""
    root = Path(root_dir).expanduser()
    files = RunFiles(root / "outputs", run_name)
    (network,) = open_networks([files.best], device=device, precision=precision)
    return FinishedRun(files, network, image_folders(root, data_dir, network))


def open_run_of(
    path: Path, *, data_dir: str | None = None, device: str = "auto", precision: str = "auto"
) -> FinishedRun:
    """The run in whose folder a checkpoint lies, with that network in place of its best one.

    Raises:
        ConfigError: it lies elsewhere. Others: as of `open_networks`.
    """
    folder = path.absolute().parent
    files = RunFiles(folder.parent.parent, folder.name)
    if folder.parent.name != "models" or not files.results.is_dir():
        raise ConfigError(f"--checkpoint={path}: is in no run's folder, outputs/models/RUN; move it back there")
    (network,) = open_networks([path], device=device, precision=precision)
    return FinishedRun(files, network, image_folders(files.outputs.parent, data_dir, network))


def image_folders(root: Path, data_dir: str | None, network: TrainedNetwork) -> list[Path]:
    """Folders that relative paths of images may start from: the given one, the project's root, that of the training."""
    trained = Path(network.meta["config"]["data_dir"]).expanduser()
    return [*given_folders(root, data_dir), root, trained if trained.is_absolute() else root / trained]


def given_folders(root: Path, data_dir: str | None) -> list[Path]:
    """Where the folder that --data_dir names may lie. ConfigError where there is no folder or archive."""
    if data_dir is None:
        return []
    folders = [Path(data_dir).expanduser(), root / data_dir]
    try:
        there = any(map(_holds_images, folders))
    except OSError as error:  # a name that is too long, a folder that may not be searched
        raise wrong("data_dir", data_dir, f"cannot be read ({error.strerror})") from None
    if not there:
        raise wrong("data_dir", data_dir, "no such folder or archive", "give the folder of the images")
    return folders


def _holds_images(place: Path) -> bool:
    """Whether it is a folder, an archive, or a folder within an archive."""
    file = archive_above(place)
    return place.is_dir() or (file is not None and (is_parquet(file[0]) or kind_of(file[0]) is not None))


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _named(task: Task) -> str:
    names: list[Any] = [*task.names[:3], *(["..."] if len(task.names) > 3 else [])]
    return f"{', '.join(names)} ({task.name})"
