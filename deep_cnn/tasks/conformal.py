"""Regions that contain the truth of a new image with a given probability: intervals for scores, sets of classes.

The sizes of errors on calibration images, which did not train the network, say how far a region has to reach. Nothing is assumed of the
network or of the errors' distribution, only that new images (or new groups of images) are like those:

| calibration images | scores | classes |
|---|---|---|
| no groups | split conformal: the ceil((n + 1) x coverage)-th smallest error (Vovk et al. 2005; Lei et al. 2018) | the same, LAC (Sadinle, Lei and Wasserman 2019) |
| 20 groups or more | HCP: each group counts alike (Lee, Barber and Willett 2023) | HCP, of as many groups as the coverage needs |
| 3 to 19 groups | Student's t over groups, which assumes a model | - |
| folds | the same out of fold: CV+ (Barber, Candès, Ramdas and Tibshirani 2021; for sets Romano, Sesia and Candès 2020) | the same |

`benchmarks/conformal.py` simulates how often they contain the truth.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from deep_cnn.runtime.format import plural
from deep_cnn.tasks.confidence import Floats, t_quantile

FEW_IMAGES = 300  # calibration images: with fewer the coverage differs by more than 2 points from set to set
FEW_GROUPS = 9  # of validation: likewise
HCP_GROUPS = 20  # from so many on the largest errors of one group in ten are known
MODEL_GROUPS = 3
ROUNDING = 1e-9  # of sums of weights


@dataclass(frozen=True)
class Calibration:
    """How wrong a network was on calibration images.

    Attributes:
        errors: float64 (n, T), NaN where the truth is missing; of scores truth less prediction, of classes 1 - probability of the true one.
        groups: int64 (n,) codes, or None.
        images: names which images they are.
    """

    errors: Floats
    groups: np.ndarray | None
    images: str

    def to_dict(self) -> dict[str, Any]:
        """As a checkpoint keeps it."""
        groups = None if self.groups is None else torch.from_numpy(np.ascontiguousarray(self.groups, dtype=np.int64))
        return {"errors": torch.from_numpy(self.errors.copy()), "groups": groups, "images": self.images}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Calibration":
        """From `to_dict`."""
        groups = values["groups"]
        return cls(values["errors"].numpy(), None if groups is None else groups.numpy(), values["images"])

    def of_target(self, target: int) -> "Calibration":
        """Of the images that have this target: errors (n, 1)."""
        known = ~np.isnan(self.errors[:, target])
        groups = None if self.groups is None else self.groups[known]
        return Calibration(self.errors[known, target : target + 1], groups, self.images)


def mean_of(calibrations: Sequence[Calibration]) -> Calibration | None:
    """That of the mean of several networks on the same images, since errors are linear in predictions; None of other images."""
    first = calibrations[0]
    if any(other.images != first.images or other.errors.shape != first.errors.shape for other in calibrations):
        return None
    return Calibration(np.mean([one.errors for one in calibrations], axis=0), first.groups, first.images)


@dataclass(frozen=True)
class Steps:
    """A share of calibration images as a step function of the size of their errors. sizes: sorted, (n,); shares: cumulative, (n + 1,)."""

    sizes: Floats
    shares: Floats

    def at_most(self, size: Floats) -> Floats:
        """The share of errors that are not larger, of that shape."""
        found: Floats = self.shares[np.searchsorted(self.sizes, size, side="right")]
        return found

    def below(self, size: Floats) -> Floats:
        """The share of errors that are smaller, of that shape."""
        found: Floats = self.shares[np.searchsorted(self.sizes, size, side="left")]
        return found


@dataclass(frozen=True)
class Rule:
    """How a region of one target, or of the classes, is made of predictions.

    Attributes:
        level: the share of new images whose region shall contain the truth.
        method: as the table says it, with its marks behind commas.
        steps: one for the network, or one for each network of a cross-validation: of images that it was not trained on.
        half_width: of Student's t, in place of steps.
        images, groups: that it was calibrated on; groups is None where images are independent.
    """

    level: float
    method: str
    steps: tuple[Steps, ...]
    images: int
    groups: int | None
    half_width: float | None = None

    @property
    def marked(self) -> bool:
        """Whether the coverage is less sure than it could be."""
        return "," in self.method

    def bounds(self, predicted: Floats) -> tuple[Floats, Floats]:
        """Lower and upper ends, (n,) each, of scores that M networks predict, (M, n)."""
        if self.half_width is not None:
            centre = predicted.mean(axis=0)
            return centre - self.half_width, centre + self.half_width
        if len(self.steps) == 1:
            (steps,), centre = self.steps, predicted.mean(axis=0)
            reach = steps.sizes[np.searchsorted(steps.shares[1:], self.level - ROUNDING)]
            return centre - reach, centre + reach
        return -self._upper(-predicted), self._upper(predicted)

    def _upper(self, predicted: Floats) -> Floats:
        """The lowest value that is beyond prediction + error for a share `level` of all networks' errors, by bisection, (n,)."""
        largest = max(float(steps.sizes[-1]) for steps in self.steps if len(steps.sizes))
        low, high = predicted.min(axis=0), predicted.max(axis=0) + largest  # (n,): `high` is beyond all of them
        low = low - np.maximum(np.abs(low), 1.0) * 1e-9
        for _ in range(100):
            middle = (low + high) / 2
            reached = self._share(middle - predicted) >= self.level - ROUNDING
            high, low = np.where(reached, middle, high), np.where(reached, low, middle)
        return np.asarray(high)

    def _share(self, sizes: Floats) -> Floats:
        found: Floats = np.sum([steps.at_most(row) for steps, row in zip(self.steps, sizes, strict=True)], axis=0)
        return found

    def members(self, probabilities: Floats) -> np.ndarray:
        """The classes of each image's set, bool (n, K), of probabilities of M networks, (M, n, K); the most probable one is in it."""
        mean = probabilities.mean(axis=0)
        missing = 1 - (mean[None] if len(self.steps) == 1 else probabilities)
        smaller = np.sum([steps.below(of_one) for steps, of_one in zip(self.steps, missing, strict=True)], axis=0)
        members: np.ndarray = smaller < self.level - ROUNDING
        members[np.arange(len(mean)), mean.argmax(axis=1)] = True
        return members


