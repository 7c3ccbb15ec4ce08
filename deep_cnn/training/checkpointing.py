"""Saves the state of a run when it is due, and stops the run when it must, both between two steps."""

import contextlib
import logging
import math
import signal
import time
from collections.abc import Callable
from typing import Any, Protocol

from deep_cnn.config.fields import parse_duration, positive_integer
from deep_cnn.models import checkpoint
from deep_cnn.runtime import distributed, signals
from deep_cnn.runtime.errors import MachineError
from deep_cnn.runtime.manifest import Manifest
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.runtime.signals import Stopped
from deep_cnn.runtime.walltime import Deadline
from deep_cnn.training.profiling import null_timer

log = logging.getLogger(__name__)

TIME_IS_UP = 1000  # among the numbers of signals
SHORT_SECONDS = 20.0  # a save takes some tenths of a second, 20 epochs of features less than one


class Saveable(Protocol):
    """What a checkpointer saves."""

    def before_save(self) -> None:
        """May refuse a save by raising: the run's name was taken, the loss is no number."""

    def save_contents(self) -> None:
        """On every rank, before the state: write what this rank has learnt of the images' contents."""

    def capture(self) -> dict[str, Any]:
        """The whole state as it is now."""

    def after_save(self) -> None:
        """The state is on disk."""


class Checkpointer:
    """Saves the state when that is due, and ends the run when a signal or the time limit asks for it.

    What is on disk always fits together: last.pt never says that an epoch was the best whose best.pt could not be written.
    Only rank 0 writes; all ranks stop at the same step.

    Args:
        save_every: '10m' or a number of steps, as --save_every.
        timer: takes note of the time spent on "saving".
    """

    def __init__(
        self,
        files: RunFiles,
        source: Saveable,
        save_every: str,
        deadline: Deadline,
        timer: Callable[[str], contextlib.AbstractContextManager[None]] = null_timer,
    ):
        self.files, self.source, self.deadline, self.timer = files, source, deadline, timer
        self.announce = Manifest(files).announce
        counted = positive_integer(save_every)
        self.every_steps = int(save_every) if counted else math.inf
        self.every_seconds = math.inf if counted else parse_duration("save_every", save_every)
        self.steps_since = 0
        self.saved_at = self.asked_at = time.monotonic()
        self.unsaved_best: dict[str, Any] | None = None  # that a full disk refused, or that waits for the next save
        self.refused = False  # the last save

    def after_step(self) -> None:
        """Call after each optimizer step: saves when that is due; Stopped when the run must end."""
        self.steps_since += 1
        self.check("training")
        if self.steps_since >= self.every_steps or time.monotonic() - self.saved_at >= self.every_seconds:
            self.save()

    def check(self, kind: str = "scoring", save: bool = True) -> None:
        """Call between any two pieces of work: Stopped, after saving, on a signal or when time runs out.

        Args:
            kind: of work, whose longest recent piece must still fit into the time that is left.
            save: False where the state on disk is the one to keep (the test works with other weights than the last).
        """
        now = time.monotonic()
        self.deadline.note_step(kind, now - self.asked_at)
        self.asked_at = now
        wish = signal.Signals[name] if (name := signals.requested()) else TIME_IS_UP if self.deadline.near() else 0
        wish = distributed.all_reduce_max(int(wish))
        if wish:
            saved = self.save() if save else not self.refused
            raise Stopped(
                ("stopped before the time limit" if wish == TIME_IS_UP else f"stopped by {signal.Signals(wish).name}")
                + (
                    "; everything is saved; run the same command to continue"
                    if saved
                    else "; the last steps could NOT be saved; run the same command to continue from the last checkpoint"
                )
            )

    def save(self) -> bool:
        """Write last.pt. A disk that refuses is reported, and the run continues: next time there may be space."""
        if not distributed.is_main():
            self.source.save_contents()
            self.saved_at = self.asked_at = time.monotonic()
            self.steps_since = 0
            return True
        self.source.before_save()
        self.source.save_contents()
        begun = time.monotonic()
        try:
            if self.unsaved_best is not None:
                self._write_best(self.unsaved_best)
            with self.timer("saving"):
                checkpoint.save_last(self.files.last, self.source.capture(), self.announce)
            self.refused = False
        except OSError as error:
            self.refused = True
            what = self.files.last, error.strerror or error
            if self.files.last.exists():
                log.warning("Could not write %s (%s); the previous checkpoint is intact, and training continues", *what)
            else:
                log.warning("Could not write %s (%s); there is no checkpoint yet, and training continues", *what)
            return False
        finally:
            self.saved_at = self.asked_at = time.monotonic()
            self.steps_since = 0
        self.deadline.note_save(self.saved_at - begun)
        self.source.after_save()
        return True

    def after_epoch(self, *, short: bool) -> None:
        """Save, unless epochs are short (of features, some milliseconds each) and the last save was just before."""
        if not short or time.monotonic() - self.saved_at >= SHORT_SECONDS:
            self.save()

    def save_best(self, state: dict[str, Any], *, at_once: bool = True) -> None:
        """Write best.pt, at once or before the next save; where the disk refuses, keep it in memory and try again then."""
        if not distributed.is_main():
            return
        self.source.before_save()
        if not at_once:
            self._remember(state)
            return
        try:
            self._write_best(state)
        except OSError as error:
            self._remember(state)
            log.warning(
                "Could not write %s (%s); training continues with these weights kept in memory, and saves no newer "
                "checkpoint until they are written",
                self.files.best,
                error.strerror or error,
            )

    def flush_best(self) -> None:
        """Before best.pt is read: MachineError when the disk has refused it to this moment."""
        if self.unsaved_best is not None:
            try:
                self._write_best(self.unsaved_best)
            except OSError as error:
                raise MachineError(
                    f"{self.files.best} could not be written ({error.strerror or error}); free some disk space and "
                    "run the same command to resume from the last checkpoint"
                ) from None

    def _remember(self, state: dict[str, Any]) -> None:
        self.unsaved_best = state | {"weights": {k: v.cpu().clone() for k, v in state["weights"].items()}}

    def _write_best(self, state: dict[str, Any]) -> None:
        with self.timer("saving"):
            checkpoint.save_making_room(self.files.best, state, self.files.last, self.announce)
        self.unsaved_best = None
