"""At the end of training: what the training images look like to the best network, kept in best.pt for `predict`."""

import logging
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from deep_cnn import checkpoint, loading, machine, model_builder
from deep_cnn.data.dataset import feed_of
from deep_cnn.data.feed import Batch, Feed
from deep_cnn.plan import Plan
from deep_cnn.prediction import unlike
from deep_cnn.run_files import RunFiles
from deep_cnn.tasks import encoded

log = logging.getLogger(__name__)


def keep_reference(plan: Plan, files: RunFiles, between: Callable[[], None]) -> None:
    """Add `reference` to best.pt, unless it is there already or there is no validation set to draw the threshold from.

    A pure function of the best weights and the data: a run that was stopped here, and goes on, writes the same.
    between: called after each batch; may end the work by raising.
    """
    m = plan.materials
    splits, seed = m.dataset.splits, m.config.seed
    best = checkpoint.load(files.best)
    if "reference" in best or not len(splits.validation):
        return
    log.info("Looking at training images with the best network, so that predict can tell unlike ones")
    samples = {
        "train": unlike.chosen(splits.train, unlike.BANK, seed),
        "validation": unlike.chosen(splits.validation, unlike.CALIBRATION, seed),
    }
    if plan.features and not plan.features.views:  # the backbone is frozen: what was trained on is what is asked for
        features = [plan.features.of(split, rows, between) for split, rows in samples.items()]
    else:
        features = [_looked_at(plan, files, rows, between) for rows in samples.values()]
    reference = unlike.measure(*features)
    if not np.isfinite(reference.threshold):
        log.warning("The best network's features are not finite: predict will not tell unlike images")
        return
    try:
        checkpoint.save_making_room(files.best, best | {"reference": reference.to_dict()}, files.last)
    except OSError as error:
        log.warning("%s could not be written (%s): predict will not tell unlike images", files.best, error.strerror)


def _looked_at(plan: Plan, files: RunFiles, samples: np.ndarray, between: Callable[[], None]) -> Tensor:
    """What the head of the best network is given of these samples, float32 (n, D).

    A network of its own: never compiled, and the run's state stays as it is.
    """
    m, decisions = plan.materials, plan.decisions
    model, _ = loading.load_model(files.best)
    dtype = machine.dtype_of(decisions.precision)
    model = model.to(m.device, dtype, memory_format=machine.CHANNELS_LAST)
    head = model_builder.head_modules(plan.spec.name, model)[0]
    feed = feed_of(
        m.dataset, encoded(m.task, m.dataset.index, dtype), samples, device=m.device, dtype=dtype, workers=m.workers
    )
    try:
        batches = _checked(feed, decisions.eval_batch, between)
        return torch.cat(
            list(unlike.features_of(model, head, batches, machine.autocast(m.device, decisions.precision)))
        )
    finally:
        feed.close()


def _checked(feed: Feed, rows: int, between: Callable[[], None]) -> Iterator[Batch]:
    for batch in feed.eval_batches(rows):
        between()
        yield batch
