"""All that happens before the first step: the machine, the data, the network, and the state to begin or go on with."""

import contextlib
import copy
import logging
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from deep_cnn import identity, machine, model_builder, models, optim, profiling, small_maps
from deep_cnn.config import Config, recipe_line
from deep_cnn.data.augment import parse_augment
from deep_cnn.data.cache import readable
from deep_cnn.data.feed import Batch, Feed, steps_per_epoch
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.dataset_generator import (
    Dataset,
    check_pre,
    choose_preprocessing,
    data_dir,
    find,
    open_feeds,
    own_normalisation,
    read_dataset,
    renormalised,
    task_of,
)
from deep_cnn.engine import StepSettings, training_mode
from deep_cnn.errors import ConfigError, DataError
from deep_cnn.examples import Example, examples
from deep_cnn.features import LARGEST_SHARE, Features, features_key, find_cut
from deep_cnn.mixing import Mixer
from deep_cnn.model_builder import ModelSpec
from deep_cnn.processes import ALONE, Processes
from deep_cnn.public_data import with_dataset
from deep_cnn.tasks import Task
from deep_cnn.training_state import TrainingState

log = logging.getLogger(__name__)

EVAL_BATCH = {"cpu": 32}  # more rows are no faster on a CPU
GPU_EVAL_BATCH = 256


@dataclass(frozen=True)
class Decisions:
    """What `auto` came to on the machine where the run began; kept when it goes on on another."""

    device: str
    precision: str
    compile: bool
    threads: int
    pieces: int
    eval_batch: int
    lr: float | None = None  # that --lr=auto found
    processes: int = 1  # of torchrun; threads and pieces are those of each


@dataclass(frozen=True)
class Materials:
    """The data of a run, and what the run is: known before a network is built."""

    config: Config
    device: torch.device
    workers: int
    pre: Preprocessing
    dataset: Dataset
    task: Task
    identity: dict[str, Any]
    begun: float  # time.monotonic()
    everyone: Processes = ALONE


