"""At the end of training: the scale of scores that only the network gives, kept in best.pt."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from deep_cnn.data.feed import Feed, FeedSettings
from deep_cnn.inference import evaluate, load, ood
from deep_cnn.models import checkpoint
from deep_cnn.runtime.distributed import main_process
from deep_cnn.runtime.manifest import Manifest
from deep_cnn.tasks.base import Task, encoded
from deep_cnn.tasks.make import task_from_dict

if TYPE_CHECKING:
    from deep_cnn.training.trainer import Trainer

log = logging.getLogger(__name__)


@main_process
def settle_scale(trainer: "Trainer", between: Callable[[], None]) -> Task:
    """The task as best.pt has it from now on: its scores have mean 0 and standard deviation 1 over (at most 10,000) training images.

    A pure function of the best weights and the data: a run that was stopped here and resumed writes the same.
    between: called after each batch; may end the work by raising.
    """
    task, files = trainer.task, trainer.run.files
    if not task.scale_from_outputs:
        return task
    best = checkpoint.load(files.best)
    if best.get("scaled"):
        return task_from_dict(dict(best["task"]))
    log.info("Scoring training images, so that predicted scores have their mean and standard deviation as scale")
    network = load.open_network(files.best, trainer.device)
    samples = ood.chosen(trainer.dataset.splits.train, ood.BANK, trainer.config.seed)
    targets = encoded(task, trainer.dataset.index, trainer.dtype).images
    feed = Feed(
        trainer.dataset.pixels, samples, targets, FeedSettings(trainer.device, trainer.dtype, trainer.run.workers)
    )
    outputs = []
    try:
        for _, scored in evaluate.evaluate(
            network.model, feed.eval_batches(trainer.settings.eval_batch), network.autocast
        ):
            outputs.append(scored.cpu().numpy())
            between()
    finally:
        feed.close()
    settled = task.settled(np.concatenate(outputs))
    described = {name: list(value) if isinstance(value, tuple) else value for name, value in settled.to_dict().items()}
    with_scale = best | {"task": described, "scaled": True}
    checkpoint.save_making_room(files.best, with_scale, files.last, Manifest(files).announce)
    return settled
