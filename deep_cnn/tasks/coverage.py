"""What is said of regions (conformal.py): in test.json, and by which method in a table of predictions."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from deep_cnn.tasks.conformal import Rule
from deep_cnn.tasks.intervals import share_interval

COVERAGE_METHOD = "coverage_method"  # a column of `predict`
TEST_LEVEL = 0.9  # whose coverage test.json has

ASSUMPTIONS = {
    "images": "new images are like the calibration images",
    "groups": "new groups of images are like the calibration groups",
}


def described(rule: Rule | str) -> dict[str, Any]:
    """How regions are made: method, marked, assumption, calibration_images, calibration_groups; or why there are none."""
    if isinstance(rule, str):
        return {"method": f"none: {rule}"}
    return {
        "method": rule.method,
        "marked": rule.marked,
        "assumption": ASSUMPTIONS["images" if rule.groups is None else "groups"],
        "calibration_images": rule.images,
        "calibration_groups": rule.groups,
    }


def reached(hits: np.ndarray, groups: np.ndarray | None) -> dict[str, Any]:
    """The share of test images whose region contains the truth, bool (n,), and its 95% interval. groups: codes (n,), or None."""
    estimate = share_interval(hits, groups)
    return {"reached": float(hits.mean()), "interval": estimate.interval, "interval_method": estimate.method}


def method_text(rules: Sequence[Rule | str]) -> str:
    """The method of one or several targets, each once."""
    return "; ".join(dict.fromkeys(str(described(rule)["method"]) for rule in rules))
