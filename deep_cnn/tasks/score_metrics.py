"""Metrics of scores: numbers, any of which may be missing, and levels."""

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
    mean,
    plain,
    rms,
    shared_metrics,
)


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
        check_shape(predictions, targets.shape)
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
        check_shape(levels, (len(self), len(self.names)))
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
            baseline = {"mae": plain(mean(np.abs(error))), "rmse": plain(rms(error))}
            if "mae_sd" in self.functions:
                baseline["mae_sd"] = plain(mean(np.abs(error)) / self.train_std[t])
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
        selected = all_unless_given(indices, len(self))
        known: Bools = ~np.isnan(self.targets[t, selected])
        return selected[known]

    def _of_target(self, t: int, measured: np.ndarray) -> tuple[Scores, int]:
        """The scores of one target, and how many samples have it."""
        return computed(self.functions, TargetSelection(self, t, measured)), len(measured)


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
    return mean(np.abs(s.error))


def mae_sd(s: TargetSelection) -> float:
    """Mean absolute error in standard deviations of the training set's targets: comparable between targets of any unit."""
    return mean(np.abs(s.error)) / float(s.samples.train_std[s.target])


def rmse(s: TargetSelection) -> float:
    """Root of the mean squared error, in the target's units."""
    return rms(s.error)


def r2(s: TargetSelection) -> float:
    """Share of the targets' variance that the predictions explain; below 0 for worse than the mean of these targets."""
    deviation = s.targets - mean(s.targets)
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
    return mean(np.abs(s.levels - s.targets))


def level_kappa(s: TargetSelection) -> float:
    """Quadratic weighted kappa of the predicted levels, see `quadratic_weighted_kappa`."""
    first = s.targets[
        :1
    ].sum()  # kappa does not depend on where the scale begins, and sums of small whole numbers are exact
    true, said, n = s.targets - first, s.levels - first, len(s.targets)
    observed = n * ((true - said) ** 2).sum()
    by_chance = n * ((true**2).sum() + (said**2).sum()) - 2 * true.sum() * said.sum()
    return 1 - float(observed / by_chance) if by_chance > 0 else np.nan


def _mean_over_targets(per_target: list[tuple[Scores, int]], metric: str) -> float | None:
    values = [scores[metric] for scores, count in per_target if count]
    defined = [value for value in values if value is not None]
    return plain(float(np.mean(defined))) if defined and len(defined) == len(values) else None


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
