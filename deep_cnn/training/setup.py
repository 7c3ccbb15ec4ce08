"""All that happens before the first step: flags, machine, data, network, and the state to begin with or to resume from."""

import contextlib
import copy
import logging
import socket
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from deep_cnn.config import defaults
from deep_cnn.config.fields import names_weights, wrong
from deep_cnn.config.identity import saved_flags
from deep_cnn.config.recipes import recipe_line
from deep_cnn.config.schema import Config
from deep_cnn.data.augment.steps import parse_augment
from deep_cnn.data.cache import check_cache
from deep_cnn.data.certainty import loss_weights
from deep_cnn.data.dataset import (
    Dataset,
    SampleWeights,
    data_dir,
    find,
    own_normalisation,
    renormalised,
    training_images,
)
from deep_cnn.data.division import find_images, split_images
from deep_cnn.data.feed import Feed
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.data.public import with_dataset
from deep_cnn.models import checkpoint, fast_conv
from deep_cnn.models.build import ModelSpec, build_model, check_digest, check_weights_present, load_weights
from deep_cnn.models.determinism import check_deterministic, with_matrix_pools
from deep_cnn.models.memory import saved_bytes_per_image
from deep_cnn.models.preprocessing import check_pre, choose_preprocessing
from deep_cnn.models.zoo import networks
from deep_cnn.models.zoo.custom_training import OwnTraining
from deep_cnn.runtime import distributed
from deep_cnn.runtime.atomic import read_json
from deep_cnn.runtime.device import (
    CHANNELS_LAST,
    ComputeSettings,
    dtype_of,
    has_amx,
    keep_freed_memory,
    memory_for_training,
    pick_device,
    search_kernels,
    set_asked_threads,
    set_determinism,
    set_threads,
    workers_of,
)
from deep_cnn.runtime.distributed import main_process
from deep_cnn.runtime.errors import ConfigError, DataError
from deep_cnn.runtime.format import readable
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.runtime.status import Status
from deep_cnn.tasks.base import Task
from deep_cnn.tasks.make import make_task
from deep_cnn.tasks.transforms import errors_on, fit_transform
from deep_cnn.training.compute import all_steps, choose_settings
from deep_cnn.training.frozen_features import LARGEST_SHARE, Cut, Features, FeatureSettings, features_key, find_cut
from deep_cnn.training.optim import optimizers
from deep_cnn.training.optim.average import MovingAverage
from deep_cnn.training.run import Run
from deep_cnn.training.state import TrainingState

if TYPE_CHECKING:
    from deep_cnn.training.trainer import Trainer

log = logging.getLogger(__name__)

MUON_TURN = 0.2  # of their size filters turn in a step, from scratch (0.24 in Jordan 2024); pretrained, a tenth


# ---- flags, machine and data ---------------------------------------------------------------------------------------------


def prepare(run: Run) -> Run:
    """Check the flags against machine and network; the run with its device, preprocessing, and the paths that were found."""
    fresh = _clear_leftovers(run)
    return find_inputs(replace(run, config=replace(run.config, split_seed=_split_seed(run))), fresh)


@main_process
def _split_seed(run: Run) -> int | None:
    """--split_seed; of a run that version 0.1.0 began its --seed, which chose the splits then."""
    config = run.config
    saved = read_json(run.files.results / "config.json") if config.split_seed is None else None
    flags = saved_flags(saved)
    # when such a run has gone on once, its files name that seed
    by_seed = "seed" in flags and flags["seed"] == config.seed == flags.get("split_seed", config.seed)
    return config.seed if by_seed and config.seed else config.split_seed


def look_at_data(config: Config, *, fresh: bool) -> tuple[Run, Dataset, Task]:
    """What a run of these flags would begin with, without a folder or a name of its own: for `check` and `search`.

    fresh: whether the weights will be needed.
    """
    files = RunFiles(config.root / "outputs", config.files_name)
    run = find_inputs(Run(config, files, None, Status(files, writes=False), time.monotonic()), fresh)
    dataset, task = load_dataset(run)
    return with_defaults(run, dataset, resumes=False), dataset, task


def find_inputs(run: Run, fresh: bool) -> Run:
    """`prepare` itself, one rank after the other. fresh: nothing was saved under this name, so the weights are needed."""
    with distributed.main_process_first():
        config = with_dataset(run.config)
        set_asked_threads(config.threads)
        check_names(config)
        config = with_weights_file(config)
        device = pick_device(config.device)
        ranks = distributed.world_size()
        # in the words of the course's hand-out
        log.info("Running on %s device", device.type if ranks > 1 else device)
        if config.sync_batchnorm and device.type != "cuda":
            raise ConfigError(
                "--sync_batchnorm: torch supports it only on GPUs; omit it, and each process normalises its own part"
            )
        log.info(recipe_line(config))
        set_determinism(config.deterministic, device)
        digest = None
        if fresh:
            check_weights_present(config.model, config.weights_source)
            digest = check_digest(config.weights_source)
        workers = workers_of(config.workers)
        run = replace(run, config=config, device=device, workers=workers, weights_digest=digest)
        return replace(run, pre=choose_preprocessing(config))


