"""A result in words: the console's lines of metrics with their intervals."""

import logging
from typing import Any

from deep_cnn.config.registries import METRICS, metric_row
from deep_cnn.runtime.format import percent, quantity

log = logging.getLogger(__name__)


FEW_GROUPS = 20


def metric_line(scores: dict[str, Any]) -> str:
    """'loss 1.234, top-1 51.2%, ...' for the console: overall metrics, not each target's."""
    parts = [_metric(name, value) for name, value in scores.items() if name in METRICS and not isinstance(value, dict)]
    return ", ".join(parts)


def show_result(result: dict[str, Any]) -> None:
    """The held-out result on the console and in the log, with its intervals; each target's and the mean predictor's."""
    log.info(
        "%s result on %d images, with 95%% intervals from %s:",
        result["split"].capitalize(),
        result["count"],
        "resampled images" if "per_group" not in result else f"{result['number_of_groups']} resampled groups",
    )
    if warning := few_groups(result):
        log.warning("  %s", warning)
    _show_metrics(result, result["intervals"], "")
    if "mean_predictor" in result:
        log.info("  (predicting the training mean: %s)", metric_line(result["mean_predictor"]))
    if len(result.get("per_target", {})) > 1:
        for name, values in result["per_target"].items():
            log.info("  %s:", name)
            _show_metrics(values, result["intervals"]["per_target"].get(name, {}), "  ")
            log.info("    (predicting the training mean: %s)", metric_line(values["mean_predictor"]))
    if views := result.get("tta"):
        log.info("  Averaged over views of each image (--tta=%s):", views["views"])
        _show_metrics(views, views["intervals"], "  ")


def few_groups(result: dict[str, Any]) -> str:
    """A warning about intervals from few resampled groups, which contain the true value too rarely; else empty.

    Cameron, Gelbach and Miller, "Bootstrap-based improvements for inference with clustered errors", 2008: few are 5 to 30.
    """
    if not 1 < result.get("number_of_groups", 0) < FEW_GROUPS:
        return ""
    largest = max(group["count"] for group in result["per_group"].values()) / result["count"]
    return (
        f"Only {result['number_of_groups']} groups, the largest with {percent(largest, 0)} of the images: with fewer than "
        f"{FEW_GROUPS} groups the intervals are too narrow, so the true uncertainty is larger."
    )


def _show_metrics(values: dict[str, Any], intervals: dict[str, Any], indent: str) -> None:
    rows = [row for name, row in METRICS.items() if name in values and not isinstance(values[name], dict)]
    width = max(18, *(len(row.label) for row in rows))
    for row in rows:
        interval = intervals.get(row.name)
        between = f"  [{shown(row.name, interval[0])}, {shown(row.name, interval[1])}]" if interval else ""
        log.info("%s  %-*s %s%s", indent, width, row.label, shown(row.name, values[row.name]), between)


def _metric(name: str, value: float | None) -> str:
    return f"{METRICS[name].label} {shown(name, value)}"


def shown(name: str, value: float | None, decimals: int = 2) -> str:
    """A metric's value for people; decimals: of those in percent."""
    if value is None:
        return "undefined"
    return percent(value, decimals) if metric_row(name).share else quantity(value)
