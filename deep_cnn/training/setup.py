"""All that happens before the first step: the machine, the data, the network, and the state to begin or go on with."""

import contextlib
import copy
import logging
import socket
import time
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import nn

from deep_cnn.config import identity
from deep_cnn.config.recipes import recipe_line
from deep_cnn.config.schema import Config
from deep_cnn.data.augment.steps import parse_augment
from deep_cnn.data.dataset import (
    Dataset,
    data_dir,
    find,
    open_feeds,
    own_normalisation,
    read_dataset,
    renormalised,
    training_images,
)
from deep_cnn.data.feed import Feed, steps_per_epoch
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.data.public import with_dataset
from deep_cnn.models import fast_conv
from deep_cnn.models.build import ModelSpec, build_model, check_weights_present, head_modules, load_weights
from deep_cnn.models.build import stages as stages_of
from deep_cnn.models.memory import pieces_for, saved_bytes_per_image
from deep_cnn.models.preprocessing import check_pre, choose_preprocessing
from deep_cnn.models.zoo import networks
from deep_cnn.models.zoo.custom_training import OwnTraining
from deep_cnn.runtime.device import (
    CHANNELS_LAST,
    Decisions,
    autocast_for,
    compiles,
    dtype_of,
    granted_cores,
    has_amx,
    keep_freed_memory,
    memory_for_training,
    pick_device,
    pick_precision,
    set_determinism,
    set_threads,
)
from deep_cnn.runtime.distributed import ALONE, Processes
from deep_cnn.runtime.errors import ConfigError, DataError
from deep_cnn.runtime.format import readable
from deep_cnn.tasks.base import encoded, task_of
from deep_cnn.training import profiling
from deep_cnn.training.frozen_features import LARGEST_SHARE, Features, features_key, find_cut
from deep_cnn.training.optim import optimizers, schedules
from deep_cnn.training.optim.average import MovingAverage
from deep_cnn.training.plan import Materials, Plan
from deep_cnn.training.state import TrainingState

log = logging.getLogger(__name__)

EVAL_BATCH = {"cpu": 32}  # more rows are no faster on a CPU
GPU_EVAL_BATCH = 256
MUON_TURN = 0.2  # of their size filters turn in a step, from scratch (0.24 in Jordan 2024); pretrained, a tenth


def gather(config: Config, *, fresh: bool, at_most: int | None = None, everyone: Processes = ALONE) -> Materials:
    """Check the flags against machine and network, index and split the data: one process after the other.

    Args:
        fresh: nothing has been saved under this name, so the weights will be needed; asked for before the data is read.
        at_most: take so many images of each split.
    """
    materials = everyone.in_turn(lambda: _gather(config, fresh, at_most, everyone))
    if everyone.share(data := materials.identity["data"]) != data:
        raise DataError(
            f"--data_dir={config.data_dir}: {socket.gethostname()} sees other images than the first process; give all "
            "machines the same ones"
        )
    return materials


def _gather(config: Config, fresh: bool, at_most: int | None, everyone: Processes) -> Materials:
    begun = time.monotonic()
    config = with_dataset(config)
    check_names(config)
    config = with_weights_file(config)
    device = pick_device(config.device)
    # in the words of the course's hand-out
    log.info("Running on %s device", device.type if everyone.count > 1 else device)
    if everyone.count > 1:
        log.info("%d processes share each batch of %d images", everyone.count, config.batch_size)
        if config.batch_size < 2 * everyone.count:
            log.warning(
                "--batch_size=%d is less than two images for each of %d processes: every one computes all of it, "
                "and nothing is gained",
                config.batch_size,
                everyone.count,
            )
    if config.sync_batchnorm and device.type != "cuda":
        raise ConfigError(
            "--sync_batchnorm: torch has it for GPUs only; leave it out, and each process normalises its part"
        )
    log.info(recipe_line(config))
    set_determinism(config.deterministic, device)
    if fresh:
        check_weights_present(config.model, config.weights)
    pre = choose_preprocessing(config)
    workers = granted_cores() if config.workers == "auto" else max(1, int(config.workers))
    dataset = read_dataset(config, pre, workers)
    if at_most is not None:
        dataset = dataset.at_most(at_most, config.seed)
    check_validation(config, dataset)
    task = task_of(config, dataset.index, dataset.splits.train)
    return Materials(
        config, device, workers, pre, dataset, task, identity.run_identity(config, dataset.digest()), begun, everyone
    )


