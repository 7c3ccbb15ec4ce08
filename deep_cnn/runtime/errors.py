"""The user's mistakes, each told in one line: what was given, what was expected, what to do."""

import difflib
import errno
import os
import re
from collections.abc import Iterable
from pathlib import Path


class DeepCNNError(Exception):
    """A mistake of the user or a fault of the machine that one line can explain. Ends the program with `exit_code`."""

    exit_code = 2

    def __init__(self, sentence: object):
        super().__init__(one_line(str(sentence)))


class ConfigError(DeepCNNError):
    """A flag, or a combination of flags, that cannot be right."""


class DataError(DeepCNNError):
    """Images, tables or splits that cannot be used as they are."""


class ImageChanged(DataError):
    """A file that holds other bytes than the run has found or read: it is not skipped as an unreadable one is."""


class CheckpointError(DeepCNNError):
    """Weights or a checkpoint that are missing, broken, or of another network."""


class NonFiniteLoss(DeepCNNError):
    """The loss became NaN or infinite: training cannot continue from these weights."""


class MachineError(DeepCNNError):
    """The machine cannot do what was asked: no usable GPU, out of memory, no space for the state of the run."""


class NameInUse(MachineError):
    """A living process holds the run's name."""


class LostPeer(DeepCNNError):
    """Another process of this run has died, or cannot be reached."""

    exit_code = 1

    def __init__(self, reason: str):
        super().__init__(
            f"lost another process of this run ({reason}); see its message above or in torchrun's summary. The last "
            "checkpoint is intact; run the same command to resume from it"
        )


def check_place(flag: str, given: str, path: Path) -> None:
    """ConfigError where a file or folder cannot be made at `path`, before anything is computed.

    flag, given: as the user wrote them, for the message.
    """
    try:
        there = next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
    except OSError as error:
        raise ConfigError(f"--{flag}={given}: cannot be written ({error.strerror}); choose another place") from None
    if there == path.absolute() and not (there.is_file() or there.is_dir()):
        raise ConfigError(f"--{flag}={given}: is a device or a pipe, not a file; choose another place")
    if there != path.absolute() and not there.is_dir():
        raise ConfigError(f"--{flag}={given}: {there} is a file, not a folder; choose another place")
    folder = there if there.is_dir() else there.parent
    probe = folder / f".writable-{os.getpid()}"
    try:  # asking for permission alone says yes to root in /proc and on a read-only disk
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ConfigError(
            f"--{flag}={given}: {folder} cannot be written ({error.strerror}); choose another place or fix its permissions"
        ) from None


def one_line(text: str) -> str:
    """The text as one printable line: line ends and control characters escaped, words of more than 300 letters shortened."""
    text = text.encode("utf-8", "backslashreplace").decode()  # of file names that are not UTF-8
    text = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda found: repr(found[0])[1:-1], text)
    return re.sub(r"\S{301,}", lambda found: f"{found[0][:120]}...{found[0][-40:]}", text)


def machine_fault(fault: BaseException) -> str | None:
    """One line for a file that cannot be read or written, or for memory that ran out; None for any other fault."""
    if isinstance(fault, OSError) and fault.errno is not None:
        places = [str(place) for place in (fault.filename, fault.filename2) if place is not None]
        if fault.errno == errno.ENOSPC:
            return one_line(
                f"{' and '.join(places) or 'a file'}: cannot be written, the disk is full ({fault.strerror}); free some space"
            )
        return one_line(
            f"{' and '.join(places) or 'a file'}: cannot be used ({fault.strerror}); check the path and its permissions"
        )
    if isinstance(fault, MemoryError) or "can't allocate memory" in str(fault) or "not enough memory" in str(fault):
        reason = (str(fault).strip() or "MemoryError").splitlines()[0]
        return one_line(f"out of memory ({reason[-160:]}); use smaller numbers, or request more memory")
    return None


def nearest(word: str, known: Iterable[str]) -> str:
    """ " Did you mean X?" for the known word most like `word`, or "" when none is near."""
    known = list(known)
    begun = [name for name in known if len(word) > 1 and name.startswith(word)]  # val: validation, not all
    close = begun if len(begun) == 1 else difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f" Did you mean {close[0]}?" if close else ""
