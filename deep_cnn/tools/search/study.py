"""One study, any number of processes: who trains which trial, and what has been found so far."""

import contextlib
import functools
import logging
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage, get_storage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from deep_cnn.config.registries import metric_row
from deep_cnn.runtime.errors import ConfigError
from deep_cnn.runtime.lock import RunLock, held, held_in_turn, vacant
from deep_cnn.runtime.rng import number
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.tools.search.agreement import JOURNAL, contradiction, damaged, understood
from deep_cnn.tools.search.space import PointSampler, Space, grid_point, random_point

log = logging.getLogger(__name__)

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@dataclass(frozen=True)
class Claim:
    """A trial that is ours as long as its run's name is held. reopened: a process that died had begun it."""

    trial: optuna.Trial
    files: RunFiles
    lock: RunLock
    reopened: bool


@dataclass(frozen=True)
class Study:
    """folder: outputs/search/NAME; startup: random trials before TPE has something to learn from."""

    name: str
    folder: Path
    study: optuna.Study
    space: Space
    sampler: str
    seed: int
    total: int
    startup: int
    created: bool = False  # by this process, which has not joined another's

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One process at a time; a dead one is noticed."""
        with held_in_turn(RunFiles(self.folder, "study")):
            yield

    def files(self, trial: int) -> RunFiles:
        """A trial's own files, below the study's folder."""
        return RunFiles(self.folder, f"trial_{trial:04}")

    def trials(self) -> list[FrozenTrial]:
        """All that any process has begun, by their numbers."""
        return self.study.get_trials(deepcopy=False)

    def finished(self) -> list[FrozenTrial]:
        """Those that need no more training: complete, pruned or failed."""
        return [trial for trial in self.trials() if trial.state in FINISHED]

    def best(self) -> FrozenTrial | None:
        """The best that was trained to its end."""
        done = [(t.value, t) for t in self.trials() if t.state == TrialState.COMPLETE and t.value is not None]
        better = max if self.study.direction == optuna.study.StudyDirection.MAXIMIZE else min
        return better(done, key=lambda found: found[0], default=(None, None))[1]

    def check(self, metric: str) -> None:
        """DataError where a trial of the journal is not what was trained; metric: without val_."""
        with understood(self.folder):
            if (self.study.direction == optuna.study.StudyDirection.MAXIMIZE) != metric_row(metric).higher_is_better:
                raise damaged(self.folder, f"its direction is not that of {metric}")
            for trial in self.trials():
                if what := contradiction(trial, self.space, self.files(trial.number), metric):
                    raise damaged(self.folder, f"trial {trial.number}: {what}")

    def forget(self) -> None:
        """Undo that this process has made the study, where no trial was trained: a mistake must not keep the name."""
        files = RunFiles(self.folder, "study")
        with self.locked():
            ours = self.created and not any(
                trial.intermediate_values or trial.state in FINISHED or not vacant(self.files(trial.number))
                for trial in self.trials()
            )
            if ours:
                optuna.delete_study(study_name=self.study.study_name, storage=self.study._storage)
                for entry in [path for path in self.folder.iterdir() if path != files.lock.parent]:
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        if ours:
            shutil.rmtree(self.folder, ignore_errors=True)

    def claim(self, stack: contextlib.ExitStack) -> Claim | None:
        """A trial to train: first one that a dead process left, at its own step; then a new one; None when all are taken.

        Args:
            stack: holds the trial's name until it is closed.
        """
        with self.locked():
            trials = self.trials()
            for trial in trials:
                files = self.files(trial.number)
                if trial.state in FINISHED or not vacant(files):
                    continue
                claimed = self._hold(files, stack)
                self._point_at(trial.number)
                reopened = optuna.Trial(self.study, trial._trial_id)
                for name, distribution in self.space.items():
                    reopened._suggest(name, distribution)  # what it was given; killed in between: the rest of it
                return Claim(reopened, files, claimed, reopened=True)
            if len(trials) >= self.total:
                return None
            self._point_at(len(trials))
            files = self.files(len(trials))
            claimed = self._hold(files, stack)
            fresh = self.study.ask(dict(self.space))
            assert fresh.number == len(trials), "a trial was made outside the study's lock"
            return Claim(fresh, files, claimed, reopened=False)

    def _hold(self, files: RunFiles, stack: contextlib.ExitStack) -> RunLock:
        files.make_folders()
        return stack.enter_context(held(files))

    def _point_at(self, trial: int) -> None:
        """The sampler of a trial: what it draws depends on the seed and its number (and, for TPE, on what is known)."""
        if self.sampler == "tpe":
            seed = number(self.seed, "tpe", trial) % 2**32
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                self.study.sampler = optuna.samplers.TPESampler(
                    seed=seed, multivariate=True, constant_liar=True, n_startup_trials=self.startup
                )
        else:
            point = {"random": random_point, "grid": grid_point}[self.sampler]
            self.study.sampler = PointSampler(self.space, functools.partial(point, self.space, self.seed))


def known_flags(name: str, folder: Path, storage: str | None) -> dict[str, Any]:
    """The flags that a study of this name was begun with; {} where there is none."""
    if storage is None and not (folder / JOURNAL).exists():
        return {}
    opened = opened_storage(folder, storage)
    with understood(folder) if storage is None else contextlib.nullcontext():
        try:
            study = optuna.load_study(study_name=name, storage=opened)
        except KeyError:
            return {}
        about: dict[str, Any] = study.user_attrs.get("about", {})
        return dict(about.get("flags", {}))


def open_study(
    name: str, folder: Path, storage: str | None, about: dict[str, Any], *, epochs: int
) -> tuple[optuna.Study, bool]:
    """Make the study, or join it; also returns whether it was made.

    Args:
        storage: None: a journal in the folder; or any URL that Optuna knows.
        about: what the study is, with its "metric" and "pruner"; one of this name that is about something else is not joined.
        epochs: of the longest trial, for the pruner.

    Raises:
        ConfigError: there is such another study, or the storage cannot be opened. DataError: its own journal is damaged.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    opened = opened_storage(folder, storage)
    with understood(folder) if storage is None else contextlib.nullcontext():
        study = optuna.create_study(
            study_name=name,
            storage=opened,
            load_if_exists=True,
            direction="maximize" if metric_row(about["metric"]).higher_is_better else "minimize",
            pruner=make_pruner(about["pruner"], epochs),
        )
        known = study.user_attrs.get("about")
        if known is None:
            study.set_user_attr("about", about)
        elif known != about:
            different = [key for key in about if known.get(key) != about[key]]
            raise ConfigError(
                f"--run_name={name}: the existing study differs in {', '.join(different)}; choose another --run_name"
            )
    return study, known is None


