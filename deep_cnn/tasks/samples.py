"""What all metrics share: selections of samples, and the small parts of metrics.

Sums avoid BLAS: its results depend on the number of threads, and test.json is compared bit for bit.
"""

from collections.abc import Callable, Mapping, Sequence
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


def computed(functions: Functions, selection: Any) -> Scores:
    """Each metric of a selection."""
    return {name: plain(function(selection)) for name, function in functions.items()}


def check_shape(values: np.ndarray, shape: tuple[int, ...]) -> None:
    """DataError where there are no images, NonFiniteLoss where a prediction is NaN or infinite. values: of this shape, (N, ...)."""
    assert values.shape == shape, f"predictions {values.shape} for targets {shape}"
    if not shape[0]:
        raise DataError("no images to evaluate: the split is empty; set --val_split or --test_split above 0")
    broken = np.count_nonzero(~np.isfinite(values).all(axis=1))
    if broken:  # NaN compares as false, and would count as a hit
        raise NonFiniteLoss(
            f"the network's outputs for {broken} of {shape[0]} images are NaN or infinite; "
            "try a smaller --lr, --clip=1, or --precision=fp32"
        )


def all_unless_given(indices: Ints | None, n: int) -> Ints:
    """The numbers of n samples, where no selection is given."""
    return np.arange(n) if indices is None else indices


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """NaN instead of a warning where the denominator is 0."""
    return np.where(denominator > 0, numerator / np.maximum(denominator, 1), np.nan)


def mean_of_defined(values: np.ndarray) -> float | None:
    """The mean of what is not NaN; None where all is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else None


def mean(values: np.ndarray) -> float:
    """NaN of no values."""
    return values.mean() if len(values) else np.nan


def rms(values: np.ndarray) -> float:
    """The root of the mean square; NaN of no values."""
    return float(np.sqrt(mean(values * values)))


def plain(value: float | None) -> float | None:
    """A value for JSON, which has no NaN."""
    return float(value) if value is not None and np.isfinite(value) else None