def check_names(config: Config) -> None:
    """Names and folders that can be told wrong at once, before anything is downloaded or read."""
    data_dir(config)
    networks.find(config.model)
    check_pre(config.pre)
    parse_augment(config.augment)


def check_validation(config: Config, dataset: Dataset) -> None:
    """ConfigError for what waits for a validation that there is none of."""
    if len(dataset.splits.validation) == 0 and (config.schedule == "plateau" or config.patience):
        waits = "--schedule=plateau" if config.schedule == "plateau" else f"--patience={config.patience}"
        raise ConfigError(f"{waits}: needs a validation set, and there is none (--val_split={config.val_split:g})")


def with_weights_file(config: Config) -> Config:
    """--weights=FILE may be relative to ROOT_DIR, the data folder or the current folder, as every file of the user's."""
    if config.weights in ("pretrained", "none") or "://" in config.weights:
        return config
    return replace(config, weights=str(find("weights", config.weights, config, data_dir(config))))


def build(materials: Materials, saved: dict[str, Any] | None) -> Plan:
    """The network on its device, the optimizer and the feeds; with `saved`, in the very state that was saved."""
    m, config = normalised(materials, saved), materials.config
    spec = ModelSpec(config.model, m.task.outputs, config.dropout, m.pre.crop)
    model = build_model(spec, config.seed)
    if saved is None:
        for line in m.everyone.in_turn(lambda: load_weights(model, spec, config.weights, m.task.names)):
            log.info(line)
    check_small_images(config, model, m.pre.crop)
    samples = len(m.dataset.splits.train)
    steps = steps_per_epoch(samples, config.batch_size)
    decisions = None
    if m.everyone.first:  # hosts may differ, the numbers must not
        decisions = recorded(saved, m, model, steps) if saved else decide(m, model, steps)
    decisions = m.everyone.share(decisions)
    if config.sync_batchnorm and m.everyone.count > 1:
        if any(isinstance(module, nn.BatchNorm2d) and module.weight is None for module in model.modules()):
            raise ConfigError(
                f"--sync_batchnorm: torch's would not train the norms of {config.model}, which have no scale; leave it out"
            )
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    set_threads(decisions.threads)
    keep_freed_memory()
    if saved is None and config.weights == "none" and isinstance(model, OwnTraining):
        # by one process for all: another processor's last bits would give other filters, which are never trained together
        model.load_state_dict(m.everyone.first_does(lambda: started(model, m)))
    log.info(
        "Computing in %s on %d thread%s, %s; batches of %d%s",
        decisions.precision,
        decisions.threads,
        "s" if decisions.threads > 1 else "",
        "compiled" if decisions.compile else "not compiled",
        config.batch_size,
        f" in {decisions.pieces} pieces" if decisions.pieces > 1 else "",
    )

    dtype = dtype_of(decisions.precision)
    model = model.to(m.device, dtype, memory_format=CHANNELS_LAST)
    if decisions.precision == "bf16" and m.device.type == "cpu" and not decisions.compile:
        fast_conv.use_matrix_products(model, amx=has_amx())
    head, stages = head_modules(spec.name, model), stages_of(spec.name, model)
    if config.freeze not in ("none", "backbone") and int(config.freeze) > len(stages):
        names = ", ".join(name for name, _ in stages)
        raise ConfigError(f"--freeze={config.freeze}: {config.model} has {len(stages)} stages: {names}")
    average = MovingAverage(model, copy.deepcopy(model), config.ema) if config.ema else None
    optimizer = optimizers.make_optimizer(
        config.optimizer, parameter_groups(config, model, head), momentum=config.momentum, nesterov=config.nesterov
    )
    scaler = torch.amp.GradScaler(m.device.type, enabled=decisions.precision == "fp16")
    state = TrainingState(model, optimizer, scaler, average, torch.zeros(2, dtype=torch.float64, device=m.device))
    if saved:
        state.restore(saved)
    profile = profiling.Profile(m.device, m.begun) if config.profile else profiling.SILENT
    feeds = open_feeds(
        config,
        m.dataset,
        encoded(m.task, m.dataset.index, dtype),
        device=m.device,
        dtype=dtype,
        workers=m.workers,
        watch=profile.beside,
    )
    features = open_features(m, spec, model, decisions, head, stages, feeds)
    if features:
        feeds = features.feeds
    elif decisions.compile:
        model.compile(dynamic=False)  # the last batch gets its own kernels; one set for any size is slower for all
    schedule = schedules.make_schedule(config.schedule, steps * config.epochs, config.warmup)
    return Plan(m, spec, decisions, feeds, state, schedule, steps, head, stages, profile, features)


