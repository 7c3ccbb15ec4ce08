"""How good the predictions are: every sample counted once, undefined values None.

Each task has a class that reduces the predictions, once, to a few numbers per sample. Its `scores(indices)` then turns
any selection of samples into metrics in about a millisecond: all of them, one group, or all but one.

    ClassificationScores.of(probabilities, targets, classes).metrics()                # each epoch, on validation
    held_out_result(ClassificationScores.of(probabilities, targets, classes))  # once, on test: intervals.py

A metric is a row of config/registries.METRICS and the function it names: selection of samples -> number, NaN or None
where it is undefined. A selection computes what several metrics need only once.

Sums avoid BLAS: its results depend on the number of threads, and test.json is compared bit for bit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from deep_cnn.config.registries import METRICS, resolve
from deep_cnn.runtime.errors import DataError, NonFiniteLoss

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Scores = dict[str, float | None]
Functions = Mapping[str, Callable[[Any], float | None]]


class SampleScores(Protocol):
    """Predictions and targets of N samples, ready to be scored in any selection."""

    def __len__(self) -> int: ...

    def take(self, indices: np.ndarray) -> "SampleScores":
        """These samples alone."""

    def scores(self, indices: np.ndarray | None = None) -> Scores:
        """Flat metrics of the samples with these numbers (repeats allowed; None: all of them)."""

    def metrics(self) -> dict[str, Any]:
        """All metrics of all samples, as plain values ready for JSON."""


def functions_of(task: str, names: Sequence[str]) -> Functions:
    """Metric -> what computes it from a selection, for a task with these classes, labels or targets."""
    return {row.name: resolve(row.code) for row in METRICS.values() if row.code and row.belongs_to(task, names)}


def shared_metrics(task: str, names: Sequence[str], one_unit: bool) -> list[str]:
    """The metrics of scores that stand for all targets: of several with different units not MAE and RMSE."""
    rows = [row for row in METRICS.values() if row.code and row.belongs_to(task, names)]
    return [row.name for row in rows if len(names) == 1 or one_unit or not row.in_units]


def _computed(functions: Functions, selection: Any) -> Scores:
    return {name: _plain(function(selection)) for name, function in functions.items()}


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
        _check(probabilities, (len(targets), len(classes)))
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
        indices = _all_unless_given(indices, len(self))
        return {"loss": _plain(self.loss[indices].mean())} | _computed(self.functions, ClassSelection(self, indices))

    def metrics(self) -> dict[str, Any]:
        """See `SampleScores.metrics`."""
        everything = ClassSelection(self, _all_unless_given(None, len(self)))
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
    return _mean_of_defined(_ratio(hits, true))


def macro_f1(s: "ClassSelection | LabelSelection") -> float | None:
    """Mean F1 of the classes or labels that occur or are predicted."""
    hits, true, predicted = s.counts
    return _mean_of_defined(_ratio(2 * hits, true + predicted))


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
        _check(probabilities, (len(targets), len(classes)))
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
        indices = _all_unless_given(indices, len(self))
        return {"loss": _plain(self.loss[indices].mean())} | _computed(self.functions, LabelSelection(self, indices))

    def metrics(self) -> dict[str, Any]:
        """See `SampleScores.metrics`."""
        everything = LabelSelection(self, _all_unless_given(None, len(self)))
        per_class = _per_class(self.classes, *everything.counts)
        for name, value in zip(self.classes, everything.average_precision, strict=True):
            per_class[name]["average_precision"] = _plain(value)
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
        return _ratio(np.add.reduceat(positives * precision, first), np.add.reduceat(positives, first))


def mean_average_precision(s: LabelSelection) -> float | None:
    """Mean over the labels that occur."""
    return _mean_of_defined(s.average_precision)


def micro_f1(s: LabelSelection) -> float:
    """F1 of all decisions together, one for each image and label."""
    hits, true, predicted = s.counts
    return float(_ratio(2 * hits.sum(), true.sum() + predicted.sum()))


def _precision_blocks(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, int]:
    """Number the scores (N,) from the highest, equal ones together, a run of negatives with the positives below it.

    A precision is needed only where there are positives, so nothing is lost by joining the negatives in between; and
    the sums of a resample go over few blocks instead of over a sorted copy of all samples. The last block holds the
    negatives below all positives.
    """
    _, from_highest = np.unique(-scores, return_inverse=True)
    has_positive = np.bincount(from_highest, weights=positive) > 0
    return (np.cumsum(has_positive) - has_positive)[from_highest], int(has_positive.sum()) + 1


# -- regression -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RegressionScores:
    """`SampleScores` of one or several numbers per image."""

    names: tuple[str, ...]
    targets: Floats  # (T, N), NaN where missing
    predictions: Floats  # (T, N)
    target_order: Ints  # (T, N) place among the different values, for Spearman
    prediction_order: Ints  # (T, N)
    train_mean: Floats  # (T,)
    functions: Functions
    train_std: Floats  # (T,)
    one_unit: bool = False
    levels: Floats | None = None  # (T, N) the predicted levels, where targets are levels

    @classmethod
    def of(
        cls,
        predictions: np.ndarray,
        targets: np.ndarray,
        names: Sequence[str],
        train_mean: np.ndarray,
        train_std: np.ndarray | None = None,
        one_unit: bool = False,
    ) -> "RegressionScores":
        """Metrics of one or several numbers per image, in the targets' own units.

        Args:
            predictions: (N, T). targets: (N, T), NaN where missing: those are left out, target by target.
            names: the T names. train_mean: (T,), what the mean predictor says: the mean of the TRAINING set.
            train_std: (T,), its standard deviation, the unit of mae_sd; by default 1. one_unit: whether all targets have
            the same unit, so that a mean of their errors means something.
        Its metrics:
            r2, pearson, spearman, and of several targets mae_sd: means over the targets that have values; None when
            undefined for one of these, e.g. the correlation of constant predictions, so that a collapsed target cannot
            hide in an average; mae, rmse: likewise, but not of several targets with different units (dollars and rooms);
            mean_predictor: {mae, rmse, mae_sd}, those that are there; per_target: {name: {all, count, mean_predictor}}.

        Raises:
            DataError: no images. NonFiniteLoss: a prediction is NaN or infinite.
        """
        predictions, targets = np.asarray(predictions, dtype=np.float64), np.asarray(targets, dtype=np.float64)
        train_mean = np.asarray(train_mean, dtype=np.float64)
        # (N,) against (N, 1) would broadcast to (N, N) further down
        assert targets.shape == (len(targets), len(names)) and train_mean.shape == (len(names),), "shapes"
        assert not np.isinf(targets).any(), "infinite targets are refused when the table is read"
        _check(predictions, targets.shape)
        return cls(
            names=tuple(names),
            targets=targets.T.copy(),
            predictions=predictions.T.copy(),
            target_order=np.stack([_order(column) for column in targets.T]),
            prediction_order=np.stack([_order(column) for column in predictions.T]),
            train_mean=train_mean,
            functions=functions_of("regression", names),
            train_std=np.ones(len(names)) if train_std is None else np.asarray(train_std, dtype=np.float64),
            one_unit=one_unit,
        )

    def __len__(self) -> int:
        return len(self.targets.T)

    @cached_property
    def known(self) -> Bools:
        """Which targets are not missing, (T, N)."""
        there: Bools = ~np.isnan(self.targets)
        return there

    def take(self, indices: np.ndarray) -> "RegressionScores":
        """See `SampleScores.take`."""
        return replace(
            self,
            targets=self.targets[:, indices],
            predictions=self.predictions[:, indices],
            target_order=self.target_order[:, indices],
            prediction_order=self.prediction_order[:, indices],
            levels=None if self.levels is None else self.levels[:, indices],
        )

    def with_levels(self, levels: np.ndarray) -> "RegressionScores":
        """With metrics of predicted levels (N, T), too: level_mae and level_kappa."""
        _check(levels, (len(self), len(self.names)))
        return replace(self, levels=levels.T.copy(), functions=functions_of("ordinal", self.names))

    def scores(self, indices: np.ndarray | None = None) -> Scores:
        """Means over targets as "mae", "r2"...; each target's as "NAME/mae"..."""
        per_target = [self._of_target(t, self._measured(t, indices)) for t in range(len(self.names))]
        each = {
            f"{name}/{metric}": scores[metric]
            for name, (scores, _) in zip(self.names, per_target, strict=True)
            for metric in self.functions
        }
        return {**{metric: _mean_over_targets(per_target, metric) for metric in self._overall()}, **each}

    def _overall(self) -> list[str]:
        """The metrics whose mean over the targets means something."""
        task = "regression" if self.levels is None else "ordinal"
        return [name for name in shared_metrics(task, self.names, self.one_unit) if name in self.functions]

    def metrics(self) -> dict[str, Any]:
        """See `SampleScores.metrics`."""
        per_target, baselines = [], []
        for t in range(len(self.names)):
            measured = self._measured(t, None)
            per_target.append(self._of_target(t, measured))
            error = self.targets[t, measured] - self.train_mean[t]
            baseline = {"mae": _plain(_mean(np.abs(error))), "rmse": _plain(_rms(error))}
            if "mae_sd" in self.functions:
                baseline["mae_sd"] = _plain(_mean(np.abs(error)) / self.train_std[t])
            baselines.append((baseline, len(measured)))
        overall = self._overall()
        return {
            **{metric: _mean_over_targets(per_target, metric) for metric in overall},
            "mean_predictor": {m: _mean_over_targets(baselines, m) for m in baselines[0][0] if m in overall},
            "per_target": {
                name: {**scores, "count": count, "mean_predictor": baseline}
                for name, (scores, count), (baseline, _) in zip(self.names, per_target, baselines, strict=True)
            },
        }

    def _measured(self, t: int, indices: np.ndarray | None) -> Ints:
        """Of these samples, the ones whose target t is not missing."""
        selected = _all_unless_given(indices, len(self))
        known: Bools = ~np.isnan(self.targets[t, selected])
        return selected[known]

    def _of_target(self, t: int, measured: np.ndarray) -> tuple[Scores, int]:
        """The scores of one target, and how many samples have it."""
        return _computed(self.functions, TargetSelection(self, t, measured)), len(measured)


