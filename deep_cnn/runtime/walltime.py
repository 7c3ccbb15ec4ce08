"""How much time is left: --max_time, what the scheduler grants, and when the whole run will be done."""

import logging
import time
from collections import deque
from collections.abc import Callable

from deep_cnn.runtime import signals
from deep_cnn.runtime.format import duration
from deep_cnn.runtime.scheduler import granted_time

log = logging.getLogger(__name__)

_started = signals.STARTED
FIRST_FORECAST = 60.0  # seconds of steps before the first estimate
RECENT = 50  # steps of each kind that are looked back at: a slow first one (compilation) is forgotten


def since_start() -> float:
    """Seconds since the program started, which --max_time counts from."""
    return time.monotonic() - _started


class Deadline:
    """The end of the granted time, with room for one more step and one more save as they were measured in this run."""

    def __init__(self, seconds: float | None, now: Callable[[], float] = time.monotonic, started: float = _started):
        """seconds: from the start of the process; None: no limit."""
        self.now = now
        self.end = None if seconds is None else started + seconds
        self._steps: dict[str, deque[float]] = {}
        self.longest_save: float | None = None

    def note_step(self, kind: str, seconds: float) -> None:
        """kind: steps of training and of scoring are looked at apart: a short one says nothing of a long one to come."""
        self._steps.setdefault(kind, deque(maxlen=RECENT)).append(seconds)

    def note_save(self, seconds: float) -> None:
        """Take note of how long a save took; the longest counts."""
        self.longest_save = max(self.longest_save or 0.0, seconds)

    def near(self) -> bool:
        """Whether one more step might leave no time to save. Twice the longest of each, since disks have bad moments."""
        longest_step = max((seconds for recent in self._steps.values() for seconds in recent), default=0.0)
        longest_save = 5.0 if self.longest_save is None else self.longest_save
        return self.end is not None and self.now() + 2 * longest_step + 2 * longest_save + 2 >= self.end

    def left(self) -> float | None:
        """Seconds left, or None without a limit."""
        return None if self.end is None else self.end - self.now()


class Forecast:
    """When the whole run will be done, from the steps and the validation that this process has measured.

    steps: of an epoch; epochs: of the whole run (early stopping may need fewer); work: epoch -> what a step of it costs,
    compared with one on whole images.
    """

    def __init__(self, steps: int, epochs: int, work: Callable[[int], float] = lambda epoch: 1.0):
        self.steps, self.epochs, self.work = steps, epochs, work
        self.trained, self.seconds, self.validation_seconds = 0.0, 0.0, 0.0
        self._last: float | None = None
        self._said = False

    def trained_step(self, now: float, epoch: int) -> bool:
        """Take note that a step of an epoch ended now; True once, when a minute of steps has been measured."""
        # a step of the same epoch was the one before: the first one reads ahead, and may compile
        if self._last is not None:
            self.trained, self.seconds = self.trained + self.work(epoch), self.seconds + now - self._last
        self._last = now
        first_time = self.seconds >= FIRST_FORECAST and not self._said
        self._said = self._said or first_time
        return first_time

    def validated(self, seconds: float) -> None:
        """Take note of how long a validation took; the next step is not measured, for it reads ahead."""
        self.validation_seconds, self._last, self._said = seconds, None, True  # each epoch says it from now on

    def seconds_left(self, global_step: int) -> float | None:
        """Until the last epoch is validated; None before two steps were measured."""
        if not self.trained:
            return None
        epoch, step = divmod(global_step, self.steps)
        to_train = self.steps * sum(map(self.work, range(epoch, self.epochs))) - step * self.work(epoch)
        validations = self.epochs - epoch  # of the epoch that is being trained, and of those to come
        return to_train * self.seconds / self.trained + validations * self.validation_seconds


def forecast_text(seconds: float, limit: float | None, now: float | None = None) -> str:
    """'about 3h 20m left, done about Sat 21 Nov 04:10', and whether the time limit (seconds left) comes first."""
    done = time.strftime("%a %d %b %H:%M", time.localtime((time.time() if now is None else now) + seconds))
    text = f"about {duration(seconds)} left, done about {done}"
    if limit is not None and limit < seconds:
        text += f"; the time limit is reached first, in {duration(limit)}: run the same command then to continue"
    return text


def time_limit(max_time: float | None) -> Deadline:
    """--max_time (seconds) or what the scheduler grants this job, whichever ends first; said in the log."""
    limits = [] if max_time is None else [(max_time, "--max_time")]
    if (granted := granted_time()) is not None:
        limits.append(granted)
    if not limits:
        return Deadline(None)
    seconds, source = min(limits)
    left = seconds - since_start()
    log.info(
        "Time limit: %s left (from %s); the run saves its state and stops before the limit", duration(left), source
    )
    return Deadline(seconds)
