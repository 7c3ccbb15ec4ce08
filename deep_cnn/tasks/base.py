"""What a task must answer: how it is learnt, scored and written down. Nobody outside this folder asks which task it is."""

import dataclasses
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from deep_cnn.config.fields import wrong
from deep_cnn.config.registries import LOSSES, METRICS, metric_row, resolve
from deep_cnn.data.certainty import Certainty
from deep_cnn.data.dataset import Dataset, Targets
from deep_cnn.data.index import Index
from deep_cnn.data.split import Strata, groups_trained_on
from deep_cnn.tasks.conformal import Calibration, Rule
from deep_cnn.tasks.differences import differences
from deep_cnn.tasks.intervals import held_out_result
from deep_cnn.tasks.metrics import Scored
from deep_cnn.tasks.suspects import Suspect

log = logging.getLogger(__name__)


class Chance(NamedTuple):
    """What a network reaches that learnt nothing: its `select` metric, how that is reached, and its loss in nats."""

    value: float
    how: str
    loss: float | None = None


class Mistake(NamedTuple):
    """A prediction that is wrong: of which row, and in words what was predicted and what is true."""

    row: int
    predicted: str
    truth: str


@dataclass(frozen=True)
class Task(ABC):
    """The interface of the tasks.

    Where `targets` are given, they are rows of `Index.targets`; `decoded` is what `decode` gives, float64 (N, K).

    names: the classes, labels or targets, in the order of the network's outputs.
    loss: name of the loss; label_smoothing: for classes, in training only.
    """

    names: tuple[str, ...]
    loss: str
    label_smoothing: float = 0.0

    name: ClassVar[str]  # as --task has it
    old_name: ClassVar[str]  # in checkpoints, config.json and test.json, whose keys stay as they were in 0.1.0
    title: ClassVar[str]  # in a sentence
    noun: ClassVar[str]  # what an output stands for
    nouns: ClassVar[str]
    select: ClassVar[str]  # the validation metric that chooses the best epoch
    headline: ClassVar[tuple[str, ...]]  # metrics that stand for a result: the first that is defined
    signed: ClassVar[bool] = False  # whether what lowers an output is as interesting as what raises it
    smooths_labels: ClassVar[bool] = True
    difference_unit: ClassVar[str]  # of `largest_difference`
    blends: ClassVar[bool] = True  # whether two samples have a mean (mixup)
    has_rarity: ClassVar[bool] = True  # whether samples can be rare
    has_scales: ClassVar[bool] = False  # whether targets can be learnt on another scale
    has_unit_scores: ClassVar[bool] = False  # whether outputs and targets are numbers of one and the same unit
    scale_from_outputs: ClassVar[bool] = False  # whether the outputs of training images are needed to `decode`
    vote_metrics: ClassVar[tuple[str, ...]] = ()  # metrics that test.json alone has: of votes, not of images

    # --- learning ----------------------------------------------------------------------------------------------------

    @property
    def answers(self) -> str:
        """What it predicts, as --task names it: runs of the same data and answers can be compared."""
        return self.name

    @property
    def flag(self) -> str:
        """The flag that asks for this task."""
        return f"--task={self.name}"

    @property
    def outputs(self) -> int:
        """Width K of the network's output."""
        return len(self.names)

    def fitted(self, train_targets: np.ndarray) -> "Task":
        """With what the task learns from the targets of the training set alone."""
        return self

    def fitted_to(self, dataset: Dataset) -> "Task":
        """With what the task learns from the training set of a data set."""
        return self.fitted(dataset.index.targets[dataset.splits.train])

    def settled(self, outputs: np.ndarray) -> "Task":
        """With what it learns, after training, from the best network's raw outputs of training images (n, K)."""
        return self

    def prepare_heads(self, heads: Sequence[nn.Module]) -> None:  # noqa: B027
        """What the task asks of a network's last layers, before the first step or a saved state; nothing of most."""

    def calibrated(self, outputs: np.ndarray, targets: np.ndarray) -> "Task":
        """With what the task learns from the validation set: how outputs become probabilities and decisions.

        Args:
            outputs: raw, of the network that is kept, float (N, K).
        """
        return self

    def uncalibrated(self) -> "Task":
        """Without what `calibrated` has learnt."""
        return self

    def as_tested(self, test: dict[str, Any]) -> "Task":
        """With what `calibrated` has learnt, as test.json has it."""
        return self

    def of_ensemble(self, tasks: Sequence["Task"]) -> "Task":
        """How the mean of several networks' decoded outputs is read. tasks: theirs."""
        return self

    def in_one_unit(self) -> "Task":
        """With the knowledge that all of its targets have the same unit."""
        return self

    def with_targets(self, targets: np.ndarray) -> "Task":
        """With what the task must know of the targets of all images before they are split. ConfigError where they do not suit the loss."""
        return self

    def on_scale(self, transform: str, targets: np.ndarray) -> "Task":
        """With targets that are learnt on another scale (--target_transform); ConfigError where they are no scores.

        Args:
            targets: all of the index.
        """
        raise wrong("target_transform", transform, f"is for scores, not for {self.flag}", "omit it")

    def has_loss_of(self, targets: np.ndarray) -> bool:
        """Whether other images' targets, (N, K), have a place on the scale that was learnt, so that their loss is defined."""
        return True

    def with_units(self, units: Sequence[str]) -> "Task":
        """With the units of its targets, for people to read.

        Args:
            units: one for each target, or one for all.

        Raises:
            ConfigError: nothing here has a unit, or another number of targets.
        """
        if units:
            raise wrong("unit", ",".join(units), f"there are {self.nouns} to learn, and no numbers", "omit --unit")
        return self

    def unit(self, output: int) -> str:
        """Of what an output means, '' where it is not known."""
        return ""

    def usual_range(self, output: int) -> tuple[float, float] | None:
        """Between which scores nearly all of the training set were; None of what has no scores."""
        return None

    @abstractmethod
    def encode(self, targets: np.ndarray) -> Tensor:
        """The index's targets as the loss wants them; row n belongs to sample n."""

    def encode_samples(self, index: Index) -> Tensor:
        """The same of each sample that can be trained on, where a sample is no single image."""
        return self.encode(index.targets)

    def soft(self, targets: Tensor) -> Tensor:
        """Encoded targets in a form that can be averaged between two images (mixup): float (B, K)."""
        return targets

    @property
    def loss_function(self) -> Callable[..., Tensor]:
        """(outputs, targets, reduction="none") -> losses, of the registry LOSSES."""
        function: Callable[..., Tensor] = resolve(LOSSES[self.loss].code)
        return function

    @abstractmethod
    def losses_and_weights(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of each sample, summed over what it has of targets, and how many those are: float (B,), float (B,)."""

    def batch_weight(self, targets: Tensor, weights: Tensor) -> Tensor:
        """What the sum of losses is divided by: the weights (B,) of the samples, each as often as it has known targets."""
        return weights.sum()

    @abstractmethod
    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """Raw outputs (N, K) as probabilities, or as scores in their own units: float64 (N, K)."""

    @abstractmethod
    def activation(self) -> nn.Module:
        """`decode` as a layer, for exported networks: float32 (B, K) -> (B, K)."""

    # --- the targets of a data set -----------------------------------------------------------------------------------

    @abstractmethod
    def strata(self, targets: np.ndarray) -> Strata:
        """What splits and subsets keep in proportion."""

    @abstractmethod
    def rarity(self, targets: np.ndarray, train: np.ndarray) -> np.ndarray:
        """Weight of each sample for --oversample and --class_weights; see data/balance.py.

        Args:
            train: the training samples, int64 (n,).

        Returns:
            float64 (N,), inverse to how many training samples share its class, labels or score.
        """

    def members(self, targets: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Each class or label, and which samples have it, bool (N,); nothing where the targets are numbers."""
        return iter(())

    def measured(self, targets: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Each number that is learnt, and its values, float64 (N,), NaN where missing; nothing where there are classes."""
        return iter(())

    @abstractmethod
    def distribution(self, targets: np.ndarray) -> list[str]:
        """What is learnt of each image and how it is distributed, in sentences for a paper. targets: of all images."""

    @abstractmethod
    def target_rows(self, targets: np.ndarray) -> list[list[str]]:
        """Each sample's target as text, as splits.csv has it: its class, its labels joined by ';', or its scores."""

    @abstractmethod
    def parse_targets(self, cells: Sequence[Sequence[str]]) -> np.ndarray:
        """The inverse of `target_rows`."""

    # --- scores ------------------------------------------------------------------------------------------------------

    @property
    def higher_is_better(self) -> bool:
        """Of `select`."""
        return metric_row(self.select).higher_is_better

    def metric_names(self) -> list[str]:
        """The columns of metrics.csv that validation fills, without val_."""
        return [row.name for row in METRICS.values() if row.belongs_to(self.name, self.names)]

    def validation_loss(self, outputs: np.ndarray, targets: np.ndarray) -> float:
        """Mean loss per sample (nats), or per known score (units of the training set's spread, squared with mse).

        Args:
            outputs: raw, float (N, K).
        """
        losses, weights = self._plain_losses(outputs, targets)
        return float(losses.sum() / weights.sum())

    def _plain_losses(self, outputs: np.ndarray, targets: np.ndarray) -> tuple[Tensor, Tensor]:
        """Losses without smoothing, and their weights, float64 (N,)."""
        plain = dataclasses.replace(self, label_smoothing=0.0)
        return plain.losses_and_weights(torch.from_numpy(outputs).double(), plain.encode(targets))

    def scored(self, outputs: np.ndarray, targets: np.ndarray) -> Scored:
        """A split's raw outputs (N, K) and targets, ready to be scored as the task is scored."""
        return self.scored_decoded(self.decode(outputs), targets)

    @abstractmethod
    def scored_decoded(self, decoded: np.ndarray, targets: np.ndarray) -> Scored:
        """The same from decoded outputs, which is what predictions_test.csv holds."""

    def pooled(self, parts: Sequence[tuple["Task", np.ndarray, np.ndarray]]) -> Scored:
        """Predictions of several networks, of other images each: (its task, decoded, targets)."""
        return self.scored_decoded(*(np.concatenate([part[k] for part in parts]) for k in (1, 2)))

    def truth(self, dataset: Dataset, split: str) -> np.ndarray:
        """What the decoded outputs of a split's images are compared with, a row per image."""
        targets: np.ndarray = dataset.index.targets[dataset.samples(split)]
        return targets

    def epoch_scores(self, dataset: Dataset, split: str, outputs: np.ndarray) -> dict[str, float | None]:
        """An epoch's metrics by name; one of a target is 'price/mae'. `loss` is what training minimises, without smoothing.

        Args:
            outputs: raw, float (n, K), of the images `dataset.scored(split)`.
        """
        targets = self.truth(dataset, split)
        return {"loss": self.validation_loss(outputs, targets)} | {
            name: value for name, value in self.scored(outputs, targets).scores().items() if name != "loss"
        }

    def held_out_result(self, dataset: Dataset, split: str, outputs: np.ndarray) -> dict[str, Any]:
        """What test.json holds: all metrics of a split, their 95% intervals, each group's, and what is better than looking at no image.

        Args:
            outputs: raw, float (n, K), of the images `dataset.scored(split)`.
        """
        index, rows = dataset.index, dataset.samples(split)
        targets = self.truth(dataset, split)
        groups = None if index.groups is None else index.groups[rows]
        scores = self.scored(outputs, targets)
        result = held_out_result(
            scores,
            groups=groups,
            group_names=index.group_names,
            trained=groups_trained_on(index.groups, rows, dataset.splits.train),
        )
        blind = self.uncalibrated().scored_decoded(self.blind(index.targets[dataset.splits.train], len(rows)), targets)
        about = {"split": split, "task": self.old_name, "task_name": self.name}
        beyond = {"differences": {self.blind_name: differences(scores, blind, groups)}}
        certainty = None if index.certainty is None else index.certainty.take(rows)
        calibration = self.calibration_result(outputs, targets)
        ceiling = self.noise_ceiling(scores, certainty, groups)
        return (
            about
            | result
            | beyond
            | {"loss": self.validation_loss(outputs, targets)}
            | ({"noise_ceiling": ceiling} if ceiling else {})
            | ({"calibration": calibration} if calibration else {})
            | self.place_result(scores, None if index.places is None else index.places[rows], groups)
        )

    def chance(self, targets: np.ndarray) -> Chance | None:
        """What a network that learnt nothing would reach on these targets; None where a metric says it (R2)."""
        return None

    @property
    @abstractmethod
    def blind_name(self) -> str:
        """What `blind` is called in test.json: "majority_class" or "mean_predictor"."""

    @property
    @abstractmethod
    def blind_words(self) -> str:
        """What `blind` does, in a sentence: "always predicting the most frequent class"."""

    @abstractmethod
    def blind(self, train_targets: np.ndarray, n: int) -> np.ndarray:
        """What one would say of n images without looking at them, as `decode` gives it: float64 (n, K)."""

    has_linear: ClassVar[bool] = True  # whether `linear` says something of its targets

    @abstractmethod
    def linear(self, train: np.ndarray, train_targets: np.ndarray, test: np.ndarray) -> np.ndarray:
        """What a linear predictor says of test images, as `decode` gives it, float64 (m, K); see tasks/linear.py.

        Args:
            train, test: a few numbers of each image, float64 (n, F), (m, F).
        """

    def confusion(self, decoded: np.ndarray, targets: np.ndarray) -> np.ndarray | None:
        """How many images of which class were taken for which, int64 (K, K), true class by row; None where images have no one class."""
        return None

    def calibration(self, decoded: np.ndarray, targets: np.ndarray) -> dict[str, Any] | None:
        """See tasks/calibration.py; None where nothing is a confidence in one class."""
        return None

    def noise_ceiling(
        self, scores: Scored, certainty: Certainty | None, groups: np.ndarray | None
    ) -> dict[str, Any] | None:
        """See tasks/ceiling.py; None where nothing is known of the targets' noise. groups: codes (N,), or None."""
        return None

    def place_result(self, scores: Scored, places: np.ndarray | None, groups: np.ndarray | None) -> dict[str, Any]:
        """What test.json says of place, see tasks/spatial.py. places: degrees (n, 2). groups: codes (n,)."""
        return {}

    def calibration_result(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
        """What test.json says of calibration; {} where outputs are no probabilities. outputs: raw, float (N, K)."""
        return {}

    @abstractmethod
    def wrongness(self, decoded: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """How wrong each prediction is, float64 (N,); -1 where it is not known."""

    @abstractmethod
    def mistakes(self, decoded: np.ndarray, targets: np.ndarray, most: int) -> list[tuple[str, list[Mistake]]]:
        """Galleries of what went wrong, each with its title and at most so many mistakes, the worst first."""

    @abstractmethod
    def suspects(self, decoded: np.ndarray, targets: np.ndarray) -> list[Suspect]:
        """Targets that may be wrong, the most suspicious first. decoded: by networks that were not trained on these samples."""

    @abstractmethod
    def largest_difference(self, ours: np.ndarray, theirs: np.ndarray) -> float:
        """Between two sets of decoded outputs (N, K), in `difference_unit`."""

    # --- regions that contain the truth with a given probability (--coverage), see tasks/conformal.py -----------------

    def calibration_errors(self, decoded: np.ndarray, targets: np.ndarray) -> np.ndarray | None:
        """How wrong each prediction is, as `conformal.Calibration` has it, float64 (n, T); None where there are no regions."""
        return None

    def region_rules(self, calibrations: Sequence[Calibration], level: float) -> list[Rule | str]:
        """How regions are made, or why there are none; of each target, or of all classes together.

        Args:
            calibrations: of the network, or one for each fold of a cross-validation.
        """
        return []

    @property
    def region_columns(self) -> list[str]:
        """Names of the columns that `region_cells` fills."""
        return []

    def region_cells(self, rules: Sequence[Rule | str], decoded: np.ndarray) -> list[list[Any]]:
        """The region of each image, and by which method. decoded: of M networks, (M, n, K)."""
        return [[] for _ in range(decoded.shape[1])]

    def coverage_result(
        self, rules: Sequence[Rule | str], decoded: np.ndarray, targets: np.ndarray, groups: np.ndarray | None
    ) -> dict[str, Any]:
        """What test.json says of the regions of a test set: the share that contains the truth, with its interval."""
        return {}

    # --- how an answer is written down -------------------------------------------------------------------------------

    @property
    @abstractmethod
    def decoded_columns(self) -> list[str]:
        """Names of the K columns of a table that hold decoded outputs."""

    @property
    @abstractmethod
    def truth_columns(self) -> list[str]:
        """Names of the columns of predictions_test.csv that hold `target_rows`."""

    @abstractmethod
    def columns(self, top: int | None = None) -> list[str]:
        """Names of the columns that `cells` fills."""

    @abstractmethod
    def cells(self, decoded: np.ndarray, top: int | None = None) -> list[list[Any]]:
        """A row per image, for predictions_test.csv and for `predict`, so that they cannot disagree.

        Args:
            top: so many most probable classes or labels instead of all probabilities; scores are always all there.
        """

    def tested_columns(self) -> list[str]:
        """Names of the columns of predictions_test.csv that `tested_cells` fills."""
        return [*self.truth_columns, *self.columns()]

    def tested_cells(self, decoded: np.ndarray, targets: np.ndarray) -> list[list[Any]]:
        """A row per image: the truth, and `cells`."""
        return [[*true, *said] for true, said in zip(self.target_rows(targets), self.cells(decoded), strict=True)]

    def test_tables(self, dataset: Dataset, outputs: np.ndarray) -> Iterator[tuple[str, list[str], list[list[Any]]]]:
        """Other tables of a test: the name of the file, its columns, its rows. outputs: as for `held_out_result`."""
        return iter(())

    @abstractmethod
    def uncertainty_columns(self, several: bool) -> list[str]:
        """Names of the columns that `uncertainty_cells` fills. several: checkpoints or views, so that there is a spread."""

    @abstractmethod
    def uncertainty_cells(self, decoded: np.ndarray) -> np.ndarray:
        """How unsure the network is of each image, float64 (n, number of `uncertainty_columns`).

        Args:
            decoded: of each checkpoint and view, float64 (M, n, K).
        """

    @abstractmethod
    def caption(self, target: Any, decoded: np.ndarray) -> str:
        """'ant, predicted bee (87%)' or 'price 250,000, predicted 231,000'; decoded: (K,)."""

    @abstractmethod
    def output_text(self, output: int, value: float) -> str:
        """One decoded output of an image: 'ant 87%' or 'price: 231000'."""

    @property
    def decoded_names(self) -> list[str]:
        """What each decoded output is about, for those who read an exported network."""
        return list(self.names)

    def raw_names(self) -> list[str]:
        """What each output of the network is about."""
        return list(self.names)

    def explained_output(self, k: int) -> int:
        """The output of the network that stands best for `names[k]`."""
        return k

    def truth_text(self, target: Any) -> str:
        """The target of one sample, short enough for a caption."""
        return " ".join(self.target_rows(np.asarray(target)[None])[0])

    def describe(self) -> str:
        """What is learnt: '10 classes'."""
        return f"{len(self.names)} {self.nouns}"

    @abstractmethod
    def aim(self) -> str:
        """What is learnt, behind "to": 'tell 10 classes apart'."""

    @abstractmethod
    def meaning(self, decoded: bool) -> str:
        """What an exported network's outputs are. decoded: whether `activation` is part of it."""

    def to_dict(self) -> dict[str, Any]:
        """For checkpoints and config.json; `task_from_dict` is the inverse."""
        return {"kind": self.old_name, "name": self.name} | dataclasses.asdict(self)


def plain_values(values: dict[str, Any]) -> dict[str, Any]:
    """As checkpoints and JSON have them: lists instead of tuples."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def encoded(task: Task, index: Index, dtype: torch.dtype) -> Targets:
    """The targets of all images and all samples of the index, as the loss takes them, (N, ...)."""

    def as_type(targets: Tensor) -> Tensor:
        return targets.to(dtype) if targets.is_floating_point() else targets

    images = as_type(task.encode(index.targets))
    return Targets(images, images if index.votes is None else as_type(task.encode_samples(index)))