def interval_rule(calibrations: Sequence[Calibration], level: float) -> Rule | str:
    """The rule for one target's intervals, or why there is none.

    Args:
        calibrations: one, or one for each fold of a cross-validation, of its test images; errors (n, 1).
    """
    groups = _groups_of(calibrations)
    if groups is None or len(groups) >= HCP_GROUPS:
        return _conformal(calibrations, level, groups)
    if len(groups) < MODEL_GROUPS:
        return f"{plural(len(groups), 'calibration group')}, but an interval for new groups needs {MODEL_GROUPS}"
    marks = ", model-based" + (", few groups" if len(groups) < FEW_GROUPS and len(calibrations) == 1 else "")
    errors = np.concatenate([one.errors[:, 0] for one in calibrations])
    return Rule(
        level,
        f"t over groups{marks}",
        (),
        len(errors),
        len(groups),
        half_width=t_half_width(
            errors, np.concatenate([one.groups for one in calibrations if one.groups is not None]), level
        ),
    )


def set_rule(calibrations: Sequence[Calibration], level: float) -> Rule | str:
    """The rule for sets of classes, or why there is none. calibrations: as of `interval_rule`."""
    return _conformal(calibrations, level, _groups_of(calibrations))


def _groups_of(calibrations: Sequence[Calibration]) -> np.ndarray | None:
    """The codes of all groups, (G,)."""
    found = [one.groups for one in calibrations if one.groups is not None]
    return np.unique(np.concatenate(found)) if found else None


def _conformal(calibrations: Sequence[Calibration], level: float, groups: np.ndarray | None) -> Rule | str:
    images, several = sum(len(one.errors) for one in calibrations), len(calibrations) > 1
    units, noun = (images, "image") if groups is None else (len(groups), "group")
    if units == 0 or units / (units + 1) < level - ROUNDING:
        return f"{plural(units, f'calibration {noun}')}, but a coverage of {level:g} needs {fewest_units(level)}"
    steps = tuple(_steps(one, units, groups) for one in calibrations)
    few = "" if several or units >= (FEW_IMAGES if groups is None else FEW_GROUPS) else f", few {noun}s"
    name = {
        (False, False): "split conformal",
        (False, True): "HCP",
        (True, False): "CV+",
        (True, True): "HCP out of fold",
    }
    return Rule(level, name[several, groups is not None] + few, steps, images, None if groups is None else units)


def fewest_units(level: float) -> int:
    """Calibration images, or groups, without which a region of this coverage would be everything."""
    return int(np.ceil(level / (1 - level) - 1e-6))


def _steps(calibration: Calibration, units: int, groups: np.ndarray | None) -> Steps:
    """Each image, or each group, has a share of 1 / (units + 1); the new one's error may be of any size."""
    sizes = np.abs(calibration.errors[:, 0])
    order = np.argsort(sizes, kind="stable")
    weights = np.full(len(sizes), 1 / (units + 1))
    if groups is not None:
        assert calibration.groups is not None
        _, codes, counts = np.unique(calibration.groups, return_inverse=True, return_counts=True)
        weights /= counts[codes]
    return Steps(sizes[order], np.concatenate([[0.0], np.cumsum(weights[order])]))


def t_half_width(errors: Floats, groups: np.ndarray, level: float) -> float:
    """Half the width of an interval for an image of a new group, by Student's t: t(G - 1) sqrt(mean_g MSE_g (1 + 1 / G)).

    Assumes that groups' mean squared errors are alike and that errors are about normal. The mean over groups and not over images: a new
    group is one draw of groups.

    Args:
        errors: (n,). groups: codes (n,), of G groups.
    """
    _, codes, counts = np.unique(groups, return_inverse=True, return_counts=True)
    of_groups = np.bincount(codes, weights=np.square(errors)) / counts
    return t_quantile(len(counts) - 1, level) * float(np.sqrt(of_groups.mean() * (1 + 1 / len(counts))))
