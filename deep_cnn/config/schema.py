"""Every flag of a training run: default, help, range and choices in one place.

`flag()` describes one flag of any verb; `Config` is the training run's. The flags that change no number of the result
(where things lie, how many workers, what is tracked) are marked `identity=False`: two runs that differ only in those
are the same run.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deep_cnn.config.checks import check_combinations
from deep_cnn.config.fields import check_ranges, flag, rate
from deep_cnn.config.registries import LOSSES, OPTIMIZERS, SCHEDULES, TRACKERS

TTA = ("none", "flip", "shift")
PLACES365 = "input/places365standard_easyformat/places365_standard"


@dataclass(frozen=True)
class Config:
    """One training run. Immutable; `dataclasses.replace` makes a variant."""

    # The nine flags of the course's hand-out, in its words
    epochs: int = flag(20, "number of epochs", group="course", low=1)
    batch_size: int = flag(
        128, "number of images in a batch, for one step of the optimizer", group="course", low=1, high=10**9
    )
    model: str = flag("resnet101", "name of the pre-trained network", group="course")
    pre: str = flag("auto", "pre-processing: auto = the one that belongs to the weights", group="course")
    lr: float | str = flag(
        1e-3, "learning rate of the new head; auto = by a range test", group="course", kind=rate, above=0.0
    )
    run_name: str = flag("default", "name of this run: its files bear it", group="course", identity=False)
    root_dir: str = flag(".", "root directory of the project; outputs/ is made in it", group="course", identity=False)
    data_dir: str = flag(PLACES365, "folder of images, relative to the root directory", group="course", identity=False)
    wandb: bool = flag(False, "log to Weights & Biases", group="course", identity=False)

    dataset: str | None = flag(
        None,
        "a public data set, read by torchvision from DATA_DIR (input by default)",
        group="data",
        kind=str,
        choices=("cifar10", "cifar100"),
        usual=True,
        identity=False,
    )
    download: bool = flag(True, "fetch a --dataset that is missing", group="data", identity=False)
    metadata: str | None = flag(
        None,
        "table of scores or labels (.csv or .tsv, or a folder that holds one)",
        group="data",
        kind=str,
        usual=True,
        identity=False,
    )
    image_column: str | None = flag(
        None, "column that names the image: a path, file name or stem", group="data", kind=str, usual=True
    )
    target: tuple[str, ...] = flag(
        (), "column, or columns, to predict", group="data", kind=str, many="comma", usual=True
    )
    where: tuple[str, ...] = flag(
        (),
        'keep rows where e.g. "num_votes>=5" (== != < <= > >=); repeat for several',
        group="data",
        kind=str,
        many="repeat",
    )
    group: str | None = flag(
        None, "column (a city, a place) whose rows never part company in a split", group="data", kind=str
    )
    split_column: str | None = flag(None, "column that says train, val or test", group="data", kind=str)
    study_id: str | None = flag(None, "Place Pulse: one study, several (A,B), or all", group="data", kind=str)
    task: str = flag(
        "auto", "what is learnt", group="data", choices=("auto", "classification", "multilabel", "regression")
    )
    val_split: float = flag(
        0.15, "share carved out for validation where there is none", group="data", low=0.0, below=1.0, usual=True
    )
    test_split: float = flag(
        0.15, "share carved out for the test where there is none", group="data", low=0.0, below=1.0, usual=True
    )
    val_folder: str = flag("val", "folder of validation images in the data folder", group="data")
    test_folder: str = flag("test", "folder of test images in the data folder", group="data")
    subset: str | None = flag(
        None,
        "train on so many images (5000) or such a share (0.1) of the training set, stratified",
        group="data",
        kind=str,
        usual=True,
    )
    subset_order: str = flag(
        "stratified",
        "which images --subset takes; lab = the first in the order of numpy.random.RandomState(2147483647)",
        group="data",
        choices=("stratified", "lab"),
    )
    image_size: int | None = flag(
        None,
        "side of the network's input in pixels; by default the weights' own",
        group="data",
        kind=int,
        low=8,
        high=4096,
        usual=True,
    )
    fit: str = flag("crop", "how a photograph becomes a square", group="data", choices=("crop", "squash", "pad"))
    on_bad_image: str = flag(
        "error", "an unreadable image stops the run, or is left out and listed", group="data", choices=("error", "skip")
    )
    oversample: bool = flag(False, "draw rare classes (or rare scores) more often", group="data")
    class_weights: bool = flag(False, "weigh rare classes (or rare scores) more in the loss", group="data")

    weights: str = flag("pretrained", "pretrained, none, a file or a URL", group="model", usual=True)
    dropout: float = flag(0.0, "dropout before the head", group="model", low=0.0, below=1.0)
    freeze: str = flag("none", "none, backbone, or N: the first N stages stay as they are", group="model", usual=True)
    unfreeze_epoch: int | None = flag(
        None, "train the frozen part, too, from this epoch on", group="model", kind=int, low=1
    )
    views: int = flag(
        0,
        "with a frozen backbone: keep the features of so many augmented views of each image (0: none)",
        group="model",
        low=0,
    )

    recipe: str = flag(
        "finetune",
        "a named set of defaults: finetune, probe, scratch, cifar_fast or tutorial",
        group="optimise",
        usual=True,
    )
    loss: str = flag(
        "auto",
        "auto = cross_entropy, bce or mse, by the task",
        group="optimise",
        choices=("auto", *LOSSES),
    )
    optimizer: str = flag(
        "adamw",
        "optimizer; timm/NAME is any of timm's, such as timm/lion",
        group="optimise",
        choices=tuple(OPTIMIZERS),
        usual=True,
    )
    momentum: float = flag(0.9, "momentum of sgd and muon", group="optimise", low=0.0, below=1.0)
    nesterov: bool = flag(False, "Nesterov's momentum, with sgd or muon", group="optimise")
    schedule: str = flag(
        "cosine",
        "course of the learning rate",
        group="optimise",
        choices=tuple(SCHEDULES),
        usual=True,
    )
    warmup: float = flag(
        0.05, "share of the steps in which the learning rate rises", group="optimise", low=0.0, below=1.0
    )
    backbone_lr: float | None = flag(
        None,
        "learning rate of the backbone; by default a tenth of --lr when pretrained; with muon "
        "by how much of its size a filter turns in a step: 0.2, pretrained 0.02",
        group="optimise",
        kind=float,
        low=0.0,
    )
    weight_decay: float = flag(
        0.01,
        "L2 penalty (decoupled with adamw); not on norms and biases, nor on the filters that muon turns",
        group="optimise",
        low=0.0,
        usual=True,
    )
    l1: float = flag(0.0, "L1 penalty; not on norms and biases", group="optimise", low=0.0)
    label_smoothing: float = flag(0.0, "label smoothing", group="optimise", low=0.0, below=1.0)
    augment: str = flag(
        "basic",
        "none, basic, strong, cifar, cifar_fast, trivialaugment, randaugment, autoaugment, or a list",
        group="optimise",
        usual=True,
    )
    small_epochs: int = flag(
        0,
        "train so many epochs, the first, on images of three quarters of the side: 0.56 of the work",
        group="optimise",
        low=0,
    )
    mixup: float = flag(0.0, "mixup's alpha (0: off)", group="optimise", low=0.0)
    cutmix: float = flag(0.0, "cutmix's alpha (0: off)", group="optimise", low=0.0)
    ema: float = flag(
        0.0, "decay of a moving average of the weights (0: off; e.g. 0.999)", group="optimise", low=0.0, below=1.0
    )
    clip: float = flag(0.0, "largest norm of the gradient (0: off)", group="optimise", low=0.0)
    patience: int = flag(
        0, "stop after so many epochs without a better validation (0: never)", group="optimise", low=0, usual=True
    )
    tta: str = flag(
        "none",
        "test-time augmentation, beside the plain test: flip = the mean over an image and its mirror image; "
        "shift = also over both moved by a pixel",
        group="optimise",
        choices=TTA,
        identity=False,
    )
    grad_accumulation: str = flag(
        "auto", "in how many pieces a batch is computed; auto = so that it fits in memory", group="optimise"
    )

    device: str = flag("auto", "auto, cpu, cuda, cuda:N or mps", group="machine", usual=True)
    precision: str = flag(
        "auto", "auto = bf16 where it is native", group="machine", choices=("auto", "fp32", "bf16", "fp16", "fp64")
    )
    compile: str = flag("auto", "torch.compile", group="machine", choices=("auto", "on", "off"))
    workers: str = flag(
        "auto",
        "threads that read and decode images; auto = the cores granted",
        group="machine",
        identity=False,
        usual=True,
    )
    cache: str = flag(
        "auto", "keep decoded images: auto, off, or a folder", group="machine", identity=False, usual=True
    )
    sync_batchnorm: bool = flag(
        False, "under torchrun: BatchNorm's statistics from all processes' images (GPUs only)", group="machine"
    )
    peer_timeout: str = flag(
        "5m",
        "under torchrun: without a word from another process for so long, it is lost",
        group="machine",
        identity=False,
    )
    deterministic: bool = flag(False, "bit-identical repeats on a GPU, too; slower there", group="machine")
    seed: int = flag(0, "seed of every random draw", group="machine", low=0, high=2**63 - 1, usual=True)
    max_time: str | None = flag(
        None,
        "stop, with everything saved, before HH:MM:SS are over",
        group="machine",
        kind=str,
        identity=False,
        usual=True,
    )
    save_every: str = flag(
        "10m",
        "save at most so often within an epoch: 10m, 30s, 1h, or a number of steps",
        group="machine",
        identity=False,
    )
    resume: str = flag(
        "auto",
        "continue an unfinished run of this name, never, or insist on it",
        group="machine",
        choices=("auto", "never", "must"),
        identity=False,
        usual=True,
    )
    steal_lock: bool = flag(
        False,
        "take the run's name from a process on another machine that is surely dead",
        group="machine",
        identity=False,
    )
    profile: bool = flag(False, "say at the end where the time went", group="machine", identity=False)

    console: str = flag(
        "standard",
        "tutorial: also the lines of PyTorch's classifier tutorial",
        group="track",
        choices=("standard", "tutorial"),
        identity=False,
    )
    tensorboard: bool = flag(False, "log to TensorBoard, in outputs/tensorboard", group="track", identity=False)
    trackers: tuple[str, ...] = flag(
        (),
        "log to all of these, separated by commas; --wandb and --tensorboard are short forms",
        group="track",
        kind=str,
        many="comma",
        choices=tuple(TRACKERS),
        identity=False,
    )
    config: str | None = flag(
        None, "file of flags (.yaml); the command line wins", group="track", kind=str, identity=False
    )

    def __post_init__(self):
        check_ranges(self)
        check_combinations(self)

    @property
    def root(self) -> Path:
        return Path(self.root_dir).expanduser()

    def identity(self) -> dict[str, Any]:
        """The flags that change numbers, by name."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.metadata["identity"]}

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Config":
        """From `to_dict`, JSON (lists become tuples) or a checkpoint; flags that no longer exist are left out."""
        known = {f.name: f for f in dataclasses.fields(cls)}
        return cls(**{k: tuple(v) if known[k].metadata["many"] else v for k, v in values.items() if k in known})
