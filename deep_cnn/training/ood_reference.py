"""At the end of training: what the training images look like to the best network, kept in best.pt for `predict`."""

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from deep_cnn.data.feed import Batch, Feed, FeedSettings
from deep_cnn.inference import load, ood
from deep_cnn.models import checkpoint
from deep_cnn.runtime.distributed import main_process
from deep_cnn.runtime.manifest import Manifest
from deep_cnn.tasks.base import encoded

if TYPE_CHECKING:
    from deep_cnn.training.trainer import Trainer

log = logging.getLogger(__name__)


@main_process
def add_reference(trainer: "Trainer", between: Callable[[], None]) -> None:
    """Add `reference` to best.pt, unless it is there already or there is no validation set to draw the threshold from.

    A pure function of the best weights and the data: a run that was stopped here and resumed writes the same.
    between: called after each batch; may end the work by raising.
    """
    files, splits, seed = trainer.run.files, trainer.dataset.splits, trainer.config.seed
    best = checkpoint.load(files.best)
    if "reference" in best or not len(splits.validation):
        return
    log.info("Computing features of training images, so that predict can flag unusual images")
    samples = {
        "train": ood.chosen(splits.train, ood.BANK, seed),
        "validation": ood.chosen(splits.validation, ood.CALIBRATION, seed),
    }
    # a frozen backbone has the features that are asked for, but of images without a vote
    kept = trainer.features if trainer.features and not trainer.features.views else None
    if kept and all(kept.has(split, rows) for split, rows in samples.items()):
        features = [kept.of(split, rows, between) for split, rows in samples.items()]
    else:
        features = _features(trainer, list(samples.values()), between)
    reference = ood.measure(*features)
    if not np.isfinite(reference.threshold):
        log.warning("The features of the best network are not finite, so predict will not flag unusual images")
        return
    try:
        with_reference = best | {"reference": reference.to_dict()}
        checkpoint.save_making_room(files.best, with_reference, files.last, Manifest(files).announce)
    except OSError as error:
        log.warning("Could not write %s (%s), so predict will not flag unusual images", files.best, error.strerror)


def _features(trainer: "Trainer", parts: list[np.ndarray], between: Callable[[], None]) -> list[Tensor]:
    """What the head of the best network is given of some samples and of others, float32 (n, D) each.

    A network of its own: never compiled, and the run's state stays as it is.
    """
    network = load.open_network(trainer.run.files.best, trainer.device)
    targets = encoded(trainer.task, trainer.dataset.index, trainer.dtype).images
    settings = FeedSettings(trainer.device, trainer.dtype, trainer.run.workers)
    found = []
    for samples in parts:
        feed = Feed(trainer.dataset.pixels, samples, targets, settings)
        try:
            batches = _with_checks(feed, trainer.settings.eval_batch, between)
            found.append(torch.cat(list(ood.features_of(network.model, network.head, batches, network.autocast))))
        finally:
            feed.close()
    return found


def _with_checks(feed: Feed, rows: int, between: Callable[[], None]) -> Iterator[Batch]:
    for batch in feed.eval_batches(rows):
        between()
        yield batch
