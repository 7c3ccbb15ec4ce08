"""Every flag of a training run: default, help, range and choices in one place.

`flag()` describes one flag of any verb; `Config` is the training run's. The flags that change no number of the result
(where things lie, how many workers, what is tracked) are marked `identity=False`: two runs that differ only in those
are the same run.
"""

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deep_cnn.errors import ConfigError, nearest

TTA = ("none", "flip", "shift")
PLACES365 = "input/places365standard_easyformat/places365_standard"


def flag(
    default: Any,
    help: str,
    *,
    group: str,
    kind: type | None = None,
    choices: tuple[str, ...] = (),
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    usual: bool = False,
    identity: bool = True,
    many: str = "",
) -> Any:
    """A dataclass field that is a flag of the command line.

    Args:
        kind: type of its value; by default that of `default`.
        choices: the values it takes.
        low, high: bounds that are allowed; above, below: bounds that are not.
        usual: shown by -h, not only by --help_all.
        identity: whether another value makes another run.
        many: may be given several times; "comma": also as a comma-separated list; "repeat": not so; "words": also as
            several words.
    """
    metadata = {
        "help": help,
        "group": group,
        "kind": kind or type(default),
        "choices": choices,
        "low": low,
        "high": high,
        "above": above,
        "below": below,
        "usual": usual,
        "identity": identity,
        "many": many,
    }
    return dataclasses.field(default=default, metadata=metadata)


