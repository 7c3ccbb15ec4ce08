"""python -m deep_cnn, and the console script `deep_cnn`."""

import logging
import os
import sys

from deep_cnn.cli import main as command_line
from deep_cnn.runtime.errors import LostPeer
from deep_cnn.runtime.signals import Stopped


def main() -> None:
    """Run one command and end the program with its exit code."""
    code = command_line.main()
    if code in (Stopped.exit_code, LostPeer.exit_code):
        # all is saved: a thread that still waits for a file server, or a GPU that waits for a process that is gone, must
        # not hold up the end until the scheduler kills
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
