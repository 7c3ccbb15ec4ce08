"""python -m deep_cnn [train]: the run itself is in run.py."""

import sys

from deep_cnn import stopping
from deep_cnn.config import Config

Options = Config


def main(config: Config) -> int:
    stopping.catch_signals()  # before torch is imported, which takes seconds
    from deep_cnn.run import train

    try:
        train(config)
    except stopping.Stopped as stop:
        print(f"deep_cnn: {stop}", file=sys.stderr)
        return stop.exit_code
    return 0
