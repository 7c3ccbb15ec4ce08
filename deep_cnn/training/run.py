"""One run from start to end: check, index, split, build, train, validate, test."""

import contextlib
import logging
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from deep_cnn.config.fields import parse_duration
from deep_cnn.config.identity import command_line
from deep_cnn.config.schema import Config
from deep_cnn.data.feed import Feed
from deep_cnn.data.split import save_splits
from deep_cnn.inference import evaluate
from deep_cnn.inference.tta import Averaged
from deep_cnn.models import checkpoint
from deep_cnn.reporting import result_text, tutorial_console
from deep_cnn.reporting.report.page import write_report
from deep_cnn.reporting.report.record import read_record
from deep_cnn.reporting.trackers.interface import Epoch
from deep_cnn.reporting.trackers.trackers import opened as opened_trackers
from deep_cnn.runtime import console, distributed, faults, signals
from deep_cnn.runtime.atomic import read_json, write_json
from deep_cnn.runtime.device import autocast_for
from deep_cnn.runtime.distributed import ALONE, Processes
from deep_cnn.runtime.errors import DataError, DeepCNNError, LostPeer
from deep_cnn.runtime.format import duration
from deep_cnn.runtime.lock import RunLock, held
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.runtime.signals import Interrupted, Stopped
from deep_cnn.runtime.status import Status
from deep_cnn.runtime.walltime import Deadline, Forecast, forecast_text, time_limit
from deep_cnn.training import ddp, loop, setup
from deep_cnn.training import outputs as run_outputs
from deep_cnn.training.checkpointing import Keeper
from deep_cnn.training.nan_guard import LossWatch
from deep_cnn.training.ood_reference import keep_reference
from deep_cnn.training.optim import range_test
from deep_cnn.training.plan import Materials, Plan
from deep_cnn.training.resume import find_saved, is_finished

log = logging.getLogger(__name__)


def train(config: Config, *, at_most: int | None = None) -> dict[str, Any] | None:
    """Train, validate and test one network; what the run leaves behind is below ROOT_DIR/outputs.

    Args:
        at_most: take so many images of each split, for a short version of a run.
    Returns:
        The held-out result, as in test.json, or None where there is no test set.
    Raises:
        Stopped: by a signal or the time limit, with everything saved. DeepCNNError: a mistake of the user.
    """
    files = RunFiles(config.root / "outputs", config.run_name)
    with (
        distributed.joined(config.device, parse_duration("peer_timeout", config.peer_timeout)) as everyone,
        everyone.first_holds(lambda: opened_and_held(config, files)) as lock,
    ):
        return carry_out(config, files, lock, at_most=at_most, everyone=everyone)


@contextlib.contextmanager
def opened_and_held(config: Config, files: RunFiles) -> Iterator[RunLock]:
    """The run's folders and log, and its name, which no other program may take meanwhile."""
    files.make_folders()
    with console.opened(files.log), held(files, steal=config.steal_lock) as lock:
        yield lock


def carry_out(
    config: Config,
    files: RunFiles,
    lock: RunLock | None,
    *,
    at_most: int | None = None,
    after_epoch: Callable[[dict[str, Any]], None] | None = None,
    everyone: Processes = ALONE,
) -> dict[str, Any] | None:
    """A run whose name is held; see `train`.

    Args:
        lock: None in every process but the first, which alone writes files.
        after_epoch: given by a search, gets each epoch's row of metrics.csv before it is saved, and may raise to end the
            run. Such a run has no test: nothing that is chosen by it may have seen the test set.
    """
    status = Status(files, writes=everyone.first)
    try:
        with faults.explained(config.batch_size, 1):
            result = _run(config, files, lock, status, at_most, after_epoch, everyone)
        status.say("finished")
        return result
    except Stopped as stop:
        log.debug("%s", stop)  # to the log file; the console gets it as the command's last line
        status.say("stopped", str(stop))
        raise
    except KeyboardInterrupt:
        status.say("stopped", "by a second SIGINT, at once; what was saved last is kept")
        raise
    except DeepCNNError as mistake:
        log.debug("%s", mistake)
        status.say("failed" if isinstance(mistake, LostPeer) else "mistake", str(mistake))
        raise
    except BaseException as fault:
        log.debug("%s", traceback.format_exc())
        status.say("failed", f"{type(fault).__name__}: {fault}")
        raise


