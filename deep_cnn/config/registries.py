"""What a flag offers as choices, a row each: names, labels and where the code is. Imports nothing to its right.

A row's `code` is "module:attribute"; the layer to the right that uses it calls `resolve`. Flags' choices, -h, the manual's
tables and the report come from these rows, so a new optimizer, loss, schedule, tracker, report section or image format is a
row here and, where the code does not exist yet, one file.
"""

import importlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from deep_cnn.runtime.format import percent, quantity


def resolve(code: str) -> Any:
    """The object that "module:attribute" names."""
    module, _, attribute = code.partition(":")
    return getattr(importlib.import_module(module), attribute)


@dataclass(frozen=True)
class Row:
    """A row of a registry.

    name: what the flag takes; a name such as "timm/NAME" stands for any name with that prefix.
    description: a phrase for -h and the manual.
    code: "module:attribute".
    """

    name: str
    description: str
    code: str


AnyRow = TypeVar("AnyRow", bound=Row)
FAMILY = "/NAME"  # ends the name of a row that stands for many: "timm/NAME"


def _by_name(*rows: AnyRow) -> dict[str, AnyRow]:
    return {row.name: row for row in rows}


def known_as(value: object, names: Iterable[str]) -> str | None:
    """The name among a registry's names that a flag's value is or belongs to ("timm/lion" to "timm/NAME"); None if there is none."""
    for name in names:
        if value == name or (
            name.endswith(FAMILY) and str(value).startswith(prefix := name[: -len("NAME")]) and value != prefix
        ):
            return name
    return None


# ---- training --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Optimizer(Row):
    """code: a class or function that takes parameter groups; of a family such as timm/NAME, the name first.

    flags: the flags that it takes as keyword arguments of the same name.
    fused: whether it has a fused form (one pass over the parameters instead of one per operation).
    highest_lr: the last rate that --lr=auto tries; Adam's steps have the size of the rate itself: 1 is far beyond any use.
    orthogonal: whether it turns the backbone's filters, with a rate of its own (see training/optim/muon.py).
    """

    flags: tuple[str, ...] = ()
    fused: bool = False
    highest_lr: float = 1.0
    orthogonal: bool = False


OPTIMIZERS = _by_name(
    Optimizer("adamw", "Adam with decoupled weight decay", "torch.optim:AdamW", fused=True),
    Optimizer("adam", "Adam with weight decay as an L2 penalty", "torch.optim:Adam", fused=True),
    Optimizer(
        "sgd",
        "stochastic gradient descent with momentum",
        "torch.optim:SGD",
        flags=("momentum", "nesterov"),
        fused=True,
        highest_lr=10.0,
    ),
    Optimizer(
        "muon",
        "Muon for the backbone's filters, SGD for everything else",
        "deep_cnn.training.optim.muon:Muon",
        flags=("momentum", "nesterov"),
        highest_lr=10.0,
        orthogonal=True,
    ),
    Optimizer(
        "timm/NAME",
        "an optimizer of timm, such as timm/lion",
        "deep_cnn.training.optim.timm_optimizers:create",
        flags=("momentum",),
    ),
)


@dataclass(frozen=True)
class Schedule(Row):
    """code: (step, steps, warmup) -> factor on the learning rate; see training/optim/schedules.py.

    own_rise: whether it rises by itself, so that --warmup does not apply.
    """

    own_rise: bool = False


_SCHEDULES = "deep_cnn.training.optim.schedules"
SCHEDULES = _by_name(
    Schedule("cosine", "falls to 0 along a cosine", f"{_SCHEDULES}:cosine"),
    Schedule("onecycle", "rises for 30% of the steps, then falls", f"{_SCHEDULES}:onecycle", own_rise=True),
    Schedule("triangle", "rises and falls linearly", f"{_SCHEDULES}:triangle"),
    Schedule("step", "a tenth after each third of the steps", f"{_SCHEDULES}:step_decay"),
    Schedule("plateau", "a tenth when validation stops improving", f"{_SCHEDULES}:constant"),
    Schedule("constant", "stays the same", f"{_SCHEDULES}:constant"),
)


