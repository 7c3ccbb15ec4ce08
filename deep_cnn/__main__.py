"""python -m deep_cnn, and the console script `deep_cnn`."""

import logging
import os
import sys

from deep_cnn.cli import main as command_line
from deep_cnn.runtime import signals
from deep_cnn.runtime.errors import LostPeer, MachineError
from deep_cnn.runtime.launch import tell
from deep_cnn.runtime.signals import Stopped

BROKEN_PIPE = 141  # 128 + SIGPIPE: what a shell reports of other programs whose reader has left, as in `... -h | head`


def main() -> int:
    """Run the command line as a process of its own; returns the exit code. The console script `deep_cnn` is this function."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):  # one that the shell has closed is none
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - for as long as the process lives
    try:
        code = command_line.main()
        signals.ignore()  # a signal at the very end makes no failure of what is done
        sys.stdout.flush()
    except OSError as error:
        # Python flushes once more at its end: what is left goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return BROKEN_PIPE
        tell(f"standard output: cannot be written ({error.strerror}); files are as they should be")
        return MachineError.exit_code
    if code in (Stopped.exit_code, LostPeer.exit_code):
        # all is saved: a thread that still waits for a file server, or a GPU that waits for a process that is gone, must
        # not hold up the end until the scheduler kills
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
