"""What a flag offers as choices, a row each: names, labels and where the code is. Imports nothing to its right.

A row's `code` is "module:attribute"; the layer to the right that uses it calls `resolve`.
"""

import importlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


def resolve(code: str) -> Any:
    """The object that "module:attribute" names."""
    module, _, attribute = code.partition(":")
    return getattr(importlib.import_module(module), attribute)


# --- metrics ---------------------------------------------------------------------------------------------------------


def any_names(names: Sequence[str]) -> bool:
    return True


def more_than_five(names: Sequence[str]) -> bool:
    return len(names) > 5


def whole_numbers(names: Sequence[str]) -> bool:
    """Whether all classes are whole numbers, such as ratings from 1 to 5: only then their order is known to mean something."""
    return all(re.fullmatch(r"[+-]?[0-9]+", name) for name in names)


@dataclass(frozen=True)
class Metric:
    """A metric: one row here and one function in tasks/metrics.py are all it needs.

    name: in test.json, metrics.csv and flags; label: for people.
    tasks: those that have it, as --task names them; fits: whether a task with these class names has it.
    code: computes it from a selection of samples; empty for the loss, which the task itself defines.
    share: a fraction, shown in percent.
    """

    name: str
    label: str
    tasks: tuple[str, ...]
    code: str
    share: bool = False
    higher_is_better: bool = True
    fits: Callable[[Sequence[str]], bool] = any_names

    def belongs_to(self, task: str, names: Sequence[str]) -> bool:
        """Whether a task of this name, with these classes, labels or targets, has the metric."""
        return task in self.tasks and self.fits(names)


_CODE = "deep_cnn.tasks.metrics:"
_CLASSES, _LABELS, _NUMBERS = ("classification",), ("multilabel",), ("regression",)
_BOTH = _CLASSES + _LABELS

# In the order in which they are shown; files have the loss first
METRICS: dict[str, Metric] = {
    row.name: row
    for row in (
        Metric("top1", "top-1", _CLASSES, f"{_CODE}top1", share=True),
        Metric("top5", "top-5", _CLASSES, f"{_CODE}top5", share=True, fits=more_than_five),
        Metric("balanced_accuracy", "balanced accuracy", _CLASSES, f"{_CODE}balanced_accuracy", share=True),
        Metric("map", "mAP", _LABELS, f"{_CODE}mean_average_precision", share=True),
        Metric("macro_f1", "macro F1", _BOTH, f"{_CODE}macro_f1", share=True),
        Metric(
            "quadratic_weighted_kappa",
            "quadratic weighted kappa",
            _CLASSES,
            f"{_CODE}quadratic_weighted_kappa",
            fits=whole_numbers,
        ),
        Metric("micro_f1", "micro F1", _LABELS, f"{_CODE}micro_f1", share=True),
        Metric("mae", "MAE", _NUMBERS, f"{_CODE}mae", higher_is_better=False),
        Metric("rmse", "RMSE", _NUMBERS, f"{_CODE}rmse", higher_is_better=False),
        Metric("r2", "R2", _NUMBERS, f"{_CODE}r2"),
        Metric("pearson", "Pearson", _NUMBERS, f"{_CODE}pearson"),
        Metric("spearman", "Spearman", _NUMBERS, f"{_CODE}spearman"),
        Metric("loss", "loss", _BOTH + _NUMBERS, "", higher_is_better=False),
    )
}


def metric_row(name: str) -> Metric:
    """The row of "top1", of one target's "price/mae", or of "tta/top1"; a name without a row is shown as it is."""
    last = name.rpartition("/")[2]
    return METRICS.get(last) or Metric(last, last, (), "")
