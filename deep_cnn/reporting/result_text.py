"""A result in words: the console's lines of metrics with their intervals, how these were made, and what to be careful about."""

import logging
from functools import partial
from typing import Any

from deep_cnn.config.registries import METRICS, metric_row, shown
from deep_cnn.runtime.format import bracketed, listed, percent, plural, quantity, some
from deep_cnn.tasks.differences import LINEAR_BASELINE

log = logging.getLogger(__name__)

FEW = 5  # errors, test images of a class, groups: fewer say next to nothing
HEAVY_TAIL = 1.5  # RMSE / MAE; 1.25 where errors are normal, 1.65 where they are lognormal (sigma 1)


def metric_line(scores: dict[str, Any]) -> str:
    """'loss 1.234, top-1 51.2%, ...' for the console: overall metrics, not each target's."""
    parts = [_metric(name, value) for name, value in scores.items() if name in METRICS and not isinstance(value, dict)]
    return ", ".join(parts)


def show_result(result: dict[str, Any]) -> None:
    """The held-out result on the console and in the log, with its intervals; each target's and the mean predictor's."""
    log.info(
        "%s result on %s%s:", result["split"].capitalize(), plural(result["count"], "image"), _with_intervals(result)
    )
    _show_metrics(result, result["intervals"], "")
    if "mean_predictor" in result:
        log.info("  (predicting the training mean: %s)", metric_line(result["mean_predictor"]))
    if len(result.get("per_target", {})) > 1:
        for name, values in result["per_target"].items():
            log.info("  %s:", name)
            _show_metrics(values, result["intervals"]["per_target"].get(name, {}), "  ")
            if "mean_predictor" in values:
                log.info("    (predicting the training mean: %s)", metric_line(values["mean_predictor"]))
    if views := result.get("tta"):
        log.info("  Averaged over views of each image (--tta=%s):", views["views"])
        _show_metrics(views, views["intervals"], "  ")
    for line in (
        *vote_lines(result),
        *ceiling_lines(result),
        *space_lines(result),
        *interval_lines(result),
        *difference_lines(result),
        *calibration_lines(result),
        *coverage_lines(result),
    ):
        log.info("  %s", line)
    for warning in cautions(result):
        log.warning("  %s", warning)


def _with_intervals(result: dict[str, Any]) -> str:
    if not any(result["intervals"].get(name) for name in METRICS):
        return ""
    of = (
        ""
        if "new" not in result.get("estimand", "new")
        else f" for new {'groups' if _of_new_groups(result) else 'images'}"
    )
    return f", with 95% confidence intervals{of}"


def _of_new_groups(result: dict[str, Any]) -> bool:
    return "per_group" in result and not result.get("trained_groups")


def interval_lines(result: dict[str, Any]) -> list[str]:
    """What the intervals are of, and how they were made."""
    if "interval_methods" not in result:  # of version 0.1.0
        resampled = result.get("bootstrap", {}).get("resampled", "images")
        return [f"Intervals: {resampled} resampled 1,000 times (percentile bootstrap)"]
    methods: dict[str, list[str]] = {}
    for name, method in result["interval_methods"].items():
        if name in METRICS:
            methods.setdefault(method, []).append(METRICS[name].label)
    made = "; ".join(f"{', '.join(names)}: {method}" for method, names in methods.items())
    return [f"The intervals are of {result['estimand']}", f"Method: {made}"]


