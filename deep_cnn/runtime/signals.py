"""Signals of the user and the scheduler, as a wish to stop. Imports no torch: it is in place before that takes seconds.

No child process has to be shielded from a SIGTERM that the scheduler sends to all of a job: images are read by threads,
and Python runs a signal's handler in the main thread alone.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from types import FrameType
from typing import Any


class Stopped(BaseException):
    """The run was asked to stop; its message says why and what was saved. Run the same command to resume.

    No Exception, as KeyboardInterrupt is none: `except Exception` around a file that may be broken must not swallow it.
    """

    exit_code = 75  # EX_TEMPFAIL of sysexits.h
    noted = True  # in status.json, which job scripts read where torchrun hides the exit code


class Interrupted(BaseException):
    """A signal came while a step waited for its data: the state is that between two steps, and can be saved."""


STARTED = time.monotonic()  # this module is imported when the program starts, seconds before torch
INTERRUPTED = 130  # what shells say of a program that ended by Ctrl-C: 128 + SIGINT
SAME_KEY = 1.0  # seconds; torchrun passes on the SIGINT that the terminal has already sent to all processes

SOON = 0.05  # seconds after which a stop that got lost is tried again
PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep
_lost: list[bool] = []
_requests: list[tuple[str, float]] = []  # signals are the process's own: there is one list of them
# not empty: the loop that runs asks for requests itself; the last one is True: and waiting may be broken off
_between_steps: list[bool] = []


def catch_signals() -> None:
    """Turn SIGTERM, SIGINT, SIGUSR1 and SIGHUP into Stopped: at once until the first step, then between two steps.

    A second SIGINT stops at once. To be called before torch is imported: that takes seconds, in which a signal would kill.
    """
    for number in _numbers():
        if number.name == "SIGHUP" and signal.getsignal(number) == signal.SIG_IGN:
            continue  # nohup: asked to outlive its terminal
        signal.signal(number, _note)


def ignore() -> None:
    """From now on no signal has an effect: for the end of a program, when all is done."""
    for number in _numbers():
        signal.signal(number, signal.SIG_IGN)


def _numbers() -> list[signal.Signals]:
    """Windows has neither of the last two."""
    names = ("SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP")
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


@contextlib.contextmanager
def caught() -> Iterator[None]:
    """`catch_signals` while a command runs; afterwards the program that has called it has its own handlers again."""
    if threading.current_thread() is not threading.main_thread():  # where no handler can be set
        yield
        return
    before, hook = {number: signal.getsignal(number) for number in _numbers()}, sys.unraisablehook

    def again(lost: "sys.UnraisableHookArgs") -> None:
        if not isinstance(lost.exc_value, Stopped):
            hook(lost)
            return
        _try_again()  # raised where Python takes no exception, in a callback of C or of the garbage collector

    sys.unraisablehook = again
    catch_signals()
    try:
        yield
    finally:
        sys.unraisablehook = hook
        _lost.clear()
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: one that Python has not set
        _requests.clear()


def _try_again() -> None:
    """Let a stop that could not be raised come again."""

    def stop() -> None:
        if _lost:
            signal.raise_signal(signal.SIGTERM)

    _lost.append(True)
    threading.Timer(SOON, stop).start()


def _importing(frame: FrameType | None) -> bool:
    """Whether a library is being imported: C++ of torch that is being set up ends the process when a handler raises.

    Not where the caller's own module is, whose import has called the program.
    """
    while frame is not None:
        file = frame.f_code.co_filename
        if file == "<frozen importlib._bootstrap>":
            return True
        if file.startswith(PACKAGE) and frame.f_code.co_name != "<module>":
            return False
        frame = frame.f_back
    return False


@contextlib.contextmanager
def between_steps(*, alone: bool = True) -> Iterator[None]:
    """Within this a signal is only noted, and whoever trains asks `requested` between two steps: there is state to save.

    alone: waiting for data may be broken off (`Interrupted`). Of several processes none may leave a step that the others
    are in: they would wait for it.
    """
    _between_steps.append(alone)
    try:
        yield
    finally:
        _between_steps.pop()


def agreed(processes: int) -> contextlib.AbstractContextManager[None]:
    """Of several processes: no signal ends one of them alone; each looks between two pieces of work, and all end together."""
    return between_steps(alone=False) if processes > 1 else contextlib.nullcontext()


def requested() -> str | None:
    """The name of the first signal that came, or None."""
    return _requests[0][0] if _requests else None


def raise_if_requested() -> None:
    """For long work of threads before the first step, which the handler cannot reach: Stopped on a signal."""
    if _requests and not _between_steps:
        raise before_the_first_step(_requests[0][0])


def result_of(task: Future[Any]) -> Any:
    """What a thread returns or raises; Interrupted on a signal, however long a file server keeps the thread waiting."""
    while True:
        try:
            return task.result(timeout=0.5)
        except TimeoutError:
            if task.done():
                raise  # the thread's own
            if _requests and _between_steps and _between_steps[-1]:
                raise Interrupted from None


def before_the_first_step(reason: str) -> Stopped:
    """Make the exception for a stop while there is nothing to save yet; reason: the signal's name."""
    return Stopped(
        f"stopped by {reason} before the first step; there was nothing to save; run the same command to start"
    )


def _note(number: int, frame: FrameType | None) -> None:
    name, now = signal.Signals(number).name, time.monotonic()
    first = next((when for earlier, when in _requests if earlier == "SIGINT"), None)
    if name == "SIGINT" and first is not None and now - first >= (SAME_KEY if under_torchrun() else 0.0):
        raise KeyboardInterrupt
    if _lost:
        _lost.clear()
    else:
        _requests.append((name, now))
        if len(_requests) > 1:  # a second SIGTERM must not break the end that the first one began
            return
    if _between_steps:
        return
    if _importing(frame):
        _try_again()
    else:
        raise before_the_first_step(_requests[0][0])


def under_torchrun() -> bool:
    """torchrun turns every child's failure into its own exit code 1, so a clean stop must be no failure there."""
    return "TORCHELASTIC_RUN_ID" in os.environ