def check_small_images(config: Config, model: nn.Module, crop: int) -> None:
    """ConfigError where --small_epochs asks for images of a size that the network does not take."""
    side = parse_augment(config.augment, config.small_epochs).side(crop, epoch=0)
    if side == crop:
        return
    try:
        saved_bytes_per_image(model, side, "fp32")  # a step of a copy, without memory and time
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"--small_epochs={config.small_epochs}: {config.model} does not take images of {side} pixels "
            f"({reason}); leave it out (--small_epochs=0 where a recipe sets it)"
        ) from error
    if config.small_epochs >= config.epochs:
        log.warning(
            "--small_epochs=%d: no epoch of %d is left for images of %d pixels, as they are tested; fewer would be better",
            config.small_epochs,
            config.epochs,
            crop,
        )


def started(model: OwnTraining, m: Materials) -> dict[str, torch.Tensor]:
    """The state of a network that has looked at training images."""
    count = min(model.looks_at, len(m.dataset.splits.train))
    log.info("%s looks at %d training images before its first step", m.config.model, count)
    with contextlib.closing(training_images(m.dataset, model.looks_at, m.workers)) as images:
        model.start_from(images)
    return model.state_dict()


def normalised(m: Materials, saved: dict[str, Any] | None) -> Materials:
    """Without weights, --pre=auto normalises by the training images' own mean and spread; a run keeps those it began with."""
    if m.config.pre != "auto" or m.config.weights != "none":
        return m
    if saved:
        pre = Preprocessing.from_dict(saved["preprocessing"])
    else:
        pre = m.everyone.first_does(lambda: own_normalisation(m.dataset, m.workers))
    return replace(m, pre=pre, dataset=renormalised(m.dataset, pre))


def open_features(
    m: Materials,
    spec: ModelSpec,
    model: nn.Module,
    decisions: Decisions,
    head: list[str],
    stages: list,
    feeds: dict[str, Feed],
) -> Features | None:
    """With a frozen backbone: its features, computed once. None, with the reason in the log, where each epoch needs it whole."""
    config = m.config
    if config.freeze != "backbone" or config.unfreeze_epoch is not None:
        return None
    augmented = parse_augment(config.augment).changes_pixels
    autocast = autocast_for(m.device, decisions.precision)
    frozen = [name for _, names in stages for name in names]
    if augmented and not config.views:
        reason = f"--augment={config.augment} changes the images; --augment=none, or --views=10, would allow it"
    elif config.mixup or config.cutmix:
        reason = "--mixup and --cutmix blend images, not features"
    elif decisions.precision == "fp64":
        reason = "they are kept in float32, and --precision=fp64 asks for more"
    else:
        cut = find_cut(model, head, frozen, m.pre.crop, autocast)
        reason = f"of {config.model}: {cut}" if isinstance(cut, str) else None
    if reason is None:
        size, memory = 4 * cut.width * sum(len(feed) for feed in feeds.values()), memory_for_training(m.device)
        if size > LARGEST_SHARE * memory:
            reason = f"{readable(size)} of them are more than a quarter of the memory"
    if reason is not None:
        log.info("The frozen backbone runs in every epoch, its features cannot be kept: %s", reason)
        return None
    pixels, views = m.dataset.pixels, config.views if augmented else 0
    facts = {name: str(value) for name, value in asdict(decisions).items() if name not in ("compile", "pieces")}
    facts |= {"torch": torch.__version__, "deterministic": str(config.deterministic)}
    folder = pixels.cache.path.parent if pixels.cache else None
    index = m.dataset.index
    key = features_key(index, m.pre, model, cut, f"{config.augment} {config.seed}" if views else "", facts)
    features = Features(
        model,
        cut,
        feeds,
        eval_batch=decisions.eval_batch,
        autocast=autocast,
        views=views,
        folder=folder,
        key=key,
        rows=len(index),
    )
    log.info("%s", features.describe())
    return features


