"""What learning curves mean, in plain words and with the numbers that show it. A function of metrics.csv's rows alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from deep_cnn.config.registries import metric_row, shown
from deep_cnn.runtime.format import quantity
from deep_cnn.tasks.base import Chance

FLAT = 0.02  # the training loss moved by less than this share of itself: it learnt nothing
RISE = 0.05  # a loss rose by this share of another: more than its usual wobble
OVERFIT = 0.1  # the validation loss rose by this share of its lowest value; on 150 images it wobbles by 0.07
STILL_IMPROVING = "Still improving at the end"  # how that sentence begins
GAIN = 0.01  # the metric gained this share of itself in the last quarter: more epochs are worth their time


def advise(
    rows: Sequence[dict[str, Any]],
    *,
    select: str,
    higher_is_better: bool,
    chance: Chance | None = None,
) -> list[str]:
    """Say what a reader should notice about a run, the worst first; empty if there is nothing.

    Args:
        rows: of metrics.csv, in order; values None where undefined.
        select: the metric that chose the best epoch, e.g. "top1"; its column is val_top1.
        chance: what is reached on validation without any learning.
    """
    if not rows:
        return []
    found = [
        _never_moved(rows),
        *_below_chance(rows, select, higher_is_better, chance),
        _wilder_than_chance(rows, None if chance is None else chance.loss),
        _diverged(rows),
        overfitting := _overfitting(rows),
        None if overfitting else _still_improving(rows, select, higher_is_better),
    ]
    return [sentence for sentence in found if sentence]


def _never_moved(rows: Sequence[dict]) -> str | None:
    losses = _column(rows, "train_loss")
    if len(losses) < 3 or np.ptp(losses) > FLAT * abs(losses[0]):
        return None
    peak = np.nanmax(_column(rows, "lr"))
    return (
        f"The training loss did not change: {quantity(losses[0])} in epoch {rows[0]['epoch']}, {quantity(losses[-1])} in epoch "
        f"{rows[-1]['epoch']}. The learning rate (at most {peak:.3g}) may be much too small or much too large: try --lr=auto. "
        "Or all trainable parts of the network are frozen."
    )


def _below_chance(rows: Sequence[dict], select: str, higher: bool, chance: Chance | None) -> list[str]:
    values = _column(rows, f"val_{select}")
    if not np.isfinite(values).any():
        return []
    best = int(np.nanargmax(values) if higher else np.nanargmin(values))
    if chance is not None and higher and values[best] <= chance.value:
        return [
            f"Validation is no better than {chance.how}: the best {metric_row(select).label} is {_shown(select, values[best])} "
            f"(epoch {rows[best]['epoch']}), compared with {_shown(select, chance.value)}. Check that the labels match the images "
            "(python -m deep_cnn check), then try --lr=auto or more --epochs."
        ]
    names = [name for name in rows[best] if name == "val_r2" or (name.startswith("val_") and name.endswith("/r2"))]
    if len(names) > 1:
        names.remove("val_r2")
    worse = [name for name in names if rows[best][name] is not None and rows[best][name] <= 0]
    return [
        f"Validation{_of_target(name)} is no better than always predicting the mean: R2 "
        f"{rows[best][name]:.3f} in the best epoch ({rows[best]['epoch']}); it must be above 0."
        for name in worse
    ]


def _wilder_than_chance(rows: Sequence[dict], chance_loss: float | None) -> str | None:
    losses = _column(rows, "val_loss")
    if not chance_loss or not np.isfinite(losses).any() or np.nanmin(losses) <= (1 + RISE) * chance_loss:
        return None
    best = int(np.nanargmin(losses))
    return (
        f"The lowest validation loss is {quantity(losses[best])} (epoch {rows[best]['epoch']}), above {quantity(chance_loss)}, that "
        "of always predicting how frequent each class is: the network is confident in wrong predictions. Try more --epochs, a "
        "smaller --lr, or --clip=1."
    )


def _of_target(column: str) -> str:
    target = column.removeprefix("val_").rpartition("/")[0]
    return f" of {target}" if target else ""


def _diverged(rows: Sequence[dict]) -> str | None:
    losses = _column(rows, "train_loss")
    if not np.isfinite(losses).any():
        return None
    low = int(np.nanargmin(losses))
    if len(losses) - low < 3 or losses[-1] <= 1.5 * losses[low]:
        return None
    return (
        f"Training became unstable: the training loss was {quantity(losses[low])} in epoch {rows[low]['epoch']} and is "
        f"{quantity(losses[-1])} at the end. Try a smaller --lr, a longer --warmup, or --clip=1."
    )


def _overfitting(rows: Sequence[dict]) -> str | None:
    validation, training = _column(rows, "val_loss"), _column(rows, "train_loss")
    if not np.isfinite(validation).any():
        return None
    low = int(np.nanargmin(validation))
    if len(rows) - low < 3:
        return None
    end = float(np.nanmean(validation[-2:]))  # of two epochs: one may be an outlier
    if end < (1 + OVERFIT) * validation[low] or training[-1] > (1 - RISE) * training[low]:
        return None
    return (
        f"Overfitting from epoch {rows[low]['epoch']}: since then the validation loss rose from {quantity(validation[low])} "
        f"to {quantity(end)}, while the training loss fell from {quantity(training[low])} to {quantity(training[-1])}. best.pt has "
        "the weights of the best epoch. More images help most; then --augment=strong, --weight_decay, --dropout, --freeze, or a "
        "smaller network."
    )


def _still_improving(rows: Sequence[dict], select: str, higher: bool) -> str | None:
    values = _column(rows, f"val_{select}")
    if len(rows) < 4 or not np.isfinite(values).all():
        return None
    best = int(values.argmax() if higher else values.argmin())
    last = max(1, len(rows) // 4)  # the last quarter
    before = values[:-last].max() if higher else values[:-last].min()
    gain = (values[best] - before) * (1 if higher else -1)
    if gain <= GAIN * abs(before):
        return None
    return (
        f"{STILL_IMPROVING}: the best {metric_row(select).label} was {_shown(select, before)} before the last "
        f"{'epoch' if last == 1 else f'{last} epochs'}, and is {_shown(select, values[best])} in epoch {rows[best]['epoch']} (the "
        f"last is {rows[-1]['epoch']}). More --epochs would probably help."
    )


def _shown(metric: str, value: float) -> str:
    return shown(metric, value, decimals=1)


def _column(rows: Sequence[dict], name: str) -> np.ndarray:
    values = [row.get(name) for row in rows]
    return np.array([np.nan if value in (None, "") else float(value) for value in values])
