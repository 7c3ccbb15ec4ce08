"""The sections of report.html: a function for each row of the registry REPORT_SECTIONS.

Each takes the record of a run and its photographs and returns the values of templates/sections/NAME.html, or None if the run has
no such section.
"""

from typing import Any

import numpy as np

from deep_cnn.config.identity import flag_text
from deep_cnn.config.registries import metric_row
from deep_cnn.config.schema import Config
from deep_cnn.inference.explain.gallery import explanation_pictures
from deep_cnn.reporting.report.charts import epoch_charts, figures
from deep_cnn.reporting.report.confusion import confusion
from deep_cnn.reporting.report.images import Photographs, examples, pictures
from deep_cnn.reporting.report.images import mistakes as mistakes_of
from deep_cnn.reporting.report.record import Record
from deep_cnn.reporting.report.tables import class_table, epoch_table, group_table, metric_tables, split_table
from deep_cnn.reporting.result_text import (
    cautions,
    ceiling_lines,
    coverage_lines,
    difference_lines,
    interval_lines,
    space_lines,
    vote_lines,
)
from deep_cnn.runtime.format import duration, number, percent, plural

Values = dict[str, Any]

NOTES = (vote_lines, ceiling_lines, space_lines)  # what only some results have, in sentences


def data(record: Record, photographs: Photographs) -> Values:
    """How many images each split has, and examples of them."""
    return {
        "splits": split_table(record),
        "left_out": record.config.get("left_out", []),
        "examples": examples(record, photographs),
        "photographs_missing": photographs.place is None,
    }


def learning_curves(record: Record, photographs: Photographs) -> Values:
    """Loss, metrics and learning rate by epoch."""
    path = record.files.results / "lr_range.png"
    range_test, _ = pictures([("--lr=auto: this range test chose the learning rate.", path)] if path.exists() else [])
    main, others = epoch_charts(record)
    return {
        "main": main,
        "others": others,
        "range_test": range_test,
        "weights_tested": weights_tested(record),
        "epochs": epoch_table(record),
    }


def weights_tested(record: Record) -> str:
    """Which epoch's weights were tested, and why those; empty where nothing was."""
    if record.test is None or record.best_epoch is None:
        return ""
    if f"val_{record.task.select}" not in record.history[-1]:
        return f"There is no validation set: the weights of the last epoch, {record.best_epoch}, were tested."
    by = metric_row(record.task.select).label
    return f"The best epoch on validation, by {by}, is {record.best_epoch}; its weights were tested."


def test(record: Record, photographs: Photographs) -> Values | None:
    """The held-out result: metrics, groups, figures and classes."""
    if record.test is None:
        return None
    has_table = len(record.test.get("coverage", {}).get("per_target", {})) > 1  # of prediction intervals
    notes = NOTES if has_table else (*NOTES, coverage_lines)
    return {
        "count": record.test["count"],
        "intervals": interval_lines(record.test),
        "differences": difference_lines(record.test),
        "notes": [line for lines in notes for line in lines(record.test)],
        "cautions": cautions(record.test),
        **result_values(record),
    }


def result_values(record: Record) -> Values:
    """What a test and a cross-validation show alike."""
    matrix = None if record.tested is None else record.task.confusion(*record.tested)
    return {
        "metrics": metric_tables(record),
        "groups": group_table(record),
        "figures": figures(record, "test"),
        "confusion": None if matrix is None else confusion(matrix, record.task.names),
        "classes": class_table(record),
    }


def mistakes(record: Record, photographs: Photographs) -> Values | None:
    """Photographs of what the network got most wrong."""
    found = mistakes_of(record, photographs)
    return {"galleries": found} if found else None


def explanations(record: Record, photographs: Photographs) -> Values | None:
    """What `explain` has drawn for this run."""
    shown, left_out = pictures(explanation_pictures(record.files.explanations))
    return {"pictures": shown, "left_out": left_out} if shown or left_out else None


def calibration(record: Record, photographs: Photographs) -> Values | None:
    """Whether the network's confidence is its accuracy."""
    found = None if record.tested is None else record.task.calibration(*record.tested)
    if found is None:
        return None
    return {
        "lines": calibration_lines(found["ece"], (record.test or {}).get("calibration", {})),
        "figures": figures(record, "calibration"),
    }


def calibration_lines(ece: float, about: dict[str, Any]) -> list[str]:
    """The calibration error beside what chance alone makes of it, and how the probabilities were calibrated.

    Args:
        about: "calibration" of test.json; {} for runs of before.
    """
    line = f"Expected calibration error {percent(about.get('ece', ece))}: the average difference between confidence and accuracy"
    if null := about.get("ece_null"):
        line += f". If the probabilities were right, it would be {percent(null[0])} to {percent(null[1])} by chance"
    lines = [line + "."]
    if about.get("validation_images"):
        lines.append(
            f"The probabilities were calibrated on {plural(about['validation_images'], 'validation image')}: temperature "
            f"{number(about['temperature'])}, log loss {number(about['loss_before'])} without and {number(about['loss'])} with it."
        )
    return lines


def cost(record: Record, photographs: Photographs) -> Values:
    """Time and machine."""
    decisions, timing = record.config["decisions"], record.timing
    seconds = sum((row["train_seconds"] or 0) + (row["validation_seconds"] or 0) for row in timing)
    speed = float(np.median([row["images_per_second"] for row in timing])) if timing else 0.0
    facts = {
        "training and validation": f"{duration(seconds)} in {plural(len(timing), 'epoch')}",
        "speed": f"{number(speed)} images per second in training (median of the epochs)",
        "device": f"{decisions['device']}, {plural(decisions['threads'], 'thread')}",
        "precision": decisions["precision"] + (", compiled" if decisions["compile"] else ""),
    }
    return {"facts": facts}


def repeat(record: Record, photographs: Photographs) -> Values:
    """The command, its flags that differ from their defaults, and the versions."""
    default = Config()
    flags = {name: flag_text(value) for name, value in record.config["config"].items()}
    changed = {name: text for name, text in flags.items() if text != flag_text(getattr(default, name, None))}
    if file := record.config.get("weights_file"):
        changed["weights"] = f"{flags['weights']}: {file}"
    return {"command": record.config["command"], "flags": changed, "versions": record.config["versions"]}
