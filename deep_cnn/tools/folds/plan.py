"""What the folds of one name have in common, so that results of other flags, data or code are never mixed; and how far each is."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from deep_cnn.config import defaults
from deep_cnn.config.identity import command_line, differences, is_identity, run_identity, sources_of
from deep_cnn.config.schema import Config
from deep_cnn.data.dataset import digest_of
from deep_cnn.data.division import Images, find_folds, find_images
from deep_cnn.data.folds import Folds, fold_title
from deep_cnn.data.index import Index
from deep_cnn.data.vote_winners import TIE
from deep_cnn.runtime import console, distributed
from deep_cnn.runtime.atomic import read_json, write_csv, write_json
from deep_cnn.runtime.errors import CheckpointError, NameInUse
from deep_cnn.runtime.lock import held_in_turn, vacant
from deep_cnn.runtime.manifest import Manifest
from deep_cnn.runtime.run_files import RunFiles, fold_name, folds_of
from deep_cnn.runtime.status import Status, read_status
from deep_cnn.tasks.base import Task
from deep_cnn.tasks.make import make_task
from deep_cnn.training.run import Run
from deep_cnn.training.setup import find_inputs
from deep_cnn.training.trainer import rehearse

log = logging.getLogger(__name__)

MOVED = ("results", "tensorboard", "models", "log")  # properties of RunFiles


@dataclass(frozen=True)
class Plan:
    """The folds of one --run_name.

    Attributes:
        files: of the common result; each fold has its own (`files_of`).
        identity: `run_identity` of all folds, without the number of the fold.
        names: the group that each fold tests, with --folds=groups; else ().
        data: the folder of the images.
    """

    files: RunFiles
    identity: dict[str, Any]
    count: int
    names: tuple[str, ...]
    data: Path

    @property
    def folds(self) -> range:
        """Their numbers, from 1 on."""
        return range(1, self.count + 1)

    @property
    def assignment(self) -> Path:
        """folds.csv: file, targets, group (with --group), fold."""
        return self.files.results / "folds.csv"

    def title(self, fold: int) -> str:
        """'fold 3 of 5', or 'fold 3 of 8 (Boston)'."""
        return fold_title(fold, self.count, self.names)

    def files_of(self, fold: int) -> RunFiles:
        """A fold's run is a run like any other, with a name of its own."""
        return RunFiles(self.files.outputs, fold_name(self.files.name, fold))

    def finished(self, fold: int) -> bool:
        """Whether the fold was trained and tested to its end, with the flags, data and code of this plan."""
        files = self.files_of(fold)
        status, record = read_status(files), read_json(files.results / "config.json")
        tested = read_json(files.results / "test.json") is not None
        if not tested or not record or (status or {}).get("state") != "finished" or Manifest(files).damaged():
            return False
        return is_identity(record.get("identity")) and not self._differs(record["identity"], fold)

    def changed_by(self, fold: int) -> list[str]:
        """What makes the fold's run one of another plan, in words; [] where there is none."""
        record = read_json(self.files_of(fold).results / "config.json")
        return self._differs(record["identity"], fold) if record else []

    def state(self, fold: int) -> str:
        """'finished', 'busy' (another process trains it), 'new', or what its last process left: stopped, failed..."""
        if self.finished(fold):
            return "finished"
        if not vacant(self.files_of(fold)):
            return "busy"
        left = (read_status(self.files_of(fold)) or {}).get("state", "new")
        return "new" if left == "finished" else str(left)  # finished, but of another plan

    def _differs(self, identity: dict[str, Any], fold: int | None = None) -> list[str]:
        """What makes an identity another one than the plan's, in words."""
        ours = self.identity | {"flags": self.identity["flags"] | {"fold": fold}}
        found = differences(ours, identity)
        return found or (["the source code has changed"] if ours["sources"] != sources_of(identity) else [])


@distributed.main_process
def join_plan(config: Config) -> tuple[Plan, Config]:
    """The plan of these flags: that of an earlier or a parallel command, or a new one; folds of other flags are moved aside.

    Returns:
        The plan, and the flags with a number in place of every `auto` that depends on the training set: all folds have the same.

    Raises:
        CheckpointError: --resume=must, and there is nothing of the same flags, data and code.
        NameInUse: folds of other flags under this name are being trained. ConfigError, DataError: as of a run.
    """
    files = RunFiles(config.root / "outputs", config.run_name)
    files.make_folders()
    with console.quiet_console():  # each fold says it again
        run, images, task, folds = look_at_folds(config)
    if config.fold is not None:
        folds.testing(config.fold, images.index)  # ConfigError where there is no such fold
    asked, data = config, digest_of(images.index)  # what was read is compared by the run of each fold
    config = _with_defaults(run, asked, images, folds.count)
    identity = run_identity(replace(run.config, fold=None, **defaults.chosen(asked, config)), data, "")
    plan = Plan(files, identity, folds.count, folds.names, images.index.root)
    with held_in_turn(files, steal=config.steal_lock):
        saved = _saved_plan(files)
        if _goes_on(plan, saved, config):
            return plan, config
        for note in folds.notes:
            log.info(note)
        if lacking := folds_without_votes(images.index, folds):
            log.warning(
                "%d of %d folds have no decided vote between two of their images, so their pair accuracy, and that of all folds, will be "
                "undefined; use fewer folds, or groups that have votes within them",
                len(lacking),
                folds.count,
            )
        digests = Manifest(files)
        if _of_single_run(files) or not any(digests.agrees(path) for path in (files.fold_plan, plan.assignment)):
            digests.path.unlink(missing_ok=True)  # it is another run's, or damaged: begin a new list
        _write_plan(plan, (config, defaults.chosen(asked, config)), folds, images, task)
    return plan, config


