"""Train the folds of a cross-validation: each is a run of its own, and whoever finishes the last one writes the common result."""

import logging
from dataclasses import replace
from typing import Any

from deep_cnn.config.schema import Config
from deep_cnn.runtime import console, distributed, signals
from deep_cnn.runtime.errors import CheckpointError, DataError, DeepCNNError, NameInUse, NonFiniteLoss
from deep_cnn.runtime.format import plural
from deep_cnn.runtime.lock import held_in_turn
from deep_cnn.runtime.signals import Stopped
from deep_cnn.runtime.status import Status
from deep_cnn.tools.folds.outcome import write_outcome
from deep_cnn.tools.folds.plan import Plan, join_plan
from deep_cnn.training.resume import check_began_with
from deep_cnn.training.run import connected_ranks, end_in_status, opened_place
from deep_cnn.training.trainer import train

log = logging.getLogger(__name__)

OWN_FAULTS = (NonFiniteLoss, CheckpointError)  # of one fold; other mistakes would meet every fold


def train_folds(config: Config) -> dict[str, Any] | None:
    """Train all folds of --folds, or the one of --fold. The same command resumes where it was stopped.

    Returns:
        The common result, as in folds.json; None where other folds are not finished yet.

    Raises:
        Stopped: by a signal or the time limit, with everything saved. DeepCNNError: a mistake; it names its fold.
    """
    console.console_only()
    with connected_ranks(config):
        plan, config = join_plan(config)
        if config.fold is not None:
            train_fold(plan, config, config.fold)
            return finish(plan)
        status = Status(plan.files, distributed.is_main())
        if status.before() != "finished" or any(state != "finished" for state in states_of(plan)):
            status.claim()
            status.say("running", "")
        with end_in_status(status):
            faults = [fault for fold in plan.folds if (fault := train_unless_done(plan, config, fold))]
            result = finish(plan)
            if faults:
                raise faults[0]
        if result is None:
            status.say("running", "other processes train the rest")
        return result


@distributed.main_process
def states_of(plan: Plan) -> list[str]:
    """How far each fold is, see `Plan.state`."""
    return [plan.state(fold) for fold in plan.folds]


def train_unless_done(plan: Plan, config: Config, fold: int) -> DeepCNNError | None:
    """One of all folds, unless it is finished or another process trains it; returns the fault that it alone has."""
    state = distributed.main_process(plan.state)(fold)
    if state == "finished":
        check_began_with(plan.files_of(fold), config)
    if state in ("finished", "busy"):
        log.info(
            "%s %s", plan.title(fold).capitalize(), {"finished": "is finished", "busy": "is trained elsewhere"}[state]
        )
        return None
    try:
        train_fold(plan, config, fold)
    except NameInUse as taken:  # between the look and the lock
        log.info("%s", taken)
    except OWN_FAULTS as fault:
        log.warning("%s; continuing with the other folds", fault)
        return fault
    return None


def train_fold(plan: Plan, config: Config, fold: int) -> None:
    """One fold: a run like any other, whose test set is the fold. What ends it names it."""
    # the plan has seen to it that what is there is of the same flags: a fold that has not begun is no mistake of --resume=must
    again = config.resume == "never" and config.fold is not None
    own = replace(config, fold=fold, resume="never" if again else "auto")
    log.info("%s%s", "" if config.fold else "\n", plan.title(fold).capitalize())
    try:
        signals.raise_if_requested()
        with opened_place(own) as place:
            train(own, place=place)
        if reasons := distributed.main_process(plan.changed_by)(fold):
            raise DataError(f"{'; '.join(reasons)} since the folds began; run the same command again")
    except (DeepCNNError, Stopped) as end:
        end.args = (f"{plan.title(fold)}: {end}",)
        raise


@distributed.main_process
def finish(plan: Plan) -> dict[str, Any] | None:
    """Write the common result if all folds are finished; else say how far they are."""
    with console.opened(plan.files.log), held_in_turn(plan.files):
        states = {fold: plan.state(fold) for fold in plan.folds}
        open_ones = [fold for fold, state in states.items() if state != "finished"]
        if open_ones:
            words = {"busy": "in training", "new": "not started"}
            listed = ", ".join(f"{fold} ({words.get(states[fold], states[fold])})" for fold in open_ones)
            log.info(
                "%d of %s finished; still open: %s. The process that finishes the last one writes the common result",
                plan.count - len(open_ones),
                plural(plan.count, "fold"),
                listed,
            )
            return None
        result = write_outcome(plan)
        Status(plan.files).say("finished")
        return result
