"""python -m deep_cnn [train]: the run itself is in training/trainer.py."""

from deep_cnn.config.schema import Config
from deep_cnn.runtime import signals
from deep_cnn.runtime.launch import tell

Options = Config


def main(config: Config) -> int:
    try:
        if config.folds is None:
            from deep_cnn.training.trainer import train

            train(config)
        else:
            from deep_cnn.tools.folds.runner import train_folds

            train_folds(config)
    except signals.Stopped as stop:
        tell(stop, heard=True)
        return 0 if signals.under_torchrun() and stop.noted else stop.exit_code
    except KeyboardInterrupt:
        tell("stopped at once; the same command resumes from the last save", heard=True)
        return signals.INTERRUPTED
    return 0