def _run(
    config: Config,
    files: RunFiles,
    lock: RunLock | None,
    status: Status,
    at_most: int | None,
    after_epoch: Callable | None,
    everyone: Processes,
) -> dict[str, Any] | None:
    fresh = everyone.first_does(lambda: look_around(config, files))
    materials = setup.gather(config, fresh=fresh, at_most=at_most, everyone=everyone)
    has_test = len(materials.dataset.splits.test) > 0 and after_epoch is None
    saved = everyone.first_does(lambda: find_saved(config.resume, files, status, materials.identity, has_test=has_test))
    if saved and everyone.first_does(lambda: is_finished(files, status, saved, has_test)):
        return everyone.first_does(lambda: known_result(materials, files, status, saved, after_epoch))

    with contextlib.closing(setup.build(materials, saved)) as plan:
        signals.raise_if_requested()
        if config.lr == "auto" and saved is None:
            find_rate(plan, files)
        if everyone.first:
            write_records(files, plan)
        pieces = plan.decisions.pieces
        with faults.explained(config.batch_size, pieces), signals.between_steps(alone=everyone.count == 1):
            return go_on(plan, files, lock, status, has_test, after_epoch)


def look_around(config: Config, files: RunFiles) -> bool:
    """Clear what a process left that died while it wrote; returns whether nothing was saved, so that weights are needed."""
    files.clear_leftovers()
    return config.resume == "never" or not files.has_results()


def known_result(
    materials: Materials,
    files: RunFiles,
    status: Status,
    saved: dict[str, Any],
    after_epoch: Callable | None,
) -> dict[str, Any] | None:
    """Of a run that is finished: say it again."""
    log.info("This run is finished; its result again (--resume=never trains it afresh):")
    note_progress(status, saved["progress"], saved["progress"]["global_step"])
    result = read_json(files.results / "test.json")
    if result is not None:
        result_text.show_result(result)
        level = materials.config.tta
        if level not in ("none", result.get("tta", {}).get("views")):
            log.info(
                "It was tested without --tta=%s; python -m deep_cnn evaluate --run_name=%s --tta=%s tests it so",
                level,
                files.name,
                level,
            )
        log.info("Everything is in %s", files.results)
    if after_epoch is None and not (files.results / "report.html").exists():
        conclude(files, materials.dataset.index.root)  # the process before this one died while it wrote it
    return result


def find_rate(plan: Plan, files: RunFiles) -> None:
    """--lr=auto: settle the learning rate by a range test, and draw it."""
    everyone = plan.materials.everyone
    log.info("--lr=auto: training %d steps with rising rates, which are then forgotten", range_test.STEPS)
    with signals.agreed(everyone.count):
        test = range_test.range_test(plan, everyone.stop_if_requested)
    if everyone.first:
        range_test.plot(test, files.results / "lr_range.png")
    setup.settle_rate(plan, everyone.share(test.lr))
    log.info("--lr=auto: %g", plan.decisions.lr)