def _with_defaults(run: Run, asked: Config, images: Images, folds: int) -> Config:
    """The flags with a number in place of `auto`: what the plan began with, or by how many images (or votes) a fold trains on."""
    files = RunFiles(asked.root / "outputs", asked.run_name)
    saved = _saved_plan(files) if asked.resume != "never" else None
    finished = Status(files).before() == "finished"
    data = (digest_of(images.index), "")
    before = defaults.begun_with(saved, finished, replace(run.config, fold=None), data)
    trained_on, samples = trained_in_a_fold(images.index, folds, asked.val_split)
    config = defaults.resolved(asked, trained_on, before)
    if (line := defaults.chosen_line(asked, config, trained_on, samples)) is not None:
        log.info(line)
    return config


def trained_in_a_fold(index: Index, folds: int, val_split: float) -> tuple[int, str]:
    """How many samples a fold trains on, about, and what they are: images, or votes, of which both images are in the training set."""
    share = (1 - 1 / folds) * (1 - val_split)
    return (
        (round(len(index) * share), "images") if index.votes is None else (round(len(index.votes) * share**2), "votes")
    )


def folds_without_votes(index: Index, folds: Folds) -> list[int]:
    """The folds, counted from 1, that no decided vote tests: none is between two of their images. [] where no votes are learnt."""
    if index.votes is None:
        return []
    sides = folds.of[index.votes.images[index.votes.outcome != TIE]]  # (m, 2)
    within = sides[(sides[:, 0] == sides[:, 1]) & (sides[:, 0] >= 0), 0]
    return (np.flatnonzero(np.bincount(within, minlength=folds.count) == 0) + 1).tolist()


def _saved_plan(files: RunFiles) -> dict[str, Any] | None:
    """What plan.json holds; None where there is none, or it is damaged."""
    saved = read_json(files.fold_plan) or {}
    whole = isinstance(saved.get("folds"), int) and is_identity(saved.get("identity"))
    sound = Manifest(files).agrees(files.fold_plan) is not False and not _of_single_run(files)
    return saved if whole and sound else None


def _of_single_run(files: RunFiles) -> bool:
    """Whether digests.json is that of a run, which lists config.json, and not of folds."""
    return "config.json" in (Manifest(files).entries() or {})


def look_at_folds(config: Config) -> tuple[Run, Images, Task, Folds]:
    """The images, what is learnt of them, and which fold tests each; without a folder or a name of its own."""
    files = RunFiles(config.root / "outputs", config.run_name)
    run = find_inputs(Run(config, files, None, Status(files, writes=False), 0.0), fresh=False)
    assert run.pre is not None
    images = find_images(run.config, run.pre, run.workers)
    task = make_task(run.config, images.index)
    return run, images, task, find_folds(images, task.strata(images.index.targets), run.config)


def _goes_on(plan: Plan, saved: dict[str, Any] | None, config: Config) -> bool:
    """Whether the folds that are there are of this very plan; what else has the name is moved aside."""
    files, must = plan.files, config.resume == "must"
    there = range(1, saved["folds"] + 1) if saved is not None else _folds_of_damaged_plan(files)
    if saved is None and not there:
        if must and (Status(files).before() is None or files.best.exists() or files.last.exists()):
            raise CheckpointError(
                f"--resume=must: there are no folds of --run_name={files.name}; there is nothing to resume"
            )
        if files.has_results():
            _rehearse(config)
            log.info("Renamed the existing run to %s", _move_aside(files, ()))
        return False
    changed = plan._differs(saved["identity"]) if saved is not None else _changed_folds(plan, there)
    afresh = config.resume == "never" and config.fold is None
    if not changed and not afresh:
        if saved is None:
            log.warning(
                "%s: damaged or edited; it is written again, and folds of these flags are kept", files.fold_plan
            )
        # a damaged folds.csv is written again, too
        return saved is not None and Manifest(files).agrees(plan.assignment) is not False
    code_only = changed == ["the source code has changed"]
    if code_only and not afresh and not any((_member(files, k).results / "test.json").exists() for k in there):
        log.warning("The source code has changed since these folds started; they continue with the new code")
        return False  # nothing is finished that could be mixed; the plan is written again
    if must:
        raise CheckpointError(f"--resume=must: the folds of --run_name={files.name} differ: {'; '.join(changed)}")
    _rehearse(config)
    name = _move_aside(files, there)
    log.info(
        "The existing folds differ (%s); renamed them to %s" if changed else "%s: renamed the existing folds to %s",
        "; ".join(changed) or "--resume=never",
        name,
    )
    return False


