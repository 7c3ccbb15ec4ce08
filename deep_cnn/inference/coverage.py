"""How often a network's prediction intervals or sets contain the truth of its test images."""

from typing import Any

import numpy as np

from deep_cnn.data.dataset import Dataset
from deep_cnn.tasks.base import Task
from deep_cnn.tasks.conformal import Calibration
from deep_cnn.tasks.coverage import TEST_LEVEL


def with_coverage(
    result: dict[str, Any], task: Task, dataset: Dataset, outputs: np.ndarray, errors: Calibration | None
) -> dict[str, Any]:
    """The test's result, and under "coverage" that of 90% regions. outputs: raw (n, K); errors: of the validation images, if any."""
    if errors is None:
        return result
    index, rows = dataset.index, dataset.splits.test
    groups = None if index.groups is None else index.groups[rows]
    rules = task.region_rules([errors], TEST_LEVEL)
    found = task.coverage_result(rules, task.decode(outputs), task.truth(dataset, "test"), groups)
    return result | {"coverage": {"level": TEST_LEVEL} | found}
