"""Trains trials of a study, one after the other, until the study is complete or the time is over."""

import contextlib
import functools
import logging
import shutil
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState

from deep_cnn.config.recipes import with_recipe
from deep_cnn.config.schema import Config
from deep_cnn.runtime import console
from deep_cnn.runtime.errors import ConfigError, DeepCNNError, MachineError, NonFiniteLoss
from deep_cnn.runtime.format import cell
from deep_cnn.runtime.signals import Stopped
from deep_cnn.tools.search.space import Space, random_point
from deep_cnn.tools.search.study import Claim, Study
from deep_cnn.training import trainer
from deep_cnn.training.run import RunPlace

log = logging.getLogger(__name__)

POINTS = 32  # of the space, by which a value is found to be impossible


class Pruned(Stopped):
    """The study's pruner has ended the trial."""


def given_flags(options: Config) -> dict[str, Any]:
    """The flags that are fixed in every trial: those that are not what the recipe would make them."""
    default = with_recipe({"recipe": options.recipe})
    names = [f.name for f in fields(Config)]
    given = {name: getattr(options, name) for name in names if getattr(options, name) != getattr(default, name)}
    return given | {"recipe": options.recipe}


def trial_config(fixed: dict[str, Any], params: dict[str, Any], **where: Any) -> Config:
    """The run of a trial. Raises ConfigError where its flags contradict each other."""
    return with_recipe(fixed | params | where)


def check_values(space: Space, fixed: dict[str, Any]) -> None:
    """ConfigError for a value with which no trial can begin, whatever its other values are; before the study is made."""
    for name, distribution in space.items():
        choices = distribution.choices if isinstance(distribution, CategoricalDistribution) else ()
        for value in choices:
            mistakes = [_mistake(fixed, random_point(space, 0, trial) | {name: value}) for trial in range(POINTS)]
            if all(mistakes):
                raise ConfigError(f"--space {name}={value}: {mistakes[0]}")


def _mistake(fixed: dict[str, Any], params: dict[str, Any]) -> str:
    """Why a trial with these values cannot begin; "" if it can."""
    try:
        trial_config(fixed, params)
    except ConfigError as mistake:
        return str(mistake)
    return ""


def work(
    study: Study,
    fixed: dict[str, Any],
    metric: str,
    max_time: Callable[[], str | None],
    train: Callable[[Claim, Config], None] | None = None,
) -> None:
    """Train trials until none is left to claim.

    Args:
        train: trains one elsewhere (several.py) and reports its epochs; by default it is trained in this process.
        fixed: flags of every trial. metric: column of metrics.csv without val_. max_time: when a trial must stop, as
            --max_time has it; called before each. Raises Stopped when there is no time left for another.

    Raises:
        Stopped: by a signal or by time, with everything saved: its trial is open, and the next process resumes it.
        DeepCNNError: a mistake that meets the very first trial would meet every other.
    """
    while True:
        with contextlib.ExitStack() as stack:
            limit = max_time()
            claim = study.claim(stack)
            if claim is None:
                return
            params = ", ".join(f"{name}={cell(value)}" for name, value in claim.trial.params.items())
            log.info("Trial %d%s: %s", claim.trial.number, " continues" if claim.reopened else "", params)
            try:
                with console.opened(claim.files.log), console.quiet_console():
                    where = {"run_name": claim.files.name, "resume": "auto", "max_time": limit, "config": None}
                    config = trial_config(fixed, claim.trial.params, **where)
                    (train or functools.partial(train_here, metric=metric))(claim, config)
                _tell(study, claim, TrialState.COMPLETE)
            except Pruned:
                _tell(study, claim, TrialState.PRUNED)
            except NonFiniteLoss as fault:
                _tell(study, claim, TrialState.PRUNED, str(fault))  # the sampler takes it for the worst there is
            except DeepCNNError as mistake:
                first = not any(trial.intermediate_values for trial in study.trials())
                if first or (isinstance(mistake, MachineError) and not str(mistake).startswith("out of")):
                    raise  # left open: the same command resumes it once the cause is fixed
                _tell(study, claim, TrialState.FAIL, str(mistake))


def train_here(claim: Claim, config: Config, metric: str) -> None:
    """One trial: a run below the study's folder, without a test; each epoch is told to the study before it is saved."""
    trainer.train(
        config, trainer.Hooks(reporter(claim.trial, metric), test=False), place=RunPlace(claim.files, claim.lock)
    )


def reporter(trial: optuna.Trial, metric: str) -> Callable[[dict[str, Any]], None]:
    """What tells the study each epoch's row of metrics.csv; Pruned when it has seen enough."""
    known = _reported(trial)

    def after_epoch(row: dict[str, Any]) -> None:
        epoch, value = row["epoch"], row[f"val_{metric}"]
        if value is None:
            return
        if epoch in known:  # scored again after a kill between telling and saving, maybe by another machine
            if known[epoch] != value:  # the study says what metrics.csv says
                trial.study._storage.set_trial_intermediate_value(trial._trial_id, epoch, value)
            return
        trial.report(value, epoch)
        if trial.should_prune():
            raise Pruned(f"pruned after epoch {epoch}: other trials were better at this epoch")

    return after_epoch


def _reported(trial: optuna.Trial) -> dict[int, float]:
    return trial.study._storage.get_trial(trial._trial_id).intermediate_values


def _tell(study: Study, claim: Claim, state: TrialState, reason: str = "") -> None:
    """Finish the trial with the best of its epochs, and delete its weights: the same flags train them again bit for bit."""
    values = list(_reported(claim.trial).values())
    lower = study.study.direction == optuna.study.StudyDirection.MINIMIZE
    best = (min if lower else max)(values, default=None)
    if state == TrialState.COMPLETE and best is None:
        state, reason = TrialState.FAIL, reason or "the metric was undefined in all epochs"
    if reason:
        claim.trial.set_user_attr("reason", reason)
    study.study.tell(claim.trial, best if state == TrialState.COMPLETE else None, state)
    shutil.rmtree(claim.files.models, ignore_errors=True)
    word = {TrialState.COMPLETE: "finished", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}[state]
    log.info(
        "Trial %d %s%s%s",
        claim.trial.number,
        word,
        "" if best is None else f": {best:.5g}",
        f" ({reason})" if reason else "",
    )
