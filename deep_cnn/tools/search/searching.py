"""A search from start to end: check, join the study, train trials, show what was found, train and test the best."""

import functools
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from optuna.distributions import IntDistribution

from deep_cnn.config import identity
from deep_cnn.config.defaults import chosen_before, open_choices
from deep_cnn.config.fields import parse_duration
from deep_cnn.config.recipes import with_recipe
from deep_cnn.runtime import console, signals
from deep_cnn.runtime.errors import ConfigError, DeepCNNError, MachineError, nearest
from deep_cnn.runtime.scheduler import granted_time
from deep_cnn.runtime.signals import Stopped
from deep_cnn.runtime.walltime import since_start
from deep_cnn.tasks.base import Task
from deep_cnn.tools.search.several import Launch
from deep_cnn.tools.search.space import Space, grid, parse_space
from deep_cnn.tools.search.study import Study, known_flags, open_study
from deep_cnn.tools.search.summary import summarise
from deep_cnn.tools.search.trials import check_values, given_flags, trial_config, work
from deep_cnn.training import trainer
from deep_cnn.training.setup import look_at_data

log = logging.getLogger(__name__)

SPARE = 15.0  # seconds: less is left, and no other trial is begun


def search(options: Any) -> None:
    """`options`: of cli/commands/search.py.

    Raises:
        Stopped: by a signal or --max_time; the same command resumes every trial.
        DataError: the journal of the study is damaged, or says of a trial what its files do not.
    """
    console.console_only()
    space, fixed = parse_space(options.space), given_flags(options)
    both = sorted(space.keys() & fixed.keys() - {"recipe"})
    if both:
        raise ConfigError(f"--{both[0]}: given both as a flag and in --space; remove one of them")
    check_values(space, fixed)
    total = how_many(options, space)
    with console.quiet_console():
        run, dataset, task = look_at_data(with_recipe(fixed), fresh=False)  # mistakes in the data show before any trial
    if not len(dataset.splits.validation):
        raise ConfigError("search needs a validation set; see --val_split")
    metric = choose_metric(options.metric, task)
    folder = options.root / "outputs" / "search" / options.run_name
    # the same in every trial, and in a study of an older version that of the trials it has
    open_flags = [name for name in open_choices(with_recipe(fixed)) if name not in space]
    before = chosen_before({"identity": {"flags": known_flags(options.run_name, folder, options.storage)}})
    chosen = {name: before.get(name, getattr(run.config, name)) for name in open_flags}
    fixed, run = fixed | chosen, replace(run, config=replace(run.config, **chosen))
    same = identity.run_identity(run.config, dataset.digest(), dataset.read_digest())
    about = {
        "space": dict(sorted(word.split("=", 1) for word in options.space)),
        "metric": metric,
        "sampler": options.sampler,
        "pruner": options.pruner,
        "seed": options.seed,
        "data": same["data"],
        "flags": {k: v for k, v in sorted(same["flags"].items()) if k not in space},
    }
    longest = space.get("epochs")
    epochs = longest.high if isinstance(longest, IntDistribution) else options.epochs
    opened, created = open_study(options.run_name, folder, options.storage, about, epochs=epochs)
    startup = min(10, max(4, total // 4))
    study = Study(options.run_name, folder, opened, space, options.sampler, options.seed, total, startup, created)
    check = functools.partial(study.check, metric) if options.storage is None else lambda: None
    check()
    del run, dataset
    log.info("Study %s: %d of %d trials are finished; results: %s", study.name, len(study.finished()), total, folder)
    seconds, by_budget = shortest_limit(options)
    together = None
    if options.processes_per_trial > 1:
        together = Launch(
            options.processes_per_trial, study.name, str(folder), options.storage, options.pruner, epochs, metric
        )
    try:
        work(study, fixed, metric, before_each_trial(seconds), together.train if together else None)
    except Stopped:
        summarise(study, fixed, metric, about)
        if signals.requested() or not by_budget:
            raise
        log.info("--budget=%s is used up; run the same command to continue the unfinished trials", options.budget)
    except DeepCNNError:
        study.forget()
        raise
    else:
        check()  # also trials that this process has only continued
        summarise(study, fixed, metric, about)
    if options.final:
        train_best(study, fixed, together)


def how_many(options: Any, space: Space) -> int:
    """--trials, but never more than a grid has points."""
    if options.sampler != "grid":
        return options.trials or 20
    points = len(grid(space))
    return min(options.trials or points, points)


def choose_metric(wanted: str | None, task: Task) -> str:
    """The metric of --metric, by default the one that the task selects epochs by; ConfigError for one that it lacks."""
    known = task.metric_names()
    if wanted is not None and wanted not in known:
        raise ConfigError(f"--metric={wanted}: unknown; choose one of {', '.join(known)}.{nearest(wanted, known)}")
    return wanted or task.select


def shortest_limit(options: Any) -> tuple[float | None, bool]:
    """Seconds from the program's start until it must end, and whether it is --budget that says so."""
    budget, most = parse_duration("budget", options.budget), parse_duration("max_time", options.max_time)
    granted = granted_time()
    others = [seconds for seconds in (most, granted and granted[0]) if seconds is not None]
    if budget is not None and budget <= min(others, default=budget):
        return budget, True
    return min(others, default=None), False


def before_each_trial(seconds: float | None) -> Callable[[], str | None]:
    """A function: when the next trial must stop, as --max_time has it. Raises Stopped when no other can be begun."""

    def limit() -> str | None:
        signals.raise_if_requested()
        if seconds is not None and since_start() > seconds - SPARE:
            raise Stopped("no time left for another trial; everything is saved; run the same command to continue")
        return None if seconds is None else f"{seconds}s"

    return limit


def train_best(study: Study, fixed: dict[str, Any], together: Launch | None) -> None:
    """--final: the best trial's flags as a run of its own, tested once."""
    best, open_ones = study.best(), len(study.trials()) - len(study.finished())
    if best is None:
        log.warning("--final: no trial is finished yet")
    elif open_ones:
        log.info(
            "--final: other processes are still training %d trials; the last process trains the best one", open_ones
        )
    else:
        config = trial_config(fixed, best.params, run_name=f"{study.name}_best", resume="auto")
        log.info("--final: training the best trial, %d: %s", best.number, identity.command_line(config))
        if together is None:
            trainer.train(config)
        elif code := together.final(identity.flags_of(config)):
            raise MachineError(f"--final: the processes ended with code {code}; see their messages above")