def rate(text: str | float) -> float | str:
    """A learning rate, or 'auto'."""
    return "auto" if text == "auto" else float(text)


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
        choices=("auto", "cross_entropy", "bce", "mse", "huber"),
    )
    optimizer: str = flag("adamw", "optimizer", group="optimise", choices=("adamw", "adam", "sgd", "muon"), usual=True)
    momentum: float = flag(0.9, "momentum of sgd and muon", group="optimise", low=0.0, below=1.0)
    nesterov: bool = flag(False, "Nesterov's momentum, with sgd or muon", group="optimise")
    schedule: str = flag(
        "cosine",
        "course of the learning rate",
        group="optimise",
        choices=("cosine", "onecycle", "triangle", "step", "plateau", "constant"),
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


# A recipe is a row: the defaults that it changes. A flag on the command line wins over its recipe.
RECIPES: dict[str, dict[str, Any]] = {
    # AdamW, warm-up, cosine and a slower backbone: common practice for fine-tuning (e.g. Kornblith, Shlens and Le, 2019)
    "finetune": {},
    # the head alone, on features computed once
    "probe": {"freeze": "backbone", "augment": "none", "weight_decay": 0.0},
    # He et al. 2016 for CIFAR-10, with Nesterov's momentum and cosine decay
    "scratch": {"weights": "none", "optimizer": "sgd", "nesterov": True, "lr": 0.1, "weight_decay": 5e-4},
    # Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024, with a moving average instead of Lookahead, and with two later
    # savings: Muon for the filters (Jordan's own record of November 2024: batch, epochs, its rate 0.24 and momentum are from there; the
    # head's rate is that one's for a mean loss and outputs divided by 9, at one momentum for all), and small images first.
    "cifar_fast": {
        "model": "cifar_fast",
        "weights": "none",
        "augment": "cifar_fast",
        "val_split": 0.0,
        "epochs": 8,
        "batch_size": 2000,
        "optimizer": "muon",
        "nesterov": True,
        "momentum": 0.6,
        "lr": 4.3,
        "backbone_lr": 0.24,
        "weight_decay": 0.0009,
        "schedule": "triangle",
        "warmup": 0.0,
        "small_epochs": 3,
        "label_smoothing": 0.2,
        "ema": 0.9,
        "tta": "shift",
    },
    # PyTorch's tutorial "Training a classifier", on CIFAR-10
    "tutorial": {
        "model": "net",
        "weights": "none",
        "pre": "half",
        "augment": "none",
        "val_split": 0.0,
        "epochs": 2,
        "batch_size": 4,
        "optimizer": "sgd",
        "lr": 1e-3,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "schedule": "constant",
        "warmup": 0.0,
        "precision": "fp32",
        "console": "tutorial",
    },
}


def with_recipe(given: dict[str, Any], options_class: type[Config] = Config) -> Config:
    """The run that flags ask for: defaults, then the recipe's, then the flags themselves."""
    recipe = given.get("recipe", "finetune")
    if recipe not in RECIPES:
        raise ConfigError(f"--recipe={recipe}: unknown; there are {', '.join(RECIPES)}.{nearest(recipe, RECIPES)}")
    return options_class(**(RECIPES[recipe] | given))


def recipe_line(config: Config) -> str:
    """What the recipe of a run sets, and which of that was given otherwise: a line for its log."""
    recipe = RECIPES[config.recipe]
    kept = [f"--{name}={value}" for name, value in recipe.items() if getattr(config, name) == value]
    other = [f"--{name}={getattr(config, name)}" for name in recipe if getattr(config, name) != recipe[name]]
    said = " ".join(kept) or "no default is changed"
    return f"Recipe {config.recipe}: {said}" + (f"; given otherwise: {' '.join(other)}" if other else "")


def check_ranges(options: Any) -> None:
    """Raise ConfigError for the first flag of a dataclass of flags whose value is out of its range or choices."""
    for f in dataclasses.fields(options):
        value, meta = getattr(options, f.name), f.metadata
        if value is None or (value == f.default and not meta["choices"]):
            continue
        if meta["choices"] and value not in meta["choices"]:
            known = ", ".join(meta["choices"])
            raise ConfigError(
                f"--{f.name}={value}: unknown; choose one of {known}.{nearest(str(value), meta['choices'])}"
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"--{f.name}={value}: expected a finite number")
        bounds = {
            "at least": (meta["low"], lambda v, bound: v >= bound),
            "at most": (meta["high"], lambda v, bound: v <= bound),
            "above": (meta["above"], lambda v, bound: v > bound),
            "below": (meta["below"], lambda v, bound: v < bound),
        }
        for word, (bound, holds) in bounds.items() if not isinstance(value, str) else ():
            if bound is not None and not holds(value, bound):
                raise ConfigError(f"--{f.name}={value}: out of range; it must be {word} {bound:g}")


def check_combinations(config: Config) -> None:
    """Raise ConfigError for flags that contradict each other, as far as that can be told without looking at the data."""
    if config.val_split + config.test_split >= 1:
        raise ConfigError(
            f"--val_split={config.val_split:g} --test_split={config.test_split:g}: "
            "nothing would be left to train on; their sum must be below 1"
        )
    if config.freeze not in ("none", "backbone") and not (config.freeze.isdecimal() and int(config.freeze) > 0):
        raise ConfigError(f"--freeze={config.freeze}: expected none, backbone, or a number of stages from 1 on")
    if config.unfreeze_epoch is not None and config.freeze == "none":
        raise ConfigError("--unfreeze_epoch: nothing is frozen; add --freeze=backbone or --freeze=N")
    if config.views and (config.freeze != "backbone" or config.unfreeze_epoch is not None):
        raise ConfigError("--views: only with --freeze=backbone and without --unfreeze_epoch")
    if config.small_epochs and config.freeze == "backbone" and config.unfreeze_epoch is None:
        raise ConfigError(
            "--small_epochs: not with a frozen backbone, whose features are of images as they are tested "
            "(--small_epochs=0 where a recipe sets it)"
        )
    if config.nesterov and (config.optimizer not in ("sgd", "muon") or config.momentum == 0):
        raise ConfigError("--nesterov: only with --optimizer=sgd or muon, and a --momentum above 0")
    if config.grad_accumulation != "auto" and not positive_integer(config.grad_accumulation):
        raise ConfigError(f"--grad_accumulation={config.grad_accumulation}: expected auto or a whole number from 1 on")
    if config.workers != "auto" and not config.workers.isdecimal():
        raise ConfigError(f"--workers={config.workers}: expected auto or a whole number")
    if not config.run_name or set(config.run_name) & set('/\\:*?"<>|\n') or config.run_name in (".", ".."):
        raise ConfigError(f"--run_name={config.run_name}: it names files, so use letters, digits, '.', '_' and '-'")
    if config.subset_order != "stratified" and config.subset is None:
        raise ConfigError(f"--subset_order={config.subset_order}: orders what --subset takes; add --subset=15000")
    parse_subset(config.subset)
    parse_duration("max_time", config.max_time)
    parse_duration("peer_timeout", config.peer_timeout)
    if not positive_integer(config.save_every):
        parse_duration("save_every", config.save_every)


def positive_integer(text: str) -> bool:
    return text.isdecimal() and int(text) > 0  # "²" is a digit, but no number


def parse_subset(text: str | None) -> int | float | None:
    """'5000' -> 5000 images, '0.1' -> a tenth; ConfigError otherwise."""
    if text is None:
        return None
    try:
        value = int(text) if str(text).isdecimal() else float(text)
    except ValueError:
        value = 0
    if not value > 0 or (isinstance(value, float) and value > 1):  # NaN is not above 0
        raise ConfigError(f"--subset={text}: expected a number of images (5000) or a share of them (0.1)")
    return value


def parse_duration(name: str, text: str | None) -> float | None:
    """'HH:MM:SS', 'MM:SS', '90s', '10m' or '2h' -> seconds; ConfigError, naming the flag, otherwise."""
    if text is None:
        return None
    try:
        if ":" in text:
            seconds = 0.0
            for part in text.split(":"):
                seconds = 60 * seconds + float(part)
        else:
            seconds = float(text[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[text[-1]]
    except (ValueError, KeyError, IndexError):
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise ConfigError(f"--{name}={text}: expected a duration such as 23:30:00, 90s, 10m or 2h")
    return seconds
