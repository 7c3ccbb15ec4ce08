"""How far the numbers of a test set can be trusted: confidence intervals, and the same metrics group by group.

held_out_result(ClassificationScores.of(probabilities, targets, classes))  # all that test.json says

| metric | independent images | images in groups (--group) |
|---|---|---|
| shares of images: top-1, top-5, a class's recall | Wilson | jackknife over groups, logit scale, or Wilson with its variance if wider |
| means of classes: balanced accuracy, macro F1; mAP | Wilson with the jackknife's variance, or MOVER if wider | as for shares |
| MAE, RMSE, loss | jackknife, log scale | jackknife over groups, log scale |
| R2, kappa | jackknife, scale log(1 - x) | jackknife over groups, scale log(1 - x) |
| Pearson | jackknife, Fisher's scale | jackknife over groups, Fisher's scale |
| Spearman | Bonett and Wright | jackknife over groups, Fisher's scale |

With fewer than 5 groups there is no interval. The formulas with their papers: confidence.py;
how often they contain the truth: `python -m benchmarks.coverage`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deep_cnn.config.registries import metric_row
from deep_cnn.tasks import confidence
from deep_cnn.tasks.confidence import Interval
from deep_cnn.tasks.left_out import few_units, left_out, recalls_of_groups
from deep_cnn.tasks.metrics import ClassificationScores, ClassSelection, LabelSelection, MultilabelScores, Scored
from deep_cnn.tasks.score_metrics import RegressionScores

NO_SPREAD = "none: no spread"
FEWEST_GROUPS = 5  # of fewer, no method covers
MOST_GROUPS = 300  # with intervals of their own: some milliseconds each, and nobody reads more

ESTIMANDS = {
    "images": "this network, on new images of the same kind",
    "groups": "this network, on images of new groups of the same kind; a group counts by its number of images",
    "same groups": "this network, on new images of these same groups, not of others; it was trained on images of "
    "{trained} of the {number} groups",
}


@dataclass(frozen=True)
class Estimate:
    """An interval and its method; None, and the reason, where there is none."""

    interval: Interval | None
    method: str


TOO_FEW_GROUPS = Estimate(None, f"none: fewer than {FEWEST_GROUPS} groups")


def freedom(units: np.ndarray | None, n: int) -> float | None:
    """Degrees of freedom of a jackknife over n images, or over groups, codes 0 .. U-1 (n,); None of too few groups."""
    if units is None:
        return n - 1.0
    sizes = np.bincount(units)
    return confidence.effective_groups(sizes) - 1 if len(sizes) >= FEWEST_GROUPS else None


def intervals(samples: Scored, groups: np.ndarray | None = None, level: float = 0.95) -> dict[str, Estimate]:
    """The interval of each of `samples.scores()`.

    Args:
        groups: codes (n,) of images that are not independent, such as those of a city; None where they are.
    """
    units = None if groups is None else few_units(groups)
    estimates: dict[str, Estimate] = {}
    for name, value in samples.scores().items():
        overall = name.rpartition("/")[2]
        alone = isinstance(samples, RegressionScores) and len(samples.names) == 1  # its mean over targets is itself
        known = estimates.get(overall) if alone else None
        estimates[name] = known or interval_of(samples, name, value, units, level)
    return estimates


def interval_of(
    samples: Scored, name: str, value: float | None, units: np.ndarray | None = None, level: float = 0.95
) -> Estimate:
    """That of one metric, of which the value is known. units: codes 0 .. U-1 of groups (n,); None for independent images."""
    if value is None:
        return Estimate(None, "none: undefined")
    return _of_images(samples, name, value, level) if units is None else _of_groups(samples, name, value, units, level)


def _of_images(samples: Scored, name: str, value: float, level: float) -> Estimate:
    row, n = metric_row(name), _known(samples, name)
    if n < 2:
        return Estimate(None, "none: a single image")
    if row.interval == "wilson":
        return Estimate(_pair(confidence.wilson(value, n, level)), "Wilson")
    if row.interval == "bonett_wright" and _is_of_one_target(samples, name):
        return Estimate(confidence.bonett_wright(value, n, level), "Bonett-Wright")
    values, units = left_out(samples, name, None)
    if row.share and np.isfinite(values).all():
        centre = min(max(confidence.without_bias(value, values), 0.0), 1.0)
        by_variance = confidence.wilson_of_variance(centre, confidence.jackknife_variance(values), n, units - 1, level)
        found = confidence.hull(by_variance, _means_of_shares(samples, name, level), (value, value))
        return Estimate(found, "Wilson with the jackknife's variance, or MOVER if wider")
    found = confidence.jackknife_interval(value, values, units - 1, scale_of(name), level)
    return Estimate(found, f"jackknife, {scale_of(name)} scale" if found else NO_SPREAD)


def _of_groups(samples: Scored, name: str, value: float, units: np.ndarray, level: float) -> Estimate:
    sizes = np.bincount(units[_known_rows(samples, name)])
    sizes = sizes[sizes > 0]
    if len(sizes) < FEWEST_GROUPS:
        return TOO_FEW_GROUPS
    df = confidence.effective_groups(sizes) - 1
    values, _ = left_out(samples, name, units)
    found = confidence.jackknife_interval(value, values, df, scale_of(name), level)
    method = f"jackknife over groups, {scale_of(name)} scale"
    if metric_row(name).share and np.isfinite(values).all():
        by_variance = confidence.wilson_of_groups(value, confidence.jackknife_variance(values), sizes, level)
        found = confidence.hull(found, by_variance, _means_of_shares(samples, name, level))
        method += ", or Wilson with its variance if wider"
    return Estimate(found, method if found else NO_SPREAD)


def scale_of(name: str) -> str:
    """On which a metric's jackknife is; a name of `confidence.SCALES`."""
    row = metric_row(name)
    other = {"wilson": "logit", "dyadic": "logit", "bonett_wright": "atanh", "": "logit" if row.share else "plain"}
    return other.get(row.interval, row.interval)


