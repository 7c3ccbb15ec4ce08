"""Saves the state of a run when it is due, and stops the run when it must, both between two steps."""

import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

from deep_cnn import checkpoint, stopping
from deep_cnn.config import parse_duration, positive_integer
from deep_cnn.run_files import RunFiles
from deep_cnn.stopping import Deadline, Stopped

log = logging.getLogger(__name__)


class Keeper:
    """Knows where the state is saved, how often, and how much time is left.

    capture: gives the whole state as it is now. save_every: '10m' or a number of steps, as --save_every.
    watch: takes note of the time spent on "saving".
    """

    def __init__(
        self, files: RunFiles, capture: Callable[[], dict[str, Any]], save_every: str, deadline: Deadline,
        watch: Callable[[str], contextlib.AbstractContextManager] = contextlib.nullcontext,
    ):  # fmt: skip
        self.watch = watch
        self.files, self.capture, self.deadline = files, capture, deadline
        self.every_steps = int(save_every) if positive_integer(save_every) else None
        self.every_seconds = None if self.every_steps else parse_duration("save_every", save_every)
        self.steps_since = 0
        self.saved_at = self.asked_at = time.monotonic()

    def after_step(self) -> None:
        """Call after each optimizer step: saves when that is due; Stopped when the run must end."""
        self.steps_since += 1
        self.check()
        due = (
            self.steps_since >= self.every_steps
            if self.every_steps
            else time.monotonic() - self.saved_at >= self.every_seconds
        )
        if due:
            self.save()

    def check(self, save: bool = True) -> None:
        """Call between any two pieces of work: Stopped, after saving, on a signal or when time runs out.

        save: False where the state on disk is the one to keep (the test works with other weights than the last).
        """
        now = time.monotonic()
        self.deadline.longest_step = max(self.deadline.longest_step, now - self.asked_at)
        self.asked_at = now
        signal = stopping.requested()
        if signal or self.deadline.near():
            reason = f"stopped by {signal}" if signal else "stopped before the time limit"
            saved = self.save() if save else True
            raise Stopped(reason + ("; everything is saved, the same command goes on" if saved
                                    else "; the last steps could NOT be saved, the same command goes on from before them"))  # fmt: skip

    def save(self) -> bool:
        """Write last.pt. A disk that refuses is said, and the run goes on: it may have room again at the next time."""
        begun = time.monotonic()
        try:
            with self.watch("saving"):
                checkpoint.save_last(self.files.last, self.capture())
        except OSError as error:
            log.warning("%s could not be written (%s); the state before it is whole, and the run goes on",
                        self.files.last, error.strerror or error)  # fmt: skip
            return False
        finally:
            self.saved_at = self.asked_at = time.monotonic()
            self.steps_since = 0
        self.deadline.longest_save = max(self.deadline.longest_save, self.saved_at - begun)
        return True
