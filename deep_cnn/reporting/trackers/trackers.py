"""Where an epoch's numbers go beside metrics.csv: each tracker has `log` and `close`, and none can end a run."""

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from deep_cnn.config.schema import Config
from deep_cnn.reporting.trackers.interface import Epoch, Tracker
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.runtime.signals import Stopped

log = logging.getLogger(__name__)


class Trackers:
    """All trackers of a run as one. One that fails is said once and left out from then on."""

    def __init__(self, trackers: list[Tracker]):
        self.trackers = trackers

    def log(self, epoch: Epoch) -> None:
        self._each("log", epoch)

    def close(self, state: str, result: dict[str, Any] | None = None) -> None:
        self._each("close", state, result)
        self.trackers = []

    def _each(self, method: str, *args: Any) -> None:
        for tracker in list(self.trackers):
            try:
                getattr(tracker, method)(*args)
            except Exception as error:  # whatever a library of others raises: the training is worth more
                self.trackers.remove(tracker)
                name = type(tracker).__name__
                log.warning("%s failed and is left out from now on (%s: %s)", name, type(error).__name__, error)


@contextlib.contextmanager
def opened(config: Config, files: RunFiles, summary: str, epoch: int, writes: bool = True) -> Iterator[Trackers]:
    """The trackers that were asked for; closed with the state in which the run ends, if the caller has not done it.

    Args:
        summary: the network in words. epoch: the first that will be logged, above 0 in a run that goes on.
        writes: False in every process but the first, which have none.
    """
    trackers = Trackers(open_trackers(config, files, summary, epoch) if writes else [])
    try:
        yield trackers
    except Stopped:
        trackers.close("stopped")
        raise
    except BaseException:
        trackers.close("failed")
        raise
    trackers.close("finished")


def open_trackers(config: Config, files: RunFiles, summary: str, epoch: int) -> list[Tracker]:
    found: list[Tracker] = []
    if config.tensorboard:
        try:
            from deep_cnn.reporting.trackers.tensorboard import TensorBoardTracker

            found.append(TensorBoardTracker(config.to_dict(), files.tensorboard, summary, epoch))
        except (ImportError, OSError) as error:
            log.warning("--tensorboard: cannot be started (%s); the run goes on without it", error)
    if config.wandb:
        from deep_cnn.reporting.trackers.wandb import WandbTracker

        found.append(WandbTracker(config.to_dict(), files))
    return found
