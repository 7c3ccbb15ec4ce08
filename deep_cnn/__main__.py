"""python -m deep_cnn"""

import logging
import os
import sys

from deep_cnn.cli.main import main
from deep_cnn.runtime.errors import LostPeer
from deep_cnn.runtime.signals import Stopped

if __name__ == "__main__":
    code = main()
    if code in (Stopped.exit_code, LostPeer.exit_code):
        # all is saved: a thread that still waits for a file server, or a GPU that waits for a process that is gone, must
        # not hold up the end until the scheduler kills
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
