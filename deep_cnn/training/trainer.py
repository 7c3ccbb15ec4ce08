"""One run: train, validate and test a network. Begin reading here."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from deep_cnn.config.fields import parse_duration
from deep_cnn.config.identity import run_identity, versions
from deep_cnn.config.schema import Config
from deep_cnn.data.augment.steps import parse_augment
from deep_cnn.data.contents import file_of
from deep_cnn.data.contents import save as save_contents
from deep_cnn.data.dataset import Dataset, check_readable, eval_feed, open_feeds
from deep_cnn.data.division import check_formats
from deep_cnn.data.feed import Batch, BatchSource, FeedSettings, ShardSpec, steps_per_epoch, train_rows
from deep_cnn.inference.coverage import with_coverage
from deep_cnn.inference.evaluate import collect, with_views
from deep_cnn.inference.linear_baseline import linear_predictions, with_linear_baseline, write_baseline
from deep_cnn.inference.tta import Averaged
from deep_cnn.models import checkpoint
from deep_cnn.models.build import ModelSpec, head_modules, weights_label
from deep_cnn.models.build import stages as stages_of
from deep_cnn.models.freeze import frozen_modules, training_mode
from deep_cnn.reporting import result_text, tutorial_console
from deep_cnn.reporting.examples import Example, examples
from deep_cnn.reporting.trackers.trackers import opened as opened_trackers
from deep_cnn.runtime import distributed, faults, signals
from deep_cnn.runtime.console import Bar
from deep_cnn.runtime.device import (
    autocast_for,
    compile_shapes,
    dtype_of,
    give_back_memory,
    granted_cores,
    pick_precision,
    replayed,
)
from deep_cnn.runtime.distributed import main_process
from deep_cnn.runtime.errors import DataError
from deep_cnn.runtime.signals import Interrupted
from deep_cnn.runtime.walltime import Deadline, Forecast, time_limit
from deep_cnn.tasks.base import Task, encoded, plain_values
from deep_cnn.tasks.conformal import Calibration
from deep_cnn.tasks.make import task_from_dict
from deep_cnn.training import compute, profiling, records, setup
from deep_cnn.training import outputs as run_outputs
from deep_cnn.training.calibrate import calibrated, errors_of, save_fold_errors
from deep_cnn.training.checkpointing import Checkpointer
from deep_cnn.training.ddp import GradientSync, broadcast_buffers
from deep_cnn.training.epoch_log import EpochLog
from deep_cnn.training.loop import StepSettings, train_one_epoch
from deep_cnn.training.mixup import Mixer
from deep_cnn.training.nan_guard import LossWatch
from deep_cnn.training.ood_reference import add_reference
from deep_cnn.training.optim import range_test
from deep_cnn.training.optim.optimizers import follows_lr
from deep_cnn.training.optim.schedules import make_schedule
from deep_cnn.training.resume import AskedData, SavedRun, expect_contents, find_checkpoint, move_aside
from deep_cnn.training.run import Run, RunPlace, opened_run
from deep_cnn.training.score_scale import settle_scale

log = logging.getLogger(__name__)

Result = dict[str, Any]  # what test.json holds


@dataclass(frozen=True)
class Hooks:
    """What a search adds to a run.

    Attributes:
        after_epoch: gets each epoch's row of metrics.csv before it is saved, on rank 0; may raise to end the run.
        test: False for a trial of a search: nothing that is chosen by it may have seen the test set.
    """

    after_epoch: Callable[[dict[str, Any]], None] | None = None
    test: bool = True


@dataclass(frozen=True)
class Limits:
    """A short version of a run. images: of each split, at most; None for all."""

    images: int | None = None


FIRST_IMAGES = 1000  # of each split are read before another run is moved aside: seconds, and the cache keeps them

NO_HOOKS = Hooks()
NO_LIMITS = Limits()


def train(
    config: Config, hooks: Hooks = NO_HOOKS, limits: Limits = NO_LIMITS, place: RunPlace | None = None
) -> Result | None:
    """Train, validate and test one network. The same command resumes where it was stopped.

    Args:
        config: the flags of the run; what it leaves behind is below ROOT_DIR/outputs.
        place: where a trial of a search leaves its files, under a name that is held already.

    Returns:
        The held-out result, as in test.json, or None where there is no test set.

    Raises:
        Stopped: by a signal or the time limit, with everything saved.
        DeepCNNError: a mistake of the user.
    """
    try:
        return _train(config, hooks, limits, place)
    finally:
        give_back_memory()  # a notebook or a search trains many networks in one process


def _train(config: Config, hooks: Hooks, limits: Limits, place: RunPlace | None) -> Result | None:
    # folders, log, lock, ranks; status.json at the end, whatever happens
    with opened_run(config, place) as run, contextlib.ExitStack() as at_end:
        run = setup.prepare(run)  # flags checked; device, weights and preprocessing found
        dataset, task = setup.load_dataset(run, limits.images)  # which images, which targets; splits; cache
        at_end.callback(dataset.close)
        run = setup.with_defaults(run, dataset, resumes=True)  # what depends on the number of training images
        check_formats(dataset.index)  # HEIC needs a library: said now, not in the middle of an epoch
        # what makes another command the same run
        identity = run_identity(run.config, dataset.digest(), dataset.read_digest())
        tested = hooks.test and len(dataset.splits.test) > 0
        asked = AskedData(dataset, task.target_rows)
        saved = find_checkpoint(run, identity, tested, asked)  # nothing, an unfinished run, or a finished one
        expect_contents(dataset, saved)
        if saved.finished:
            return records.show_again(run, dataset, saved, searching=hooks.after_epoch is not None)
        run = run if saved.state is not None else setup.with_weights(run)
        with build_trainer(run, dataset, task, saved, hooks) as trainer:
            trainer.fit()
            if not hooks.test:
                return None
            result = trainer.test() if tested else trainer.end_without_test()
            records.check_whole(run.files)
            records.write_report_of(run.files, dataset.index.root)
            records.settle(run.files)
        return result


class Trainer:
    """A run in memory: its data, its network, and everything that its steps work with.

    Args:
        run: from `setup.prepare`.
        dataset, task: from `setup.load_dataset`.
        saved: what `find_checkpoint` found; the state to resume from, if any.
    """

    def __init__(self, run: Run, dataset: Dataset, task: Task, saved: SavedRun, hooks: Hooks = NO_HOOKS):
        pre, dataset = setup.normalised(run, dataset, saved.state)
        self.run, self.config, self.device = run, run.config, run.device
        self.dataset, self.task, self.pre, self.hooks, self.identity = dataset, task, pre, hooks, saved.identity
        self.steps = steps_per_epoch(len(dataset.training), self.config.batch)  # optimizer steps in an epoch
        self.spec = ModelSpec(self.config.model, task.outputs, self.config.dropout, pre.crop)
        model, self.settings = setup.build_network(run, dataset, task, self.spec, saved.state)
        # what it began with: a resumed run doesn't need the file
        self.weights = "" if saved.state else weights_label(self.config.model, self.config.weights_source)
        self.head, self.stages = head_modules(self.spec.name, model), stages_of(self.spec.name, model)
        setup.check_freeze(self.config, self.stages)
        task.prepare_heads([model.get_submodule(name) for name in self.head])
        self.state = setup.build_state(run, model, self.head, self.settings, saved.state)
        self.profile = profiling.Profile(self.device, run.began) if self.config.profile else profiling.SILENT
        targets = encoded(task, dataset.index, self.dtype)
        # what images must leave free of a GPU; no image is kept in the memory of a CPU
        reserve = compute.step_memory(run, dataset, model, self.settings) if self.device.type == "cuda" else 0
        timer = self.profile.cuda_timer
        feed_settings = FeedSettings(self.device, self.dtype, run.workers, timer=timer, reserve=reserve)
        feeds = open_feeds(
            self.config, dataset, targets, feed_settings, setup.sample_weights(self.config, dataset, task)
        )
        self.features = setup.open_features(self, feeds)
        self.feeds: Mapping[str, BatchSource] = self.features.feeds if self.features else feeds
        self.step_network: Callable[..., Any] | None = None  # instead of the network, where its kernels are replayed
        if self.settings.compile and not self.features:
            compile_shapes(model)
            feeds["train"].compile()
            if compute.replays(self.settings, self.device, reserve):
                self.step_network = replayed(model)
        self.schedule = make_schedule(self.config.schedule, self.steps * self.config.epochs, self.config.warmup)
        self.gradients = GradientSync()
        self.losses = LossWatch(dataset.sample_names(), self.device)
        self.mixer = Mixer(self.config.mixup, self.config.cutmix)
        self.opened_feeds: list[BatchSource] = list(self.feeds.values())
        self.checkpoints: Checkpointer
        self.log: EpochLog

    # ---- the run --------------------------------------------------------------------------------------------------

    def fit(self) -> None:
        """Train to the last epoch, from the epoch and step at which the state is."""
        progress = self.state.progress
        while not progress.finished:
            try:
                self.train_epoch()
                row, outputs = self.validate_epoch()
            except DataError:  # a file that can no longer be read; the state is that between two steps
                self.checkpoints.save()
                raise
            except Interrupted:
                self.checkpoints.check()
                raise
            self.log.epoch(self.state, row, partial(self.examples, "validation", outputs))
            if self.hooks.after_epoch is not None:
                self.after_epoch(row)
            self.checkpoints.after_epoch(short=self.features is not None and not progress.finished)
        self.note_progress()  # a full disk may have refused the state
        self.checkpoints.flush_best()

    def train_epoch(self) -> None:
        """The rest of the epoch at which the state is; the whole of it in an unbroken run."""
        state, progress = self.state, self.state.progress
        if progress.step >= self.steps:
            return  # stopped during this epoch's validation
        with self.profile.timer("step"):
            self.compute_features("train", self.checkpoints.check)
            network = self.training_network(progress.epoch)
            batches = self.profile.batches(self.train_batches(progress.epoch, progress.step, progress.global_step))
            steps = train_one_epoch(network, batches, self.task, state, self.step_settings(network))
            with contextlib.closing(Bar(f"Epoch {progress.epoch}", self.steps, progress.step)) as bar:
                then = time.monotonic()
                for step in steps:
                    progress.step, progress.global_step = progress.step + 1, step.number + 1
                    loss = self.losses.add(step, progress.epoch)
                    bar.step(f"loss={loss:.3g}" if loss is not None else "")
                    now = time.monotonic()
                    progress.train_seconds, then = progress.train_seconds + now - then, now
                    self.log.step(state, now)
                    self.checkpoints.after_step()
                self.losses.read()
                progress.train_seconds += time.monotonic() - then

    def validate_epoch(self) -> tuple[dict[str, Any], np.ndarray | None]:
        """Score the validation set, keep the best weights, and move the state to the next epoch.

        Returns:
            The epoch's row of metrics.csv, and the validation's raw outputs (n, K); None without a validation set, and on
            every rank but 0.
        """
        state, progress = self.state, self.state.progress
        self.profile.epoch()
        begun, outputs = time.monotonic(), None
        with self.profile.timer("validation"):
            row = self.training_row()
            if "validation" in self.feeds:
                outputs = self.score("validation", self.checkpoints.check)
                scores = distributed.broadcast(outputs is not None and self.scores("validation", outputs))
                row |= {f"val_{name}": value for name, value in scores.items()}
                selected = scores[self.task.select]
                value = float("nan") if selected is None else selected
                plateau = self.config.schedule == "plateau"
                better = progress.validated(value, scores.get("loss"), self.task.higher_is_better, plateau=plateau)
            else:
                progress.best_epoch, better = progress.epoch, True  # the last weights are the ones that are kept
            state.history.append(row)
            state.timing.append({"epoch": row["epoch"], "train_seconds": round(progress.train_seconds, 3)})
            if better or progress.best_epoch < 0:
                # the weights that are tested and used, with the epoch's row and what the validation says of their outputs
                best = {"weights": state.selected.state_dict(), "epoch": row["epoch"], "validation": row}
                best |= calibrated(self.task, self.dataset, outputs)
                self.checkpoints.save_best(self.describe() | best, at_once=self.features is None)
            progress.next_epoch(self.config.epochs, self.config.patience)
            state.sums.zero_()
        self.log.validated(time.monotonic() - begun)
        return row, outputs

    def test(self) -> Result:
        """Read the test set, once, with the best weights; write everything that a run leaves behind."""
        with self.ending():
            best = main_process(checkpoint.load)(self.run.files.best)
            self.state.selected.load_state_dict(best["weights"])
            outputs = self.score("test", self.check_without_saving)
            views = self.score_views("test", self.check_without_saving)
            result = self.write_test(outputs, views, best)
        self.close(result)
        return result

    def end_without_test(self) -> Result | None:
        """End the run where there is no test set: None, in place of a result."""
        with self.ending():
            pass
        self.close(None)
        return None

    @contextlib.contextmanager
    def ending(self) -> Iterator[None]:
        """The test's frame: before it, what `predict` needs to flag unusual images."""
        try:
            with self.profile.timer("test"):
                add_reference(self, self.check_without_saving)
                self.task = settle_scale(self, self.check_without_saving)
                yield
            self.save_contents()
        except Interrupted:
            self.check_without_saving()
            raise

    @main_process
    def write_test(self, outputs: np.ndarray | None, views: np.ndarray | None, best: dict[str, Any]) -> Result:
        """test.json, predictions_test.csv, the figures and the console's lines, from raw outputs float32 (n, K).

        views: the outputs with --tta, or None. best: the checkpoint that was tested.
        """
        assert outputs is not None, "rank 0 has them"
        files, config, progress = self.run.files, self.config, self.state.progress
        task = task_from_dict(best["task"])  # calibrated
        result = task.held_out_result(self.dataset, "test", outputs) | {"best_epoch": best["epoch"]}
        errors = Calibration.from_dict(best["calibration"]) if "calibration" in best else None
        result = with_coverage(result, task, self.dataset, outputs, errors)
        said = linear_predictions(task, self.dataset, config.seed, self.run.workers, self.check_without_saving)
        if said is not None:
            result = with_linear_baseline(result, task, self.dataset, outputs, said)
        if views is not None:
            result = with_views(result, config.tta, task.held_out_result(self.dataset, "test", views))
        self.check_without_saving()
        if config.fold is not None and (of_fold := errors_of(task, self.dataset, "test", outputs)) is not None:
            save_fold_errors(files, config, best, of_fold)
        epoch = progress.best_epoch if progress.best_epoch >= 0 else None
        tested = run_outputs.tested(task, self.dataset, outputs)
        run_outputs.write_plots(files, task, self.state.history, epoch, tested)
        run_outputs.write_tables(files, task.test_tables(self.dataset, outputs))
        if said is not None:
            write_baseline(files, task, self.dataset, said)
        run_outputs.write_test(files, task, self.dataset.index, tested, result)
        result_text.show_result(result)
        for line in tutorial_console.result_lines(result) if config.console == "tutorial" else ():
            log.info(line)
        log.info("Everything is in %s", files.results)
        return result

    def close(self, result: Result | None) -> None:
        """The trackers get the result; --profile says where the time went."""
        self.log.close(result)
        if distributed.is_main():
            self.profile.report(self.facts, self.run.files.results / "profile.json")

    # ---- saving -----------------------------------------------------------------------------------------------------

    def before_save(self) -> None:
        """Raise instead of saving when the run's name was taken, or the loss is no number."""
        assert self.run.lock is not None  # only rank 0 saves
        self.run.lock.check()
        self.losses.read()

    def save_contents(self) -> None:
        """Keep what this rank has read, so that a later start notices files that have changed."""
        contents = self.dataset.pixels.contents
        if contents is None or not contents.unsaved:
            return
        path = file_of(self.run.files.models, distributed.rank())
        try:
            save_contents(path, contents, self.identity["data"])
        except OSError as error:
            log.warning(
                "Could not write %s (%s); whether these images change is not known later", path, error.strerror or error
            )

    def capture(self) -> dict[str, Any]:
        """The whole state, as last.pt holds it."""
        return self.describe() | self.state.capture()

    def after_save(self) -> None:
        """Tell job scripts how far the saved state is."""
        self.note_progress()
        self.run.status.say("running")

    def note_progress(self) -> None:
        """Have status.json say from now on how far the state is."""
        self.run.status.note_progress(asdict(self.state.progress), self.steps * self.config.epochs)

    def check_without_saving(self) -> None:
        """Between two pieces of the test: the state on disk is the one to keep."""
        self.checkpoints.check(save=False)

    @main_process
    def after_epoch(self, row: dict[str, Any]) -> None:
        """Tell the search, which may end the run."""
        assert self.hooks.after_epoch is not None
        self.hooks.after_epoch(row)

    def describe(self) -> dict[str, Any]:
        """What every checkpoint says of itself, beside the weights."""
        return {
            "model": self.spec.to_dict(),
            "task": plain_values(self.task.to_dict()),
            "preprocessing": plain_values(self.pre.to_dict()),
            "config": plain_values(self.config.to_dict()),
            "decisions": asdict(self.settings),
            "identity": self.identity,
            "versions": versions(),
        }

    # ---- one epoch's parts ---------------------------------------------------------------------------------------

    @property
    def dtype(self) -> torch.dtype:
        """The type of weights and images."""
        return dtype_of(self.settings.precision)

    @property
    def autocast(self) -> Callable[[], contextlib.AbstractContextManager[Any]]:
        """Open the reduced precision for a forward pass."""
        return autocast_for(self.device, self.settings.precision)

    def side(self, epoch: int) -> int:
        """Side in pixels of the images that an epoch trains on (--small_epochs)."""
        return parse_augment(self.config.augment, self.config.small_epochs).side(self.pre.crop, epoch)

    def work(self, epoch: int) -> float:
        """What a step of an epoch costs, about, compared with one on whole images."""
        return (self.side(epoch) / self.pre.crop) ** 2

    def lr_multiplier(self, step: int) -> float:
        """The factor on each group's learning rate at a global step."""
        return self.schedule.factor(step) * self.state.progress.plateau_factor

    def frozen_parameters(self, epoch: int) -> list[str]:
        """Names of the modules and parameters that are frozen in an epoch."""
        return frozen_modules(self.config, self.state.model, self.stages, epoch)

    def network(self, model: nn.Module) -> nn.Module:
        """What the feeds' batches go through: the whole network, or what follows its frozen backbone."""
        return self.features.cut.tail_of(model) if self.features else model

    def training_network(self, epoch: int) -> Callable[..., Any]:
        """The network as an epoch's steps call it, in training mode; of several ranks, with gradients that are summed."""
        frozen = self.frozen_parameters(epoch)
        training_mode(self.state.model, frozen, keep_statistics=self.config.batchnorm == "keep")
        network = self.network(self.state.model)
        if distributed.world_size() == 1:
            return self.step_network or network
        # compiled, for the shape of the steps to come: a compilation takes a minute
        samples = self.config.batch // distributed.world_size() // self.settings.pieces if self.settings.compile else 2
        side = self.side(epoch)
        shape = (self.features.cut.width,) if self.features else (3, side, side)
        example = torch.zeros((max(2, samples * self.dataset.views), *shape), device=self.device, dtype=self.dtype)
        return self.gradients.wrapped(network, frozen, example, self.autocast)

    def step_settings(self, network: Callable[..., Any]) -> StepSettings:
        """How a step of this run is computed. network: from `training_network`."""
        return StepSettings(
            seed=self.config.seed,
            micro_batches=self.settings.pieces,
            clip=self.config.clip,
            l1=self.config.l1,
            mixer=self.mixer,
            autocast=self.autocast,
            lr_multiplier=self.lr_multiplier,
            dropout_stream=distributed.rank(),
            no_sync=getattr(network, "no_sync", contextlib.nullcontext),
            all_reduce=distributed.all_reduce,
        )

    def train_batches(self, epoch: int, first_step: int, global_step: int) -> Iterator[Batch]:
        """The batches of an epoch from `first_step` on, which is the run's `global_step`; of each, this rank's shard."""
        before = global_step - first_step

        def partners(step: int, size: int) -> np.ndarray:
            return self.mixer.partners(size, self.config.seed, before + step)

        shard = ShardSpec(distributed.rank(), distributed.world_size(), partners if self.mixer.is_on else None)
        return self.feeds["train"].train_batches(epoch, first_step, self.config.batch, shard)

    def compute_features(self, split: str, between: Callable[[], None]) -> None:
        """Compute the features that the split's next batches are made of, where they are and are not there yet."""
        if self.features:
            with self.profile.timer("features"):
                self.features.fill(split, self.state.progress.epoch, between)

    def training_row(self) -> dict[str, Any]:
        """The epoch's row of metrics.csv, as far as training fills it."""
        progress = self.state.progress
        loss_sum, weight = self.state.sums.tolist()
        head_lr = max(group["base_lr"] for group in self.state.optimizer.param_groups if group["part"] == "head")
        return {
            "epoch": progress.epoch,
            "step": progress.global_step,
            "lr": head_lr * self.lr_multiplier(progress.global_step - 1),
            "train_loss": loss_sum / weight,
        }

    # ---- scoring ---------------------------------------------------------------------------------------------------

    def score(self, split: str, between: Callable[[], None]) -> np.ndarray | None:
        """Raw outputs of every sample of a split, in its order, float32 (n, K); on every rank but 0, None."""
        self.compute_features(split, between)
        return self._collect(self.network(self.state.selected), self.feeds[split], split.capitalize(), between)

    def score_views(self, split: str, between: Callable[[], None]) -> np.ndarray | None:
        """--tta: the split's raw outputs once more, as means over views of each image."""
        if self.config.tta == "none":
            return None
        return self._collect(Averaged(self.state.selected, self.config.tta), self.image_feed(split), "Views", between)

    def _collect(
        self, network: nn.Module, feed: BatchSource, title: str, between: Callable[[], None]
    ) -> np.ndarray | None:
        broadcast_buffers(network)
        return collect(network, feed, self.settings.eval_batch, self.autocast, title, between)

    def image_feed(self, split: str) -> BatchSource:
        """A split's images, also where the feeds are made of features."""
        if not self.features:
            return self.feeds[split]
        targets = encoded(self.task, self.dataset.index, self.dtype).images
        settings = FeedSettings(self.device, self.dtype, self.run.workers)
        self.opened_feeds.append(eval_feed(self.dataset, targets, split, settings))
        return self.opened_feeds[-1]

    def scores(self, split: str, outputs: np.ndarray) -> dict[str, float | None]:
        """An epoch's metrics of a split, by name, from its raw outputs (n, K)."""
        return self.task.epoch_scores(self.dataset, split, outputs)

    def examples(self, split: str, outputs: np.ndarray | None) -> list[Example]:
        """A few images of a split with what its raw outputs (n, K) say of them; none without outputs."""
        data, samples = self.dataset, self.dataset.samples(split)
        if outputs is None:
            return []
        own = outputs[data.own_rows(split)]
        return examples(self.task, data.pixels, data.index.paths, samples, data.index.targets[samples], own)

    # ---- what is said of the run -----------------------------------------------------------------------------------

    @property
    def facts(self) -> profiling.Facts:
        """What the advice of --profile depends on, apart from the times."""
        best = pick_precision("auto", self.device)
        return profiling.Facts(
            device=self.device.type,
            precision=self.settings.precision,
            reduced="" if best == "fp32" else best,
            compiled=self.settings.compile,
            deterministic=self.config.deterministic,
            cached=self.dataset.pixels.cache is not None,
            workers=self.run.workers,
            cores=granted_cores(),
            frozen=self.config.freeze == "backbone",
            features=self.features is not None,
            augment=self.config.augment,
        )

    def summary(self) -> str:
        """The network in words: parameters and modules. Nothing is passed through it, which would move BatchNorm's means."""
        model = self.state.model
        total, trained = (sum(p.numel() for p in model.parameters() if p.requires_grad or not only) for only in (0, 1))
        return f"{self.spec.name}: {total:,} parameters, {trained:,} of them trained, head {', '.join(self.head)}\n\n{model}"

    def let_go(self) -> None:
        """Close the feeds' threads and free the memory of CUDA graphs: a search or a notebook makes many trainers in one process."""
        for feed in self.opened_feeds:
            feed.close()
        if self.step_network is not None:
            torch.compiler.reset()


