"""What a study has found, as files below outputs/search/NAME and on the console."""

import logging
import warnings
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from deep_cnn.config.identity import command_line
from deep_cnn.reporting.report.images import png
from deep_cnn.reporting.report.page import render, write_page
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
        found = _draw(study, metric, lower)
        page = render(
            "study.html",
            name=study.name,
            metric=metric,
            about=about,
            columns=list(rows[0]) if rows else [],
            cells=[[cell(v) for v in row.values()] for row in rows],
            command=command,
            best=best,
            figures={path.stem: png(path) for path in found},
            states=counts(study),
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


def _draw(study: Study, metric: str, lower: bool) -> list[Path]:
    """The pictures there are enough trials for."""
    shown = [(t, value) for t in study.trials() if (value := _value(t, lower)) is not None]
    done = [(t, value) for t, value in shown if t.state == TrialState.COMPLETE]
    found = []
    if shown:
        found.append(study.folder / "history.png")
        pictures.history(
            [t.number for t, _ in shown],
            [value for _, value in shown],
            [t.state != TrialState.COMPLETE for t, _ in shown],
            lower,
            metric,
            found[-1],
        )
    if len(done) >= 2:
        found.append(study.folder / "parallel.png")
        params, values = [t.params for t, _ in done], [value for _, value in done]
        pictures.parallel(study.space, params, values, lower, metric, found[-1])
        if shares := importances(study):
            found.append(study.folder / "importance.png")
            pictures.importance(shares, found[-1])
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