def vote_lines(result: dict[str, Any]) -> list[str]:
    """Of votes: how many there were, the most that can be predicted, and the votes with training images, apart."""
    if "votes" not in result:
        return []
    votes = result["votes"]
    ties = votes["test"] - votes["test_decided"]
    lines = [
        f"Pair accuracy is of {votes['test_decided']:,} votes between two test images ({plural(ties, 'tie')} aside); Pearson and Spearman "
        "are with scores of the test images made of their votes alone (Bradley-Terry)"
    ]
    for question, found in result["pair_ceiling"].items():
        if found["pair_accuracy"] is None:
            lines.append(f"Largest pair accuracy of {question}: cannot be estimated, {found['note']}")
            continue
        between = bracketed(found["interval"], percent)
        share = (
            ""
            if found["share"] is None
            else f"; {percent(found['share'], 0)} of the possible gain over a coin flip is reached"
        )
        lines.append(
            f"Largest pair accuracy of {question}: {percent(found['pair_accuracy'])}{between}, {found['note']}{share}"
        )
    if marked := result.get("with_training_images"):
        between = bracketed(marked["intervals"]["pair_accuracy"], percent)
        lines.append(
            f"Separately, on {marked['votes']:,} votes between a test image and a training image, which the network has seen, pair accuracy "
            f"{shown('pair_accuracy', marked['pair_accuracy'])}{between}"
        )
    return lines


def ceiling_lines(result: dict[str, Any]) -> list[str]:
    """What the noise of the scores leaves to be reached, and what share of it was."""
    lines = []
    for target, found in result.get("noise_ceiling", {}).items():

        def value(name: str, found: dict[str, Any] = found) -> str:
            between = bracketed(found["intervals"].get(name), quantity)
            return f"{'undefined' if found[name] is None else quantity(found[name])}{between}"

        at_most = "at most " if found["upper_bound"] else ""
        lines.append(
            f"Noise ceiling of {target} ({found['method']}, {plural(found['count'], 'image')}): reliability {at_most}"
            f"{value('reliability')}; largest R2 {at_most}{value('largest_r2')}, largest Pearson {at_most}{value('largest_pearson')}"
        )
        if found["reliability"] <= 0:
            lines.append(
                "  The noise is as large as the spread of the scores: these scores cannot tell any two networks apart"
            )
        else:
            reached = [("R2", "share_r2"), ("Pearson", "share_pearson")][found["share_r2"] is None :]
            said = ", ".join(f"{label} {value(name)}" for label, name in reached)
            lines.append(f"  Reached of it: {said} (1 is all that can be reached)")
        lines.append(f"  It is {found['note']}")
    return lines


def space_lines(result: dict[str, Any]) -> list[str]:
    """Metrics within groups beside the pooled ones, and whether errors of neighbours are alike."""
    lines: list[str] = []
    for target, found in result.get("within_groups", {}).items():
        if not isinstance(found, dict):  # of votes, without targets
            return lines
        said = []
        for name in ("r2", "pearson"):
            between = bracketed(found["intervals"][name], quantity)
            said.append(f"{METRICS[name].label} {quantity(found[name])}{between}")
        lines.append(
            f"Within groups {target} has {', '.join(said)}: both are centred in each group, so telling groups apart does not count"
        )
    for target, found in result.get("space", {}).items():
        alike = "are alike" if found["p"] < 0.05 else "are not clearly alike"
        p = "< 0.01" if found["p"] < 0.01 else f"{found['p']:.2f}"
        lines.append(
            f"Errors of {target} at neighbouring places {alike}: Moran's I {found['morans_i']:.3f} (expected {found['expected']:.3f}), "
            f"p {p}"
        )
    return lines


def difference_lines(result: dict[str, Any]) -> list[str]:
    """What was learnt beyond a prediction that looks at no image, by the metric that counts."""
    lines = []
    for name, found in result.get("differences", {}).items():
        metric = _first_metric(found)
        if metric is None:
            continue
        value, between = found[metric]["value"], bracketed(found[metric]["interval"], partial(signed, metric))
        what = f"{name.replace('_', ' ')}{' (mean colours and edges)' if name == LINEAR_BASELINE else ''}"
        lines.append(f"Compared with {what}: {METRICS[metric].label} {signed(metric, value)}{between}")
    return lines