def _folds_of_damaged_plan(files: RunFiles) -> Sequence[int]:
    """The numbers of the folds that have files, where their plan.json says nothing of them; none where there never was one."""
    if not files.fold_plan.exists() and Manifest(files).agrees(files.fold_plan) is not False:
        return ()
    runs = {path.name for place in ("results", "models") for path in (files.outputs / place).glob("*-fold*")}
    return sorted(int(run.rpartition("-fold")[2]) for run in runs if folds_of(run) == files.name)


def _changed_folds(plan: Plan, there: Sequence[int]) -> list[str]:
    """What makes the folds that are there another plan's, in words, as far as their own files tell.

    A fold whose config.json is damaged, too, is left to its run, which moves another run aside.
    """
    for fold in there:
        files = plan.files_of(fold)
        config = files.results / "config.json"
        identity = (read_json(config) or {}).get("identity")
        if not is_identity(identity) or Manifest(files).agrees(config) is False:
            continue
        if changed := plan._differs(identity, fold):
            return changed
    return []


def _rehearse(config: Config) -> None:
    """Raise what would end the first fold before it begins: a mistake must not take the name from finished folds."""
    with console.quiet_console():
        rehearse(replace(config, fold=config.fold or 1))


def _member(files: RunFiles, fold: int) -> RunFiles:
    return RunFiles(files.outputs, fold_name(files.name, fold))


def _move_aside(files: RunFiles, folds: Sequence[int]) -> str:
    """Rename all files of a name and its folds to NAME.1, NAME.1-fold1, ...; returns the new name.

    The common files go last: a process that dies in between leaves the plan, and the next one moves the rest to the same name.
    """
    busy = [_member(files, fold).name for fold in folds if not vacant(_member(files, fold))]
    if busy:
        raise NameInUse(
            f"--run_name={files.name}: {', '.join(busy)} with other flags, data or code is being trained; wait for it, or "
            "choose another --run_name"
        )
    number = 1
    while _taken(files, f"{files.name}.{number}", folds):
        number += 1
    other = RunFiles(files.outputs, f"{files.name}.{number}")
    for old, new in [*((_member(files, k), _member(other, k)) for k in folds), (files, other)]:
        for part in MOVED:
            if getattr(old, part).exists():
                os.rename(getattr(old, part), getattr(new, part))
    files.make_folders()
    return other.name


def _taken(files: RunFiles, name: str, folds: Sequence[int]) -> bool:
    """Whether a name is in use, by a run or by folds that would be overwritten."""
    other = RunFiles(files.outputs, name)
    pairs = [(_member(files, fold), _member(other, fold)) for fold in folds]
    return any(getattr(other, part).exists() for part in MOVED) or any(
        getattr(old, part).exists() and getattr(new, part).exists() for old, new in pairs for part in MOVED
    )


def _write_plan(plan: Plan, flags: tuple[Config, dict[str, Any]], folds: Folds, images: Images, task: Task) -> None:
    """folds.csv, and plan.json last: where it is, everything is. flags: of the plan, and those that were chosen."""
    config, chosen = flags
    index = images.index
    cells = task.target_rows(index.targets)
    group = [[]] * len(index) if index.groups is None else [[index.group_names[g]] for g in index.groups.tolist()]
    ours = ("file", "group", "fold")
    targets = [
        f"target_{name}" if name in ours else name for name in index.target_names
    ]  # a target may be called so, too
    columns = ["file", *targets, *(["group"] if index.groups is not None else []), "fold"]
    numbers = ["" if k < 0 else str(k + 1) for k in folds.of.tolist()]  # no number: it validates in every fold
    rows = ([path, *cell, *of, k] for path, cell, of, k in zip(index.paths, cells, group, numbers, strict=True))
    write_csv(plan.assignment, columns, rows, announce=Manifest(plan.files).announce)
    about = {
        "folds": plan.count,
        "names": list(plan.names),
        "identity": plan.identity,
        "chosen": chosen,
        "command": command_line(replace(config, fold=None, resume="auto")),
    }
    write_json(plan.files.fold_plan, about, durable=True, announce=Manifest(plan.files).announce)
