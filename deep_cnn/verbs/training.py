"""python -m deep_cnn [train]: the run itself is in run.py."""

import sys

from deep_cnn import stopping
from deep_cnn.config import Config

Options = Config


def main(config: Config) -> int:
    stopping.catch_signals()  # before torch is imported, which takes seconds
    try:
        from deep_cnn.run import train

        train(config)
    except stopping.Stopped as stop:
        print(f"deep_cnn: {stop}", file=sys.stderr)
        return 0 if stopping.under_torchrun() else stop.exit_code
    except KeyboardInterrupt:
        print("deep_cnn: stopped at once; what was saved last is kept, the same command goes on", file=sys.stderr)
        return stopping.INTERRUPTED
    return 0
