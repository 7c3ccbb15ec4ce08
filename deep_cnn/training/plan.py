"""A run as one value: what was decided, what it learns from, and everything that its steps work with."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from deep_cnn.config.identity import versions
from deep_cnn.config.schema import Config
from deep_cnn.data.augment.steps import parse_augment
from deep_cnn.data.dataset import Dataset, eval_feed
from deep_cnn.data.feed import Batch, Feed, Part
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.models.build import ModelSpec
from deep_cnn.models.freeze import training_mode
from deep_cnn.models.zoo.custom_training import OwnTraining
from deep_cnn.reporting.examples import Example, examples
from deep_cnn.runtime.device import Decisions, autocast_for, dtype_of, granted_cores, pick_precision
from deep_cnn.runtime.distributed import ALONE, Processes
from deep_cnn.tasks.base import Task, encoded
from deep_cnn.training import ddp, profiling
from deep_cnn.training.frozen_features import Features
from deep_cnn.training.loop import StepSettings
from deep_cnn.training.mixup import Mixer
from deep_cnn.training.optim import schedules
from deep_cnn.training.state import TrainingState


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
    schedule: schedules.Schedule
    steps: int  # optimizer steps in an epoch
    head: list[str]  # names of the head's modules
    stages: list[tuple[str, list[str]]]  # the backbone's, from the input on
    profile: profiling.Silent = profiling.SILENT
    features: Features | None = None  # of a frozen backbone; then the feeds are made of them
    exchanging: tuple[list[str], nn.Module] | None = None  # see `trained`
    own_feeds: list[Feed] = field(default_factory=list)  # see `image_feed`

    def frozen(self, epoch: int) -> list[str]:
        """The modules that are frozen in an epoch: a function of the epoch, so no resumed run forgets it."""
        config, model = self.materials.config, self.state.model
        own = model.still(epoch) if isinstance(model, OwnTraining) else []
        if config.freeze == "none" or (config.unfreeze_epoch is not None and epoch >= config.unfreeze_epoch):
            return own
        count = len(self.stages) if config.freeze == "backbone" else int(config.freeze)
        return [module for _, modules in self.stages[:count] for module in modules] + own

    def close(self) -> None:
        """Let go of the feeds' threads: a search or a notebook makes many plans in one process."""
        for feed in (*self.feeds.values(), *self.own_feeds):
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
            "versions": versions(),
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
            side = self.side(epoch)
            shape = (self.features.cut.width,) if self.features else (3, side, side)
            example = torch.zeros((max(2, part), *shape), device=m.device, dtype=dtype_of(self.decisions.precision))
            autocast = autocast_for(m.device, self.decisions.precision)
            self.exchanging = None  # lets go of the parameters
            self.exchanging = (frozen, ddp.exchanging(m.everyone, network, example, autocast))
        return self.exchanging[1]

    @property
    def mixer(self) -> Mixer:
        return Mixer(self.materials.config.mixup, self.materials.config.cutmix)

    def step_settings(self, network: nn.Module) -> StepSettings:
        """How a step of this run is computed. network: from `trained`."""
        m, config = self.materials, self.materials.config
        return StepSettings(
            seed=config.seed,
            pieces=self.decisions.pieces,
            clip=config.clip,
            l1=config.l1,
            mixer=self.mixer,
            autocast=autocast_for(m.device, self.decisions.precision),
            stream=m.everyone.here.rank,
            held=getattr(network, "no_sync", contextlib.nullcontext),
            summed=m.everyone.summed,
        )

    def side(self, epoch: int) -> int:
        """Of the images that an epoch trains on, in pixels (--small_epochs)."""
        config = self.materials.config
        return parse_augment(config.augment, config.small_epochs).side(self.materials.pre.crop, epoch)

    def work(self, epoch: int) -> float:
        """What a step of an epoch costs, about, compared with one on whole images."""
        return (self.side(epoch) / self.materials.pre.crop) ** 2

    def train_batches(self, epoch: int, first_step: int, global_step: int) -> Iterator[Batch]:
        """The batches of an epoch from `first_step` on, which is the run's `global_step`; of each, this process's part."""
        config = self.materials.config
        mixer, before = self.mixer, global_step - first_step
        blends = (lambda step, size: mixer.partners(size, config.seed, before + step)) if mixer.is_on else None
        here = self.materials.everyone.here
        part = Part(here.rank, here.count, blends)
        return self.feeds["train"].train_batches(epoch, first_step, config.batch_size, part)

    def image_feed(self, split: str) -> Feed:
        """A split's images, also where the feeds are made of features."""
        if not self.features:
            return self.feeds[split]
        m = self.materials
        dtype = dtype_of(self.decisions.precision)
        self.own_feeds.append(
            eval_feed(
                m.dataset,
                encoded(m.task, m.dataset.index, dtype),
                split,
                device=m.device,
                dtype=dtype,
                workers=m.workers,
            )
        )
        return self.own_feeds[-1]

    @property
    def facts(self) -> profiling.Facts:
        """What the advice of --profile depends on, apart from the times."""
        m, decisions = self.materials, self.decisions
        best = pick_precision("auto", m.device)
        return profiling.Facts(
            device=m.device.type,
            precision=decisions.precision,
            reduced="" if best == "fp32" else best,
            compiled=decisions.compile,
            deterministic=m.config.deterministic,
            cached=m.dataset.pixels.cache is not None,
            workers=m.workers,
            cores=granted_cores(),
            frozen=m.config.freeze == "backbone",
            features=self.features is not None,
            augment=m.config.augment,
        )

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
