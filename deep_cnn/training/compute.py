"""How a run computes: what each `auto` comes to on the machine where it begins, and what is kept where it goes on."""

import logging
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from deep_cnn.config.schema import Config
from deep_cnn.data.dataset import Dataset
from deep_cnn.data.feed import steps_per_epoch
from deep_cnn.models.memory import images_that_fit, pieces_for, saved_bytes_per_image, step_bytes
from deep_cnn.runtime import distributed
from deep_cnn.runtime.device import (
    REPLAYED_SHARE,
    ComputeSettings,
    compiler_works,
    compiles,
    granted_cores,
    memory_for_training,
    pick_precision,
)
from deep_cnn.runtime.distributed import main_process
from deep_cnn.training.run import Run

log = logging.getLogger(__name__)

EVAL_BATCH = 32  # more rows are no faster on a CPU
GPU_EVAL_BATCH = 256


def choose_settings(run: Run, dataset: Dataset, model: nn.Module, saved: dict[str, Any] | None) -> ComputeSettings:
    """How the run computes: as it began, or what `auto` comes to here; rank 0's answer, since hosts may differ."""
    ranks = distributed.world_size()
    return _recorded(run, dataset, model, saved, ranks) if saved else _decided(run, dataset, model, ranks)


def decide(run: Run, dataset: Dataset, model: nn.Module, ranks: int) -> ComputeSettings:
    """What `auto` comes to here: a function of the flags and the machine, never of a timing or of what is free just now."""
    config, device = run.config, run.device
    precision = pick_precision(config.precision, device)
    per_image = saved_bytes_per_image(model, dataset.pixels.pre.crop, precision)
    weights, memory = count_weights(model), memory_for_training(device)
    if config.grad_accumulation == "auto":
        images = -(-config.batch // ranks) * dataset.views
        pieces = pieces_for(images, per_image, weights, memory)
        if pieces > 1:
            log.info(
                "A batch of %d images needs about %.1f GB, more than 60%% of the %.1f GB that are available; using --grad_accumulation=%d",
                images,
                1.5 * per_image * images / 1e9,
                memory / 1e9,
                pieces,
            )
    else:
        pieces = int(config.grad_accumulation)
    largest = max(len(dataset.splits.validation), len(dataset.splits.test), 1)
    most = EVAL_BATCH if device.type == "cpu" else min(GPU_EVAL_BATCH, images_that_fit(per_image, weights, memory))
    eval_batch = min(most, largest)
    wanted = compiles(config.compile, device, all_steps(config, dataset), config.deterministic)
    compiled = wanted and compiler_works(device)
    if config.threads is not None and config.threads > granted_cores():
        log.info(
            "--threads=%d: using %d, because the system or the scheduler grants this process no more cores",
            config.threads,
            granted_cores(),
        )
    return ComputeSettings(device.type, precision, compiled, granted_cores(), pieces, eval_batch, processes=ranks)


_decided = main_process(decide)


def all_steps(config: Config, dataset: Dataset) -> int:
    """The optimizer steps of a whole run."""
    return steps_per_epoch(len(dataset.training), config.batch) * config.epochs


def replays(settings: ComputeSettings, device: torch.device, step: int) -> bool:
    """Whether a compiled network's steps become CUDA graphs: batches in one part, on one GPU. step: from `step_memory`.

    A graph keeps its memory from step to step, also while the network is evaluated.
    """
    if device.type != "cuda" or settings.processes > 1 or settings.pieces > 1:
        return False
    return step <= REPLAYED_SHARE * memory_for_training(device)


def step_memory(run: Run, dataset: Dataset, model: nn.Module, settings: ComputeSettings) -> int:
    """Bytes of a training step on the images that a rank computes at once: one of each sample, of a vote two."""
    samples = -(-run.config.batch // (settings.pieces * settings.processes))
    per_image = saved_bytes_per_image(model, dataset.pixels.pre.crop, settings.precision)
    return int(step_bytes(samples * dataset.views, per_image, count_weights(model)))


def count_weights(model: nn.Module) -> int:
    """The number of a network's parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


@main_process
def _recorded(run: Run, dataset: Dataset, model: nn.Module, saved: dict[str, Any], ranks: int) -> ComputeSettings:
    """What was decided when the run began; says so where this machine would have decided otherwise."""
    settings, device = ComputeSettings(**saved["decisions"]), run.device.type
    if settings.processes != ranks:
        log.warning(
            "The run started on %d process%s and continues on %d: dropout masks and BatchNorm statistics change, so results "
            "are not bit-identical to an uninterrupted run",
            settings.processes,
            "es" if settings.processes > 1 else "",
            ranks,
        )
        here = decide(run, dataset, model, ranks)
        settings = replace(settings, processes=here.processes, threads=here.threads, pieces=here.pieces)
    if settings.compile and not compiler_works(run.device):
        log.warning("The run started compiled: results are not bit-identical to an uninterrupted run")
        settings = replace(settings, compile=False)
    if settings.device != device:
        log.warning(
            "The run started on %s and continues on %s: results are not bit-identical to an uninterrupted run",
            settings.device,
            device,
        )
    if device == "cpu" and settings.threads != granted_cores():
        log.info(
            "The run started on %d cores; keeping %d threads on the %d cores here, so that results stay bit-identical",
            settings.threads,
            settings.threads,
            granted_cores(),
        )
    return settings
