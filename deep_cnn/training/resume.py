"""A run whose name exists: does it go on, is it done already, or is it another run that is moved aside?"""

import logging
from dataclasses import dataclass
from typing import Any

from deep_cnn.config.identity import OTHER_NUMBERS, differences, sources_of
from deep_cnn.models import checkpoint
from deep_cnn.runtime import console
from deep_cnn.runtime.atomic import read_json
from deep_cnn.runtime.distributed import main_process
from deep_cnn.runtime.errors import CheckpointError, ConfigError
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.runtime.status import Status
from deep_cnn.training.setup import Run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SavedRun:
    """What is there of the run that was asked for.

    Attributes:
        identity: `run_identity` of the run that was asked for.
        state: what its last.pt holds; None to begin.
        finished: trained to its end and, where there is a test set, tested.
        to_move: why the files of this name, another run's, are to be moved aside; "" where there are none. That is done by
            `move_aside` when this run is sure to begin: a mistake must not take the name from a finished run.
    """

    identity: dict[str, Any]
    state: dict[str, Any] | None = None
    finished: bool = False
    to_move: str = ""


@main_process
def find_checkpoint(run: Run, identity: dict[str, Any], tested: bool) -> SavedRun:
    """The state from which this run goes on, or none to begin. Nothing is moved yet: see `move_aside`.

    Args:
        tested: whether the run ends with a test.

    Raises:
        CheckpointError: --resume=must and there is nothing of the same run; or no state can be read.
        ConfigError: the name is that of a cross-validation.
    """
    mode, files = run.config.resume, run.files
    if files.fold_plan.exists():
        raise ConfigError(
            f"--run_name={files.name}: the name of a cross-validation (--folds); choose another --run_name"
        )
    if mode == "never":
        return SavedRun(identity, to_move="--resume=never" if files.has_results() else "")
    state = checkpoint.load_last(files.last)
    if state is None:
        return SavedRun(identity, to_move=_nothing_saved(mode, files, run.status))
    changed = differences(identity, state["identity"])
    sources_changed = identity["sources"] != sources_of(state["identity"])
    finished = is_finished(files, run.status, state, tested)
    if changed:
        if mode == "must":
            raise CheckpointError(f"--resume=must: {files.last} belongs to a different run: {'; '.join(changed)}")
        unfinished = "" if finished else "; it is unfinished, and continues with its own flags and its new name"
        return SavedRun(identity, to_move=f"The existing run differs ({'; '.join(changed)}){unfinished}")
    if sources_changed and finished and mode != "must":
        why = "The source code has changed since this run finished, so it is trained again"
        return SavedRun(identity, to_move=why)
    if sources_changed:
        log.warning(_changed_sources(state["identity"]["sources"], finished))
    run.status.claim()
    return SavedRun(identity, state, finished)


@main_process
def move_aside(run: Run, saved: SavedRun) -> None:
    """Move the other run of this name aside, if there is one, with its lines of the log; the name is this run's from now on."""
    files = run.files
    if saved.to_move:
        name = files.move_aside()
        console.keep_old_lines(files.log, RunFiles(files.outputs, name).log)
        log.info("%s; renamed the existing run to %s", saved.to_move, name)
    run.status.claim()


def _changed_sources(before: str, finished: bool) -> str:
    if finished:
        return "The source code has changed since this run finished"
    if release := OTHER_NUMBERS.get(before):
        return (
            f"This run was started by version {release}, whose augmentation and learning rates are not the same (see "
            "CHANGELOG.md). It continues with those of this version, so its result is that of neither version alone. To train it "
            "with this version from the beginning, use --resume=never"
        )
    return "The source code has changed since this run started; it continues with the new code"


def _nothing_saved(mode: str, files: RunFiles, status: Status) -> str:
    """Why other files of this name are to be moved aside, or ""."""
    if files.has_results():  # a best.pt, or a test, whose last.pt somebody has removed
        if mode == "must":
            raise CheckpointError(f"--resume=must: {files.last} does not exist; there is nothing to resume")
        return f"There is no {files.last} to resume from"
    if mode == "must" and status.before() is None:
        raise CheckpointError(f"--resume=must: {files.last} does not exist; there is nothing to resume")
    if mode == "must":  # a link of a chain that was stopped while it still counted the images
        log.info(
            "--resume=must: this run was %s before its first checkpoint, so training starts from the beginning",
            status.before(),
        )
    return ""


def is_finished(files: RunFiles, status: Status, saved: dict[str, Any], tested: bool) -> bool:
    """Trained to its end and, where there is a test set, tested: test.json is the last file of all."""
    if not saved["progress"]["finished"]:
        return False
    return read_json(files.results / "test.json") is not None if tested else status.before() == "finished"