def parameter_groups(config: Config, model: nn.Module, head: list[str]) -> list[dict]:
    lr = 1.0 if config.lr == "auto" else config.lr  # 1: until `settle_rate`
    backbone_lr, muon = config.backbone_lr, config.optimizer == "muon"
    if backbone_lr is None:
        scratch = MUON_TURN if muon else lr
        backbone_lr = scratch if config.weights == "none" else scratch / 10
    rates = {"lr": lr, "backbone_lr": backbone_lr, "weight_decay": config.weight_decay, "muon": muon}
    if isinstance(model, OwnTraining):
        rates["pace"] = model.pace
    return optimizers.parameter_groups(model, head, **rates)


def settle_rate(plan: Plan, lr: float) -> None:
    """Make `lr`, that a range test found, the rate of the run: in its groups, and recorded among its decisions."""
    for group in plan.state.optimizer.param_groups:
        if optimizers.follows_lr(group, plan.materials.config.backbone_lr):
            group["base_lr"] *= lr
    plan.decisions = replace(plan.decisions, lr=lr)


def decide(m: Materials, model: nn.Module, steps: int) -> Decisions:
    """What `auto` comes to here: a function of the flags and the machine, never of a timing or of what is free just now."""
    config, device = m.config, m.device
    precision = pick_precision(config.precision, device)
    if config.grad_accumulation == "auto":
        per_image = saved_bytes_per_image(model, m.pre.crop, precision)
        weights = sum(p.numel() for p in model.parameters())
        memory = memory_for_training(device)
        images = -(-config.batch_size // m.everyone.count)
        pieces = pieces_for(images, per_image, weights, memory)
        if pieces > 1:
            log.info(
                "A batch of %d needs about %.1f GB in one piece, and %.1f GB are granted: --grad_accumulation=%d",
                images,
                1.5 * per_image * images / 1e9,
                memory / 1e9,
                pieces,
            )
    else:
        pieces = int(config.grad_accumulation)
    largest = max(len(m.dataset.splits.validation), len(m.dataset.splits.test), 1)
    eval_batch = min(EVAL_BATCH.get(device.type, GPU_EVAL_BATCH), largest)
    compiled = compiles(config.compile, device, steps * config.epochs, config.deterministic)
    return Decisions(device.type, precision, compiled, granted_cores(), pieces, eval_batch, processes=m.everyone.count)


def recorded(saved: dict[str, Any], m: Materials, model: nn.Module, steps: int) -> Decisions:
    """What was decided when the run began; says so where this machine would have decided otherwise."""
    decisions = Decisions(**saved["decisions"])
    if decisions.processes != m.everyone.count:
        log.warning(
            "The run began on %d process%s and goes on on %d: dropout is drawn anew, BatchNorm sees other parts, and "
            "the last digits are not those of an unbroken run",
            decisions.processes,
            "es" if decisions.processes > 1 else "",
            m.everyone.count,
        )
        here = decide(m, model, steps)
        decisions = replace(decisions, processes=here.processes, threads=here.threads, pieces=here.pieces)
    if decisions.device != m.device.type:
        log.warning(
            "The run began on %s and goes on on %s: its last digits will not be those of an unbroken run",
            decisions.device,
            m.device.type,
        )
    if m.device.type == "cpu" and decisions.threads != granted_cores():
        log.info(
            "The run began on %d cores and keeps %d threads, here on %d: another number changes the last digits",
            decisions.threads,
            decisions.threads,
            granted_cores(),
        )
    return decisions