@dataclass
class Plan:
    """Everything a run works with."""

    materials: Materials
    spec: ModelSpec
    decisions: Decisions
    feeds: dict[str, Feed]
    state: TrainingState
    schedule: optim.Schedule
    steps: int  # optimizer steps in an epoch
    head: list[str]  # names of the head's modules
    stages: list[tuple[str, list[str]]]  # the backbone's, from the input on
    profile: profiling.Silent = profiling.SILENT
    features: Features | None = None  # of a frozen backbone; then the feeds are made of them
    exchanging: tuple[list[str], nn.Module] | None = None  # see `trained`

    def frozen(self, epoch: int) -> list[str]:
        """The modules that are frozen in an epoch: a function of the epoch, so no resumed run forgets it."""
        config = self.materials.config
        if config.freeze == "none" or (config.unfreeze_epoch is not None and epoch >= config.unfreeze_epoch):
            return []
        count = len(self.stages) if config.freeze == "backbone" else int(config.freeze)
        return [module for _, modules in self.stages[:count] for module in modules]

    def close(self) -> None:
        """Let go of the feeds' threads: a search or a notebook makes many plans in one process."""
        for feed in self.feeds.values():
            feed.close()

    def describe(self) -> dict[str, Any]:
        """What every checkpoint says of itself, beside the weights."""
        m = self.materials
        return {
            "model": self.spec.to_dict(),
            "task": {k: list(v) if isinstance(v, tuple) else v for k, v in m.task.to_dict().items()},
            "preprocessing": {k: list(v) if isinstance(v, tuple) else v for k, v in m.pre.to_dict().items()},
            "config": {k: list(v) if isinstance(v, tuple) else v for k, v in m.config.to_dict().items()},
            "decisions": asdict(self.decisions),
            "identity": m.identity,
            "versions": identity.versions(),
        }

    def prepare(self, split: str, between: Callable[[], None]) -> None:
        """Compute the features that the split's next batches are made of, where they are and are not there yet."""
        if self.features:
            with self.profile.phase("features"):
                self.features.fill(split, self.state.progress.epoch, between, self.materials.everyone)

    def network(self, model: nn.Module) -> nn.Module:
        """What the feeds' batches go through: the whole network, or what follows its frozen backbone."""
        return self.features.cut.tail_of(model) if self.features else model

    def trained(self, epoch: int) -> nn.Module:
        """The network as an epoch's steps call it, in training mode; of several processes, with gradients that are summed."""
        model, frozen, m = self.state.model, self.frozen(epoch), self.materials
        training_mode(model, frozen)
        network = self.network(model)
        if m.everyone.count == 1:
            return network
        # when parts thaw, there are more gradients to sum
        if self.exchanging is None or self.exchanging[0] != frozen:
            # compiled, for the shape of the steps to come: a compilation takes a minute
            part = m.config.batch_size // m.everyone.count // self.decisions.pieces if self.decisions.compile else 2
            shape = (self.features.cut.width,) if self.features else (3, m.pre.crop, m.pre.crop)
            example = torch.zeros(
                (max(2, part), *shape), device=m.device, dtype=machine.dtype_of(self.decisions.precision)
            )
            autocast = machine.autocast(m.device, self.decisions.precision)
            self.exchanging = None  # lets go of the parameters
            self.exchanging = (frozen, m.everyone.exchanging(network, example, autocast))
        return self.exchanging[1]

    def step_settings(self, network: nn.Module) -> StepSettings:
        """How a step of this run is computed. network: from `trained`."""
        m, config = self.materials, self.materials.config
        return StepSettings(
            seed=config.seed, pieces=self.decisions.pieces, clip=config.clip, l1=config.l1,
            mixer=Mixer(config.mixup, config.cutmix), autocast=machine.autocast(m.device, self.decisions.precision),
            stream=m.everyone.here.rank, held=getattr(network, "no_sync", contextlib.nullcontext), summed=m.everyone.summed,
        )  # fmt: skip

    def train_batches(self, epoch: int, first_step: int, global_step: int) -> Iterator[Batch]:
        """The batches of an epoch from `first_step` on, which is the run's `global_step`; of each, this process's part."""
        config = self.materials.config
        mixer, before = Mixer(config.mixup, config.cutmix), global_step - first_step
        blends = (lambda step, size: mixer.partners(size, config.seed, before + step)) if mixer.is_on else None
        part = self.materials.everyone.part(blends)
        return self.feeds["train"].train_batches(epoch, first_step, config.batch_size, part)

    @property
    def facts(self) -> profiling.Facts:
        """What the advice of --profile depends on, apart from the times."""
        m, decisions = self.materials, self.decisions
        best = machine.pick_precision("auto", m.device)
        return profiling.Facts(
            device=m.device.type, precision=decisions.precision, reduced="" if best == "fp32" else best,
            compiled=decisions.compile, deterministic=m.config.deterministic, cached=m.dataset.pixels.cache is not None,
            workers=m.workers, cores=machine.granted_cores(), frozen=m.config.freeze == "backbone", features=self.features is not None,
            augment=m.config.augment,
        )  # fmt: skip

    def summary(self) -> str:
        """The network in words: parameters and modules. Nothing is passed through it, which would move BatchNorm's means."""
        model = self.state.model
        total, trained = (sum(p.numel() for p in model.parameters() if p.requires_grad or not only) for only in (0, 1))
        return f"{self.spec.name}: {total:,} parameters, {trained:,} of them trained, head {', '.join(self.head)}\n\n{model}"

    def examples(self, split: str, outputs: np.ndarray | None) -> list[Example]:
        """A few images of a split with what its raw outputs (n, K) say of them; none without outputs."""
        data, samples = self.materials.dataset, self.materials.dataset.samples(split)
        if outputs is None:
            return []
        return examples(
            self.materials.task, data.pixels, data.index.paths, samples, data.index.targets[samples], outputs
        )


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
    device = machine.pick_device(config.device)
    # in the words of the course's hand-out
    log.info("Running on %s device", device.type if everyone.count > 1 else device)
    if everyone.count > 1:
        log.info("%d processes share each batch of %d images", everyone.count, config.batch_size)
        if config.batch_size < 2 * everyone.count:
            log.warning("--batch_size=%d is less than two images for each of %d processes: every one computes all of it, "
                        "and nothing is gained", config.batch_size, everyone.count)  # fmt: skip
    if config.sync_batchnorm and device.type != "cuda":
        raise ConfigError(
            "--sync_batchnorm: torch has it for GPUs only; leave it out, and each process normalises its part"
        )
    log.info(recipe_line(config))
    machine.set_determinism(config.deterministic, device)
    if fresh:
        model_builder.check_weights_present(config.model, config.weights)
    pre = choose_preprocessing(config)
    workers = machine.granted_cores() if config.workers == "auto" else max(1, int(config.workers))
    dataset = read_dataset(config, pre, workers)
    if at_most is not None:
        dataset = dataset.at_most(at_most, config.seed)
    check_validation(config, dataset)
    task = task_of(config, dataset)
    return Materials(
        config, device, workers, pre, dataset, task, identity.run_identity(config, dataset.digest()), begun, everyone
    )


