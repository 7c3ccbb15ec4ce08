"""What an epoch leaves on the console, in metrics.csv and timing.csv, and in the trackers. Only rank 0 writes."""

import logging
from collections.abc import Callable
from typing import Any

from deep_cnn.config.registries import metric_row
from deep_cnn.reporting import result_text, tutorial_console
from deep_cnn.reporting.examples import Example
from deep_cnn.reporting.trackers.interface import Epoch
from deep_cnn.reporting.trackers.trackers import Trackers
from deep_cnn.runtime import distributed
from deep_cnn.runtime.format import duration, plural
from deep_cnn.runtime.walltime import Deadline, Forecast, forecast_text
from deep_cnn.tasks.base import Task
from deep_cnn.training import outputs
from deep_cnn.training.run import Run
from deep_cnn.training.state import TrainingState

log = logging.getLogger(__name__)


class EpochLog:
    """The log of one run's epochs.

    Args:
        images: of the training set. steps: optimizer steps in an epoch.
    """

    def __init__(self, run: Run, task: Task, images: int, steps: int, forecast: Forecast, deadline: Deadline):
        self.run, self.task, self.images, self.steps = run, task, images, steps
        self.forecast, self.deadline = forecast, deadline
        self.trackers = Trackers([])
        self.validation_seconds = 0.0

    def step(self, state: TrainingState, now: float) -> None:
        """An optimizer step ended now (time.monotonic()); its number is already in the state's progress."""
        progress = state.progress
        if self.run.config.console == "tutorial" and tutorial_console.due(progress.step, self.steps):
            log.info(tutorial_console.loss_line(progress.epoch, progress.step, state.recent_loss()))
        if self.forecast.trained_step(now, progress.epoch):
            left = self.forecast.seconds_left(progress.global_step)
            assert left is not None
            log.info("Estimated time: %s", forecast_text(left, self.deadline.left()))

    def validated(self, seconds: float) -> None:
        """The epoch's validation took so long."""
        self.validation_seconds = seconds

    def epoch(self, state: TrainingState, row: dict[str, Any], examples: Callable[[], list[Example]]) -> None:
        """An epoch is over.

        Args:
            state: already at the next epoch. row: of metrics.csv. examples: made only where a tracker shows them.
        """
        timing, config = state.timing[-1], self.run.config
        train_seconds = timing["train_seconds"]
        timing["validation_seconds"] = round(self.validation_seconds, 3)
        timing["images_per_second"] = round(self.images / max(train_seconds, 1e-3), 2)
        self.write_tables(state)
        self.forecast.validated(self.validation_seconds)
        scores = {name.removeprefix("val_"): value for name, value in row.items() if name.startswith("val_")}
        if scores:
            best = state.progress.best_epoch == row["epoch"]
            said = f"validation {result_text.metric_line(scores)}"
            said += f" (best {metric_row(self.task.select).label} so far)" if best else ""
        else:
            said = "no validation set (the last weights are kept)"
        left = None if state.progress.finished else self.forecast.seconds_left(state.progress.global_step)
        log.info(
            "Epoch %d: training loss %.4g, %s; %s%s",
            row["epoch"],
            row["train_loss"],
            said,
            duration(train_seconds + self.validation_seconds),
            f"; {forecast_text(left, self.deadline.left())}" if left is not None else "",
        )
        if state.progress.finished and state.progress.epoch < config.epochs:
            log.info("Stopping early: validation has not improved for %s", plural(config.patience, "epoch"))
        self.trackers.log(Epoch(row, timing["images_per_second"], examples))

    def write_tables(self, state: TrainingState) -> None:
        """metrics.csv and timing.csv; what a full disk refuses is in the state, and is written with the next epoch."""
        if not distributed.is_main():
            return
        try:
            outputs.write_epochs(self.run.files, state.history, state.timing)
        except OSError as error:
            path = self.run.files.results / "metrics.csv"
            log.warning("Could not write %s (%s); training continues", path, error.strerror)

    def close(self, result: dict[str, Any] | None) -> None:
        """The run is finished; result: what test.json holds, None without a test."""
        self.trackers.close("finished", result)