def calibration_lines(result: dict[str, Any]) -> list[str]:
    """How the probabilities were calibrated, and whether they are right."""
    found = result.get("calibration")
    if not found:
        return []
    line = "Probabilities: as the network gives them, since no validation images were there to calibrate them"
    if found["validation_images"]:
        line = (
            f"Probabilities: calibrated on {plural(found['validation_images'], 'validation image')}, temperature "
            f"{found['temperature']:.3g}; log loss {quantity(found['loss_before'])} without, {quantity(found['loss'])} with it"
        )
    if "ece" in found:
        low, high = (percent(value, 1) for value in found["ece_null"])
        line += f"; calibration error (ECE) {percent(found['ece'], 1)}, where a perfectly calibrated network would have {low} to {high}"
    return [line]


def coverage_lines(result: dict[str, Any]) -> list[str]:
    """How many test images had their truth in the prediction interval or set, of each target, and in the worst classes."""
    found = result.get("coverage")
    if not found:
        return []
    level = percent(found["level"], 0)
    if "per_target" in found:
        several = len(found["per_target"]) > 1
        return [
            _coverage_line(
                f"{level} prediction intervals{f' of {name}' if several else ''}", about, "mean width", "mean_width"
            )
            for name, about in found["per_target"].items()
        ]
    line = _coverage_line(f"{level} prediction sets", found, "mean size", "mean_set_size")
    classes = [
        (about["reached"], name, about["count"]) for name, about in found.get("per_class", {}).items() if about["count"]
    ]
    worst = ", ".join(f"{name} {percent(share, 0)} of {count}" for share, name, count in sorted(classes)[:3])
    return [line, f"Coverage per class, lowest: {worst}"] if worst else [line]


def _coverage_line(title: str, about: dict[str, Any], size: str, key: str) -> str:
    if "reached" not in about:
        return f"{title}: {about['method']}"
    between = bracketed(about["interval"], percent)
    made = f"{about['method']}; {plural(about['calibration_images'], 'validation image')}"
    made += f" in {plural(about['calibration_groups'], 'group')}" if about["calibration_groups"] else ""
    return f"{title} contain the truth of {percent(about['reached'])}{between} of the test images; {size} {quantity(about[key], 3)} ({made})"


def _first_metric(found: dict[str, Any]) -> str | None:
    """The metric by which a difference is told: the first in the registry's order."""
    return next((name for name in METRICS if found.get(name)), None)


def signed(metric: str, value: float) -> str:
    """A difference of a metric with its sign: '+0.12'."""
    return f"{'+' if value > 0 else ''}{shown(metric, value)}"


def cautions(result: dict[str, Any]) -> list[str]:
    """What makes a result weaker than it looks."""
    found = [
        _not_better(result),
        _trained_groups(result),
        _few_groups(result),
        _few_errors(result),
        _few_images(result),
        *_heavy_tails(result),
        _folds_without_votes(result),
    ]
    return [sentence for sentence in found if sentence]


def _trained_groups(result: dict[str, Any]) -> str:
    """That groups of the test were trained on, as a split given from elsewhere may have it."""
    trained = result.get("trained_groups", 0)
    if not trained or result.get("split", "test") != "test":
        return ""
    return (
        f"{trained:,} of {plural(result['number_of_groups'], 'group')} of the test were trained on as well: on images of other groups the "
        "network may do worse. To know that, test on groups that are in no other split."
    )


def _folds_without_votes(result: dict[str, Any]) -> str:
    """Which folds of a cross-validation have no pair accuracy."""
    folds = result.get("per_fold", [])
    none = [fold for fold in folds if fold.get("votes", {}).get("test_decided") == 0]
    if not none:
        return ""
    named = listed([f"{fold['fold']}" + (f" ({fold['name']})" if fold["name"] else "") for fold in none])
    which = "any fold" if len(none) == len(folds) else f"{'fold' if len(none) == 1 else 'folds'} {named}"
    return (
        f"No decided vote is between two test images of {which}, so pair accuracy is undefined there and over all folds. Use fewer "
        "folds, or groups that have votes within them."
    )