def opened_storage(folder: Path, storage: str | None) -> optuna.storages.BaseStorage:
    """The storage of --storage. ConfigError where it cannot be opened; DataError where the study's own journal is damaged."""
    if storage is None:
        with understood(folder):
            return storage_of(folder, None)
    try:
        return storage_of(folder, storage)
    except Exception as error:  # each kind of storage has its own
        raise ConfigError(f"--storage={storage}: cannot be opened ({error})") from None


def storage_of(folder: Path, storage: str | None) -> optuna.storages.BaseStorage:
    """The storage of --storage; None: a journal in the study's folder."""
    return journal(folder / JOURNAL) if storage is None else get_storage(storage)


def journal(path: Path) -> JournalStorage:
    """Optuna's journal, for many processes and over NFS; a last line that a full disk or a power cut tore is cut off."""
    lock = JournalFileOpenLock(str(path))  # not the symlink lock: Windows, and a relative path spins it for ever
    if path.exists() and path.stat().st_size:
        lock.acquire()
        try:
            with open(path, "r+b") as file:
                whole = file.read()
                if not whole.endswith(b"\n"):
                    log.warning("%s: removed the last line, which was incomplete", path)
                    file.truncate(whole.rfind(b"\n") + 1)
        finally:
            lock.release()
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))


def make_pruner(name: str, epochs: int) -> optuna.pruners.BasePruner:
    """The pruner of --pruner; epochs: of the longest trial."""
    if name == "median":  # 5 trials to compare with, and a fifth of the epochs: first epochs say little
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=max(1, epochs // 5))
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=epochs)
    return optuna.pruners.NopPruner()
