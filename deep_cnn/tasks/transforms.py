"""Scales on which scores are learnt (--target_transform): the network works on them, metrics and predictions are in original units."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import expit, logit, ndtri
from torch import Tensor, nn

from deep_cnn.runtime.errors import DataError
from deep_cnn.tasks.confidence import Floats

KNOTS = 101  # quantiles that describe the training scores
SKEWED = 2.0  # of 2, the skewness of an exponential distribution, on: few large scores make up the loss


@dataclass(frozen=True)
class Transform:
    """A monotone scale.

    knots: with rank, training scores at evenly spaced ranks, ascending, (KNOTS,); equal ones share the middle of their ranks. Up to
        version 0.2.0 only the different ones were stored, evenly spaced.
    """

    name: str = "none"
    knots: tuple[float, ...] = ()

    def forward(self, values: np.ndarray) -> Floats:
        """From original units; NaN stays NaN, and scores of others that have no place on the scale are not finite."""
        values = np.asarray(values, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.name == "log":
                return np.asarray(np.log(values))
            if self.name == "logit":
                return np.asarray(logit(values))
        if self.name == "rank":
            known, (scores, scale) = ~np.isnan(values), self.pieces()
            return np.where(known, np.interp(np.where(known, values, 0.0), scores, scale), np.nan)
        return values

    def inverse(self, values: np.ndarray) -> Floats:
        """To original units."""
        values = np.asarray(values, dtype=np.float64)
        if self.name == "log":
            return np.asarray(np.exp(values))
        if self.name == "logit":
            return np.asarray(expit(values))
        if self.name == "rank":
            scores, scale = self.pieces()
            return np.asarray(np.interp(values, scale, scores))
        return values

    def pieces(self) -> tuple[Floats, Floats]:
        """Of rank: the different scores of the knots, ascending, and where each is on the scale.

        These are normal quantiles of their middle ranks: Blom, "Statistical estimates and transformed beta-variables", 1958.
        """
        scores, counts = np.unique(np.asarray(self.knots, dtype=np.float64), return_counts=True)
        middle = np.cumsum(counts) - (counts - 1) / 2  # from 1 on
        return scores, np.asarray(ndtri((middle - 0.375) / (len(self.knots) + 0.25)))


def fit_transform(name: str, values: np.ndarray) -> Transform:
    """The scale of a target, from its training scores (n,), NaN where missing."""
    if name != "rank":
        return Transform(name)
    known = values[~np.isnan(values)]
    knots = np.quantile(known, np.linspace(0, 1, KNOTS))
    return Transform(name, tuple(knots.tolist()))


def errors_on(scale: Transform, values: np.ndarray, errors: np.ndarray) -> Floats:
    """Standard errors (n,) of scores (n,) on the scale, by its slope at each score (the delta method); NaN stays NaN."""
    step = errors if scale.name == "rank" else 1e-4 * np.minimum(errors, np.abs(values))  # ranks have steps
    with np.errstate(all="ignore"):
        slope = (scale.forward(values + step) - scale.forward(values - step)) / (2 * step)
    return errors * np.where(step > 0, slope, np.nan)


def without_place(name: str, values: np.ndarray) -> np.ndarray:
    """Which scores have no place on the scale, as values; NaN has one."""
    if name == "log":
        return np.asarray(values <= 0)
    return np.asarray((values <= 0) | (values >= 1)) if name == "logit" else np.zeros(np.shape(values), dtype=bool)


def check_values(name: str, targets: Sequence[str], values: np.ndarray) -> None:
    """DataError for scores that have no place on the scale. values: float64 (N, K)."""
    for target, column in zip(targets, values.T, strict=True):
        bad = column[without_place(name, column)]
        if len(bad):
            need = "above 0" if name == "log" else "between 0 and 1, both excluded"
            raise DataError(
                f"--target_transform={name}: {target} has {len(bad):,} values such as {bad[0]:g}; {name} needs values {need}; use "
                "--target_transform=rank"
            )


def skewness(values: np.ndarray) -> float:
    """Third standardised moment of values (n,), NaN left out; 0 where they do not vary."""
    known = values[~np.isnan(values)]
    spread = known.std() if len(known) else 0.0
    return float(np.mean(((known - known.mean()) / spread) ** 3)) if spread > 0 else 0.0


def mean_and_spread(values: np.ndarray) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each column of (N, K), NaN left out; a spread of 1 where nothing varies."""
    spread = np.nanstd(values, axis=0)
    return np.nanmean(values, axis=0), np.where(spread > 0, spread, 1.0)


class InverseTransforms(nn.Module):
    """(B, K) on the scales of learning -> original units, column by column."""

    def __init__(self, transforms: Sequence[Transform]):
        super().__init__()
        self.names = [transform.name for transform in transforms]
        for k, transform in enumerate(transforms):
            if transform.name == "rank":
                scores, scale = transform.pieces()
                self.register_buffer(f"scale{k}", torch.tensor(scale, dtype=torch.float32))
                self.register_buffer(f"knots{k}", torch.tensor(scores, dtype=torch.float32))

    def forward(self, values: Tensor) -> Tensor:
        """See the class."""
        return torch.stack([self._column(k, values[:, k]) for k in range(len(self.names))], dim=1)

    def _column(self, k: int, x: Tensor) -> Tensor:
        name = self.names[k]
        if name == "log":
            return x.exp()
        if name == "logit":
            return x.sigmoid()
        if name == "rank":
            scale, knots = getattr(self, f"scale{k}"), getattr(self, f"knots{k}")
            x = x.clamp(float(scale[0]), float(scale[-1]))
            # a sum over the pieces, since every export format has it: how far x is into each piece, times its slope
            inside = (x[:, None] - scale[:-1]).clamp(min=0.0).minimum(scale[1:] - scale[:-1])
            found: Tensor = knots[0] + (inside * (knots[1:] - knots[:-1]) / (scale[1:] - scale[:-1])).sum(1)
            return found
        return x
