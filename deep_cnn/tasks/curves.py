"""Rising curves from one scale of scores to another: fitted, applied, inverted, and as a layer of an exported network."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from deep_cnn.tasks.confidence import Floats


@dataclass(frozen=True)
class Curve:
    """Straight between its knots, which rise in x and y, and a line of this slope beyond them."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    slope: float

    def __call__(self, values: np.ndarray) -> Floats:
        """Any shape; NaN stays NaN."""
        return _along(np.asarray(values, np.float64), self.x, self.y, self.slope)

    def inverse(self, values: np.ndarray) -> Floats:
        """Back to the first scale."""
        return _along(np.asarray(values, np.float64), self.y, self.x, 1 / self.slope)


def _along(values: Floats, x: Sequence[float], y: Sequence[float], slope: float) -> Floats:
    beyond = np.minimum(values - x[0], 0) + np.maximum(values - x[-1], 0)
    return np.asarray(np.interp(values, x, y) + slope * beyond)


def fitted_curve(x: np.ndarray, y: np.ndarray, slope: float) -> Curve:
    """Centred isotonic regression of y on x, (n,) each, which rise together.

    Isotonic regression gives steps. A knot in the middle of each makes a curve that rises strictly, so that no two predictions
    become equal, and that has a smaller error where the truth is smooth: Oron and Flournoy, "Centered isotonic regression: point
    and interval estimation for dose-response studies", Statistics in Biopharmaceutical Research, 2017.

    Args:
        slope: beyond the outer steps, where they are not known: that of the least-squares line, above 0.
    """
    from sklearn.isotonic import isotonic_regression

    places, of = np.unique(x, return_inverse=True)
    weights = np.bincount(of).astype(np.float64)
    steps = isotonic_regression(np.bincount(of, y) / weights, sample_weight=weights)
    heights, step = np.unique(steps, return_inverse=True)
    middles = np.bincount(step, weights * places) / np.bincount(step, weights)
    return Curve(tuple(middles.tolist()), tuple(heights.tolist()), slope)


class CurveLayer(nn.Module):
    """Curves of the columns of (B, K); None: the column stays as it is."""

    def __init__(self, curves: Sequence[Curve | None]):
        super().__init__()
        self.slopes = [None if curve is None else curve.slope for curve in curves]
        for k, curve in enumerate(curves):
            if curve is not None:
                self.register_buffer(f"x{k}", torch.tensor(curve.x, dtype=torch.float32))
                self.register_buffer(f"y{k}", torch.tensor(curve.y, dtype=torch.float32))

    def forward(self, values: Tensor) -> Tensor:
        """See the class."""
        return torch.stack([self._column(k, values[:, k]) for k in range(len(self.slopes))], dim=1)

    def _column(self, k: int, values: Tensor) -> Tensor:
        slope = self.slopes[k]
        if slope is None:
            return values
        x, y = getattr(self, f"x{k}"), getattr(self, f"y{k}")
        found: Tensor = y[0] + slope * ((values - x[0]).clamp(max=0.0) + (values - x[-1]).clamp(min=0.0))
        if len(x) > 1:
            # a sum over the pieces, since every export format has it: how far a value is into each piece, times its slope
            inside = (values[:, None] - x[:-1]).clamp(min=0.0).minimum(x[1:] - x[:-1])
            found = found + (inside * (y[1:] - y[:-1]) / (x[1:] - x[:-1])).sum(1)
        return found