def _few_groups(result: dict[str, Any]) -> str:
    """Of how many groups it is, where these are few.

    The bootstrap of 0.1.0 was too narrow for fewer than 20: Cameron, Gelbach and Miller, "Bootstrap-based improvements for inference
    with clustered errors", 2008.
    """
    number = result.get("number_of_groups", 0)
    if not number:
        return ""
    largest = max(group["count"] for group in result["per_group"].values()) / result["count"]
    said = f"Only {plural(number, 'group')}, the largest with {percent(largest, 0)} of the images"
    if "interval_methods" not in result:
        return f"{said}: with fewer than 20 groups these intervals are too narrow." if 1 < number < 20 else ""
    if number < FEW:
        return f"{said}: too few for an interval. Report each group's own result, and test on more groups."
    if (effective := result["effective_groups"]) < FEW:
        return f"{said}: worth {effective:.1f} groups of equal size, so the intervals are wide."
    return ""


def _not_better(result: dict[str, Any]) -> str:
    found = result.get("differences", {}).get(LINEAR_BASELINE, {})
    metric = _first_metric(found)
    if metric is None or (found[metric]["value"] > 0) == metric_row(metric).higher_is_better:
        return ""
    if found[metric]["value"] == 0:
        return (
            f"A linear predictor on mean colours and edges is as good as the network (the same {METRICS[metric].label}): the "
            "colours alone may tell what is to be learnt."
        )
    return (
        f"The network is no better than a linear predictor on mean colours and edges ({METRICS[metric].label} "
        f"{signed(metric, found[metric]['value'])}): train longer, or check whether the colours alone tell what is to be learnt."
    )


def _few_errors(result: dict[str, Any]) -> str:
    if result.get("top1") is None:
        return ""
    errors = round((1 - result["top1"]) * result["count"])
    if errors >= FEW:
        return ""
    few = f"Only {plural(errors, 'error')}" if errors else "No error"
    return f"{few} on {plural(result['count'], 'image')}: they are too few to tell this network from a better one."


def _few_images(result: dict[str, Any]) -> str:
    counts = {name: values["count"] for name, values in result.get("per_class", {}).items()}
    few = [name for name, count in counts.items() if count < FEW]
    if not few:
        return ""
    which = f"All {len(counts)} classes" if len(few) == len(counts) else f"{len(few)} of {len(counts)} classes"
    verb = "has" if len(few) == 1 else "have"
    images = "images" if result.get("split") in ("train", "validation") else "test images"
    return f"{which} {verb} fewer than {FEW} {images} ({some(few, 5)}): their recall is hardly known, and so are means over classes."


def _heavy_tails(result: dict[str, Any]) -> list[str]:
    targets = result.get("per_target", {})
    few = [n for n, v in targets.items() if v.get("mae") and v["rmse"] > HEAVY_TAIL * v["mae"]]
    of_each = result.get("intervals", {}).get("per_target", {})
    few = [name for name in few if of_each.get(name, result.get("intervals", {})).get("rmse")]
    return [
        f"{name}: a few large errors make up most of the RMSE. Its interval is too narrow then; prefer the MAE."
        for name in few
    ]


def _show_metrics(values: dict[str, Any], intervals: dict[str, Any], indent: str) -> None:
    rows = [row for name, row in METRICS.items() if name in values and not isinstance(values[name], dict)]
    width = max(18, *(len(row.label) for row in rows))
    for row in rows:
        between = bracketed(intervals.get(row.name), partial(shown, row.name))
        log.info(
            "%s  %-*s %s%s", indent, width, row.label, shown(row.name, values[row.name]), between and f" {between}"
        )


def _metric(name: str, value: float | None) -> str:
    return f"{METRICS[name].label} {shown(name, value)}"