@contextlib.contextmanager
def build_trainer(
    run: Run, dataset: Dataset, task: Task, saved: SavedRun, hooks: Hooks = NO_HOOKS
) -> Iterator[Trainer]:
    """A trainer in the state that was saved, or in the first one; with its time limit, checkpoints, log and trackers."""
    config = run.config
    trainer = Trainer(run, dataset, task, saved, hooks)
    if config.tta != "none" and not len(dataset.samples("test")):
        log.info("--tta=%s has no effect: there is no test set", config.tta)
    with contextlib.ExitStack() as stack:
        stack.callback(trainer.let_go)
        signals.raise_if_requested()
        if saved.state is None:
            read_first_images(trainer, replaces=bool(saved.to_move))
        move_aside(run, saved)
        if config.lr == "auto" and saved.state is None:
            find_learning_rate(trainer)
        records.write(trainer)
        stack.enter_context(faults.explained(config.batch, trainer.settings.pieces))
        run.at_end.enter_context(signals.between_steps(alone=distributed.world_size() == 1))
        deadline = time_limit(parse_duration("max_time", config.max_time)) if distributed.is_main() else Deadline(None)
        timer = trainer.profile.timer
        trainer.checkpoints = Checkpointer(run.files, trainer, config.save_every, deadline, timer)
        forecast = Forecast(trainer.steps, config.epochs, trainer.work)
        images = len(dataset.training) * dataset.views
        trainer.log = EpochLog(run, task, images, trainer.steps, forecast, deadline)
        trainer.after_save()
        progress = trainer.state.progress
        if progress.global_step:
            log.info("Resuming at epoch %d, step %d of %d", progress.epoch, progress.step, trainer.steps)
            trainer.log.write_tables(
                trainer.state
            )  # the process before this one may have died just after its last save
        trackers = opened_trackers(config, run.files, trainer.summary(), progress.epoch, writes=distributed.is_main())
        trainer.log.trackers = stack.enter_context(trackers)
        yield trainer


