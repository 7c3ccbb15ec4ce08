"""What a study has found, as files below outputs/search/NAME and on the console."""

import logging
import warnings
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from deep_cnn.config.identity import command_line
from deep_cnn.config.registries import metric_row
from deep_cnn.reporting.plots.panel import Panel, write_png
from deep_cnn.reporting.report.charts import drawn
from deep_cnn.reporting.report.front import Front, Verdict, metric_text
from deep_cnn.reporting.report.page import render, write_page
from deep_cnn.reporting.report.tables import Table
from deep_cnn.runtime.atomic import write_json, write_rows
from deep_cnn.runtime.format import cell, duration
from deep_cnn.tools.search import pictures
from deep_cnn.tools.search.study import Study
from deep_cnn.tools.search.trials import trial_config

log = logging.getLogger(__name__)

STATES = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "open",
    TrialState.WAITING: "open",
}
SHOWN = 10  # trials on the console


def summarise(study: Study, fixed: dict[str, Any], metric: str, about: dict[str, Any]) -> str | None:
    """Write trials.csv, best.json, the pictures and report.html, and show the best; returns the best's command, if any."""
    with study.locked():  # pictures of two processes would meet
        lower = study.study.direction == optuna.study.StudyDirection.MINIMIZE
        rows = table(study, lower)
        write_rows(study.folder / "trials.csv", rows)
        best = study.best()
        command = None
        if best is not None:
            command = command_line(trial_config(fixed, best.params, run_name=f"{study.name}_best"))
            write_json(
                study.folder / "best.json",
                {
                    "trial": best.number,
                    "metric": metric,
                    "value": best.value,
                    "params": best.params,
                    "command": command,
                },
            )
        panels = _panels(study, metric, lower)
        for name, panel in panels.items():
            write_png([panel], study.folder / f"{name}.png")
        page = render(
            "study.html",
            name=study.name,
            front=front(best, metric, states=counts(study)),
            about=about,
            trials=Table(
                "All trials, the best first", [title(name) for name in rows[0]] if rows else [], cells_of(rows)
            ),
            command=command,
            best=best,
            charts={name: drawn([panel], name)[0] for name, panel in panels.items()},
        )
        write_page(study.folder / "report.html", page)
    log.info(
        "Study %s: %s of %d trials",
        study.name,
        ", ".join(f"{n} {state}" for state, n in counts(study).items()),
        study.total,
    )
    for row in rows[:SHOWN]:
        values = ", ".join(f"{name}={cell(row[name])}" for name in study.space)
        log.info("  trial %-4d %-9s %-9s %s", row["trial"], row["state"], cell(row[metric_column(metric)]), values)
    if best is not None:
        log.info(
            "Best: trial %d, validation %s %.5g. To train and test it:\n  %s", best.number, metric, best.value, command
        )
    log.info("Everything is in %s", study.folder)
    return command


def front(best: FrozenTrial | None, metric: str, states: dict[str, int]) -> Front:
    """The best value of validation, which is no result to report."""
    trials = ", ".join(f"{count} {state}" for state, count in states.items())
    text = "No trial has read the test set. The best of many trials is optimistic: train it and test it once with the command below."
    if best is None or best.value is None:
        return Front("-", f"no finished trial ({trials})", [], [], Verdict("open", text))
    label = f"validation {metric_row(metric).label} in trial {best.number}, the best of {trials}"
    return Front(metric_text(metric, best.value), label, [], [], Verdict("open", text))


def title(column: str) -> str:
    """A column of trials.csv for people: 'val_top1' is 'validation top-1'."""
    return f"validation {metric_row(column[4:]).label}" if column.startswith("val_") else column


def cells_of(rows: list[dict[str, Any]]) -> list[list[str]]:
    """The rows of trials.csv for people."""
    return [
        [metric_text(name[4:], v) if name.startswith("val_") and v is not None else cell(v) for name, v in row.items()]
        for row in rows
    ]


def metric_column(metric: str) -> str:
    """The column of trials.csv that has the metric."""
    return f"val_{metric}"


def table(study: Study, lower: bool) -> list[dict[str, Any]]:
    """A row per trial, the best first, then pruned and failed ones."""
    metric = metric_column(study.study.user_attrs["about"]["metric"])

    def key(trial: FrozenTrial) -> tuple:
        value = _value(trial, lower)
        return (
            trial.state != TrialState.COMPLETE,
            value is None,
            (value if lower else -value) if value is not None else 0,
        )

    return [
        {
            "trial": t.number,
            "state": STATES[t.state],
            metric: _value(t, lower),
            "epochs": len(t.intermediate_values),
            "time": duration(t.duration.total_seconds()) if t.duration else "",
        }
        | {name: t.params.get(name) for name in study.space}
        | {"reason": t.user_attrs.get("reason")}
        for t in sorted(study.trials(), key=key)
    ]


def _value(trial: FrozenTrial, lower: bool) -> float | None:
    """Its own, or, of a trial that was not trained to its end, that of its best epoch."""
    if trial.state == TrialState.COMPLETE:
        return trial.value
    return (min if lower else max)(trial.intermediate_values.values(), default=None)


def counts(study: Study) -> dict[str, int]:
    """How many trials are in each state, as named in STATES."""
    found: dict[str, int] = {}
    for trial in study.trials():
        found[STATES[trial.state]] = found.get(STATES[trial.state], 0) + 1
    return found


def _panels(study: Study, metric: str, lower: bool) -> dict[str, Panel]:
    """The pictures there are enough trials for, by their names."""
    shown = [(t, value) for t in study.trials() if (value := _value(t, lower)) is not None]
    done = [(t, value) for t, value in shown if t.state == TrialState.COMPLETE]
    found: dict[str, Panel] = {}
    if shown:
        pruned = [t.state != TrialState.COMPLETE for t, _ in shown]
        found["history"] = pictures.history([t.number for t, _ in shown], [v for _, v in shown], pruned, lower, metric)
    if len(done) >= 2:
        params, values = [t.params for t, _ in done], [value for _, value in done]
        found["parallel"] = pictures.parallel(study.space, params, values, lower, metric)
        if shares := importances(study):
            found["importance"] = pictures.importance(shares)
    return found


def importances(study: Study) -> dict[str, float]:
    """Optuna's fANOVA; {} with a line in the log where the trials cannot tell (too few, or all alike)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            evaluator = optuna.importance.FanovaImportanceEvaluator(seed=study.seed % 2**32)
            return optuna.importance.get_param_importances(study.study, evaluator=evaluator)
    except (ValueError, RuntimeError) as error:
        log.info("Cannot compute importances yet: %s", error)
        return {}
