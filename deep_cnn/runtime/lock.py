"""One process at a time holds a run's name, on all machines that share the file system."""

import contextlib
import json
import logging
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deep_cnn.runtime import scheduler
from deep_cnn.runtime.atomic import read_json
from deep_cnn.runtime.errors import MachineError, NameInUse
from deep_cnn.runtime.run_files import RunFiles

log = logging.getLogger(__name__)

Holder = dict[str, Any]  # what is written in a lock: the holder's host, pid, started (a mark of when) and job

HEARTBEAT = 30.0  # seconds between two signs of life of the process that holds a name
DEAD_AFTER = (
    10 * HEARTBEAT
)  # a process on another machine that gave none for so long is taken for dead: servers stall, too
PATIENCE = 300.0  # seconds that `held_in_turn` waits


class RunLock:
    """A held name. `check` tells whether it still is: another may have taken it, with --steal_lock or after a long stall."""

    def __init__(self, path: Path, me: Holder):
        self.path, self.me = path, me

    def check(self) -> None:
        """MachineError when the name was taken: two that write the same files would spoil them."""
        holder = read_json(self.path)
        if holder is None and not self.path.exists():
            place = self.path.parent
            what = (
                f"{place} was deleted"
                if not place.exists()
                else f"{self.path}, which holds the run's name, was deleted"
            )
            raise MachineError(f"--run_name: {what} while the run was going on; this process stops without saving")
        if holder != self.me:
            who = f"process {holder['pid']} on {holder['host']}" if holder else "another process"
            raise MachineError(
                f"--run_name: the lock {self.path} was taken by {who}; this process stops without saving"
            )


@contextlib.contextmanager
def held(files: RunFiles, *, steal: bool = False) -> Iterator[RunLock]:
    """Hold the run's name; NameInUse, naming the holder, when a living process has it.

    A holder on this machine is dead when its process is. One on another machine is dead when the scheduler knows its job
    no more, or when it has given no sign of life for five minutes, which are waited for: in a chain of jobs the one before
    may have died a moment ago.
    """
    files.lock.parent.mkdir(parents=True, exist_ok=True)
    me = {"host": socket.gethostname(), "pid": os.getpid(), "started": _started(os.getpid()), "job": scheduler.job_id()}
    while not _taken(files.lock, me):
        _clear_if_dead(files.lock, me, steal, files.name)
    done = threading.Event()
    heart = threading.Thread(target=_beat, args=(files.lock, me, done), daemon=True, name="heartbeat")
    heart.start()
    try:
        yield RunLock(files.lock, me)
    finally:
        done.set()
        heart.join()
        if read_json(files.lock) == me:  # not when somebody took it
            files.lock.unlink(missing_ok=True)


@contextlib.contextmanager
def held_in_turn(files: RunFiles, *, steal: bool = False) -> Iterator[RunLock]:
    """`held` for work of milliseconds or seconds that many processes do: waits for a living holder, for five minutes at most."""
    with contextlib.ExitStack() as stack:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                lock = stack.enter_context(held(files, steal=steal))
                break
            except NameInUse:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
        yield lock