def _pair(ends: tuple[Any, Any]) -> Interval:
    return float(ends[0]), float(ends[1])


def _known_rows(samples: Scored, name: str) -> np.ndarray:
    """Which samples tell something of a metric, bool (n,): of a target those that have it."""
    if not isinstance(samples, RegressionScores):
        return np.ones(len(samples), dtype=bool)
    target = name.rpartition("/")[0]
    if target:
        return np.asarray(samples.known[samples.names.index(target)])
    return np.asarray(samples.known.any(axis=0))


def _known(samples: Scored, name: str) -> int:
    return int(_known_rows(samples, name).sum())


def _is_of_one_target(samples: Scored, name: str) -> bool:
    return "/" in name or len(_names(samples)) == 1


def _names(samples: Scored) -> tuple[str, ...]:
    return samples.names if isinstance(samples, RegressionScores) else samples.classes


def _means_of_shares(samples: Scored, name: str, level: float) -> Interval | None:
    """MOVER's interval of a mean over classes or labels; None for other metrics."""
    if isinstance(samples, RegressionScores) or name not in ("balanced_accuracy", "macro_f1", "micro_f1", "map"):
        return None
    selection = _selection(samples)
    hits, true, predicted = selection.counts
    if name == "micro_f1":
        hits, true, predicted = (x.sum(keepdims=True) for x in (hits, true, predicted))
    if name == "map":
        precision = selection.average_precision  # type: ignore[union-attr]
        there = true > 0
        return confidence.mean_of_shares(precision[there] * true[there], true[there], level)
    if name == "balanced_accuracy":
        there = true > 0
        return confidence.mean_of_shares(hits[there], true[there], level)
    union = true + predicted - hits
    there = union > 0
    return confidence.mean_of_f1(hits[there], union[there], level)


def _selection(samples: ClassificationScores | MultilabelScores) -> ClassSelection | LabelSelection:
    everything = np.arange(len(samples))
    if isinstance(samples, ClassificationScores):
        return ClassSelection(samples, everything)
    return LabelSelection(samples, everything)


def per_group(samples: Scored, groups: np.ndarray, group_names: Sequence[str], level: float = 0.95) -> dict[str, Any]:
    """{name of each group that has samples: {count, its metrics, intervals}}, in the order of the codes (n,).

    A group's interval is that of its own images: this network, on new images of this group. Very many groups have none.
    """
    groups = np.asarray(groups)
    order = np.argsort(groups, kind="stable")
    codes, first, sizes = np.unique(groups[order], return_index=True, return_counts=True)
    result = {}
    for code, begin, size in zip(codes, first, sizes, strict=True):
        of_group = samples.take(order[begin : begin + size])
        result[group_names[code]] = values = {"count": int(size), **nested(of_group.scores())}
        if len(codes) <= MOST_GROUPS:
            values["intervals"] = nested({name: e.interval for name, e in intervals(of_group, level=level).items()})
    return result


