"""How good the predictions are: every sample counted once, undefined values None.

Each task has a class that reduces the predictions, once, to a few numbers per sample. Its `scores(indices)` then turns
any selection of samples into metrics in about a millisecond: all of them, one group, or all but one.

    ClassificationScores.of(probabilities, targets, classes).metrics()                # each epoch, on validation
    held_out_result(ClassificationScores.of(probabilities, targets, classes))  # once, on test: intervals.py

A metric is a row of config/registries.METRICS and the function it names: selection of samples -> number, NaN or None
where it is undefined. A selection computes what several metrics need only once.

Sums avoid BLAS: its results depend on the number of threads, and test.json is compared bit for bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from deep_cnn.tasks.samples import (
    Bools,
    Floats,
    Functions,
    Ints,
    Scores,
    all_unless_given,
    check_shape,
    computed,
    functions_of,
    mean_of_defined,
    plain,
    ratio,
)
from deep_cnn.tasks.score_metrics import RegressionScores

# -- classification ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClassificationScores:
    """`SampleScores` of one class per image."""

    classes: tuple[str, ...]
    targets: Ints  # (N,)
    predicted: Ints  # (N,) the most probable class; of equals, the first
    loss: Floats  # (N,) nats
    in_top5: Bools  # (N,)
    functions: Functions

    @classmethod
    def of(cls, probabilities: np.ndarray, targets: np.ndarray, classes: Sequence[str]) -> "ClassificationScores":
        """Metrics of one class per image.

        Args:
            probabilities: (N, K), rows that sum to 1.
            targets: class numbers, integers (N,).
            classes: the K names.
        Its metrics:
            loss in nats per image, not smoothed and not weighted; fractions top1, top5 (the target is among the five most
            probable; only of more than five classes), balanced_accuracy (mean recall of the classes that have images),
            macro_f1 (mean over the classes that have images or predictions, as in scikit-learn), and of classes that are
            whole numbers quadratic_weighted_kappa;
            per_class: {name: {precision, recall, f1, count}}.

        Raises:
            DataError: no images. NonFiniteLoss: a probability is NaN or infinite.
        """
        probabilities, targets = np.asarray(probabilities), np.asarray(targets, dtype=np.int64)
        check_shape(probabilities, (len(targets), len(classes)))
        assert targets.min() >= 0 and targets.max() < len(classes), "a target is not one of the classes"
        of_target = np.take_along_axis(probabilities, targets[:, None], axis=1)  # (N, 1)
        earlier_equals = (probabilities == of_target) & (np.arange(len(classes)) < targets[:, None])
        rank = (probabilities > of_target).sum(axis=1) + earlier_equals.sum(axis=1)  # 0 where argmax is the target
        return cls(
            classes=tuple(classes),
            targets=targets,
            predicted=probabilities.argmax(axis=1),
            # a softmax underflows to 0 (beyond 87 nats in float32, 708 in float64): the loss stays large and finite
            loss=-np.log(np.maximum(of_target[:, 0], np.finfo(of_target.dtype).tiny).astype(np.float64)),
            in_top5=rank < 5,
            functions=functions_of("classification", classes),
        )

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, indices: np.ndarray) -> "ClassificationScores":
        """See `SampleScores.take`."""
        i = indices
        return replace(
            self, targets=self.targets[i], predicted=self.predicted[i], loss=self.loss[i], in_top5=self.in_top5[i]
        )

    def scores(self, indices: np.ndarray | None = None) -> Scores:
        """See `SampleScores.scores`."""
        indices = all_unless_given(indices, len(self))
        return {"loss": plain(self.loss[indices].mean())} | computed(self.functions, ClassSelection(self, indices))

    def metrics(self) -> dict[str, Any]:
        """See `SampleScores.metrics`."""
        everything = ClassSelection(self, all_unless_given(None, len(self)))
        return {**self.scores(), "per_class": _per_class(self.classes, *everything.counts)}

    def confusion(self) -> np.ndarray:
        """int64 (K, K): images of true class (row) predicted as class (column)."""
        size = len(self.classes)
        return np.bincount(self.targets * size + self.predicted, minlength=size * size).reshape(size, size)


@dataclass(frozen=True)
class ClassSelection:
    """Some of the samples, repeats allowed. indices: (n,)."""

    samples: ClassificationScores
    indices: Ints

    def __len__(self) -> int:
        return len(self.indices)

    @cached_property
    def targets(self) -> Ints:
        """Class numbers (n,)."""
        return self.samples.targets[self.indices]

    @cached_property
    def predicted(self) -> Ints:
        """Class numbers (n,)."""
        return self.samples.predicted[self.indices]

    @cached_property
    def counts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Images of each class that are right, that there are, and that are predicted, each (K,)."""
        size, right = len(self.samples.classes), self.targets[self.targets == self.predicted]
        hits, true, predicted = (
            np.bincount(labels, minlength=size) for labels in (right, self.targets, self.predicted)
        )
        return hits, true, predicted


