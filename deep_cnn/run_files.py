"""What a run leaves behind, and where; and in what state it is, for job scripts."""

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deep_cnn.errors import ConfigError
from deep_cnn.storage import clear_leftovers, read_json, write_json


@dataclass(frozen=True)
class RunFiles:
    """The places of one run's files, below ROOT_DIR/outputs."""

    outputs: Path
    name: str

    @property
    def models(self) -> Path:
        return self.outputs / "models" / self.name

    @property
    def results(self) -> Path:
        return self.outputs / "results" / self.name

    @property
    def log(self) -> Path:
        return self.outputs / "logger" / f"{self.name}.log"

    @property
    def tensorboard(self) -> Path:
        return self.outputs / "tensorboard" / self.name

    @property
    def last(self) -> Path:
        return self.models / "last.pt"

    @property
    def best(self) -> Path:
        return self.models / "best.pt"

    @property
    def status(self) -> Path:
        return self.results / "status.json"

    @property
    def lock(self) -> Path:
        return self.outputs / "models" / f".{self.name}.lock"

    def make_folders(self) -> None:
        """Raises ConfigError, before anything is computed, where the results could not be written."""
        for folder in (self.models, self.results, self.log.parent):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                probe = folder / f".writable-{os.getpid()}"
                probe.touch()
                probe.unlink()
            except OSError as error:
                raise ConfigError(
                    f"{folder}: cannot be written ({error.strerror}); choose another --root_dir or mend its permissions"
                ) from None

    def clear_leftovers(self) -> None:
        """Remove files half written by a process that died. Only while the run's name is held."""
        for folder in (self.models, self.results):
            clear_leftovers(folder)

    def has_results(self) -> bool:
        """Whether something was trained under this name; a run that died before its first save has left nothing of worth."""
        return any(path.exists() for path in (self.last, self.best, self.results / "test.json"))

    def move_aside(self) -> str:
        """Rename this run's files to NAME.1, NAME.2, ... (the first that is free); returns that name.

        The checkpoints go after the results: a process that dies in between finds them, and moves the rest as well.
        """
        number = 1
        while (other := RunFiles(self.outputs, f"{self.name}.{number}"))._any_of(self._worth_moving()):
            number += 1
        for part in self._worth_moving():
            os.rename(getattr(self, part), getattr(other, part))
        self.make_folders()
        return other.name

    def _worth_moving(self) -> list[str]:
        """The parts that hold more than this very process has just made; the log is moved by its keeper."""
        folders = [part for part in ("results", "tensorboard", "models") if getattr(self, part).exists()]
        return [part for part in folders if any(f.name != "status.json" for f in getattr(self, part).iterdir())]

    def _any_of(self, parts: list[str]) -> bool:
        return any(getattr(self, part).exists() for part in parts)


class Status:
    """status.json, which job scripts read: the state of the run, why, and how far it is."""

    def __init__(self, files: RunFiles, writes: bool = True):
        """writes: False in every process but the first."""
        self.files, self.writes = files, writes
        self.progress: dict[str, Any] = {}

    def before(self) -> str | None:
        """The state that the last process of this run left, or None."""
        left = read_json(self.files.status)
        return left.get("state") if isinstance(left, dict) else None

    def note(self, *, epoch: int, step: int, steps: int) -> None:
        """How far the saved state is, for this and every later `say`.

        Args:
            epoch: that is being trained, from 0. step: optimizer steps taken in the whole run, of `steps`, if early
                stopping does not shorten it.
        """
        self.progress = {"epoch": epoch, "step": step, "steps": steps}

    def say(self, state: str, reason: str = "") -> None:
        """state: running, stopped, finished, mistake or failed."""
        if not self.writes:
            return
        now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        with contextlib.suppress(OSError):  # a full disk must not stop a run that can still compute
            write_json(self.files.status, {"state": state, "reason": reason, **self.progress, "time": now})