def with_weights(run: Run) -> Run:
    """A run that begins, with the digest of its --weights, where `find_inputs` did not look: another run has the name.

    Raises:
        CheckpointError: there is no such file, or it is not the one of --weights_sha256.
    """
    if run.weights_digest is not None:
        return run
    with distributed.main_process_first():
        check_weights_present(run.config.model, run.config.weights_source)
        return replace(run, weights_digest=check_digest(run.config.weights_source))


def with_defaults(run: Run, dataset: Dataset, resumes: bool) -> Run:
    """The run with a number in place of every `auto` that depends on the training set, told in the log.

    Args:
        resumes: whether a run of this name is continued, with what it began with.
    """
    images, asked = len(dataset.training), run.config
    config = defaults.resolved(asked, images, _begun_with(run, dataset) if resumes else {})
    samples = "images" if dataset.members is None else "votes"
    if (line := defaults.chosen_line(asked, config, images, samples)) is not None:
        log.info(line)
    ranks = distributed.world_size()
    if ranks > 1:
        log.info("%d processes share each batch of %d images", ranks, config.batch)
        if config.batch < 2 * ranks:
            log.warning(
                "--batch_size=%d is less than two images for each of %d processes: each computes the whole batch, "
                "so training is not faster",
                config.batch,
                ranks,
            )
    return replace(run, config=config, chosen=defaults.chosen(asked, config))


@main_process
def _begun_with(run: Run, dataset: Dataset) -> dict[str, Any]:
    """What the run of this name has in place of `auto`, where it is the run that is asked for; else {}."""
    if run.config.resume == "never" or not defaults.open_choices(run.config):
        return {}
    record = read_json(run.files.results / "config.json")
    finished = run.status.before() == "finished"
    return defaults.begun_with(record, finished, run.config, (dataset.digest(), dataset.read_digest()))


@main_process
def _clear_leftovers(run: Run) -> bool:
    """Clear what a process left that died while it wrote; returns whether nothing was saved, so that weights are needed."""
    run.files.clear_leftovers()
    return run.config.resume == "never" or not run.files.has_results()


def load_dataset(run: Run, at_most: int | None = None) -> tuple[Dataset, Task]:
    """Index and split the data, one rank after the other.

    Args:
        at_most: take so many images of each split.
    """
    config = run.config
    assert run.pre is not None
    with distributed.main_process_first():
        images = find_images(config, run.pre, run.workers)
        task = make_task(config, images.index)
        check_task(config, task)
        strata = task.strata(images.index.targets)
        dataset = split_images(images, strata, config)
        if at_most is not None:
            dataset = dataset.at_most(at_most, strata, config.seed)
        check_validation(config, dataset)
        task = task.fitted_to(dataset)
    digest = dataset.digest()
    if distributed.broadcast(digest) != digest:
        raise DataError(
            f"--data_dir={config.data_dir}: {socket.gethostname()} has different images than the first process; use the "
            "same images on all machines"
        )
    return dataset, task


def check_task(config: Config, task: Task) -> None:
    """ConfigError for flags that the task has no use for."""
    for flag in ("mixup", "cutmix") if not task.blends else ():
        if getattr(config, flag):
            raise wrong(flag, f"{getattr(config, flag):g}", f"not available for {task.flag}", f"use --{flag}=0")
    for flag in ("oversample", "class_weights") if not task.has_rarity else ():
        if getattr(config, flag):
            raise wrong(flag, True, f"not available for {task.flag}", f"use --no_{flag}")


def sample_weights(config: Config, dataset: Dataset, task: Task) -> SampleWeights:
    """How often samples are drawn, and what they weigh in the loss: --oversample, --class_weights and --weigh_by."""
    index, train = dataset.index, dataset.splits.train
    rare = task.rarity(index.targets, train) if config.oversample or config.class_weights else None
    loss = rare if config.class_weights else None
    if config.weigh_by is not None:
        assert index.certainty is not None, "read with the table"
        certainty, targets = index.certainty, index.targets
        if certainty.std is not None and config.target_transform != "none":  # as the loss has them
            scales = [fit_transform(config.target_transform, column[train]) for column in targets.T]
            std = [errors_on(*column) for column in zip(scales, targets.T, certainty.std.T, strict=True)]
            targets = np.stack([scale.forward(column) for scale, column in zip(scales, targets.T, strict=True)], axis=1)
            certainty = replace(certainty, std=np.stack(std, axis=1))
        sure = loss_weights(certainty, targets, train, config.weigh_by)
        loss = sure if loss is None else loss * sure
    return SampleWeights(loss, rare if config.oversample else None)


