"""What a run leaves behind, and where; who holds its name; in what state it is."""

import contextlib
import json
import os
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deep_cnn.errors import ConfigError, MachineError
from deep_cnn.storage import read_json, write_json

HEARTBEAT = 30.0  # seconds between two signs of life of the process that holds a name
DEAD_AFTER = 10 * HEARTBEAT  # a process on another machine that gave none for so long is taken for dead


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

    def exists(self) -> bool:
        return self.last.exists() or self.best.exists() or (self.results / "config.json").exists()

    def move_aside(self) -> str:
        """Rename this run's files to NAME.1, NAME.2, ... (the first that is free); returns that name."""
        number = 1
        while any(path.exists() for path in RunFiles(self.outputs, f"{self.name}.{number}").all()):
            number += 1
        other = RunFiles(self.outputs, f"{self.name}.{number}")
        for ours, theirs in zip(self.all(), other.all(), strict=True):
            if ours.exists():
                os.rename(ours, theirs)
        return other.name

    def all(self) -> tuple[Path, ...]:
        return self.models, self.results, self.log, self.tensorboard

    def say(self, state: str, reason: str = "", **progress: Any) -> None:
        """Write status.json: running, stopped, finished, mistake or failed. Job scripts read it."""
        with contextlib.suppress(OSError):  # a full disk must not stop a run that can still compute
            write_json(self.status, {"state": state, "reason": reason} | progress)


@contextlib.contextmanager
def held(files: RunFiles, *, steal: bool = False):
    """Hold the run's name; MachineError, naming the holder, when a living process has it.

    A holder on this machine is dead when its process is; on another, when it gave no sign of life for five minutes, or when
    it was this very job before the scheduler moved it.
    """
    lock = files.outputs / "models" / f".{files.name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    me = {"host": socket.gethostname(), "pid": os.getpid(), "started": _started(os.getpid()), "job": _job()}
    for _ in range(10):
        try:
            file = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            _clear_if_dead(lock, me, steal, files.name)
            continue
        with os.fdopen(file, "w", encoding="utf-8") as stream:
            json.dump(me, stream)
        break
    else:
        raise MachineError(f"--run_name={files.name}: its lock {lock} changes hands all the time; try again")
    done = threading.Event()
    heart = threading.Thread(target=_beat, args=(lock, done), daemon=True, name="heartbeat")
    heart.start()
    try:
        yield
    finally:
        done.set()
        heart.join()
        if read_json(lock) == me:  # not when somebody stole it
            lock.unlink(missing_ok=True)


def _clear_if_dead(lock: Path, me: dict, steal: bool, name: str) -> None:
    holder = read_json(lock)
    try:
        age = _now_there(lock) - lock.stat().st_mtime
    except FileNotFoundError:
        return  # given back just now
    if holder is None and age < 5:
        time.sleep(0.2)  # being written
        return
    if not steal and holder is not None and _alive(holder, me, age):
        job = f", job {holder['job']}" if holder.get("job") else ""
        raise MachineError(
            f"--run_name={name}: held by process {holder['pid']} on {holder['host']}{job}; wait for it, choose another "
            "--run_name, or, if that process is surely dead, add --steal_lock"
        )
    grave = lock.with_name(f"{lock.name}.{me['host']}.{me['pid']}")
    with contextlib.suppress(FileNotFoundError):
        os.rename(lock, grave)  # of two that try, one succeeds
        grave.unlink()


def _alive(holder: dict, me: dict, age: float) -> bool:
    if holder.get("host") == me["host"]:
        started = _started(int(holder["pid"]))
        return started is not None and started == holder.get("started")
    if holder.get("job") and holder["job"] == me["job"]:
        return False  # this job, put on another node after its first one failed
    return age < DEAD_AFTER


def _started(pid: int) -> str | None:
    """A mark of when a process began, so that another one that got its number later is told apart; None: no such one."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stream:
            return stream.read().rsplit(")", 1)[1].split()[19]
    except OSError:
        pass
    if os.path.isdir("/proc/self"):
        return None
    import psutil  # macOS and Windows have no /proc

    return str(psutil.Process(pid).create_time()) if psutil.pid_exists(pid) else None


def _job() -> str | None:
    return os.environ.get("PBS_JOBID") or os.environ.get("SLURM_JOB_ID")


def _now_there(lock: Path) -> float:
    """The time by the clock of the file system that holds the lock: servers' clocks differ from ours."""
    probe = lock.with_name(f"{lock.name}.{os.getpid()}.clock")
    probe.touch()
    now = probe.stat().st_mtime
    probe.unlink()
    return now


def _beat(lock: Path, done: threading.Event) -> None:
    while not done.wait(HEARTBEAT):
        with contextlib.suppress(OSError):  # a server that is away for a moment: the next beat tells
            os.utime(lock)