@dataclass(frozen=True)
class Loss(Row):
    """code: (outputs, targets, reduction="none") -> losses, as torch.nn.functional has them; of a classification also with
    `label_smoothing`. tasks: whose loss it can be, as --task names them; the first row that names a task is its default.
    task: code of a task that is learnt with this loss alone, instead of the one that --task names.
    """

    tasks: tuple[str, ...] = ()
    task: str = ""


LOSSES = _by_name(
    Loss("cross_entropy", "cross-entropy", "torch.nn.functional:cross_entropy", ("classification",)),
    Loss(
        "bce",
        "binary cross-entropy of each label",
        "torch.nn.functional:binary_cross_entropy_with_logits",
        ("multilabel",),
    ),
    Loss("mse", "mean squared error", "torch.nn.functional:mse_loss", ("regression",)),
    Loss("huber", "Huber's, less sensitive to outliers", "torch.nn.functional:huber_loss", ("regression",)),
    Loss(
        "ordinal",
        "CORN, for ratings in whole numbers of few levels",
        "deep_cnn.tasks.ordinal:corn",
        ("regression",),
        "deep_cnn.tasks.ordinal:Ordinal",
    ),
    Loss(
        "bradley_terry",
        "Bradley-Terry of votes; a tie is half a vote for each image",
        "deep_cnn.tasks.pair_losses:bradley_terry",
        ("pairwise",),
    ),
    Loss(
        "davidson",
        "Bradley-Terry with Davidson's parameter for ties",
        "deep_cnn.tasks.pair_losses:davidson",
        ("pairwise",),
    ),
)

# ---- data ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ImageFormat(Row):
    """code: (bytes, path, bits) -> uint8 (3, H, W), see data/formats.py; endings: of file names, in lower case.

    pillow: Pillow's names for it; no other formats are opened.
    magic: what such a file has at the byte `at`: the content and not the ending decides on the reader. Without one, Pillow reads it.
    needs: what has to be installed, where the requirements are not enough.
    """

    endings: tuple[str, ...] = ()
    pillow: tuple[str, ...] = ()
    magic: tuple[bytes, ...] = ()
    at: int = 0
    needs: str = ""