def check_names(config: Config) -> None:
    """Names and folders that can be told wrong at once, before anything is downloaded or read."""
    check_cache(config.cache)
    data_dir(config)
    networks.find(config.model)
    check_pre(config.pre)
    parse_augment(config.augment)
    optimizers.optimizer_row(config.optimizer)


def check_validation(config: Config, dataset: Dataset) -> None:
    """ConfigError for what waits for a validation that there is none of."""
    if len(dataset.splits.validation) == 0 and (config.schedule == "plateau" or config.patience):
        waits = "--schedule=plateau" if config.schedule == "plateau" else f"--patience={config.patience}"
        raise ConfigError(f"{waits}: needs a validation set, but there is none (--val_split={config.val_split:g})")


def with_weights_file(config: Config) -> Config:
    """--weights=FILE may be relative to ROOT_DIR, the data folder or the current folder, as every file of the user's."""
    if config.weights == "none" or names_weights(config.weights) or "://" in config.weights:
        return config
    return replace(config, weights=str(find("weights", config.weights, config, data_dir(config))))


def normalised(run: Run, dataset: Dataset, saved: dict[str, Any] | None) -> tuple[Preprocessing, Dataset]:
    """Without weights, --pre=auto normalises by the training images' own mean and spread; a run keeps those it began with."""
    assert run.pre is not None
    if saved and saved["preprocessing"].get("bits", 16) != dataset.pixels.pre.bits:
        raise DataError(
            f"--run_name={run.config.run_name}: was begun by a version that took 16-bit images as darker than they are "
            f"({dataset.pixels.pre.bits} bits are used); give --resume=never to train it afresh"
        )
    if run.config.pre != "auto" or run.config.weights != "none":
        return dataset.pixels.pre, dataset
    pre = Preprocessing.from_dict(saved["preprocessing"]) if saved else _own_normalisation(dataset, run.workers)
    return pre, renormalised(dataset, pre)


_own_normalisation = main_process(own_normalisation)


# ---- the network and the state -------------------------------------------------------------------------------------------


def build_network(
    run: Run, dataset: Dataset, task: Task, spec: ModelSpec, saved: dict[str, Any] | None
) -> tuple[nn.Module, ComputeSettings]:
    """The network on its device, with its weights, and how the run computes; with `saved`, as it began."""
    config, crop = run.config, dataset.pixels.pre.crop
    model = build_model(spec, config.seed)
    if saved is None:
        with distributed.main_process_first():
            lines = load_weights(model, spec, config.weights_source, task.names, task.nouns)
        for line in lines:
            log.info(line)
    check_small_images(config, model, crop)
    if config.deterministic and run.device.type == "cuda":
        check_deterministic(with_matrix_pools(model), config.model, crop)
    settings = choose_settings(run, dataset, model, saved)
    if config.sync_batchnorm and distributed.world_size() > 1:
        if any(
            isinstance(module, nn.BatchNorm2d) and module.affine and not isinstance(module.weight, nn.Parameter)
            for module in model.modules()
        ):
            raise ConfigError(
                f"--sync_batchnorm: does not support {config.model}, whose normalization layers have no scale; omit it"
            )
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    set_threads(settings.threads)
    search_kernels(run.device, settings.compile, all_steps(config, dataset), config.deterministic)
    keep_freed_memory()
    if saved is None and config.weights == "none" and isinstance(model, OwnTraining):
        # by one process for all: another processor's last bits would give other filters, which are never trained together
        model.load_state_dict(started(model, run, dataset))
    log.info(
        "Computing in %s on %d thread%s, %s; batches of %d%s",
        settings.precision,
        settings.threads,
        "s" if settings.threads > 1 else "",
        "compiled" if settings.compile else "not compiled",
        config.batch,
        f" in {settings.pieces} pieces" if settings.pieces > 1 else "",
    )
    model = model.to(run.device, dtype_of(settings.precision)).to(memory_format=CHANNELS_LAST)
    if settings.precision == "bf16" and run.device.type == "cpu" and not settings.compile:
        fast_conv.use_matrix_products(model, amx=has_amx())
    return model, settings


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
            f"--small_epochs={config.small_epochs}: {config.model} does not support images of {side} pixels "
            f"({reason}); omit it (--small_epochs=0 if a recipe sets it)"
        ) from error
    if config.small_epochs >= config.epochs:
        log.warning(
            "--small_epochs=%d: none of the %d epochs uses the test size of %d pixels; use a smaller value",
            config.small_epochs,
            config.epochs,
            crop,
        )