def go_on(
    plan: Plan, files: RunFiles, lock: RunLock | None, status: Status, has_test: bool, after_epoch: Callable | None
) -> dict[str, Any] | None:
    """From the state in which the plan is to the end of the run."""
    config, everyone = plan.materials.config, plan.materials.everyone
    progress, profile = plan.state.progress, plan.profile
    watch = LossWatch(plan.materials.dataset.index.paths, plan.materials.device)

    def before_save() -> None:
        lock.check()
        watch.read()

    def after_save() -> None:
        note_progress(status, asdict(plan.state.progress), plan.steps * config.epochs)
        status.say("running")

    keeper = Keeper(
        files,
        lambda: plan.describe() | plan.state.capture(),
        config.save_every,
        time_limit(parse_duration("max_time", config.max_time)) if everyone.first else Deadline(None),
        before_save=before_save,
        after_save=after_save,
        watch=profile.phase,
        agreed=everyone.largest,
        writes=everyone.first,
    )
    forecast = Forecast(plan.steps, config.epochs, plan.work)
    after_save()
    if progress.global_step:
        log.info("Going on at epoch %d, step %d of %d", progress.epoch, progress.step, plan.steps)
        write_epochs(plan, files)  # the process before this one may have died just after its last save
    with opened_trackers(config, files, plan.summary(), progress.epoch, writes=everyone.first) as trackers:
        while not progress.finished:
            try:
                with profile.phase("step"):
                    train_epoch(plan, keeper, watch, forecast)
                profile.epoch()
                begun = time.monotonic()
                with profile.phase("validation"):
                    row, outputs = validate_epoch(plan, keeper)
            except DataError:  # a file that can no longer be read; the state is that between two steps
                keeper.save()
                raise
            except Interrupted:
                keeper.check()
                raise
            note_epoch(plan, files, row, time.monotonic() - begun, forecast, keeper.deadline)
            speed = plan.state.timing[-1]["images_per_second"]
            trackers.log(Epoch(row, speed, lambda outputs=outputs: plan.examples("validation", outputs)))
            if after_epoch is not None:
                everyone.first_does(lambda row=row: after_epoch(row))
            keeper.after_epoch(fleeting=plan.features is not None and not progress.finished)
        # though a full disk may have refused the state
        note_progress(status, asdict(progress), plan.steps * config.epochs)
        keeper.flush_best()
        if after_epoch is not None:
            return None  # a trial of a search: neither test nor report
        try:
            with profile.phase("test"):
                everyone.first_does(lambda: keep_reference(plan, files, lambda: keeper.check(save=False, alone=True)))
                result = test(plan, keeper, files) if has_test else None
        except Interrupted:
            keeper.check(save=False)
            raise
        trackers.close("finished", result)
    if everyone.first:
        profile.report(plan.facts, files.results / "profile.json")
        conclude(files, plan.materials.dataset.index.root)
    return result


def note_progress(status: Status, progress: dict[str, Any], steps: int) -> None:
    status.note(epoch=progress["epoch"], step=progress["global_step"], steps=steps)


def conclude(files: RunFiles, data: Path) -> None:
    """Say what the learning curves show, and write the report; a run that is done is not undone by a page."""
    try:
        for sentence in read_record(files).advice():
            log.info("Note: %s", sentence)
        log.info("Report: %s", write_report(files, data, "finished"))
    except Exception as error:
        log.warning(
            "The report could not be written (%s: %s); python -m deep_cnn report --run_name=%s tries again",
            type(error).__name__,
            error,
            files.name,
        )
        log.debug("%s", traceback.format_exc())


def write_records(files: RunFiles, plan: Plan) -> None:
    """config.json and splits.csv, before the first step: what was asked, and what is trained and tested on."""
    m = plan.materials
    record = plan.describe() | {"command": command_line(m.config), "left_out": list(m.dataset.bad_files)}
    write_json(files.results / "config.json", record)
    save_splits(files.results / "splits.csv", m.dataset.index, m.dataset.splits)