def rehearse(config: Config) -> None:
    """What a run of these flags does before it takes its name: all checks, the network, the first batch. Raises as `train`."""
    run, dataset, task = setup.look_at_data(config, fresh=True)
    with contextlib.ExitStack() as at_end:
        at_end.callback(dataset.close)
        trainer = Trainer(run, dataset, task, SavedRun({}))
        at_end.callback(trainer.let_go)
        read_first_images(trainer, replaces=True)


@main_process
def read_first_images(trainer: Trainer, *, replaces: bool) -> None:
    """Read the first batch, so that an image that cannot be read is named before anything is written.

    replaces: another run of this name will be moved aside: read some of every split.
    """
    splits, config = trainer.dataset.splits, trainer.config
    first = trainer.dataset.images_of(next(train_rows(trainer.dataset.training, config.seed, 0, 0, config.batch)))
    if replaces:
        parts = (splits.train, splits.validation, splits.test)
        first = np.concatenate([first, *(part[:FIRST_IMAGES] for part in parts)])
    check_readable(trainer.dataset.pixels, first, trainer.run.workers)


def find_learning_rate(trainer: Trainer) -> None:
    """--lr=auto: settle the learning rate by a range test, and draw it."""
    log.info("--lr=auto: testing increasing learning rates in %d steps, which are then undone", range_test.STEPS)
    with signals.agreed(distributed.world_size()):
        test = range_test.range_test(trainer, distributed.stop_if_requested)
    if distributed.is_main():
        range_test.plot(test, trainer.run.files.results / "lr_range.png")
    lr = distributed.broadcast(test.lr)
    for group in trainer.state.optimizer.param_groups:
        if follows_lr(group, trainer.config.backbone_lr):
            group["base_lr"] *= lr
    trainer.settings = replace(trainer.settings, lr=lr)
    log.info("--lr=auto: using %g", lr)