def _taken(lock: Path, me: Holder) -> bool:
    """Put our name on the lock if nobody's is there. Complete from its first moment on: written beside, then linked."""
    mine = lock.with_name(f"{lock.name}.{me['host']}.{me['pid']}.tmp")
    try:
        mine.write_text(json.dumps(me), encoding="utf-8")
        try:
            os.link(mine, lock)  # fails where there is one already
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links
            try:
                file = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            except FileExistsError:
                return False
            with os.fdopen(file, "w", encoding="utf-8") as stream:
                json.dump(me, stream)
        return True
    except OSError as error:
        raise MachineError(
            f"{lock}: cannot write the lock of the run ({error.strerror}); nothing was started"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            mine.unlink()


def _clear_if_dead(lock: Path, me: Holder, steal: bool, name: str) -> None:
    """Returns when the lock is gone, or another than it was; MachineError when its holder lives."""
    holder = read_json(lock)
    if not steal and not _found_dead(lock, holder, me, name):
        return
    grave = lock.with_name(f"{lock.name}.{me['host']}.{me['pid']}.grave.tmp")
    with contextlib.suppress(FileNotFoundError):
        os.rename(lock, grave)  # of two that try, one succeeds
        if read_json(grave) != holder:  # and it was not the one looked at: a third was faster, and has its own back
            with contextlib.suppress(OSError):
                os.link(grave, lock)
        grave.unlink()


def _found_dead(lock: Path, holder: Holder | None, me: Holder, name: str) -> bool:
    """True: dead. False: the lock has changed. MachineError: alive. May watch for minutes for a sign of life."""
    if holder is None:
        time.sleep(0.2)  # being written, on a file system without hard links
        return read_json(lock) is None and lock.exists() and _silent_for(lock) > 5
    if holder.get("host") == me["host"]:
        started = _started(int(holder["pid"]))
        if started is None or started != holder.get("started"):
            return True
        raise NameInUse(_held_by(holder, name))
    job = holder.get("job")
    if job and job != me["job"] and scheduler.job_is_over(job):
        return True
    # this very job: the scheduler has put it on another node after the first one failed
    patience = 2 * HEARTBEAT if job and job == me["job"] else DEAD_AFTER
    begun, beat, silent = time.monotonic(), lock.stat().st_mtime, _silent_for(lock)
    if silent < patience:
        log.info(
            "%s. That process has not responded for %d s; it counts as dead after %d s without a response",
            _held_by(holder, name),
            silent,
            patience,
        )
    while silent + time.monotonic() - begun < patience:
        time.sleep(min(1.0, HEARTBEAT / 10))
        if read_json(lock) != holder:
            return False
        if lock.stat().st_mtime != beat:
            raise NameInUse(_held_by(holder, name))
    return True


def _silent_for(lock: Path) -> float:
    """Seconds since the last sign of life, by the clock of the file system: servers' clocks differ from ours."""
    probe = lock.with_name(f"{lock.name}.{os.getpid()}.clock.tmp")
    probe.touch()
    now = probe.stat().st_mtime
    probe.unlink()
    return now - lock.stat().st_mtime


def _held_by(holder: Holder, name: str) -> str:
    job = f", job {holder['job']}" if holder.get("job") else ""
    return (
        f"--run_name={name}: in use by process {holder['pid']} on {holder['host']}{job}; wait for it, choose another "
        "--run_name, or add --steal_lock if you are sure that this process is dead"
    )


def _started(pid: int) -> str | None:
    """A mark of when a process began, so that another one that got its number later is told apart; None: no such one."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stream:
            fields = stream.read().rsplit(")", 1)[1].split()
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as stream:
            return None if fields[0] in "ZX" else f"{fields[19]} {stream.read().strip()}"  # a zombie has let go of all
    except OSError:
        pass
    if os.path.isdir("/proc/self"):
        return None
    if os.name == "posix":  # macOS
        answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return answer.stdout.strip() or None
    import psutil  # Windows has neither

    return str(psutil.Process(pid).create_time()) if psutil.pid_exists(pid) else None


def _beat(lock: Path, me: Holder, done: threading.Event) -> None:
    while not done.wait(HEARTBEAT):
        with contextlib.suppress(OSError):  # a server that is away for a moment: the next beat tells
            if read_json(lock) == me:
                os.utime(lock)


def vacant(files: RunFiles) -> bool:
    """Whether nobody living holds the run's name, as far as that can be told at once."""
    holder = read_json(files.lock)
    if holder is None:
        return not files.lock.exists() or _silent_for(files.lock) > 5
    if holder.get("host") == socket.gethostname():
        return bool(_started(int(holder["pid"])) != holder.get("started"))
    with contextlib.suppress(FileNotFoundError):
        return bool(holder.get("job") and scheduler.job_is_over(holder["job"])) or _silent_for(files.lock) > DEAD_AFTER
    return True