def top1(s: ClassSelection) -> float:
    """Share of images whose most probable class is the true one."""
    return float(s.counts[0].sum() / len(s))


def top5(s: ClassSelection) -> float:
    """Share of images whose true class is among the five most probable ones."""
    return np.count_nonzero(s.samples.in_top5[s.indices]) / len(s)


def balanced_accuracy(s: ClassSelection) -> float | None:
    """Mean recall of the classes that have images."""
    hits, true, _ = s.counts
    return mean_of_defined(ratio(hits, true))


def macro_f1(s: "ClassSelection | LabelSelection") -> float | None:
    """Mean F1 of the classes or labels that occur or are predicted."""
    hits, true, predicted = s.counts
    return mean_of_defined(ratio(2 * hits, true + predicted))


def quadratic_weighted_kappa(s: ClassSelection) -> float:
    """Agreement beyond chance on an ordinal scale, -1 to 1, a miss of two steps weighing four times that of one.

    Cohen, "Weighted kappa: nominal scale agreement with provision for scaled disagreement", 1968. The classes are whole
    numbers; a step is from one of them to the next, as in scikit-learn.
    """
    _, step = np.unique([int(name) for name in s.samples.classes], return_inverse=True)  # folders have 10 before 2
    true, said, n = step[s.targets], step[s.predicted], len(s)
    observed = n * int(((true - said) ** 2).sum())
    by_chance = n * int((true**2).sum() + (said**2).sum()) - 2 * int(true.sum()) * int(said.sum())
    return 1 - observed / by_chance if by_chance else np.nan


# -- several labels per image -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MultilabelScores:
    """`SampleScores` of several labels per image."""

    classes: tuple[str, ...]
    targets: Bools  # (N, K)
    predicted: Bools  # (N, K)
    loss: Floats  # (N,) nats per label
    blocks: Ints  # (N, K) see _precision_blocks
    first_block: Ints  # (K + 1,) label k owns the blocks first_block[k] to first_block[k + 1] - 1
    functions: Functions

    @classmethod
    def of(
        cls,
        probabilities: np.ndarray,
        targets: np.ndarray,
        classes: Sequence[str],
        thresholds: "float | np.ndarray" = 0.5,
    ) -> "MultilabelScores":
        """Metrics of several labels per image.

        Args:
            probabilities: (N, K), each in [0, 1] by itself.
            targets: 0 or 1, (N, K).
            classes: the K names. thresholds: from which probability on a label is predicted, one or (K,).
        Its metrics:
            loss in nats per label; map, the mean average precision of the labels that occur; macro_f1 and micro_f1 of
            the predicted labels (macro: mean over the labels that occur or are predicted);
            per_class: {name: {precision, recall, f1, count, average_precision}}.

        Raises:
            DataError: no images. NonFiniteLoss: a probability is NaN or infinite.
        """
        probabilities, targets = np.asarray(probabilities, dtype=np.float64), np.asarray(targets)
        check_shape(probabilities, (len(targets), len(classes)))
        assert np.isin(targets, (0, 1)).all(), "labels are 0 or 1"
        targets = targets.astype(bool)
        of_target = np.where(targets, probabilities, 1 - probabilities)
        blocks = [_precision_blocks(probabilities[:, k], targets[:, k]) for k in range(len(classes))]
        first_block = np.cumsum([0] + [number_of_blocks for _, number_of_blocks in blocks])
        return cls(
            classes=tuple(classes),
            targets=targets,
            predicted=probabilities >= thresholds,
            # a float32 sigmoid rounds to 1 beyond 17 nats: 2**-24 is its distance from 1 there
            loss=-np.log(np.maximum(of_target, 2.0**-24)).mean(axis=1),
            blocks=np.stack([block for block, _ in blocks], axis=1) + first_block[:-1],
            first_block=first_block,
            functions=functions_of("multilabel", classes),
        )

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, indices: np.ndarray) -> "MultilabelScores":
        """See `SampleScores.take`."""
        i = indices
        return replace(
            self, targets=self.targets[i], predicted=self.predicted[i], loss=self.loss[i], blocks=self.blocks[i]
        )

    def scores(self, indices: np.ndarray | None = None) -> Scores:
        """See `SampleScores.scores`."""
        indices = all_unless_given(indices, len(self))
        return {"loss": plain(self.loss[indices].mean())} | computed(self.functions, LabelSelection(self, indices))

    def metrics(self) -> dict[str, Any]:
        """See `SampleScores.metrics`."""
        everything = LabelSelection(self, all_unless_given(None, len(self)))
        per_class = _per_class(self.classes, *everything.counts)
        for name, value in zip(self.classes, everything.average_precision, strict=True):
            per_class[name]["average_precision"] = plain(value)
        return {**self.scores(), "per_class": per_class}


