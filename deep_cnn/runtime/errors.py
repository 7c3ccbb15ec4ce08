"""The user's mistakes, each told in one line: what was given, what was expected, what to do."""

import difflib
import re
from collections.abc import Iterable


class DeepCNNError(Exception):
    """A mistake of the user or a fault of the machine that one line can explain. Ends the program with `exit_code`."""

    exit_code = 2

    def __init__(self, sentence: object):
        super().__init__(one_line(str(sentence)))


class ConfigError(DeepCNNError):
    """A flag, or a combination of flags, that cannot be right."""


class DataError(DeepCNNError):
    """Images, tables or splits that cannot be used as they are."""


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


def one_line(text: str) -> str:
    """The text as one printable line: line ends and control characters escaped, words of more than 300 letters shortened."""
    text = text.encode("utf-8", "backslashreplace").decode()  # of file names that are not UTF-8
    text = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda found: repr(found[0])[1:-1], text)
    return re.sub(r"\S{301,}", lambda found: f"{found[0][:120]}...{found[0][-40:]}", text)


def nearest(word: str, known: Iterable[str]) -> str:
    """ " Did you mean X?" for the known word most like `word`, or "" when none is near."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean {close[0]}?" if close else ""
