"""A run whose name exists: does it go on, is it done already, or is it another run that is moved aside?"""

import logging
from typing import Any

from deep_cnn import checkpoint, identity
from deep_cnn.errors import CheckpointError
from deep_cnn.run_files import RunFiles
from deep_cnn.storage import read_json

log = logging.getLogger(__name__)


def find_saved(mode: str, files: RunFiles, ours: dict[str, Any], *, has_test: bool) -> dict[str, Any] | None:
    """The state from which this run goes on, or None to begin; files of another run of this name are moved aside.

    Args:
        mode: --resume. ours: `identity.run_identity` of the run that was asked for. has_test: whether it ends with a test.
    Raises:
        CheckpointError: --resume=must and there is nothing of the same run; or no state can be read.
    """
    if mode == "never":
        if files.exists():
            log.info("--resume=never: the run of this name is now called %s", files.move_aside())
        return None
    saved = checkpoint.load_last(files.last)
    if saved is None:
        if mode == "must":
            raise CheckpointError(f"--resume=must: {files.last} does not exist: there is nothing to go on with")
        return None
    changed = identity.differences(ours, saved["identity"])
    sources_changed = ours["sources"] != saved["identity"]["sources"]
    finished = is_finished(files, saved, has_test)
    if changed:
        if mode == "must":
            raise CheckpointError(f"--resume=must: {files.last} is another run: {'; '.join(changed)}")
        log.info("The run of this name differs (%s); it is now called %s", "; ".join(changed), files.move_aside())
        return None
    if sources_changed and finished and mode != "must":
        log.info("The program's sources have changed since this run finished, so it is trained afresh; "
                 "the old one is now called %s", files.move_aside())  # fmt: skip
        return None
    if sources_changed:
        log.warning("The program's sources have changed since this run began; it goes on with the new ones")
    return saved


def is_finished(files: RunFiles, saved: dict[str, Any], has_test: bool) -> bool:
    """Trained to its end and, where there is a test set, tested."""
    done = bool(saved["progress"]["finished"])
    return done and (not has_test or read_json(files.results / "test.json") is not None)
