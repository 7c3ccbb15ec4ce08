"""Where an epoch's numbers go beside metrics.csv: each tracker has `log` and `close`."""

from typing import Any, Protocol

from deep_cnn.config import Config
from deep_cnn.run_files import RunFiles


class Tracker(Protocol):
    def log(self, row: dict[str, Any]) -> None:
        """An epoch's row of metrics.csv."""

    def close(self, result: dict[str, Any] | None) -> None:
        """The run has ended; result: what test.json holds, or None when it was stopped or had no test set."""


def open_trackers(config: Config, files: RunFiles) -> list[Tracker]:
    return []