@main_process
def started(model: OwnTraining, run: Run, dataset: Dataset) -> dict[str, torch.Tensor]:
    """The state of a network that has looked at training images."""
    count = min(model.looks_at, len(dataset.splits.train))
    log.info("Initializing %s from %d training images", run.config.model, count)
    with contextlib.closing(training_images(dataset, model.looks_at, run.workers)) as images:
        model.start_from(images)
    return model.state_dict()


def check_freeze(config: Config, stages: list[tuple[str, list[str]]]) -> None:
    """ConfigError where --freeze=N asks for more stages than the network has."""
    if config.freeze not in ("none", "backbone") and int(config.freeze) > len(stages):
        names = ", ".join(name for name, _ in stages)
        raise ConfigError(f"--freeze={config.freeze}: {config.model} has only {len(stages)} stages: {names}")


def build_state(
    run: Run, model: nn.Module, head: list[str], settings: ComputeSettings, saved: dict[str, Any] | None
) -> TrainingState:
    """The state to begin with, or the very one that was saved."""
    config = run.config
    average = MovingAverage(model, copy.deepcopy(model), config.ema) if config.ema else None
    optimizer = optimizers.make_optimizer(
        config.optimizer, parameter_groups(config, model, head), momentum=config.momentum, nesterov=config.nesterov
    )
    scaler = torch.amp.GradScaler(run.device.type, enabled=settings.precision == "fp16")
    sums = torch.zeros(2, dtype=torch.float64, device=run.device)
    state = TrainingState(model, optimizer, scaler, average, sums)
    if saved:
        with checkpoint.understood(run.files.last):
            state.restore(saved)
    return state


def parameter_groups(config: Config, model: nn.Module, head: list[str]) -> list[dict[str, Any]]:
    """The groups of the optimizer, with each one's rate and weight decay; see `optimizers.parameter_groups`."""
    lr = 1.0 if isinstance(config.lr, str) else config.lr  # 1: until `trainer.find_learning_rate`
    backbone_lr, muon = config.backbone_lr, optimizers.optimizer_row(config.optimizer).orthogonal
    if backbone_lr is None:
        scratch = MUON_TURN if muon else lr
        backbone_lr = scratch if config.weights == "none" else scratch / 10
    rates: dict[str, Any] = {"lr": lr, "backbone_lr": backbone_lr, "weight_decay": config.weight_decay, "muon": muon}
    if isinstance(model, OwnTraining):
        rates["pace"] = model.pace
    return optimizers.parameter_groups(model, head, **rates)


def open_features(trainer: "Trainer", feeds: dict[str, Feed]) -> Features | None:
    """With a frozen backbone: its features, computed once. None, with the reason in the log, where each epoch needs it whole.

    Args:
        feeds: of the images that the features are made from, a feed for each split.
    """
    config, settings, model, pre = trainer.config, trainer.settings, trainer.state.model, trainer.pre
    if config.freeze != "backbone" or config.unfreeze_epoch is not None:
        return None
    augmented = parse_augment(config.augment).changes_pixels
    frozen = [name for _, names in trainer.stages for name in names]
    cut: Cut | str  # or why there is none
    if augmented and not config.views:
        cut = f"--augment={config.augment} changes the images; use --augment=none or --views=10"
    elif config.mixup or config.cutmix:
        cut = "--mixup and --cutmix blend images, not features"
    elif settings.precision == "fp64":
        cut = "the cache is float32, but --precision=fp64 needs more"
    else:
        cut = find_cut(model, trainer.head, frozen, pre.crop, trainer.autocast)
        if isinstance(cut, str):
            cut = f"{config.model}: {cut}"
        elif (
            size := 4 * cut.width * sum(len(feed.images) for feed in feeds.values())
        ) > LARGEST_SHARE * memory_for_training(trainer.device):
            cut = f"they need {readable(size)}, more than a quarter of the memory"
    if isinstance(cut, str):
        log.info("The frozen backbone runs in every epoch because its features cannot be cached: %s", cut)
        return None
    pixels, views = trainer.dataset.pixels, config.views if augmented else 0
    facts = {name: str(value) for name, value in asdict(settings).items() if name not in ("compile", "pieces")}
    facts |= {"torch": torch.__version__, "deterministic": str(config.deterministic)}
    folder = pixels.cache.path.parent if pixels.cache else None
    index = trainer.dataset.index
    key = features_key(index, pre, model, cut, f"{config.augment} {config.seed}" if views else "", facts)
    kept = FeatureSettings(settings.eval_batch, trainer.autocast, views, folder, key, len(index))
    features = Features(model, cut, feeds, kept)
    log.info("%s", features.describe())
    return features