_FORMATS = "deep_cnn.data.formats"
_PILLOW = f"{_FORMATS}:read_by_pillow"
IMAGE_FORMATS = _by_name(
    ImageFormat(
        "JPEG",
        "also as Windows and browsers call it: .jfif, .pjpeg, .pjp",
        f"{_FORMATS}:read_jpeg",
        (".jpg", ".jpeg", ".jpe", ".jif", ".jfif", ".jfi", ".pjpeg", ".pjp"),
        ("JPEG", "MPO"),
        (b"\xff\xd8\xff",),
    ),
    ImageFormat("PNG", "", _PILLOW, (".png",), ("PNG",), (b"\x89PNG",)),
    ImageFormat("WebP", "", _PILLOW, (".webp",), ("WEBP",), (b"RIFF",)),
    ImageFormat("BMP", "", _PILLOW, (".bmp",), ("BMP",), (b"BM",)),
    ImageFormat("GIF", "first frame", _PILLOW, (".gif",), ("GIF",), (b"GIF8",)),
    ImageFormat("TIFF", "first page", _PILLOW, (".tif", ".tiff"), ("TIFF",), (b"II*\0", b"MM\0*")),
    ImageFormat(
        "AVIF", "", f"{_FORMATS}:read_avif", (".avif",), ("AVIF",), (b"avif", b"avis"), at=8, needs="'pillow>=11.3'"
    ),
    ImageFormat(
        "HEIC",
        "photographs of iPhones",
        f"{_FORMATS}:read_heic",
        (".heic", ".heif", ".hif"),
        ("HEIF",),
        (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1"),
        at=8,
        needs="pillow-heif",
    ),
)
IMAGE_ENDINGS = frozenset(ending for row in IMAGE_FORMATS.values() for ending in row.endings)


@dataclass(frozen=True)
class Augmentation(Row):
    """One step of a chain. code: the class of the step, called with `arguments`; see data/augment/steps.py.

    before: the steps that come first where --augment names this one alone.
    """

    arguments: tuple[Any, ...] = ()
    before: tuple[str, ...] = ()


_STEPS, _POLICY = "deep_cnn.data.augment.steps", "deep_cnn.data.augment.policies:Policy"
AUGMENTATIONS = _by_name(
    Augmentation("crop", "35% to 100% of the image, resized", f"{_STEPS}:ResizedCrop", ((0.35, 1.0),)),
    # Inception's range, for training from scratch on many images
    Augmentation("zoom", "8% to 100% of the image, resized", f"{_STEPS}:ResizedCrop", ((0.08, 1.0),)),
    # 4 black pixels at 32: He et al. 2015
    Augmentation(
        "shift", "shift by up to an eighth of the side, black border", f"{_STEPS}:ShiftedCrop", (8, "constant")
    ),
    # 2 mirrored pixels at 32: Jordan 2024
    Augmentation("translate", "shift by up to a 16th, mirrored border", f"{_STEPS}:ShiftedCrop", (16, "reflect")),
    Augmentation("flip", "mirror left and right", f"{_STEPS}:Flip", (-1,)),
    Augmentation("alternate", "mirror in every other epoch", f"{_STEPS}:AlternatingFlip", (-1,)),
    Augmentation("vflip", "mirror top and bottom", f"{_STEPS}:Flip", (-2,)),
    Augmentation("rotation", "rotate by up to 15 degrees", f"{_STEPS}:Rotation", (15,)),
    Augmentation("colour", "brightness, contrast and saturation by up to 20%", f"{_STEPS}:Colour", (0.2,)),
    Augmentation("erasing", "a grey box in a tenth of the images", f"{_STEPS}:Erasing", (0.1,)),
    Augmentation("cutout", "a grey square of half the side", f"{_STEPS}:Cutout"),
    # alone: behind crop and flip; in a list: as listed
    Augmentation("trivialaugment", "TrivialAugment", _POLICY, ("trivialaugment",), before=("crop", "flip")),
    Augmentation("randaugment", "RandAugment", _POLICY, ("randaugment",), before=("crop", "flip")),
    Augmentation("autoaugment", "AutoAugment", _POLICY, ("autoaugment",), before=("crop", "flip")),
)
AUGMENTATION_PRESETS: dict[str, tuple[str, ...]] = {
    "none": (),
    "basic": ("crop", "flip", "colour"),
    "strong": ("zoom", "flip", "trivialaugment", "erasing"),  # torchvision's training reference since 2021
    "cifar": ("shift", "flip"),
    "cifar_fast": ("translate", "alternate"),
}

# ---- what people look at ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figure(Row):
    """A figure of a test set, NAME.png in the run's results. code: (task, decoded, targets) -> its panels; see reporting/plots.

    description: its caption in the report; title: above it.
    tasks: those that have it, as --task names them.
    by_run: drawn by the run itself, so that trackers show it, and not only with the report.
    section: of the report, that shows it; empty: the report shows the same in another way.
    by_place: a map: code takes the images' `Sites`, too, and the figure is only drawn where these are known.
    note: (task, targets, sites, test.json) -> more sentences of a map's caption.
    columns: panels beside each other in NAME.png; together: so many stay beside each other in the report, on a wide screen.
    """

    title: str = ""
    tasks: tuple[str, ...] = ()
    by_run: bool = False
    section: str = "test"
    by_place: bool = False
    note: str = ""
    columns: int = 3
    together: int = 1


_PLOTS = "deep_cnn.reporting.plots"
FIGURES = _by_name(
    Figure(
        "confusion_matrix",
        "Rows are the true classes; each row adds up to 100%.",
        f"{_PLOTS}.confusion_matrix:panels",
        title="Confusion matrix",
        tasks=("classification",),
        by_run=True,
        section="",
    ),
    Figure(
        "predicted_vs_true",
        "Points on the line are predicted without error.",
        f"{_PLOTS}.predicted_vs_true:panels",
        title="Predicted and true values",
        tasks=("regression", "ordinal"),
        by_run=True,
    ),
    Figure(
        "residuals",
        "Points spread evenly around the line: the errors do not depend on the prediction. If they rise from left to right, the "
        "predictions are too far from the mean; if they fall, too close to it.",
        f"{_PLOTS}.residuals:panels",
        title="Residuals",
        tasks=("regression", "ordinal"),
    ),
    Figure(
        "score_map",
        "Test images at their latitude and longitude, north is up. Residual: predicted minus true, blue where the prediction is too low, "
        "orange where it is too high. The colours of a target are the same on all maps; they end at the 2% and 98% quantiles of the "
        "predictions, and at the 98% quantile of the residuals without their sign.",
        f"{_PLOTS}.score_map:panels",
        title="Map of predictions and residuals",
        tasks=("regression", "ordinal"),
        by_place=True,
        note=f"{_PLOTS}.score_map:note",
        columns=4,
        together=2,
    ),
    Figure(
        "reliability",
        "Points below the line: the network is over-confident. A perfectly calibrated network has 95% of its points in the grey ranges.",
        f"{_PLOTS}.reliability:panels",
        title="Reliability",
        tasks=("classification",),
        section="calibration",
    ),
)

# name: the part of the page, templates/sections/NAME.html; description: its heading; code: (record, photographs) -> the values of
# that template, or None where the run has no such section. In the order of the page.
_PAGE = "deep_cnn.reporting.report.sections"
REPORT_SECTIONS = _by_name(
    Row("data", "Data and splits", f"{_PAGE}:data"),
    Row("learning_curves", "Learning curves", f"{_PAGE}:learning_curves"),
    Row("test", "Test", f"{_PAGE}:test"),
    Row("mistakes", "Errors", f"{_PAGE}:mistakes"),
    Row("explanations", "Explanations", f"{_PAGE}:explanations"),
    Row("calibration", "Calibration", f"{_PAGE}:calibration"),
    Row("cost", "Time and machine", f"{_PAGE}:cost"),
    Row("repeat", "How to repeat it", f"{_PAGE}:repeat"),
)

# name: of --trackers; code: (flags of the run, its files, the network in words, first epoch) -> Tracker
TRACKERS = _by_name(
    Row(
        "tensorboard",
        "TensorBoard, in outputs/tensorboard",
        "deep_cnn.reporting.trackers.tensorboard:TensorBoardTracker",
    ),
    Row("wandb", "Weights & Biases", "deep_cnn.reporting.trackers.wandb:WandbTracker"),
)

# ---- metrics -----------------------------------------------------------------------------------------------------------


def any_names(names: Sequence[str]) -> bool:
    """True: the metric is one of any classes or targets."""
    return True


def several(names: Sequence[str]) -> bool:
    """Whether there is more than one class or target."""
    return len(names) > 1


def more_than_five(names: Sequence[str]) -> bool:
    """Whether there are more than five classes."""
    return len(names) > 5


def whole_numbers(names: Sequence[str]) -> bool:
    """Whether all classes are whole numbers, such as ratings from 1 to 5: only then their order is known to mean something."""
    return all(re.fullmatch(r"[+-]?[0-9]+", name) for name in names)


@dataclass(frozen=True)
class Metric:
    """A metric: one row here and one function in tasks/metrics.py, or tasks/score_metrics.py, are all it needs; `_metric` makes a row
    that also names a function in tasks/left_out.py, so that its interval takes one pass.

    name: in test.json, metrics.csv and flags; label: for people.
    tasks: those that have it, as --task names them; fits: whether a task with these class names has it.
    code: computes it from a selection of samples; empty for what the task itself defines: the loss, and metrics of votes.
    share: a fraction, shown in percent.
    in_units: in the unit of the target, so that only targets of one unit have a mean.
    interval: how its confidence interval is made: "wilson" for a share of images, "dyadic" for one of votes, "bonett_wright", or the scale of the jackknife
    (tasks/confidence.SCALES); empty: the logit's for a share, else none.
    left_out: computes it without each sample in one pass, see tasks/left_out.py; empty: it is computed anew.
    """

    name: str
    label: str
    tasks: tuple[str, ...]
    code: str
    share: bool = False
    in_units: bool = False
    higher_is_better: bool = True
    interval: str = ""
    left_out: str = ""
    fits: Callable[[Sequence[str]], bool] = any_names

    def belongs_to(self, task: str, names: Sequence[str]) -> bool:
        """Whether a task of this name, with these classes, labels or targets, has the metric."""
        return task in self.tasks and self.fits(names)


_CODE, _OF_SCORES, _LEFT_OUT = "deep_cnn.tasks.metrics:", "deep_cnn.tasks.score_metrics:", "deep_cnn.tasks.left_out:"
_CLASSES, _LABELS, _NUMBERS, _VOTES = ("classification",), ("multilabel",), ("regression", "ordinal"), ("pairwise",)
_BOTH, _LEVELS = _CLASSES + _LABELS, ("ordinal",)


def _metric(name: str, label: str, tasks: tuple[str, ...], function: str = "", **about: Any) -> Metric:
    """A row whose functions have the metric's name, or another one."""
    function = function or name
    code = _CODE if set(tasks) <= set(_BOTH) else _OF_SCORES
    return Metric(name, label, tasks, f"{code}{function}", left_out=f"{_LEFT_OUT}{function}", **about)


# In the order in which they are shown; files have the loss first
METRICS: dict[str, Metric] = {
    row.name: row
    for row in (
        _metric("top1", "top-1", _CLASSES, share=True, interval="wilson"),
        _metric("top5", "top-5", _CLASSES, share=True, interval="wilson", fits=more_than_five),
        _metric("balanced_accuracy", "balanced accuracy", _CLASSES, share=True),
        _metric("map", "mAP", _LABELS, "mean_average_precision", share=True),
        _metric("macro_f1", "macro F1", _BOTH, share=True),
        _metric(
            "quadratic_weighted_kappa",
            "quadratic weighted kappa",
            _CLASSES,
            fits=whole_numbers,
            interval="log(1 - x)",
        ),
        _metric("micro_f1", "micro F1", _LABELS, share=True),
        _metric("mae", "MAE", _NUMBERS, in_units=True, higher_is_better=False, interval="log"),
        _metric("rmse", "RMSE", _NUMBERS, in_units=True, higher_is_better=False, interval="log"),
        _metric("mae_sd", "MAE in SD", _NUMBERS, higher_is_better=False, fits=several, interval="log"),
        Metric("pair_accuracy", "pair accuracy", _VOTES, "", share=True, interval="dyadic"),
        _metric("r2", "R2", _NUMBERS, interval="log(1 - x)"),
        _metric("pearson", "Pearson", _NUMBERS + _VOTES, interval="atanh"),
        Metric("spearman", "Spearman", _NUMBERS + _VOTES, f"{_OF_SCORES}spearman", interval="bonett_wright"),
        _metric("level_mae", "MAE of levels", _LEVELS, in_units=True, higher_is_better=False, interval="log"),
        _metric("level_kappa", "quadratic weighted kappa", _LEVELS, interval="log(1 - x)"),
        Metric(
            "loss",
            "loss",
            _BOTH + _NUMBERS + _VOTES,
            "",
            higher_is_better=False,
            interval="log",
            left_out=f"{_LEFT_OUT}loss",
        ),
    )
}


def metric_row(name: str) -> Metric:
    """The row of "top1", of one target's "price/mae", or of "tta/top1"; a name without a row is shown as it is."""
    last = name.rpartition("/")[2]
    return METRICS.get(last) or Metric(last, last, (), "")


def shown(name: str, value: float | None, decimals: int = 2) -> str:
    """A metric's value for people; decimals: of those in percent."""
    if value is None:
        return "undefined"
    return percent(value, decimals) if metric_row(name).share else quantity(value)
