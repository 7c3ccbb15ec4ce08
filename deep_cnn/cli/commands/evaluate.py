"""python -m deep_cnn evaluate: score a run again, by its name alone."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from deep_cnn.config.fields import check_ranges, flag
from deep_cnn.config.schema import TTA

if TYPE_CHECKING:
    import numpy as np
    from torch import nn


@dataclass(frozen=True)
class Options:
    run_name: str = flag("default", "name of the run", group="command")
    split: str = flag("test", "split to evaluate", group="command", choices=("train", "validation", "test"))
    root_dir: str = flag(".", "root directory of the project", group="command")
    data_dir: str | None = flag(None, "folder of images, if it was moved after training", group="command", kind=str)
    tta: str | None = flag(
        None,
        "test-time augmentation, reported beside the plain result; by default that of the run",
        group="command",
        kind=str,
        choices=TTA,
    )
    device: str = flag("auto", "device: auto, cpu, cuda, cuda:N or mps", group="command")
    workers: str = flag("auto", "threads that read images; auto: the cores available to this job", group="command")
    cache: str = flag("auto", "cache of decoded images on disk: auto, off, or a folder", group="command")

    def __post_init__(self):
        check_ranges(self)


def main(options: Options) -> int:
    from deep_cnn.runtime import console, distributed

    console.console_only()
    with distributed.process_group(options.device):
        score(options)
    return 0


def score(options: Options) -> None:
    """Each rank scores its share of the batches; rank 0 shows the result of all."""
    from pathlib import Path

    from deep_cnn.config.schema import Config
    from deep_cnn.data.dataset import Dataset, eval_feed, find_images
    from deep_cnn.data.split import load_splits
    from deep_cnn.inference import evaluate, load
    from deep_cnn.inference.tta import Averaged
    from deep_cnn.reporting import result_text
    from deep_cnn.runtime import distributed
    from deep_cnn.runtime.device import (
        CHANNELS_LAST,
        Decisions,
        autocast_for,
        dtype_of,
        granted_cores,
        keep_freed_memory,
        pick_device,
        set_determinism,
        set_threads,
    )
    from deep_cnn.runtime.errors import CheckpointError, DataError
    from deep_cnn.runtime.run_files import RunFiles
    from deep_cnn.tasks.base import encoded

    files = RunFiles(Path(options.root_dir).expanduser() / "outputs", options.run_name)
    model, meta = load.load_model(files.best)
    task, pre = load.task_and_preprocessing(meta)
    decisions = Decisions(**meta["decisions"])
    config = replace(
        Config.from_dict(meta["config"]),
        root_dir=options.root_dir,
        data_dir=options.data_dir or meta["config"]["data_dir"],
        device=options.device,
        workers=options.workers,
        cache=options.cache,
    )
    device = pick_device(config.device)
    set_determinism(config.deterministic, device)
    set_threads(decisions.threads if decisions.processes == distributed.world_size() else granted_cores())
    keep_freed_memory()
    workers = granted_cores() if config.workers == "auto" else max(1, int(config.workers))
    with distributed.main_process_first():
        images = find_images(config, pre, workers)
    names = images.index.classes or images.index.target_names
    if tuple(names) != task.names:
        raise CheckpointError(
            f"--run_name={options.run_name}: was trained for {', '.join(task.names)}; these images have {', '.join(names)}"
        )
    splits = load_splits(files.results / "splits.csv", images.index, task.target_cells)
    dataset = Dataset(images.index, splits, images.pixels, images.bad_files)
    samples = dataset.samples(options.split)
    if not len(samples):
        raise DataError(f"--split={options.split}: run {options.run_name} has no such images")
    dtype = dtype_of(decisions.precision)
    model = model.to(device, dtype, memory_format=CHANNELS_LAST)
    feed = eval_feed(
        dataset, encoded(task, dataset.index, dtype), options.split, device=device, dtype=dtype, workers=workers
    )
    autocast = autocast_for(device, decisions.precision)

    def outputs_of(network: "nn.Module", title: str) -> "np.ndarray | None":
        return evaluate.collect(network, feed, decisions.eval_batch, autocast, title)

    level = options.tta or config.tta
    outputs = outputs_of(model, options.split.capitalize())
    views = outputs_of(Averaged(model, level), "Views") if level != "none" else None
    if distributed.is_main():
        what = (task, dataset.index, samples)
        result = evaluate.held_out(*what, outputs, options.split, config.seed)
        if views is not None:
            result = evaluate.with_views(result, level, *what, views, config.seed)
        result_text.show_result(result)