@dataclass(frozen=True)
class TargetSelection:
    """One target of some of the samples, repeats allowed, all of them known. indices: (n,)."""

    samples: RegressionScores
    target: int
    indices: Ints

    @cached_property
    def targets(self) -> Floats:
        """In their own units, (n,)."""
        values: Floats = self.samples.targets[self.target, self.indices]
        return values

    @cached_property
    def predictions(self) -> Floats:
        """In the targets' units, (n,)."""
        values: Floats = self.samples.predictions[self.target, self.indices]
        return values

    @cached_property
    def error(self) -> Floats:
        """Prediction less target, (n,)."""
        return self.predictions - self.targets

    @cached_property
    def levels(self) -> Floats:
        """The predicted levels, (n,)."""
        assert self.samples.levels is not None, "of targets that are levels"
        values: Floats = self.samples.levels[self.target, self.indices]
        return values


def mae(s: TargetSelection) -> float:
    """Mean absolute error, in the target's units."""
    return _mean(np.abs(s.error))


def mae_sd(s: TargetSelection) -> float:
    """Mean absolute error in standard deviations of the training set's targets: comparable between targets of any unit."""
    return _mean(np.abs(s.error)) / float(s.samples.train_std[s.target])


def rmse(s: TargetSelection) -> float:
    """Root of the mean squared error, in the target's units."""
    return _rms(s.error)


