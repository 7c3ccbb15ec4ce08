"""Where an epoch's numbers go beside metrics.csv: each tracker has `log` and `close`, and none can end a run."""

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from deep_cnn.config.registries import TRACKERS, resolve
from deep_cnn.config.schema import Config
from deep_cnn.reporting.trackers.interface import Epoch, Tracker
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.runtime.signals import Stopped

log = logging.getLogger(__name__)


class Trackers:
    """All trackers of a run as one. One that fails is reported once and left out from then on."""

    def __init__(self, trackers: list[Tracker]):
        self.trackers = trackers

    def log(self, epoch: Epoch) -> None:
        """Log an epoch by all of them."""
        self._each("log", epoch)

    def close(self, state: str, result: dict[str, Any] | None = None) -> None:
        """End them all. state: as in status.json; result: as in test.json."""
        self._each("close", state, result)
        self.trackers = []

    def _each(self, method: str, *args: Any) -> None:
        for tracker in list(self.trackers):
            try:
                getattr(tracker, method)(*args)
            except Exception as error:  # whatever a library of others raises: the training is worth more
                self.trackers.remove(tracker)
                name = type(tracker).__name__
                log.warning("%s failed; the run continues without it (%s: %s)", name, type(error).__name__, error)


@contextlib.contextmanager
def opened(config: Config, files: RunFiles, summary: str, epoch: int, writes: bool = True) -> Iterator[Trackers]:
    """The trackers that were asked for; closed with the state in which the run ends, if the caller has not done it.

    Args:
        summary: the network in words. epoch: the first that will be logged, above 0 in a resumed run.
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
    """The trackers of the rows that --trackers, or a flag of the row's own name, asks for."""
    found: list[Tracker] = []
    for row in TRACKERS.values():
        if row.name in config.trackers or getattr(config, row.name, False):
            try:
                found.append(resolve(row.code)(config.to_dict(), files, summary, epoch))
            except (ImportError, OSError) as error:
                log.warning("%s cannot be started (%s); the run continues without it", row.name, error)
    return found
