"""The first screen of a report: what was learnt from what, the main number with its interval and baseline, and a verdict in words.

Functions of the values of test.json or folds.json and of the task; nothing here knows where they came from.
"""

from dataclasses import dataclass
from typing import Any

from deep_cnn.config.registries import metric_row
from deep_cnn.reporting.result_text import FEW
from deep_cnn.runtime.format import number, plural
from deep_cnn.tasks.base import Task

MOST_TARGETS = 8  # on the first screen
NO_INTERVAL = "no interval: too few groups, or not defined"


@dataclass(frozen=True)
class Verdict:
    """What a result means. tone: "good", "open" or "bad", for its colour."""

    tone: str
    text: str


@dataclass(frozen=True)
class Front:
    """The main number. below: its interval and its baseline; beside: other metrics, (label, value)."""

    value: str
    label: str
    below: list[str]
    beside: list[tuple[str, str]]
    verdict: Verdict


def main_metric(task: Task, result: dict[str, Any]) -> str:
    """The metric that stands for a result: the first of the task's that is defined, or the first where none is (no test votes)."""
    return next((name for name in task.headline if isinstance(result.get(name), (int, float))), task.headline[0])


def front_of(task: Task, result: dict[str, Any], images: str) -> Front:
    """The main number of a test or of a cross-validation.

    Args:
        result: of test.json or folds.json. images: which they are, "test images".
    """
    name = main_metric(task, result)
    unit, value = unit_of(task, name), result.get(name)
    interval, base = result.get("intervals", {}).get(name), baseline(task, result, name)
    below = [f"95% interval {between(name, interval, unit)}" if interval else NO_INTERVAL]
    below += [f"{task.blind_words}: {metric_text(name, base, unit)}"] if base is not None else []
    targets = result.get("per_target") or result.get("pooled", {}).get("per_target", {})
    beside = [
        (f"{target} {metric_row(name).label}", metric_text(name, of[name]))
        for target, of in targets.items()
        if name in of
    ]
    if 2 <= len(targets) <= MOST_TARGETS and beside:
        over = (
            f" of all votes on {len(targets)} questions" if task.vote_metrics else f", mean of {len(targets)} targets"
        )
        label = f"{metric_row(name).label}{over}, on {result['count']:,} {images}"
        return Front(metric_text(name, value, unit), label, below, beside, verdict(task, result, name))
    beside = [
        (metric_row(other).label, metric_text(other, result[other], unit_of(task, other)))
        for other in (
            "top5",
            "balanced_accuracy",
            "macro_f1",
            "micro_f1",
            "mae",
            "rmse",
            "mae_sd",
            "pearson",
            "spearman",
        )
        if other != name and isinstance(result.get(other), (int, float))
    ]
    label = f"{metric_row(name).label} on {result['count']:,} {images}"
    return Front(metric_text(name, value, unit), label, below, beside[:4], verdict(task, result, name))


def verdict(task: Task, result: dict[str, Any], name: str) -> Verdict:
    """Whether something was learnt beyond a prediction that looks at no image, by the interval of the difference."""
    blind, unit = task.blind_words, unit_of(task, name)
    found = result.get("differences", {}).get(task.blind_name, {}).get(name)
    base, interval = baseline(task, result, name), result.get("intervals", {}).get(name)
    better_if_higher = metric_row(name).higher_is_better
    if found and found.get("interval"):
        ends, change = found["interval"], found["value"]
        by = f"{_difference(name, abs(change), unit)} {'higher' if change > 0 else 'lower'}" if change else "the same"
        low = _difference(name, ends[0], unit).removesuffix(" points").removesuffix(f" {unit}")
        size = f"{metric_row(name).label} is {by} (95% interval of the difference "
        size += f"{low} to {_difference(name, ends[1], unit)})"
    elif base is not None and interval:
        ends = [end - base for end in interval]
        size = (
            f"{metric_row(name).label} {between(name, interval, unit)}, compared with {metric_text(name, base, unit)}"
        )
    else:
        few = 0 < result.get("number_of_groups", 0) < FEW
        why = f": the test has {plural(result['number_of_groups'], 'group')}, an interval needs {FEW}" if few else ""
        return Verdict("open", f"Whether this is better than {blind} cannot be said: there is no interval{why}.")
    low, high = ends if better_if_higher else (-ends[1], -ends[0])
    if low > 0:
        return Verdict("good", f"Better than {blind}: {size}.")
    if high < 0:
        return Verdict("bad", f"Worse than {blind}: {size}.")
    return Verdict("bad", f"Not clearly better than {blind}: {size}.")


def baseline(task: Task, result: dict[str, Any], name: str) -> float | None:
    """What a prediction that looks at no image reaches; None where the files do not say it."""
    found = result.get("differences", {}).get(task.blind_name, {}).get(name)
    if found and found.get("value") is not None:
        return float(result[name] - found["value"])
    if name in result.get("mean_predictor", {}):
        return float(result["mean_predictor"][name])
    by_definition = {"r2": 0.0, "pair_accuracy": 0.5}  # of the mean of these very images, and of a coin
    return by_definition.get(name)


def validated_front(task: Task, row: dict[str, Any]) -> Front:
    """The same of a run that was not tested. row: of metrics.csv, of the best epoch."""
    name = next((n for n in (*task.headline, task.select) if row.get(f"val_{n}") is not None), None)
    text = "Not tested: validation has selected the epoch, so its metrics are optimistic, and there is no interval."
    if name is None:
        return Front("-", "neither validated nor tested", [], [], Verdict("open", "There is no result to report."))
    value = metric_text(name, row[f"val_{name}"], unit_of(task, name))
    label = f"{metric_row(name).label} on validation, in epoch {int(row['epoch'])}"
    return Front(value, label, [], [], Verdict("open", text))


# ---- numbers in words --------------------------------------------------------------------------------------------------


def unit_of(task: Task, name: str) -> str:
    """The unit of a metric, '' where it has none or several: "price/mae" in dollars, "mae" of several targets in their common unit."""
    if not metric_row(name).in_units:
        return ""
    target = name.rpartition("/")[0]
    units = {task.unit(k) for k, known in enumerate(task.names) if not target or known == target}
    return units.pop() if len(units) == 1 else ""


def metric_text(name: str, value: float | None, unit: str = "") -> str:
    """'94.8%', '38,200 USD', '0.364'; 'undefined' where there is none."""
    if value is None:
        return "undefined"
    row = metric_row(name)
    if not row.share and not row.in_units and (0.0 if name != "loss" else 0.001) <= abs(value) < 10:
        # of R2 and correlations the size counts, and not how many digits are behind the zeros
        return f"{value:.3f}".replace("-0.000", "0.000")
    return f"{number(value, row.share)} {unit}".strip()


def between(name: str, interval: list[float], unit: str = "") -> str:
    """'90.1% to 97.3%'."""
    return f"{metric_text(name, interval[0])} to {metric_text(name, interval[1], unit)}"


def _difference(name: str, value: float, unit: str) -> str:
    return f"{100 * value:.1f} points" if metric_row(name).share else metric_text(name, value, unit)
