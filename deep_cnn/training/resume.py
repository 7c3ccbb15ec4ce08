"""A run whose name exists: does it go on, is it done already, or is it another run that is moved aside?"""

import logging
from dataclasses import dataclass
from typing import Any

from deep_cnn.config.identity import differences, sources_of
from deep_cnn.models import checkpoint
from deep_cnn.runtime import console
from deep_cnn.runtime.atomic import read_json
from deep_cnn.runtime.distributed import main_process
from deep_cnn.runtime.errors import CheckpointError
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
    """

    identity: dict[str, Any]
    state: dict[str, Any] | None = None
    finished: bool = False


@main_process
def find_checkpoint(run: Run, identity: dict[str, Any], tested: bool) -> SavedRun:
    """The state from which this run goes on, or none to begin; files of another run of this name are moved aside.

    Args:
        tested: whether the run ends with a test.

    Raises:
        CheckpointError: --resume=must and there is nothing of the same run; or no state can be read.
    """
    mode, files = run.config.resume, run.files
    if mode == "never":
        if files.has_results():
            log.info("--resume=never: renamed the existing run to %s", _move_aside(files))
        return SavedRun(identity)
    state = checkpoint.load_last(files.last)
    if state is None:
        _nothing_saved(mode, files, run.status)
        return SavedRun(identity)
    changed = differences(identity, state["identity"])
    sources_changed = identity["sources"] != sources_of(state["identity"])
    finished = is_finished(files, run.status, state, tested)
    if changed:
        if mode == "must":
            raise CheckpointError(f"--resume=must: {files.last} belongs to a different run: {'; '.join(changed)}")
        name = _move_aside(files)
        log.info(
            "The existing run differs (%s); renamed it to %s%s",
            "; ".join(changed),
            name,
            "" if finished else f" (unfinished; to continue it, use its flags and --run_name={name})",
        )
        return SavedRun(identity)
    if sources_changed and finished and mode != "must":
        log.info(
            "The source code has changed since this run finished, so it is trained again; renamed the old run to %s",
            _move_aside(files),
        )
        return SavedRun(identity)
    if sources_changed:
        log.warning(
            "The source code has changed since this run %s",
            "finished" if finished else "started; it continues with the new code",
        )
    return SavedRun(identity, state, finished)


def _nothing_saved(mode: str, files: RunFiles, status: Status) -> None:
    if files.has_results():  # a best.pt, or a test, whose last.pt somebody has removed
        if mode == "must":
            raise CheckpointError(f"--resume=must: {files.last} does not exist; there is nothing to resume")
        log.info(
            "There is no %s to resume from; renamed the other files of this run to %s", files.last, _move_aside(files)
        )
    elif mode == "must" and status.before() is None:
        raise CheckpointError(f"--resume=must: {files.last} does not exist; there is nothing to resume")
    elif mode == "must":  # a link of a chain that was stopped while it still counted the images
        log.info(
            "--resume=must: this run was %s before its first checkpoint, so training starts from the beginning",
            status.before(),
        )


def _move_aside(files: RunFiles) -> str:
    name = files.move_aside()
    console.keep_old_lines(files.log, RunFiles(files.outputs, name).log)
    return name


def is_finished(files: RunFiles, status: Status, saved: dict[str, Any], tested: bool) -> bool:
    """Trained to its end and, where there is a test set, tested: test.json is the last file of all."""
    if not saved["progress"]["finished"]:
        return False
    return read_json(files.results / "test.json") is not None if tested else status.before() == "finished"