@dataclass(frozen=True)
class LabelSelection:
    """Some of the samples, repeats allowed. indices: (n,)."""

    samples: MultilabelScores
    indices: Ints

    @cached_property
    def counts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Images of each label that are right, that there are, and that are predicted, each (K,)."""
        targets, predicted = self.samples.targets[self.indices], self.samples.predicted[self.indices]
        return (targets & predicted).sum(axis=0), targets.sum(axis=0), predicted.sum(axis=0)

    @cached_property
    def average_precision(self) -> np.ndarray:
        """float64 (K,): sum over thresholds of the precision there times the recall gained; NaN without positives."""
        samples = self.samples
        blocks, size = samples.blocks[self.indices], samples.first_block[-1]  # (n, K)
        count = np.bincount(blocks.ravel(), minlength=size)
        positives = np.bincount(blocks[samples.targets[self.indices]], minlength=size)
        first, lengths = samples.first_block[:-1], np.diff(samples.first_block)
        above, positives_above = (
            np.cumsum(c) - np.repeat(np.cumsum(c)[first] - c[first], lengths) for c in (count, positives)
        )
        precision = positives_above / np.maximum(above, 1)
        return ratio(np.add.reduceat(positives * precision, first), np.add.reduceat(positives, first))


def mean_average_precision(s: LabelSelection) -> float | None:
    """Mean over the labels that occur."""
    return mean_of_defined(s.average_precision)


def micro_f1(s: LabelSelection) -> float:
    """F1 of all decisions together, one for each image and label."""
    hits, true, predicted = s.counts
    return float(ratio(2 * hits.sum(), true.sum() + predicted.sum()))


def _precision_blocks(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, int]:
    """Number the scores (N,) from the highest, equal ones together, a run of negatives with the positives below it.

    A precision is needed only where there are positives, so nothing is lost by joining the negatives in between; and
    the sums of a resample go over few blocks instead of over a sorted copy of all samples. The last block holds the
    negatives below all positives.
    """
    _, from_highest = np.unique(-scores, return_inverse=True)
    has_positive = np.bincount(from_highest, weights=positive) > 0
    return (np.cumsum(has_positive) - has_positive)[from_highest], int(has_positive.sum()) + 1


def _per_class(classes: Sequence[str], hits: np.ndarray, true: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    precision, recall, f1 = ratio(hits, predicted), ratio(hits, true), ratio(2 * hits, true + predicted)
    return {
        name: {
            "precision": plain(precision[k]),
            "recall": plain(recall[k]),
            "f1": plain(f1[k]),
            "count": int(true[k]),
        }
        for k, name in enumerate(classes)
    }


# the `SampleScores` that there are
Scored = ClassificationScores | MultilabelScores | RegressionScores