def r2(s: TargetSelection) -> float:
    """Share of the targets' variance that the predictions explain; below 0 for worse than the mean of these targets."""
    deviation = s.targets - _mean(s.targets)
    # a constant's deviation from its own mean is rounding, not spread
    return np.nan if _is_constant(s.targets) else 1 - (s.error * s.error).sum() / (deviation * deviation).sum()


def pearson(s: TargetSelection) -> float:
    """Correlation of predictions and targets."""
    return _correlation(s.targets, s.predictions)


def spearman(s: TargetSelection) -> float:
    """Correlation of their ranks."""
    orders = s.samples.target_order, s.samples.prediction_order
    return _correlation(*(_ranks(order[s.target, s.indices]) for order in orders))


def level_mae(s: TargetSelection) -> float:
    """Mean absolute error of the predicted levels."""
    return _mean(np.abs(s.levels - s.targets))


def level_kappa(s: TargetSelection) -> float:
    """Quadratic weighted kappa of the predicted levels, see `quadratic_weighted_kappa`."""
    true, said = (
        s.targets - s.targets.mean(),
        s.levels - s.targets.mean(),
    )  # kappa does not depend on where the scale begins
    n, observed = len(true), ((true - said) ** 2).sum()
    by_chance = (true**2).sum() + (said**2).sum() - 2 * true.sum() * said.sum() / n
    return 1 - float(observed / by_chance) if by_chance > 0 else np.nan


