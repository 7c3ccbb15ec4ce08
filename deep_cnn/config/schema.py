"""Every flag of a training run: default, help, range and choices in one place.

`flag()` describes one flag of any command; `Config` is the training run's. The flags that change no number of the result
(where things lie, how many workers, what is tracked) are marked `identity=False`: two runs that differ only in those
are the same run.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deep_cnn.config.checks import TEST_SPLIT, check_combinations
from deep_cnn.config.fields import check_flags, count, flag, on_off, rate, run_name, sha256, tta_level, worker_count
from deep_cnn.config.registries import AUGMENTATION_PRESETS, AUGMENTATIONS, LOSSES, OPTIMIZERS, SCHEDULES, TRACKERS
from deep_cnn.runtime.run_files import fold_name

# presets, and policies that stand alone
AUGMENTS = (*AUGMENTATION_PRESETS, *(row.name for row in AUGMENTATIONS.values() if row.before))
WEIGHTS_DIGEST = "#sha256="
AUTO = "auto"
TTA = ("none", "flip", "shift")
PLACES365 = "input/places365standard_easyformat/places365_standard"


@dataclass(frozen=True)
class Config:
    """One training run. Immutable; `dataclasses.replace` makes a variant."""

    # The nine flags of the course's hand-out, in its words
    epochs: int = flag(20, "number of epochs", group="course", low=1, high=10**7)
    batch_size: int | str = flag(
        AUTO,
        "number of images (of votes with --task=pairwise) in a batch; auto: 128, or fewer to fine-tune on fewer than 1,280",
        group="course",
        kind=count,
        low=1,
        high=10**9,
    )
    model: str = flag("resnet101", "name of the network; `summary --list` shows all names", group="course")
    pre: str = flag(
        "auto", "preprocessing of the images; auto: the one that the pretrained weights expect", group="course"
    )
    lr: float | str = flag(
        1e-3,
        "learning rate of the new head; auto: chosen by a range test",
        group="course",
        kind=rate,
        above=0.0,
        high=1e4,
    )
    run_name: str = flag("default", "name of this run and of its files", group="course", kind=run_name, identity=False)
    root_dir: str = flag(
        ".", "root directory of the project, where outputs/ is created", group="course", identity=False
    )
    data_dir: str = flag(
        PLACES365,
        "folder or archive (.tar, .zip) of images, relative to the root directory",
        group="course",
        identity=False,
    )
    wandb: bool = flag(False, "log to Weights & Biases", group="course", identity=False)

    dataset: str | None = flag(
        None,
        "public data set to use instead of your own images; read from --data_dir (by default input)",
        group="data",
        kind=str,
        choices=("cifar10", "cifar100"),
        usual=True,
        identity=False,
    )
    download: bool = flag(True, "download --dataset if it is missing", group="data", identity=False)
    metadata: str | None = flag(
        None,
        "table of scores or labels: a .csv, .tsv or .parquet file, also in an archive (photos.zip/scores.csv), or a folder with one",
        group="data",
        kind=str,
        usual=True,
        identity=False,
    )
    image_column: str | None = flag(
        None,
        "column of the table with the image's path or file name (with or without its ending)",
        group="data",
        kind=str,
        usual=True,
    )
    target: tuple[str, ...] = flag(
        (), "column to predict, or several separated by commas", group="data", kind=str, many="comma", usual=True
    )
    vote_columns: tuple[str, ...] = flag(
        (),
        "columns of a table of votes: left image, right image, winner, and the question if there are several; by default found by "
        "their names",
        group="data",
        kind=str,
        many="comma",
    )
    raters: tuple[str, ...] = flag(
        (),
        "columns with the ratings of one rater each, for the noise ceiling; without --target their mean is learnt",
        group="data",
        kind=str,
        many="comma",
    )
    target_std: tuple[str, ...] = flag(
        (),
        "column with the standard error of each score, for the noise ceiling; with several targets one for each",
        group="data",
        kind=str,
        many="comma",
    )
    target_transform: str = flag(
        "none",
        "scale on which scores are learnt, for skewed ones; metrics and predictions stay in original units",
        group="data",
        choices=("none", "log", "logit", "rank"),
    )
    weigh_by: str | None = flag(
        None,
        "give more precise scores more weight in the loss: by their number of votes, or by --target_std",
        group="data",
        kind=str,
        choices=("votes", "std"),
    )
    unit: tuple[str, ...] = flag(
        (),
        "unit of the target (USD), or of each of several targets (USD,m2); for the report and its axes",
        group="data",
        kind=str,
        many="comma",
        identity=False,
    )
    where: tuple[str, ...] = flag(
        (),
        'use only rows that meet a condition, such as "num_votes>=5" (== != < <= > >=); may be repeated',
        group="data",
        kind=str,
        many="repeat",
    )
    group: str | None = flag(
        None,
        "column (for example the city); rows with the same value stay in one split. grid:500m: the cells of a grid, by latitude and "
        "longitude",
        group="data",
        kind=str,
        usual=True,
    )
    buffer: str | None = flag(
        None,
        "leave out training images that are nearer than this (200m, 1km) to a test image",
        group="data",
        kind=str,
    )
    split_column: str | None = flag(None, "column with each image's split: train, val or test", group="data", kind=str)
    study_id: str | None = flag(
        None, "Place Pulse: the study to learn, several separated by commas, or all", group="data", kind=str
    )
    task: str = flag(
        "auto",
        "what to learn; auto: decided by the data",
        group="data",
        choices=("auto", "classification", "multilabel", "regression", "pairwise"),
        usual=True,
    )
    val_split: float = flag(
        0.15,
        "share of the training images held out for validation if there is no validation set",
        group="data",
        low=0.0,
        below=1.0,
        usual=True,
    )
    test_split: float = flag(
        TEST_SPLIT,
        "share of the training images held out for testing if there is no test set",
        group="data",
        low=0.0,
        below=1.0,
        usual=True,
    )
    folds: str | None = flag(
        None,
        "cross-validation: test each image by a network that was not trained on it. A number of parts (5), or groups: leave one "
        "group of --group out at a time",
        group="data",
        kind=str,
        usual=True,
    )
    fold: int | None = flag(
        None,
        "train only this one of the --folds, from 1 on; by default all, one after the other",
        group="data",
        kind=int,
        low=1,
    )
    val_folder: str = flag(
        "val", "name of the folder of validation images, inside --data_dir; none: hold them out of train", group="data"
    )
    test_folder: str = flag(
        "test", "name of the folder of test images, inside --data_dir; none: hold them out of train", group="data"
    )
    split_seed: int | None = flag(
        None,
        "seed of the splits and of --subset; by default 0, so that runs with other values of --seed have the same test set",
        group="data",
        kind=int,
        low=0,
        high=2**63 - 1,
    )
    split_from: str | None = flag(
        None,
        "run whose splits to use, by its name; its targets may be others",
        group="data",
        kind=str,
    )
    subset: str | None = flag(
        None,
        "train on a number (5000) or a share (0.1) of the training images, stratified",
        group="data",
        kind=str,
        usual=True,
    )
    subset_order: str = flag(
        "stratified",
        "which images --subset takes; lab: the first in the order of numpy.random.RandomState(2147483647)",
        group="data",
        choices=("stratified", "lab"),
    )
    image_size: int | None = flag(
        None,
        "side of the network's input in pixels; by default that of the pretrained weights",
        group="data",
        kind=int,
        low=8,
        high=4096,
        usual=True,
    )
    fit: str = flag(
        "crop",
        "how to make images square: crop the centre, squash, or pad with grey",
        group="data",
        choices=("crop", "squash", "pad"),
    )
    on_bad_image: str = flag(
        "error",
        "what to do with an unreadable image: stop the run, or leave it out and list it",
        group="data",
        choices=("error", "skip"),
    )
    oversample: bool = flag(False, "draw images of rare classes (or with rare scores) more often", group="data")
    class_weights: bool = flag(
        False, "give images of rare classes (or with rare scores) more weight in the loss", group="data"
    )

    weights: str = flag(
        "pretrained",
        "initial weights: pretrained, a name such as IMAGENET1K_V1 (`summary --list`), none (random), a file or a URL",
        group="model",
        usual=True,
    )
    weights_sha256: str | None = flag(
        None,
        "SHA-256 that the file of --weights must have; required for http:// and ftp://",
        group="model",
        kind=sha256,
        identity=False,
    )
    dropout: float = flag(0.0, "dropout rate before the head", group="model", low=0.0, below=1.0)
    freeze: str = flag(
        "none",
        "part of the network that is not trained: none, backbone, or N for its first N stages",
        group="model",
        usual=True,
    )
    unfreeze_epoch: int | None = flag(
        None, "epoch from which the frozen part is trained as well", group="model", kind=int, low=1
    )
    batchnorm: str = flag(
        AUTO,
        "means and variances of BatchNorm during training: update them, or keep those of the pretrained weights; auto: keep to fine-tune "
        "on fewer than 1,280 training images",
        group="model",
        choices=(AUTO, "update", "keep"),
    )
    views: int = flag(
        0,
        "with a frozen backbone: number of augmented views of each image whose features are kept (0: no views)",
        group="model",
        low=0,
    )

    recipe: str = flag(
        "finetune",
        "named set of defaults: finetune, probe, scratch, cifar_fast or tutorial",
        group="optimise",
        usual=True,
    )
    loss: str = flag(
        "auto",
        "loss function; auto: cross_entropy, bce, mse or bradley_terry (davidson with ties), depending on the task",
        group="optimise",
        choices=("auto", *LOSSES),
    )
    optimizer: str = flag(
        "adamw",
        "optimizer; timm/NAME stands for any optimizer of timm, for example timm/lion",
        group="optimise",
        choices=tuple(OPTIMIZERS),
        usual=True,
    )
    momentum: float = flag(
        0.9, "momentum, for optimizers that have one (sgd, muon, some of timm)", group="optimise", low=0.0, below=1.0
    )
    nesterov: bool = flag(False, "use Nesterov momentum (sgd and muon only)", group="optimise")
    schedule: str = flag(
        "cosine",
        "learning-rate schedule",
        group="optimise",
        choices=tuple(SCHEDULES),
        usual=True,
    )
    warmup: float = flag(
        0.05, "share of the steps in which the learning rate rises linearly", group="optimise", low=0.0, below=1.0
    )
    backbone_lr: float | None = flag(
        None,
        "learning rate of the backbone; by default --lr, or a tenth of it with pretrained weights. For muon: the share of its "
        "norm by which a filter changes in a step; by default 0.2, with pretrained weights 0.02",
        group="optimise",
        kind=float,
        low=0.0,
        high=1e4,
    )
    weight_decay: float = flag(
        0.01,
        "weight decay (L2 penalty; decoupled with adamw); not applied to norms, biases and muon's filters",
        group="optimise",
        low=0.0,
        high=1e3,
        usual=True,
    )
    l1: float = flag(0.0, "L1 penalty; not applied to norms and biases", group="optimise", low=0.0, high=1e3)
    label_smoothing: float = flag(0.0, "amount of label smoothing", group="optimise", low=0.0, below=1.0)
    augment: str = flag(
        "basic",
        f"augmentation of training images: {', '.join(AUGMENTS)}, or a list of steps such as rotation,flip,crop",
        group="optimise",
        usual=True,
    )
    small_epochs: int = flag(
        0,
        "number of first epochs with images of 3/4 of the side, which take 0.56 of the time",
        group="optimise",
        low=0,
    )
    mixup: float = flag(0.0, "alpha of mixup (0: off)", group="optimise", low=0.0, high=100.0)
    cutmix: float = flag(0.0, "alpha of CutMix (0: off)", group="optimise", low=0.0, high=100.0)
    ema: float = flag(
        0.0,
        "decay of the exponential moving average of the weights, for example 0.999 (0: off)",
        group="optimise",
        low=0.0,
        below=1.0,
    )
    clip: float = flag(0.0, "clip the gradient to this norm (0: off)", group="optimise", low=0.0)
    patience: int = flag(
        0,
        "stop after this number of epochs without a better validation metric (0: never)",
        group="optimise",
        low=0,
        usual=True,
    )
    tta: str = flag(
        "none",
        "test-time augmentation, reported beside the plain test: flip averages the predictions for an image and its mirror "
        "image; shift also moves both by one pixel",
        group="optimise",
        kind=tta_level,
        choices=TTA,
        identity=False,
        bare="flip",
    )
    grad_accumulation: str = flag(
        "auto", "number of parts in which a batch is computed; auto: as many as the memory requires", group="optimise"
    )

    device: str = flag("auto", "device: auto, cpu, cuda, cuda:N or mps", group="machine", usual=True)
    precision: str = flag(
        "auto",
        "floating-point precision; auto: bf16 if the hardware supports it",
        group="machine",
        choices=("auto", "fp32", "bf16", "fp16", "fp64"),
    )
    compile: str = flag(
        "auto",
        "use torch.compile; auto: for long runs on a GPU",
        group="machine",
        kind=on_off,
        choices=("auto", "on", "off"),
    )
    workers: str = flag(
        "auto",
        "threads that read images; auto: the cores available to this job",
        group="machine",
        kind=worker_count,
        identity=False,
        usual=True,
    )
    threads: int | None = flag(
        None,
        "compute threads of each process; by default OMP_NUM_THREADS, or the cores available to this job if they are fewer",
        group="machine",
        kind=int,
        low=1,
        high=4096,
        identity=False,
    )
    cache: str = flag(
        "auto",
        "cache of decoded images on disk: auto, off, or a folder",
        group="machine",
        kind=on_off,
        identity=False,
        usual=True,
    )
    sync_batchnorm: bool = flag(
        False, "with torchrun: BatchNorm statistics over all processes (GPUs only)", group="machine"
    )
    peer_timeout: str = flag(
        "5m",
        "with torchrun: time without an answer after which another process counts as lost",
        group="machine",
        identity=False,
    )
    deterministic: bool = flag(False, "bit-identical results on a GPU as well; slower", group="machine")
    seed: int = flag(0, "seed of all random numbers", group="machine", low=0, high=2**63 - 1, usual=True)
    max_time: str | None = flag(
        None,
        "save everything and stop before this time (HH:MM:SS) is over",
        group="machine",
        kind=str,
        identity=False,
        usual=True,
    )
    save_every: str = flag(
        "10m",
        "time between two saves within an epoch (10m, 30s, 1h), or a number of steps",
        group="machine",
        identity=False,
    )
    resume: str = flag(
        "auto",
        "resume an unfinished run of this name: if there is one (auto), never, or fail without one (must)",
        group="machine",
        choices=("auto", "never", "must"),
        identity=False,
        usual=True,
    )
    steal_lock: bool = flag(
        False,
        "take over the run of a process on another machine that has certainly ended",
        group="machine",
        identity=False,
    )
    profile: bool = flag(False, "report at the end where the time was spent", group="machine", identity=False)

    console: str = flag(
        "standard",
        "what to print; tutorial: also the lines of PyTorch's classifier tutorial",
        group="track",
        choices=("standard", "tutorial"),
        identity=False,
    )
    tensorboard: bool = flag(False, "log to TensorBoard, in outputs/tensorboard", group="track", identity=False)
    trackers: tuple[str, ...] = flag(
        (),
        "trackers to log to, separated by commas; --wandb and --tensorboard are short forms",
        group="track",
        kind=str,
        many="comma",
        choices=tuple(TRACKERS),
        identity=False,
    )
    config: str | None = flag(
        None, "YAML file with flags; flags on the command line override it", group="track", kind=str, identity=False
    )

    def __post_init__(self) -> None:
        check_flags(self)
        check_combinations(self)

    @property
    def root(self) -> Path:
        """The folder of --root_dir, with ~ expanded."""
        return Path(self.root_dir).expanduser()

    @property
    def batch(self) -> int:
        """--batch_size of a run whose training set is known (defaults.py)."""
        assert isinstance(self.batch_size, int)
        return self.batch_size

    @property
    def files_name(self) -> str:
        """The name of the run's own files: of a fold, that of its --run_name and its number."""
        return self.run_name if self.fold is None else fold_name(self.run_name, self.fold)

    @property
    def weights_source(self) -> str:
        """--weights, and behind it the SHA-256 that its file must have."""
        return self.weights + (f"{WEIGHTS_DIGEST}{self.weights_sha256}" if self.weights_sha256 else "")

    def identity(self) -> dict[str, Any]:
        """The flags that change numbers, by name."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.metadata["identity"]}

    def to_dict(self) -> dict[str, Any]:
        """All flags by name."""
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        """The same as JSON; tuples become lists."""
        return json.dumps(self.to_dict(), indent=2)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Config":
        """From `to_dict`, JSON (lists become tuples) or a checkpoint; flags that no longer exist are left out."""
        fields = {f.name for f in dataclasses.fields(cls)}
        # version 0.1.0 took an empty text, which meant that the flag was not given
        return cls(**{name: value for name, value in values.items() if name in fields and value != ""})