def train_epoch(plan: Plan, keeper: Keeper, watch: LossWatch, forecast: Forecast) -> None:
    """The rest of the epoch at which the state is; the whole of it in an unbroken run."""
    m, state, progress = plan.materials, plan.state, plan.state.progress
    if progress.step >= plan.steps:
        return  # stopped during this epoch's validation
    plan.prepare("train", keeper.check)
    network = plan.trained(progress.epoch)
    bar = console.Bar(f"Epoch {progress.epoch}", plan.steps, progress.step)
    steps = loop.train_one_epoch(
        network,
        plan.profile.batches(plan.train_batches(progress.epoch, progress.step, progress.global_step)),
        m.task,
        state.optimizer,
        plan.step_settings(network),
        lr_factor=lambda step: plan.schedule.factor(step) * progress.plateau_factor,
        first_step=progress.global_step,
        sums=state.sums,
        scaler=state.scaler,
        average=state.average,
    )
    then = time.monotonic()
    try:
        for step in steps:
            progress.step, progress.global_step = progress.step + 1, step.number + 1
            loss = watch.add(step, progress.epoch)
            bar.step(f"loss={loss:.3g}" if loss is not None else "")
            if m.config.console == "tutorial" and tutorial_console.due(progress.step, plan.steps):
                log.info(tutorial_console.loss_line(progress.epoch, progress.step, state.recent_loss()))
            now = time.monotonic()
            progress.train_seconds, then = progress.train_seconds + now - then, now
            if forecast.trained_step(now, progress.epoch):
                left = forecast.seconds_left(progress.global_step)
                log.info("At this pace %s", forecast_text(left, keeper.deadline.left()))
            keeper.after_step()
        watch.read()
        progress.train_seconds += time.monotonic() - then
    finally:
        bar.close()


def validate_epoch(plan: Plan, keeper: Keeper) -> tuple[dict[str, Any], np.ndarray | None]:
    """Score the validation set, keep the best weights, and move the state to the next epoch.

    Returns:
        The epoch's row of metrics.csv, and the validation's raw outputs (n, K); None without a validation set, and on
        every process but the first.
    """
    m, state, progress = plan.materials, plan.state, plan.state.progress
    loss_sum, weight = state.sums.tolist()
    head_lr = max(group["base_lr"] for group in state.optimizer.param_groups if group["part"] == "head")
    factor = plan.schedule.factor(progress.global_step - 1) * progress.plateau_factor
    row = {
        "epoch": progress.epoch,
        "step": progress.global_step,
        "lr": head_lr * factor,
        "train_loss": loss_sum / weight,
    }
    outputs = None
    if "validation" in plan.feeds:
        outputs = score_split(plan, "validation", keeper.check)
        targets = m.dataset.index.targets[m.dataset.splits.validation]
        scores = m.everyone.share(outputs is not None and evaluate.flat_scores(m.task, outputs, targets))
        row |= {f"val_{name}": value for name, value in scores.items()}
        selected = scores[m.task.select]
        value = float("nan") if selected is None else selected
        better = progress.validated(value, m.task.higher_is_better, plateau=m.config.schedule == "plateau")
    else:
        progress.best_epoch, better = progress.epoch, True  # the last weights are the ones that are kept
    state.history.append(row)
    state.timing.append({"epoch": row["epoch"], "train_seconds": round(progress.train_seconds, 3)})
    if better or progress.best_epoch < 0:
        # the weights that are tested and used, with the epoch's row
        best = {"weights": state.selected.state_dict(), "epoch": row["epoch"], "validation": row}
        keeper.save_best(plan.describe() | best, at_once=plan.features is None)
    progress.next_epoch(m.config.epochs, m.config.patience)
    state.sums.zero_()
    return row, outputs


