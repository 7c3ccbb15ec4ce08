"""Score a split of a finished run again, as its training did."""

import contextlib
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from deep_cnn.config.schema import Config
from deep_cnn.data import contents
from deep_cnn.data.dataset import Dataset, eval_feed
from deep_cnn.data.division import find_images
from deep_cnn.data.feed import FeedSettings
from deep_cnn.data.split import load_splits
from deep_cnn.inference import evaluate
from deep_cnn.inference.coverage import with_coverage
from deep_cnn.inference.linear_baseline import read_baseline, with_linear_baseline
from deep_cnn.inference.load import FinishedRun, TrainedNetwork
from deep_cnn.inference.tta import Averaged
from deep_cnn.runtime import distributed
from deep_cnn.runtime.device import dtype_of, workers_of
from deep_cnn.runtime.errors import CheckpointError, DataError
from deep_cnn.runtime.manifest import Manifest, understood
from deep_cnn.tasks.base import encoded


def rescore(
    run: FinishedRun,
    split: str,
    *,
    tta: str | None = None,
    **flags: Any,
) -> dict[str, Any] | None:
    """What test.json would say of a split, scored by the run's best network; None on every rank but 0.

    The batches are dealt out among the ranks.

    Args:
        split: train, validation or test.
        tta: as --tta; None: as the run was tested.
        flags: other values of the run's flags, such as where its images are now.

    Raises:
        DataError: the run has no such split, or its images have changed.
        CheckpointError: the images have other classes or targets than the network.
    """
    network, files = run.network, run.files
    config = replace(Config.from_dict(network.meta["config"]), **flags)
    workers = workers_of(config.workers)
    with distributed.main_process_first():
        images = find_images(config, network.pre, workers, trained=True)
    names = images.index.classes or images.index.target_names
    if tuple(names) != network.task.names:
        raise CheckpointError(
            f"--run_name={files.name}: the network predicts {', '.join(network.task.names)}, but the images have "
            f"{', '.join(names)}; give the folder that it was trained on as --data_dir"
        )
    table = Manifest(files).require("splits.csv")
    with understood(table):
        splits = load_splits(table, images.index, network.task.target_rows)
    dataset = Dataset(images.index, splits, images.pixels, images.bad_files)
    now = images.pixels.contents
    if now is not None and (before := contents.load(files.models, now, dataset.digest())) is not None:
        now.adopt(before)  # another picture under an old name is refused when it is read
    with contextlib.closing(dataset):
        return _scored(run, dataset, split, tta or config.tta, workers)


def _scored(run: FinishedRun, dataset: Dataset, split: str, level: str, workers: int) -> dict[str, Any] | None:
    network = run.network
    if not len(dataset.samples(split)):
        raise DataError(f"--split={split}: run {run.files.name} has no such images")
    outputs = outputs_of(network, dataset, split, workers, split.capitalize())
    views = outputs_of(network, dataset, split, workers, "Views", level) if level != "none" else None
    if outputs is None:  # not rank 0
        return None
    result = network.task.held_out_result(dataset, split, outputs)
    if split != "test":
        known = {"train": "that it was trained on", "validation": "that its epoch was chosen by"}[split]
        result["estimand"] = f"this network, on images {known}"
    if split == "test":
        result = with_coverage(result, network.task, dataset, outputs, network.calibration)
        if (said := read_baseline(run.files, dataset)) is not None:
            result = with_linear_baseline(result, network.task, dataset, outputs, said)
    if views is None:
        return result
    return evaluate.with_views(result, level, network.task.held_out_result(dataset, split, views))


def outputs_of(
    network: TrainedNetwork, dataset: Dataset, split: str, workers: int, title: str, level: str = "none"
) -> np.ndarray | None:
    """Raw outputs of a split, as its training scored it, float32 (n, K); None on every rank but 0.

    Args:
        title: of the progress bar. level: of --tta.
    """
    dtype = dtype_of(network.settings.precision)
    targets = encoded(network.task, dataset.index, dtype).images
    feed = eval_feed(dataset, targets, split, FeedSettings(network.device, dtype, workers))
    model: nn.Module = Averaged(network.model, level) if level != "none" else network.model
    return evaluate.collect(model, feed, network.settings.eval_batch, network.autocast, title)
