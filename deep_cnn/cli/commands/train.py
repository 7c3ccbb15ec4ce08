"""python -m deep_cnn [train]: the run itself is in run.py."""

from deep_cnn import stopping
from deep_cnn.config import Config
from deep_cnn.launch import tell

Options = Config


def main(config: Config) -> int:
    stopping.catch_signals()  # before torch is imported, which takes seconds
    try:
        from deep_cnn.run import train

        train(config)
    except stopping.Stopped as stop:
        tell(stop, heard=True)
        return 0 if stopping.under_torchrun() else stop.exit_code
    except KeyboardInterrupt:
        tell("stopped at once; what was saved last is kept, the same command goes on", heard=True)
        return stopping.INTERRUPTED
    return 0
