"""Regression: one or several numbers per image, any of which may be missing."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from deep_cnn.config.fields import wrong
from deep_cnn.data.balance import rarity_of_bins
from deep_cnn.data.certainty import Certainty
from deep_cnn.data.split import Strata
from deep_cnn.runtime.format import number, plural, quantity
from deep_cnn.tasks.base import Mistake, Task
from deep_cnn.tasks.ceiling import noise_ceiling
from deep_cnn.tasks.conformal import Calibration, Rule, interval_rule
from deep_cnn.tasks.coverage import COVERAGE_METHOD, described, method_text, reached
from deep_cnn.tasks.curves import Curve, CurveLayer
from deep_cnn.tasks.linear import ridge_regression, standardised
from deep_cnn.tasks.metrics import Scored
from deep_cnn.tasks.samples import shared_metrics
from deep_cnn.tasks.score_metrics import RegressionScores
from deep_cnn.tasks.spatial import spatial_result
from deep_cnn.tasks.suspects import OUTLYING, Suspect, robust_z
from deep_cnn.tasks.transforms import (
    InverseTransforms,
    Transform,
    check_values,
    fit_transform,
    mean_and_spread,
    without_place,
)

DECILES = 10
PER_STRATUM = 10  # images; below 100 a score has fewer strata, for one of 4 images tests on 25% of them
FEW_NAMES = 6  # of targets in a sentence
BINS = 10  # of equal width over the range of a score: deciles would all be equally full


@dataclass(frozen=True)
class Regression(Task):
    """Scores, standardised by the training set's mean and spread (never the test's) and reported in their own units.

    Targets are float64 (N, K), NaN where missing. one_unit: whether all scores have the same unit.
    transform: of --target_transform; scale_mean, scale_std: of the training set on that scale; knots: see tasks/transforms.py.
    units: of each score, for people; () where they are not known.
    curves: of evaluate --recalibrate=monotone: (x, y, (slope,)) of the `Curve` of each score that decoded scores go through, () for
        none. They are then in the units of the new raters; mean and std stay those of the training set, before the curve.
    """

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    one_unit: bool = False
    transform: str = "none"
    scale_mean: tuple[float, ...] = ()
    scale_std: tuple[float, ...] = ()
    knots: tuple[tuple[float, ...], ...] = ()
    units: tuple[str, ...] = ()
    curves: tuple[tuple[tuple[float, ...], ...], ...] = ()

    name = "regression"
    old_name = "scores"
    title = "regression"
    noun, nouns = "target", "targets"
    select = "loss"
    headline: ClassVar[tuple[str, ...]] = ("r2", "mae", "mae_sd", "loss")
    signed = True
    has_scales = True
    smooths_labels = False
    has_unit_scores = True
    difference_unit = "of the standard deviation of the scores"

    def fitted(self, train_targets: np.ndarray) -> "Regression":
        mean, std = mean_and_spread(train_targets)
        fitted = dataclasses.replace(self, mean=tuple(mean.tolist()), std=tuple(std.tolist()))
        return fitted if self.transform == "none" else fitted._with_scale(train_targets)

    def _with_scale(self, train_targets: np.ndarray) -> "Regression":
        found = [fit_transform(self.transform, column) for column in train_targets.T]
        on_scale = np.stack([t.forward(column) for t, column in zip(found, train_targets.T, strict=True)], axis=1)
        mean, std = mean_and_spread(on_scale)
        return dataclasses.replace(
            self,
            scale_mean=tuple(mean.tolist()),
            scale_std=tuple(std.tolist()),
            knots=tuple(t.knots for t in found) if self.transform == "rank" else (),
        )

    def _transforms(self) -> list[Transform]:
        return [Transform(self.transform, tuple(self.knots[k]) if self.knots else ()) for k in range(len(self.names))]

    def _curves(self) -> list[Curve | None]:
        return [Curve(tuple(one[0]), tuple(one[1]), one[2][0]) if one else None for one in self.curves]

    def _through_curves(self, scores: np.ndarray, back: bool = False) -> np.ndarray:
        """Decoded scores (N, K) in the units of the curves; back: the inverse."""
        if not self.curves:
            return scores
        columns = [
            column if curve is None else curve.inverse(column) if back else curve(column)
            for curve, column in zip(self._curves(), scores.T, strict=True)
        ]
        return np.stack(columns, axis=1)

    def _training_scores(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and spread of the training set, (K,) each, in the units of `decode`."""
        mean, std = np.array(self.mean), np.array(self.std)
        if not self.curves:
            return mean, std
        low, middle, high = self._through_curves(np.stack([mean - std, mean, mean + std]))
        return middle, (high - low) / 2

    def on_scale(self, transform: str, targets: np.ndarray) -> "Regression":
        """See `Task.on_scale`."""
        check_values(transform, self.names, targets)
        return dataclasses.replace(self, transform=transform)

    def has_loss_of(self, targets: np.ndarray) -> bool:
        return not without_place(self.transform, targets).any()

    def in_one_unit(self) -> "Regression":
        return dataclasses.replace(self, one_unit=True)

    def with_units(self, units: Sequence[str]) -> "Regression":
        given = tuple(units) * (len(self.names) if len(units) == 1 else 1)
        if given and len(given) != len(self.names):
            hint = f"give one for each of {', '.join(self.names)}, or one for all"
            raise wrong("unit", ",".join(units), f"{len(units)} units for {plural(len(self.names), 'target')}", hint)
        return dataclasses.replace(self, units=given)

    def unit(self, output: int) -> str:
        return self.units[output] if self.units else ""

    def usual_range(self, output: int) -> tuple[float, float]:
        low, high = self.decode(np.outer([-3.0, 3.0], np.ones(len(self.names))))[:, output]  # standard deviations
        return float(low), float(high)

    def encode(self, targets: np.ndarray) -> Tensor:
        targets = self._through_curves(np.asarray(targets, np.float64), back=True)
        standardised = (targets - np.array(self.mean)) / np.array(self.std)
        if self.transform != "none":
            on_scale = [t.forward(column) for t, column in zip(self._transforms(), targets.T, strict=True)]
            standardised = (np.stack(on_scale, axis=1) - np.array(self.scale_mean)) / np.array(self.scale_std)
        return torch.from_numpy(standardised.astype(np.float32))  # (N, K), NaN where a score is missing

    def losses_and_weights(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        # (B, K) against (B, K), always: (B, 1) against (B,) would broadcast to (B, B)
        assert outputs.shape == targets.shape, (outputs.shape, targets.shape)
        known = ~torch.isnan(targets)
        # the missing ones are replaced before the loss, not masked after it: NaN * 0 is NaN, also in the gradient
        goal = torch.where(known, targets, outputs.detach())
        losses = self.loss_function(outputs, goal, reduction="none") * known
        return losses.sum(1), known.sum(1).float()

    def batch_weight(self, targets: Tensor, weights: Tensor) -> Tensor:
        known = (~torch.isnan(targets)).sum(1)
        return (known * weights).sum().clamp(min=1e-12)  # a batch may have no known score at all

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        return self._through_curves(self._decoded(outputs))

    def _decoded(self, outputs: np.ndarray) -> np.ndarray:
        """In the units of training."""
        if self.transform != "none":
            on_scale = outputs.astype(np.float64) * np.array(self.scale_std) + np.array(self.scale_mean)
            return np.stack(
                [t.inverse(column) for t, column in zip(self._transforms(), on_scale.T, strict=True)], axis=1
            )
        scores: np.ndarray = outputs.astype(np.float64) * np.array(self.std) + np.array(self.mean)
        return scores

    def activation(self) -> nn.Module:
        layers: list[nn.Module] = [Rescaling(self.mean, self.std)]
        if self.transform != "none":
            layers = [Rescaling(self.scale_mean, self.scale_std), InverseTransforms(self._transforms())]
        layers += [CurveLayer(self._curves())] if self.curves else []
        return nn.Sequential(*layers) if len(layers) > 1 else layers[0]

    def strata(self, targets: np.ndarray) -> Strata:
        score = targets[:, 0]
        if targets.shape[1] > 1:  # of several targets the mean, each in its own spread
            mean, spread = mean_and_spread(targets)
            score = np.nanmean((targets - mean) / spread, axis=1)
        parts = min(DECILES, max(1, len(score) // PER_STRATUM))
        edges = np.quantile(score, np.arange(1, parts) / parts)
        return Strata(np.searchsorted(edges, score, side="right").astype(np.int64), "by deciles of the score")

    def rarity(self, targets: np.ndarray, train: np.ndarray) -> np.ndarray:
        """By bins of the score, the mean of a sample's standardised targets; 1 where all are missing."""
        mean, spread = mean_and_spread(targets[train])
        standardised = (targets - mean) / spread
        known = ~np.isnan(standardised).all(1)
        scores = np.full(len(targets), np.nan)
        scores[known] = np.nanmean(standardised[known], 1)
        low, high = np.nanmin(scores[train]), np.nanmax(scores[train])
        bins = np.clip((scores - low) / max(high - low, 1e-12) * BINS, 0, BINS - 1)
        return rarity_of_bins(np.where(known, np.nan_to_num(bins), -1).astype(np.int64), train)

    def measured(self, targets: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        return zip(self.names, targets.T, strict=True)

    def distribution(self, targets: np.ndarray) -> list[str]:
        found = []
        for t, (name, values) in enumerate(zip(self.names, targets.T, strict=True)):
            known = values[~np.isnan(values)]
            unit = f" {self.unit(t)}" if self.unit(t) else ""
            missing = len(values) - len(known)
            of = f" (missing for {missing:,} of them)" if missing else ""
            spread = quantity(known.std(ddof=1)) if len(known) > 1 else "undefined"
            found.append(
                f"The target {name} ranges from {quantity(known.min())} to {quantity(known.max())}{unit} (mean "
                f"{quantity(known.mean())}, standard deviation {spread}){of}."
            )
        return found

    def target_rows(self, targets: np.ndarray) -> list[list[str]]:
        return [["" if np.isnan(value) else repr(value) for value in row] for row in targets.tolist()]

    def parse_targets(self, cells: Sequence[Sequence[str]]) -> np.ndarray:
        values = [[float(cell or "nan") for cell in row] for row in cells]
        return np.array(values, dtype=np.float64).reshape(len(cells), len(self.names))  # an empty split is (0, K)

    def metric_names(self) -> list[str]:
        names = super().metric_names()
        if len(self.names) == 1:
            return names
        shared = [*shared_metrics(self.name, self.names, self.one_unit), "loss"]
        return [*shared, *(f"{target}/{name}" for target in self.names for name in names if name != "loss")]

    def scored_decoded(self, decoded: np.ndarray, targets: np.ndarray) -> RegressionScores:
        mean, std = self._training_scores()
        return RegressionScores.of(decoded, targets, self.names, mean, std, self.one_unit)

    blind_name = "mean_predictor"
    blind_words = "always predicting the mean"

    def blind(self, train_targets: np.ndarray, n: int) -> np.ndarray:
        """The mean of the training images."""
        return np.tile(self._training_scores()[0], (n, 1))

    def place_result(self, scores: Scored, places: np.ndarray | None, groups: np.ndarray | None) -> dict[str, Any]:
        """Are errors of neighbours alike, and what is left within groups?"""
        assert isinstance(scores, RegressionScores)
        return spatial_result(scores, places, groups)

    def noise_ceiling(
        self, scores: Scored, certainty: Certainty | None, groups: np.ndarray | None
    ) -> dict[str, Any] | None:
        assert isinstance(scores, RegressionScores)
        return (noise_ceiling(scores, certainty, groups) or None) if certainty is not None else None

    def linear(self, train: np.ndarray, train_targets: np.ndarray, test: np.ndarray) -> np.ndarray:
        """Each target by itself, of the images that have it; the training mean where none has."""
        known, new = standardised(train, test)
        predicted = np.tile(self._training_scores()[0], (len(test), 1))
        for t in range(len(self.names)):
            there = ~np.isnan(train_targets[:, t])
            if there.any():
                predicted[:, t] = ridge_regression(known[there], train_targets[there, t], new)
        return predicted

    def wrongness(self, decoded: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """The mean error over the scores that are known, in units of their spread."""
        return mean_of_known(np.abs(decoded - targets) / np.array(self.std))

    def mistakes(self, decoded: np.ndarray, targets: np.ndarray, most: int) -> list[tuple[str, list[Mistake]]]:
        galleries = []
        for t, name in enumerate(self.names):
            error = decoded[:, t] - targets[:, t]
            worst = [
                Mistake(
                    i,
                    f"{number(decoded[i, t])} ({'+' if error[i] > 0 else '-'}{number(abs(error[i]))})",
                    f"true: {number(targets[i, t])} {self.unit(t)}".strip(),
                )
                for i in np.argsort(-np.nan_to_num(np.abs(error), nan=-1.0), kind="stable")[:most].tolist()
                if np.isfinite(error[i])
            ]
            galleries.append((f"Largest errors of {name}", worst))
        return galleries

    def suspects(self, decoded: np.ndarray, targets: np.ndarray) -> list[Suspect]:
        """Errors far outside of the others', target by target; of several of an image the farthest."""
        z = np.stack([robust_z(errors) for errors in (targets - decoded).T], axis=1)  # (N, K)
        far = np.where(np.isnan(z), 0.0, np.abs(z))
        worst, most = far.argmax(axis=1), far.max(axis=1)
        order = [i for i in np.argsort(-most, kind="stable").tolist() if most[i] > OUTLYING]
        return [
            Suspect(i, self.output_text(t, targets[i, t]), self.output_text(t, decoded[i, t]), float(most[i]))
            for i, t in zip(order, worst[order].tolist(), strict=True)
        ]

    def calibration_errors(self, decoded: np.ndarray, targets: np.ndarray) -> np.ndarray | None:
        """Truth less prediction, in the targets' units."""
        return np.asarray(targets - decoded, dtype=np.float64)

    def region_rules(self, calibrations: Sequence[Calibration], level: float) -> list[Rule | str]:
        return [interval_rule([one.of_target(t) for one in calibrations], level) for t in range(len(self.names))]

    @property
    def region_columns(self) -> list[str]:
        return [*(f"{end}_{name}" for name in self.names for end in ("lower", "upper")), COVERAGE_METHOD]

    def region_cells(self, rules: Sequence[Rule | str], decoded: np.ndarray) -> list[list[Any]]:
        """Lower and upper end of each target, empty where there is no rule."""
        n = decoded.shape[1]
        ends: list[Sequence[float | None]] = []
        for t, rule in enumerate(rules):
            found = (None, None) if isinstance(rule, str) else rule.bounds(decoded[:, :, t])
            ends += [[None] * n if end is None else end.tolist() for end in found]
        return [[*row, method_text(rules)] for row in zip(*ends, strict=True)]

    def coverage_result(
        self, rules: Sequence[Rule | str], decoded: np.ndarray, targets: np.ndarray, groups: np.ndarray | None
    ) -> dict[str, Any]:
        """Of each target: reached with its interval; mean_width, in its units."""
        per_target = {}
        for t, (name, rule) in enumerate(zip(self.names, rules, strict=True)):
            known = ~np.isnan(targets[:, t])
            per_target[name] = about = described(rule)
            if isinstance(rule, str) or not known.any():
                continue
            low, high = rule.bounds(decoded[None, known, t])
            hits = (low <= targets[known, t]) & (targets[known, t] <= high)
            about |= reached(hits, None if groups is None else groups[known])
            about["mean_width"] = float(np.mean(high - low))
        return {"per_target": per_target}

    def largest_difference(self, ours: np.ndarray, theirs: np.ndarray) -> float:
        return float((np.abs(ours - theirs) / np.array(self.std)).max())

    @property
    def decoded_columns(self) -> list[str]:
        return [f"predicted_{name}" for name in self.names]

    @property
    def truth_columns(self) -> list[str]:
        return [f"target_{name}" for name in self.names]

    def columns(self, top: int | None = None) -> list[str]:
        return self.decoded_columns

    def cells(self, decoded: np.ndarray, top: int | None = None) -> list[list[Any]]:
        rows: list[list[Any]] = decoded.tolist()
        return rows

    def tested_columns(self) -> list[str]:
        return [name for pair in zip(self.truth_columns, self.decoded_columns, strict=True) for name in pair]

    def tested_cells(self, decoded: np.ndarray, targets: np.ndarray) -> list[list[Any]]:
        rows = zip(self.target_rows(targets), self.cells(decoded), strict=True)
        return [[cell for pair in zip(true, said, strict=True) for cell in pair] for true, said in rows]

    def uncertainty_columns(self, several: bool) -> list[str]:
        return [f"uncertainty_{name}" for name in self.names] if several else []

    def uncertainty_cells(self, decoded: np.ndarray) -> np.ndarray:
        """The standard deviation over the M, in the score's units; of one prediction nothing is known."""
        return decoded.std(0, ddof=1) if len(decoded) > 1 else np.empty((decoded.shape[1], 0))

    def caption(self, target: Any, decoded: np.ndarray) -> str:
        parts = zip(self.names, target, decoded, strict=True)
        return "; ".join(f"{name} {quantity(t)}, predicted {quantity(d)}" for name, t, d in parts)

    def output_text(self, output: int, value: float) -> str:
        return f"{self.names[output]}: {quantity(value)} {self.unit(output)}".rstrip()

    def truth_text(self, target: Any) -> str:
        return " ".join(f"{value:.4g}" for value in target)

    def describe(self) -> str:
        return f"scores of {', '.join(self.names[:4])}{'...' if len(self.names) > 4 else ''}"

    def aim(self) -> str:
        names = (
            self.names
            if len(self.names) <= FEW_NAMES
            else (*self.names[: FEW_NAMES - 1], f"{len(self.names) - FEW_NAMES + 1} more")
        )
        return f"predict {' and '.join([', '.join(names[:-1]), names[-1]] if len(names) > 1 else names)}"

    def meaning(self, decoded: bool) -> str:
        if self.curves and not decoded:
            return "standardised scores before they are decoded and recalibrated: use them for their order only"
        if self.transform != "none" and not decoded:
            return (
                f"standardised scores on a {self.transform} scale: multiply by scale_std, add scale_mean, and invert it"
            )
        return "scores in their units" if decoded else "standardised scores: multiply by std and add mean"


def mean_of_known(errors: np.ndarray) -> np.ndarray:
    """The mean of each row of (N, K), NaN left out; -1 where nothing is known."""
    known = ~np.isnan(errors)
    sums = np.where(known, errors, 0).sum(1)
    return np.where(known.any(1), sums / np.maximum(known.sum(1), 1), -1.0)


class Rescaling(nn.Module):
    """Standardised scores (B, K) in their own units."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    def forward(self, outputs: Tensor) -> Tensor:
        """Times the spread, plus the mean."""
        return outputs * self.std + self.mean