def note_epoch(
    plan: Plan, files: RunFiles, row: dict[str, Any], validation_seconds: float, forecast: Forecast, deadline: Deadline
) -> None:
    """metrics.csv, timing.csv, and the epoch's line on the console."""
    state, config = plan.state, plan.materials.config
    images, train_seconds = len(plan.materials.dataset.splits.train), state.timing[-1]["train_seconds"]
    state.timing[-1] |= {
        "validation_seconds": round(validation_seconds, 3),
        "images_per_second": round(images / max(train_seconds, 1e-3), 2),
    }
    write_epochs(plan, files)
    forecast.validated(validation_seconds)
    scores = {name.removeprefix("val_"): value for name, value in row.items() if name.startswith("val_")}
    best = (
        f" (best {result_text.LABELS[plan.materials.task.select]} so far)"
        if state.progress.best_epoch == row["epoch"] and scores
        else ""
    )
    text = (
        f"validation {result_text.metric_line(scores)}{best}"
        if scores
        else "no validation set: the last weights are kept"
    )
    left = None if state.progress.finished else forecast.seconds_left(state.progress.global_step)
    log.info(
        "Epoch %d: training loss %.4g, %s; %s%s",
        row["epoch"],
        row["train_loss"],
        text,
        duration(train_seconds + validation_seconds),
        f"; {forecast_text(left, deadline.left())}" if left is not None else "",
    )
    if state.progress.finished and state.progress.epoch < config.epochs:
        log.info("Stopping early: no better validation for %d epochs", config.patience)


def write_epochs(plan: Plan, files: RunFiles) -> None:
    """metrics.csv and timing.csv; what a full disk refuses is in the state, and is written with the next epoch."""
    if not plan.materials.everyone.first:
        return
    try:
        run_outputs.write_epochs(files, plan.state.history, plan.state.timing)
    except OSError as error:
        log.warning("%s could not be written (%s); the run goes on", files.results / "metrics.csv", error.strerror)


def score_split(plan: Plan, split: str, between: Callable[[], None]) -> np.ndarray | None:
    """Raw outputs of every sample of a split, in its order, float32 (n, K); on every process but the first, None."""
    plan.prepare(split, between)
    return score(plan, plan.network(plan.state.selected), plan.feeds[split], split.capitalize(), between)


def score(plan: Plan, network: nn.Module, feed: Feed, title: str, between: Callable[[], None]) -> np.ndarray | None:
    m = plan.materials
    ddp.spread_buffers(m.everyone, network)
    autocast = autocast_for(m.device, plan.decisions.precision)
    return evaluate.collect(network, feed, plan.decisions.eval_batch, autocast, title, between, m.everyone)


def score_views(plan: Plan, between: Callable[[], None]) -> np.ndarray | None:
    """--tta: the test set's raw outputs once more, as means over views of each image."""
    level = plan.materials.config.tta
    if level == "none":
        return None
    return score(plan, Averaged(plan.state.selected, level), plan.image_feed("test"), "Views", between)


def test(plan: Plan, keeper: Keeper, files: RunFiles) -> dict[str, Any]:
    """Read the test set, once, with the best weights; write everything that a run leaves behind."""
    m, state = plan.materials, plan.state
    best = m.everyone.first_does(lambda: checkpoint.load(files.best))
    state.selected.load_state_dict(best["weights"])
    outputs = score_split(plan, "test", lambda: keeper.check(save=False))
    views = score_views(plan, lambda: keeper.check(save=False))

    def held_out() -> dict[str, Any]:
        samples = m.dataset.splits.test
        result = evaluate.held_out(m.task, m.dataset.index, samples, outputs, "test", m.config.seed)
        result["best_epoch"] = best["epoch"]
        if views is not None:
            result = evaluate.with_views(result, m.config.tta, m.task, m.dataset.index, samples, views, m.config.seed)
        keeper.check(save=False, alone=True)
        best_epoch = state.progress.best_epoch if state.progress.best_epoch >= 0 else None
        run_outputs.write_plots(files, m.task, m.dataset.index, state.history, best_epoch, (samples, outputs))
        run_outputs.write_test(files, m.task, m.dataset.index, samples, outputs, result)
        result_text.show_result(result)
        for line in tutorial_console.result_lines(result) if m.config.console == "tutorial" else ():
            log.info(line)
        log.info("Everything is in %s", files.results)
        return result

    return m.everyone.first_does(held_out)