def check_names(config: Config) -> None:
    """Names and folders that can be told wrong at once, before anything is downloaded or read."""
    data_dir(config)
    models.find(config.model)
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
    model = model_builder.build_model(spec, config.seed)
    if saved is None:
        for line in m.everyone.in_turn(lambda: model_builder.load_weights(model, spec, config.weights, m.task.names)):
            log.info(line)
    samples = len(m.dataset.splits.train)
    steps = steps_per_epoch(samples, config.batch_size)
    decisions = None
    if m.everyone.first:  # hosts may differ, the numbers must not
        decisions = recorded(saved, m, model, steps) if saved else decide(m, model, steps)
    decisions = m.everyone.share(decisions)
    if config.sync_batchnorm and m.everyone.count > 1:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    machine.set_threads(decisions.threads)
    machine.keep_freed_memory()
    log.info("Computing in %s on %d thread%s, %s; batches of %d%s", decisions.precision, decisions.threads,
             "s" if decisions.threads > 1 else "", "compiled" if decisions.compile else "not compiled", config.batch_size,
             f" in {decisions.pieces} pieces" if decisions.pieces > 1 else "")  # fmt: skip

    dtype = machine.dtype_of(decisions.precision)
    model = model.to(m.device, dtype, memory_format=machine.CHANNELS_LAST)
    if decisions.precision == "bf16" and m.device.type == "cpu" and not decisions.compile:
        small_maps.use_matrix_products(model)
    head, stages = model_builder.head_modules(spec.name, model), model_builder.stages(spec.name, model)
    if config.freeze not in ("none", "backbone") and int(config.freeze) > len(stages):
        names = ", ".join(name for name, _ in stages)
        raise ConfigError(f"--freeze={config.freeze}: {config.model} has {len(stages)} stages: {names}")
    average = optim.MovingAverage(model, copy.deepcopy(model), config.ema) if config.ema else None
    optimizer = optim.make_optimizer(config.optimizer, parameter_groups(config, model, head),
                                     momentum=config.momentum, nesterov=config.nesterov)  # fmt: skip
    scaler = torch.amp.GradScaler(m.device.type, enabled=decisions.precision == "fp16")
    state = TrainingState(model, optimizer, scaler, average, torch.zeros(2, dtype=torch.float64, device=m.device))
    if saved:
        state.restore(saved)
    profile = profiling.Profile(m.device, m.begun) if config.profile else profiling.SILENT
    feeds = open_feeds(config, m.dataset, m.task, device=m.device, dtype=dtype, workers=m.workers, watch=profile.beside)
    features = open_features(m, spec, model, decisions, head, stages, feeds)
    if features:
        feeds = features.feeds
    elif decisions.compile:
        model.compile(dynamic=False)  # the last batch gets its own kernels; one set for any size is slower for all
    schedule = optim.make_schedule(config.schedule, steps * config.epochs, config.warmup)
    return Plan(m, spec, decisions, feeds, state, schedule, steps, head, stages, profile, features)


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
    m: Materials, spec: ModelSpec, model: nn.Module, decisions: Decisions, head: list[str], stages: list,
    feeds: dict[str, Feed],
) -> Features | None:  # fmt: skip
    """With a frozen backbone: its features, computed once. None, with the reason in the log, where each epoch needs it whole."""
    config = m.config
    if config.freeze != "backbone" or config.unfreeze_epoch is not None:
        return None
    augmented = parse_augment(config.augment).changes_pixels
    autocast = machine.autocast(m.device, decisions.precision)
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
        size, memory = 4 * cut.width * sum(len(feed) for feed in feeds.values()), machine.memory_for_training(m.device)
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
    features = Features(model, cut, feeds, eval_batch=decisions.eval_batch, autocast=autocast, views=views,
                        folder=folder, key=key, rows=len(index))  # fmt: skip
    log.info("%s", features.describe())
    return features