def _mean_over_targets(per_target: list[tuple[Scores, int]], metric: str) -> float | None:
    values = [scores[metric] for scores, count in per_target if count]
    defined = [value for value in values if value is not None]
    return _plain(float(np.mean(defined))) if defined and len(defined) == len(values) else None


def _order(values: np.ndarray) -> np.ndarray:
    """Place (N,) of each value among the different ones, from the smallest: lets `_ranks` do without sorting."""
    return np.unique(values, return_inverse=True)[1]


def _ranks(order: Ints) -> Floats:
    """Ranks from 1, equal values sharing their mean rank, of a selection of `_order`'s places."""
    count = np.bincount(order)
    return (np.cumsum(count) - (count - 1) / 2)[order]


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's, NaN where one of the two does not vary."""
    if _is_constant(x) or _is_constant(y):
        return np.nan
    x, y = x - x.mean(), y - y.mean()
    # each scaled by itself: the product of two sums of squares could underflow
    x, y = x / np.sqrt((x * x).sum()), y / np.sqrt((y * y).sum())
    return float(np.clip((x * y).sum(), -1, 1))


def _is_constant(values: np.ndarray) -> bool:
    """Fewer than two values, or no spread beyond float64's rounding (1e-13 of the size, as in scipy's warning)."""
    return len(values) < 2 or np.ptp(values) <= 1e-13 * np.abs(values).max()


# the `SampleScores` that there are
Scored = ClassificationScores | MultilabelScores | RegressionScores


# -- small parts ------------------------------------------------------------------------------------------------------


def _check(values: np.ndarray, shape: tuple[int, ...]) -> None:
    assert values.shape == shape, f"predictions {values.shape} for targets {shape}"
    if not shape[0]:
        raise DataError("no images to evaluate: the split is empty; set --val_split or --test_split above 0")
    broken = np.count_nonzero(~np.isfinite(values).all(axis=1))
    if broken:  # NaN compares as false, and would count as a hit
        raise NonFiniteLoss(
            f"the network's outputs for {broken} of {shape[0]} images are NaN or infinite; "
            "try a smaller --lr, --clip=1, or --precision=fp32"
        )


def _all_unless_given(indices: Ints | None, n: int) -> Ints:
    return np.arange(n) if indices is None else indices


def _per_class(classes: Sequence[str], hits: np.ndarray, true: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    precision, recall, f1 = _ratio(hits, predicted), _ratio(hits, true), _ratio(2 * hits, true + predicted)
    return {
        name: {
            "precision": _plain(precision[k]),
            "recall": _plain(recall[k]),
            "f1": _plain(f1[k]),
            "count": int(true[k]),
        }
        for k, name in enumerate(classes)
    }


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """NaN instead of a warning where the denominator is 0."""
    return np.where(denominator > 0, numerator / np.maximum(denominator, 1), np.nan)


def _mean_of_defined(values: np.ndarray) -> float | None:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else None


def _mean(values: np.ndarray) -> float:
    return values.mean() if len(values) else np.nan


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(_mean(values * values)))


def _plain(value: float | None) -> float | None:
    """A value for JSON, which has no NaN."""
    return float(value) if value is not None and np.isfinite(value) else None