def recall_intervals(
    samples: ClassificationScores | MultilabelScores, groups: np.ndarray | None = None, level: float = 0.95
) -> dict[str, Interval | None]:
    """Of the share of each class's or label's images that are found. groups: as in `intervals`."""
    hits, true, _ = _selection(samples).counts
    if groups is None:
        ends = [
            confidence.wilson(h / n, n, level) if n else None for h, n in zip(hits.tolist(), true.tolist(), strict=True)
        ]
        return {name: end and _pair(end) for name, end in zip(samples.classes, ends, strict=True)}
    units = few_units(groups)
    sizes, without = recalls_of_groups(samples, units)  # (U, K) each
    found: dict[str, Interval | None] = {}
    for k, name in enumerate(samples.classes):
        there = sizes[:, k] > 0
        of_groups, values = sizes[there, k], without[there, k]
        if len(of_groups) < FEWEST_GROUPS:
            found[name] = None
            continue
        variance = confidence.jackknife_variance(values)
        found[name] = confidence.wilson_of_groups(hits[k] / true[k], variance, of_groups, level)
    return found


def share_interval(hits: np.ndarray, groups: np.ndarray | None, level: float = 0.95) -> Estimate:
    """Of any share of images, as of top-1. hits: bool (n,). groups: as in `intervals`."""
    n, share = len(hits), float(np.mean(hits))
    if groups is None:
        return Estimate(_pair(confidence.wilson(share, n, level)), "Wilson")
    units = few_units(groups)
    sizes = np.bincount(units)
    if len(sizes) < FEWEST_GROUPS:
        return TOO_FEW_GROUPS
    without = (hits.sum() - np.bincount(units, weights=hits)) / (n - sizes)
    found = confidence.wilson_of_groups(share, confidence.jackknife_variance(without), sizes, level)
    return Estimate(found, "Wilson with the jackknife's variance over groups")


def held_out_result(
    samples: Scored,
    *,
    groups: np.ndarray | None = None,
    group_names: Sequence[str] = (),
    trained: int = 0,
    level: float = 0.95,
) -> dict[str, Any]:
    """What test.json says of a test set: `samples.metrics()`, their intervals, and the metrics of each group.

    Args:
        groups: codes (n,) into group_names, of these samples; None without --group.
        trained: how many of these groups were trained on as well.

    Returns:
        count, all of samples.metrics(); intervals {metric: (low, high) or None} with {per_target: {name: ...}} for
        regression and {per_class: {name: {recall: ...}}} for classes and labels; interval_methods, alike, in words;
        interval_level; estimand; bootstrap {level, repeats: 0, resampled: "images" | "groups"}, whose last word says what varies;
        with groups also number_of_groups, trained_groups (where there are any), effective_groups (of equal size), mean_of_groups {metric: their unweighted mean} and
        per_group {name: {count, metrics, intervals}}.
    """
    estimates = intervals(samples, groups, level)
    units = "images" if groups is None else "groups"
    result = {
        "count": len(samples),
        **samples.metrics(),
        "intervals": nested({name: e.interval for name, e in estimates.items()}),
        "interval_methods": nested({name: e.method for name, e in estimates.items()}),
        "interval_level": level,
        "estimand": ESTIMANDS[units],
        "bootstrap": {"level": level, "repeats": 0, "resampled": units},
    }
    if not isinstance(samples, RegressionScores):
        recalls = recall_intervals(samples, groups, level)
        result["intervals"]["per_class"] = {name: {"recall": interval} for name, interval in recalls.items()}
    if groups is not None:
        found = per_group(samples, groups, group_names, level)
        sizes = np.array([values["count"] for values in found.values()])
        result |= {
            "number_of_groups": len(found),
            "effective_groups": confidence.effective_groups(sizes),
            "mean_of_groups": mean_of_groups(samples, groups),
            "per_group": found,
        }
        if trained:
            result |= {
                "trained_groups": trained,
                "estimand": ESTIMANDS["same groups"].format(trained=trained, number=len(found)),
            }
    return result


def mean_of_groups(samples: Scored, groups: np.ndarray) -> dict[str, Any]:
    """Each metric's mean over the groups in which it is defined, all of them with the same weight."""
    of_groups = [samples.scores(np.flatnonzero(groups == code)) for code in np.unique(groups)]
    means = {}
    for name in of_groups[0]:
        values = [scores[name] for scores in of_groups]
        known = [value for value in values if value is not None]
        means[name] = float(np.mean(known)) if known else None
    return nested(means)


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """{"mae": a, "price/mae": b} -> {"mae": a, "per_target": {"price": {"mae": b}}}."""
    result: dict[str, Any] = {}
    for key, value in flat.items():
        name, slash, metric = key.rpartition(
            "/"
        )  # from the right: a column's name may have a slash, a metric's has none
        place = result.setdefault("per_target", {}).setdefault(name, {}) if slash else result
        place[metric] = value
    return result
