"""A run's folders, log, name and status: what holds while it goes on, and what is said however it ends."""

import contextlib
import logging
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from deep_cnn.config import defaults
from deep_cnn.config.fields import parse_duration
from deep_cnn.config.schema import Config
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.runtime import console, distributed, faults, signals
from deep_cnn.runtime.errors import DeepCNNError, LostPeer, machine_fault
from deep_cnn.runtime.lock import RunLock, held
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.runtime.signals import Stopped
from deep_cnn.runtime.status import Status

log = logging.getLogger(__name__)

CPU = torch.device("cpu")


@dataclass(frozen=True)
class RunPlace:
    """Where a trial of a search leaves its files, and the name that is held for it; lock: None on every rank but 0."""

    files: RunFiles
    lock: RunLock | None


@dataclass(frozen=True)
class Run:
    """What all parts of a run share.

    Attributes:
        lock: on the run's name; None on every rank but 0, which alone writes files.
        workers: threads that read and decode images.
        pre: what images go through before the network; known after `prepare`.
        weights_digest: SHA-256 of the user's file of weights that the run begins with.
        chosen: flag -> what its `auto` came to; known after `with_defaults`.
        began: time.monotonic() at its start.
        at_end: closed last, after status.json says how the run has ended.
    """

    config: Config
    files: RunFiles
    lock: RunLock | None
    status: Status
    began: float
    device: torch.device = CPU
    workers: int = 1
    pre: Preprocessing | None = None
    weights_digest: str | None = None
    chosen: dict[str, Any] = field(default_factory=dict)
    at_end: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)


@contextlib.contextmanager
def opened_run(config: Config, place: RunPlace | None = None) -> Iterator[Run]:
    """The ranks connected; the run's folders and log, and its name, which no other program may take meanwhile.

    However the run ends, status.json says so.
    """
    with contextlib.ExitStack() as at_end, contextlib.ExitStack() as stack:
        if place is None:
            stack.enter_context(connected_ranks(config))
            place = stack.enter_context(opened_place(config))
        status = Status(place.files, distributed.is_main())
        run = Run(config, place.files, place.lock, status, time.monotonic(), at_end=at_end)
        stack.enter_context(end_in_status(run.status))
        stack.enter_context(faults.explained(defaults.largest_batch(config), 1))
        yield run


def connected_ranks(config: Config) -> contextlib.AbstractContextManager[None]:
    """The processes of torchrun connected, as --device and --peer_timeout have it."""
    return distributed.process_group(config.device, parse_duration("peer_timeout", config.peer_timeout))


@contextlib.contextmanager
def opened_place(config: Config) -> Iterator[RunPlace]:
    """The run's folders and log, and its name, held by rank 0."""
    files = RunFiles(config.root / "outputs", config.files_name)
    with distributed.entered_by_main(_folders_log_and_lock(config, files)) as lock:
        yield RunPlace(files, lock)


@contextlib.contextmanager
def _folders_log_and_lock(config: Config, files: RunFiles) -> Iterator[RunLock]:
    files.make_folders()
    with console.opened(files.log), held(files, steal=config.steal_lock) as lock:
        yield lock


@contextlib.contextmanager
def end_in_status(status: Status) -> Iterator[None]:
    """However the run ends, status.json says so.

    A signal does not disturb that: where one of torchrun's processes has died, the others get a SIGTERM within 0.1 s.
    """
    try:
        yield
    except BaseException as end:
        with signals.between_steps(alone=False):
            _say_end(status, end)
        raise
    with signals.between_steps(alone=False):
        status.say("finished")


def _say_end(status: Status, end: BaseException) -> None:
    if isinstance(end, Stopped):
        log.debug("%s", end)  # to the log file; the console gets it as the command's last line
        end.noted = status.say("stopped", str(end))
    elif isinstance(end, KeyboardInterrupt):
        status.say("stopped", "by a second SIGINT, immediately; the last checkpoint is kept")
    elif isinstance(end, DeepCNNError):
        log.debug("%s", end)
        status.say("failed" if isinstance(end, LostPeer) else "mistake", str(end))
    else:
        log.debug("%s", "".join(traceback.format_exception(end)))
        sentence = machine_fault(end)  # which the command says, too, as of a mistake
        status.say("failed" if sentence is None else "mistake", sentence or f"{type(end).__name__}: {end}")