def parameter_groups(config: Config, model: nn.Module, head: list[str]) -> list[dict]:
    lr = 1.0 if config.lr == "auto" else config.lr  # 1: until `settle_rate`
    backbone_lr = config.backbone_lr
    if backbone_lr is None:
        backbone_lr = lr if config.weights == "none" else lr / 10
    return optim.parameter_groups(model, head, lr=lr, backbone_lr=backbone_lr, weight_decay=config.weight_decay)


def settle_rate(plan: Plan, lr: float) -> None:
    """Make `lr`, that a range test found, the rate of the run: in its groups, and recorded among its decisions."""
    for group in plan.state.optimizer.param_groups:
        if group["part"] == "head" or plan.materials.config.backbone_lr is None:  # else: given, as it stands
            group["base_lr"] *= lr
    plan.decisions = replace(plan.decisions, lr=lr)


def decide(m: Materials, model: nn.Module, steps: int) -> Decisions:
    """What `auto` comes to here: a function of the flags and the machine, never of a timing or of what is free just now."""
    config, device = m.config, m.device
    precision = machine.pick_precision(config.precision, device)
    if config.grad_accumulation == "auto":
        per_image = machine.saved_bytes_per_image(model, m.pre.crop, precision)
        weights = sum(p.numel() for p in model.parameters())
        memory = machine.memory_for_training(device)
        images = -(-config.batch_size // m.everyone.count)
        pieces = machine.pieces_for(images, per_image, weights, memory)
        if pieces > 1:
            log.info("A batch of %d needs about %.1f GB in one piece, and %.1f GB are granted: --grad_accumulation=%d",
                     images, 1.5 * per_image * images / 1e9, memory / 1e9, pieces)  # fmt: skip
    else:
        pieces = int(config.grad_accumulation)
    largest = max(len(m.dataset.splits.validation), len(m.dataset.splits.test), 1)
    eval_batch = min(EVAL_BATCH.get(device.type, GPU_EVAL_BATCH), largest)
    compiled = machine.compiles(config.compile, device, steps * config.epochs, config.deterministic)
    return Decisions(
        device.type, precision, compiled, machine.granted_cores(), pieces, eval_batch, processes=m.everyone.count
    )


def recorded(saved: dict[str, Any], m: Materials, model: nn.Module, steps: int) -> Decisions:
    """What was decided when the run began; says so where this machine would have decided otherwise."""
    decisions = Decisions(**saved["decisions"])
    if decisions.processes != m.everyone.count:
        log.warning("The run began on %d process%s and goes on on %d: dropout is drawn anew, BatchNorm sees other parts, and "
                    "the last digits are not those of an unbroken run", decisions.processes,
                    "es" if decisions.processes > 1 else "", m.everyone.count)  # fmt: skip
        here = decide(m, model, steps)
        decisions = replace(decisions, processes=here.processes, threads=here.threads, pieces=here.pieces)
    if decisions.device != m.device.type:
        log.warning("The run began on %s and goes on on %s: its last digits will not be those of an unbroken run",
                    decisions.device, m.device.type)  # fmt: skip
    if m.device.type == "cpu" and decisions.threads != machine.granted_cores():
        log.info("The run began on %d cores and keeps %d threads, here on %d: another number changes the last digits",
                 decisions.threads, decisions.threads, machine.granted_cores())  # fmt: skip
    return decisions
