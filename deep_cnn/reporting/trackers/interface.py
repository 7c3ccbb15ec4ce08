"""What a tracker is given, and what it must have."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from deep_cnn.reporting.examples import Example


@dataclass(frozen=True)
class Epoch:
    """row: of metrics.csv; speed: images per second of training; examples: made only where a tracker shows them."""

    row: dict[str, Any]
    speed: float
    examples: Callable[[], list[Example]]


class Tracker(Protocol):
    """Its class is called with the flags of the run, its RunFiles, the network in words, and the first epoch to come; see the
    registry TRACKERS.
    """

    def log(self, epoch: Epoch) -> None:
        """An epoch is validated."""

    def close(self, state: str, result: dict[str, Any] | None) -> None:
        """The run is 'finished', 'stopped' or 'failed'; result: what test.json holds, None where it was not tested."""


def flat_numbers(result: dict[str, Any]) -> dict[str, float]:
    """The overall metrics of test.json, each target's, 'price/mae', and those of views, 'tta/top1': what trackers show of a test."""
    numbers = {k: v for k, v in result.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
    for target, values in result.get("per_target", {}).items():
        numbers |= {f"{target}/{k}": v for k, v in values.items() if isinstance(v, (int, float))}
    if views := result.get("tta"):
        numbers |= {f"tta/{name}": number for name, number in flat_numbers(views).items()}
    return numbers
