"""When to stop: signals of the user and the scheduler, and the time limit. Asked between two steps; imports no torch."""

import logging
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable

log = logging.getLogger(__name__)


class Stopped(Exception):
    """The run was asked to stop; its message says why and what was saved. The same command goes on."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h


_started = time.monotonic()
_requests: list[str] = []  # signals are the process's own: there is one list of them


def catch_signals() -> None:
    """Turn SIGTERM, SIGINT and SIGUSR1 into a request to stop at the next step. A second SIGINT stops at once.

    To be called before torch is imported, which takes seconds in which a signal would otherwise kill.
    """
    for name in ("SIGTERM", "SIGINT", "SIGUSR1"):  # Windows has no SIGUSR1
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _note)


def requested() -> str | None:
    """The name of the first signal that came, or None."""
    return _requests[0] if _requests else None


def raise_if_requested() -> None:
    """For long work before the first step, of which nothing needs saving: Stopped on a signal."""
    if _requests:
        raise Stopped(f"stopped by {_requests[0]} before the first step; the same command begins again")


def _note(number: int, frame) -> None:
    name = signal.Signals(number).name
    if name == "SIGINT" and "SIGINT" in _requests:
        raise KeyboardInterrupt
    _requests.append(name)


class Deadline:
    """The end of the granted time, with room for one more step and one more save as they were measured in this run."""

    def __init__(self, seconds: float | None, now: Callable[[], float] = time.monotonic, started: float = _started):
        """seconds: from the start of the process; None: no limit."""
        self.now = now
        self.end = None if seconds is None else started + seconds
        self.longest_step = 0.0
        self.longest_save = 5.0  # before the first one is measured

    def near(self) -> bool:
        """Whether one more step might leave no time to save. Twice the longest of each, since disks have bad moments."""
        return self.end is not None and self.now() + 2 * self.longest_step + 2 * self.longest_save + 2 >= self.end

    def left(self) -> float | None:
        """Seconds left, or None without a limit."""
        return None if self.end is None else self.end - self.now()


def granted_time() -> tuple[float, str] | None:
    """Seconds of walltime that the scheduler still grants, counted from the start of this process, and who says so."""
    for variable, command, parse in (
        ("PBS_JOBID", ["qstat", "-f"], pbs_seconds_left),
        ("SLURM_JOB_ID", ["squeue", "-h", "-o", "%L", "-j"], slurm_seconds_left),
    ):
        job = os.environ.get(variable)
        if not job:
            continue
        try:
            answer = subprocess.run([*command, job], capture_output=True, text=True, timeout=20, check=True).stdout
        except (OSError, subprocess.SubprocessError) as error:
            log.warning("The time limit of job %s is unknown (%s: %s); --max_time sets one", job, command[0], error)
            continue
        left = parse(answer)
        if left is not None:
            return left + (time.monotonic() - _started), f"{command[0]} of job {job}"
    return None


def pbs_seconds_left(answer: str) -> float | None:
    """Seconds left by `qstat -f`: Resource_List.walltime less resources_used.walltime."""
    granted = re.search(r"Resource_List\.walltime = ([\d:]+)", answer)
    used = re.search(r"resources_used\.walltime = ([\d:]+)", answer)
    if not granted:
        return None
    return _seconds(granted[1]) - (_seconds(used[1]) if used else 0.0)


def slurm_seconds_left(answer: str) -> float | None:
    """Seconds left by `squeue -o %L`: [days-][[hours:]minutes:]seconds, or words such as UNLIMITED."""
    match = re.fullmatch(r"(?:(\d+)-)?([\d:]+)", answer.strip().splitlines()[0] if answer.strip() else "")
    return None if match is None else 86400 * int(match[1] or 0) + _seconds(match[2])


def _seconds(clock: str) -> float:
    total = 0
    for part in clock.split(":"):
        total = 60 * total + int(part)
    return float(total)
