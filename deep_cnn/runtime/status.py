"""status.json, which job scripts read."""

import contextlib
import hashlib
import json
import time
from typing import Any

from deep_cnn.runtime.atomic import read_json, write_json
from deep_cnn.runtime.lock import vacant
from deep_cnn.runtime.manifest import Manifest, digest_of
from deep_cnn.runtime.run_files import RunFiles, folds_of


def read_status(files: RunFiles) -> dict[str, Any] | None:
    """What status.json says; None where there is none, it is damaged, or it is another run's."""
    values = read_json(files.status)
    if not isinstance(values, dict):
        return None
    check = values.pop("check", None)  # version 0.1.0 wrote none
    if check not in (None, _check(values)):
        return None
    return None if _of_another(files, values.pop("config", None)) else values


def seen_status(files: RunFiles) -> dict[str, Any] | None:
    """`read_status`, but "killed" of a run that says it is running and that no living process holds, nor one of its folds."""
    status = read_status(files)
    if status and status.get("state") == "running":
        folds = [path.name for path in files.results.parent.glob("*") if folds_of(path.name) == files.name]
        with contextlib.suppress(OSError):  # a folder that may not be written in
            if all(vacant(RunFiles(files.outputs, name)) for name in (files.name, *folds)):
                status["state"] = "killed"
    trained_alone = files.fold_plan.exists() and not files.status.exists()  # some of its folds
    return {"state": "unfinished"} if trained_alone else status


def unfinished(status: dict[str, Any] | None) -> str | None:
    """How far a run is that has not finished, by its status.json; None where it has."""
    status = status or {}
    state = status.get("state")
    if state == "finished":
        return None
    if state is None:
        return "status.json is missing or damaged, so it is unknown whether it is finished"
    done = f" ({status.get('step')} of {status['steps']} steps)" if status.get("steps") else ""
    hint = {
        "running": "still running",
        "killed": "killed; the same command resumes it",
        "unfinished": "not all folds are finished",
        "stopped": "stopped; the same command resumes it",
    }.get(state, state)
    return f"{hint}{done}" + (f": {status.get('reason')}" if state in ("mistake", "failed") else "")


def _of_another(files: RunFiles, config: str | None) -> bool:
    """Whether a status was said beside another config.json (by its digest) than the run's own, where that one is sound."""
    return config not in (None, _config_of(files)) and Manifest(files).agrees(files.results / "config.json") is True


def _config_of(files: RunFiles) -> str | None:
    """The digest of the run's config.json, which names it whatever its folder is called; None where there is none."""
    path = files.results / "config.json"
    return digest_of(path) if path.is_file() else None


def _check(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Status:
    """status.json, which job scripts read: the state of the run, why, and how far it is."""

    def __init__(self, files: RunFiles, writes: bool = True):
        """writes: False in every process but the first."""
        self.files, self.writes = files, writes
        self.progress: dict[str, Any] = {}
        # whether the files of this name are this run's, so that it may speak of them
        self.claimed = not (files.has_results() or files.fold_plan.exists())

    def before(self) -> str | None:
        """The state that the last process of this run left, or None."""
        return (read_status(self.files) or {}).get("state")

    def note(self, *, epoch: int, step: int, steps: int) -> None:
        """How far the saved state is, for this and every later `say`.

        Args:
            epoch: that is being trained, from 0. step: optimizer steps taken in the whole run, of `steps`, if early
                stopping does not shorten it.
        """
        self.progress = {"epoch": epoch, "step": step, "steps": steps}

    def note_progress(self, progress: dict[str, Any], steps: int) -> None:
        """`note` of what a state calls its progress; steps: of the whole run."""
        self.note(epoch=progress["epoch"], step=progress["global_step"], steps=steps)

    def claim(self) -> None:
        """From now on the files of this name are this run's: it goes on with them, or has moved another run's aside."""
        self.claimed = True

    def say(self, state: str, reason: str = "") -> bool:
        """Write the state: running, stopped, finished, mistake or failed.

        Returns:
            False where the name still has the files of a run that this one has not touched: a mistaken command must not
            say of a finished run that it is a mistake. A stop is said of an unfinished run, for job scripts go by it.
        """
        if not self.claimed and (state == "mistake" or self.before() == "finished"):
            return False
        if not self.writes:
            return True
        now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        with contextlib.suppress(OSError):  # a full disk must not stop a run that can still compute
            values = {"state": state, "reason": reason, **self.progress, "time": now}
            if state != "running":  # a process that says so has not written its config.json yet
                values["config"] = _config_of(self.files)
            write_json(self.files.status, values | {"check": _check(values)})
        return True
