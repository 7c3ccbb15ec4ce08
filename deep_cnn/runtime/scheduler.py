"""The one place that knows PBS and Slurm: which job this is, what it is granted, whether another one is over."""

import logging
import os
import re
import subprocess
import time

from deep_cnn.runtime.errors import ConfigError
from deep_cnn.runtime.launch import whole_number
from deep_cnn.runtime.signals import STARTED

log = logging.getLogger(__name__)

JOB_VARIABLES = ("PBS_JOBID", "SLURM_JOB_ID", "LSB_JOBID")


def job_variable() -> str | None:
    """The name of the environment variable that says that this is a batch job; None outside of one."""
    return next((name for name in JOB_VARIABLES if os.environ.get(name)), None)


def job_id() -> str | None:
    """The number of this job at PBS or Slurm; None outside of one."""
    return os.environ.get("PBS_JOBID") or os.environ.get("SLURM_JOB_ID")


def granted_time() -> tuple[float, str] | None:
    """Seconds of walltime that the scheduler grants, counted from the start of this process, and who says so."""
    for variable, command, parse in (
        (
            "SLURM_JOB_ID",
            ["squeue", "-h", "-o", "%L", "-j"],
            slurm_seconds_left,
        ),  # first: it may also emulate the other
        ("PBS_JOBID", ["qstat", "-f"], pbs_seconds_left),
    ):
        job = os.environ.get(variable)
        if not job:
            continue
        try:
            answer = subprocess.run([*command, job], capture_output=True, text=True, timeout=20, check=True).stdout
        except (OSError, subprocess.SubprocessError) as error:
            log.warning("Cannot get the time limit of job %s (%s: %s); set one with --max_time", job, command[0], error)
            continue
        left = parse(answer)
        if left is not None:
            return left + (time.monotonic() - STARTED), f"{command[0]} of job {job}"
    return None


def pbs_seconds_left(answer: str, now: float | None = None) -> float | None:
    """Seconds left by `qstat -f`: the walltime granted less that used, or less what has passed since the job's start.

    The server hears of the time used only every few minutes, so the start is the better mark; it is left out where it
    contradicts the other (a node whose clock is set to another zone).
    """
    answer = answer.replace("\n\t", "")  # qstat breaks long lines so
    granted = re.search(r"Resource_List\.walltime = ([\d:]+)", answer)
    if not granted:
        return None
    reported = re.search(r"resources_used\.walltime = ([\d:]+)", answer)
    used = _clock(reported[1]) if reported else 0.0
    begun = re.search(r"\b(?:stime|start_time) = (.+)", answer)
    if begun:
        try:
            since = (time.time() if now is None else now) - time.mktime(time.strptime(begun[1].strip()))
        except ValueError:  # in another language
            since = -1.0
        if 0 <= since - used <= 900:
            used = since
    return _clock(granted[1]) - used


def slurm_seconds_left(answer: str) -> float | None:
    """Seconds left by `squeue -o %L`: [days-][[hours:]minutes:]seconds, or words such as UNLIMITED."""
    match = re.fullmatch(r"(?:(\d+)-)?([\d:]+)", answer.strip().splitlines()[0] if answer.strip() else "")
    return None if match is None else 86400 * int(match[1] or 0) + _clock(match[2])


def _clock(clock: str) -> float:
    total = 0
    for part in clock.split(":"):
        total = 60 * total + int(part)
    return float(total)


def job_is_over(job: str) -> bool:
    """Whether the scheduler has no such job any more; False where it cannot be asked."""
    if "SLURM_JOB_ID" in os.environ:
        command = ["squeue", "-h", "-o", "%T", "-j", job]
    else:
        command = ["qstat", job]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError):
        return False
    if answer.returncode:  # PBS: 153 unknown, 35 finished; Slurm says it in words. Other codes: the server is away
        return answer.returncode in (153, 35) or "invalid job id" in answer.stderr.lower()
    return command[0] == "squeue" and not answer.stdout.strip()


def array_place() -> tuple[int, int] | None:
    """(i, n): this job is the i-th of the n of its array; None when it is in none.

    Raises:
        ConfigError: an array whose size cannot be found out.
    """
    if "SLURM_ARRAY_TASK_ID" in os.environ:
        first, step = _number("SLURM_ARRAY_TASK_MIN", "0"), _number("SLURM_ARRAY_TASK_STEP", "1")
        index, count = _number("SLURM_ARRAY_TASK_ID"), _number("SLURM_ARRAY_TASK_COUNT")
        place = (index - first) // max(1, step) + 1
        if not 1 <= place <= count:
            raise ConfigError(
                f"SLURM_ARRAY_TASK_ID={index}: not in an array of {count} from {first} on; give --shard=i/n"
            )
        return place, count
    if not os.environ.get("PBS_ARRAY_INDEX"):
        return None
    index = _number("PBS_ARRAY_INDEX")
    job = re.sub(r"\[\d*\]", "[]", os.environ.get("PBS_ARRAY_ID") or os.environ.get("PBS_JOBID", ""))
    try:
        answer = subprocess.run(["qstat", "-f", job], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        answer = ""
    indices = array_indices(answer)
    if index not in indices:
        raise ConfigError(
            f"PBS_ARRAY_INDEX={index}, but qstat does not report the size of the array; give --shard={index}/N"
        )
    return indices.index(index) + 1, len(indices)


def _number(variable: str, default: str = "") -> int:
    """A variable of the environment; ConfigError where it is no whole number."""
    text = os.environ.get(variable, default)
    if (number := whole_number(text)) is None:
        raise ConfigError(
            f"{variable}={text}: not a whole number, so this job's place in its array is unknown; give --shard=i/n"
        )
    return number


def array_indices(answer: str) -> list[int]:
    """The indices of an array job by `qstat -f`: "array_indices_submitted = 0-6:2" -> [0, 2, 4, 6]."""
    match = re.search(r"array_indices_submitted = (\d+)-(\d+)(?::(\d+))?", answer)
    return list(range(int(match[1]), int(match[2]) + 1, int(match[3] or 1))) if match else []
