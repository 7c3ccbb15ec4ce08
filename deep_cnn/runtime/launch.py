"""Which of torchrun's processes this is, read from the environment. Imports no torch."""

import os
import re
import socket
import sys
import time
from dataclasses import dataclass

from deep_cnn.runtime.signals import Stopped

HEARD = 3.0  # seconds in which torchrun ends the other processes after one of them has told its mistake


@dataclass(frozen=True)
class Rank:
    """rank: of this process among all `world_size`; local_rank: among the local_world_size on this machine, the machine-th of all."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_world_size: int = 1
    machine: int = 0

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files and prints."""
        return self.rank == 0


def this_rank() -> Rank:
    """This process's rank under torchrun; that of a process of its own elsewhere, or where variables were left behind."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK")
    numbers = [whole_number(os.environ.get(name, "")) for name in names]
    known = [number for number in numbers if number is not None]
    meeting = whole_number(os.environ.get("MASTER_PORT", "")) and os.environ.get("MASTER_ADDR")
    if len(known) < len(names) or not meeting or "TORCHELASTIC_RUN_ID" not in os.environ:
        return Rank()
    here = Rank(*known)
    return here if here.rank < here.world_size and here.local_rank < here.local_world_size else Rank()


def whole_number(text: str) -> int | None:
    """The number in a variable of the environment; None where it is no whole number, or none of cores or processes."""
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def plain_environment() -> dict[str, str]:
    """The environment without torchrun's variables, for a program that is started anew from within one of its processes."""
    ours = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS")
    begins = ("TORCHELASTIC_", "LOCAL_", "GROUP_", "ROLE_")
    return {k: v for k, v in os.environ.items() if k not in ours and not k.startswith(begins)}


def tell(sentence: object, *, heard: bool = False) -> None:
    """Print the program's last sentence once, whichever of the processes meets its reason.

    What all of them meet (a flag that cannot be) the first one says, and torchrun ends the others while they wait here;
    what one alone meets (a file that this host cannot read) it says itself.

    Args:
        heard: the first process has said it.
    """
    here = this_rank()
    if not here.is_main:
        if heard:
            return
        try:
            time.sleep(HEARD)
        except Stopped:
            return  # by torchrun: another process has said it
    name = "" if here.is_main else f"process {here.rank} on {socket.gethostname()}: "
    print(f"deep_cnn: {name}{sentence}", file=sys.stderr, flush=True)
