"""What learning curves say, in plain words and with the numbers that say it. A function of metrics.csv's rows alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from deep_cnn.config.registries import metric_row
from deep_cnn.tasks.base import Chance

FLAT = 0.02  # the training loss moved by less than this share of itself: it learnt nothing
RISE = 0.05  # the validation loss rose by this share of its lowest value: more than its usual wobble
GAIN = 0.01  # the metric gained this share of itself in the last quarter: more epochs are worth their time


def advise(
    rows: Sequence[dict[str, Any]],
    *,
    select: str,
    higher_is_better: bool,
    chance: Chance | None = None,
) -> list[str]:
    """What a reader should notice about a run, the worst first; empty where nothing stands out.

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
        _overfitting(rows),
        _still_improving(rows, select, higher_is_better),
    ]
    return [sentence for sentence in found if sentence]


def _never_moved(rows: Sequence[dict]) -> str | None:
    losses = _column(rows, "train_loss")
    if len(losses) < 3 or np.ptp(losses) > FLAT * abs(losses[0]):
        return None
    peak = np.nanmax(_column(rows, "lr"))
    return (
        f"The loss never moved: training loss {losses[0]:.4g} in epoch {rows[0]['epoch']}, {losses[-1]:.4g} in epoch "
        f"{rows[-1]['epoch']}. The learning rate (at most {peak:.3g}) may be far too small or far too large: --lr=auto "
        "looks for one; or everything that could learn is frozen."
    )


def _below_chance(rows: Sequence[dict], select: str, higher: bool, chance: Chance | None) -> list[str]:
    values = _column(rows, f"val_{select}")
    if not np.isfinite(values).any():
        return []
    best = int(np.nanargmax(values) if higher else np.nanargmin(values))
    if chance is not None and higher and values[best] <= chance.value:
        return [
            f"Validation is no better than {chance.how}: {select} {_shown(select, values[best])} at its best (epoch "
            f"{rows[best]['epoch']}) against {_shown(select, chance.value)}. Check that the labels belong to the images "
            "(python -m deep_cnn check), then try --lr=auto or more --epochs."
        ]
    names = [name for name in rows[best] if name == "val_r2" or (name.startswith("val_") and name.endswith("/r2"))]
    if len(names) > 1:
        names.remove("val_r2")
    worse = [name for name in names if rows[best][name] is not None and rows[best][name] <= 0]
    return [
        f"Validation{_of_target(name)} is no better than predicting the mean of every image: R2 "
        f"{rows[best][name]:.3f} at the best epoch ({rows[best]['epoch']}); above 0 something would have been learnt."
        for name in worse
    ]


def _wilder_than_chance(rows: Sequence[dict], chance_loss: float | None) -> str | None:
    losses = _column(rows, "val_loss")
    if chance_loss is None or not np.isfinite(losses).any() or np.nanmin(losses) <= (1 + RISE) * chance_loss:
        return None
    best = int(np.nanargmin(losses))
    return (
        f"The validation loss is {losses[best]:.4g} at its lowest (epoch {rows[best]['epoch']}), above the {chance_loss:.4g} of "
        "knowing nothing but how frequent each class is: the network is sure of what is wrong. It had too few steps, or they "
        "were too large: more --epochs, a smaller --lr, or --clip=1."
    )


def _of_target(column: str) -> str:
    target = column.removeprefix("val_").rpartition("/")[0]
    return f" of {target}" if target else ""


def _diverged(rows: Sequence[dict]) -> str | None:
    losses = _column(rows, "train_loss")
    low = int(np.nanargmin(losses))
    if len(losses) - low < 3 or losses[-1] <= 1.5 * losses[low]:
        return None
    return (
        f"Training became unstable: the training loss was {losses[low]:.4g} in epoch {rows[low]['epoch']} and is "
        f"{losses[-1]:.4g} at the end. Try a smaller --lr, a longer --warmup, or --clip=1."
    )


def _overfitting(rows: Sequence[dict]) -> str | None:
    validation, training = _column(rows, "val_loss"), _column(rows, "train_loss")
    if not np.isfinite(validation).any():
        return None
    low = int(np.nanargmin(validation))
    if len(rows) - low < 3:
        return None
    end = float(np.nanmean(validation[-2:]))  # of two epochs: one may be an outlier
    if end < (1 + RISE) * validation[low] or training[-1] > (1 - RISE) * training[low]:
        return None
    return (
        f"Overfitting from epoch {rows[low]['epoch']}: since then the validation loss rose from {validation[low]:.4g} to "
        f"{end:.4g} while the training loss fell from {training[low]:.4g} to {training[-1]:.4g}. best.pt is of the best "
        "epoch, not the last. More images help most; then --augment=strong, --weight_decay, --dropout, --freeze, or a "
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
        f"Still improving at the end: {select} {_shown(select, before)} at best before the last "
        f"{'epoch' if last == 1 else f'{last} epochs'}, {_shown(select, values[best])} in epoch {rows[best]['epoch']} of "
        f"{rows[-1]['epoch']}. More --epochs would probably help."
    )


def _shown(metric: str, value: float) -> str:
    return f"{100 * value:.1f}%" if metric_row(metric).share else f"{value:.4g}"


def _column(rows: Sequence[dict], name: str) -> np.ndarray:
    values = [row.get(name) for row in rows]
    return np.array([np.nan if value in (None, "") else float(value) for value in values])
