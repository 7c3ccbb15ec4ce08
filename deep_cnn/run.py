"""One run from start to end: check, index, split, build, train, validate, test."""

import contextlib
import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from deep_cnn import (
    checkpoint,
    engine,
    faults,
    learning_rate,
    logbook,
    machine,
    preparation,
    results,
    scoring,
    stopping,
    tracking,
    tutorial_lines,
)
from deep_cnn.config import Config, parse_duration
from deep_cnn.data.split import save_splits
from deep_cnn.errors import DataError, DeepCNNError
from deep_cnn.identity import command_line
from deep_cnn.keeper import Keeper
from deep_cnn.likeness import keep_reference
from deep_cnn.loss_watch import LossWatch
from deep_cnn.mixing import Mixer
from deep_cnn.preparation import Plan
from deep_cnn.report.page import write_report
from deep_cnn.report.record import read_record
from deep_cnn.resume import find_saved, is_finished
from deep_cnn.run_files import RunFiles, Status
from deep_cnn.run_lock import RunLock, held
from deep_cnn.stopping import Interrupted, Stopped
from deep_cnn.storage import read_json, write_json
from deep_cnn.walltime import Deadline, Forecast, duration, forecast_text, time_limit

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
    files.make_folders()
    with logbook.opened(files.log), held(files, steal=config.steal_lock) as lock:
        return carry_out(config, files, lock, at_most=at_most)


def carry_out(
    config: Config,
    files: RunFiles,
    lock: RunLock,
    *,
    at_most: int | None = None,
    after_epoch: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any] | None:
    """A run whose name is held; see `train`.

    Args:
        after_epoch: given by a search, gets each epoch's row of metrics.csv before it is saved, and may raise to end the
            run. Such a run has no test: nothing that is chosen by it may have seen the test set.
    """
    status = Status(files)
    try:
        with faults.explained(config.batch_size, 1):
            result = _run(config, files, lock, status, at_most, after_epoch)
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
        status.say("mistake", str(mistake))
        raise
    except BaseException as fault:
        log.debug("%s", traceback.format_exc())
        status.say("failed", f"{type(fault).__name__}: {fault}")
        raise


def _run(
    config: Config, files: RunFiles, lock: RunLock, status: Status, at_most: int | None, after_epoch: Callable | None
) -> dict[str, Any] | None:
    files.clear_leftovers()
    materials = preparation.gather(config, fresh=config.resume == "never" or not files.has_results(), at_most=at_most)
    has_test = len(materials.dataset.splits.test) > 0 and after_epoch is None
    saved = find_saved(config.resume, files, status, materials.identity, has_test=has_test)
    if saved and is_finished(files, status, saved, has_test):
        log.info("This run is finished; its result again (--resume=never trains it afresh):")
        note_progress(status, saved["progress"], saved["progress"]["global_step"])
        result = _known_result(files)
        if after_epoch is None and not (files.results / "report.html").exists():
            conclude(files, materials.dataset.index.root)  # the process before this one died while it wrote it
        return result

    with contextlib.closing(preparation.build(materials, saved)) as plan:
        stopping.raise_if_requested()
        if config.lr == "auto" and saved is None:
            find_rate(plan, files)
        write_records(files, plan)
        with faults.explained(config.batch_size, plan.decisions.pieces), stopping.between_steps():
            return go_on(plan, files, lock, status, has_test, after_epoch)


def find_rate(plan: Plan, files: RunFiles) -> None:
    """--lr=auto: settle the learning rate by a range test, and draw it."""
    log.info("--lr=auto: training %d steps with rising rates, which are then forgotten", learning_rate.STEPS)
    test = learning_rate.range_test(plan, stopping.raise_if_requested)
    learning_rate.plot(test, files.results / "lr_range.png")
    preparation.settle_rate(plan, test.lr)
    log.info("--lr=auto: %g", test.lr)


def go_on(
    plan: Plan, files: RunFiles, lock: RunLock, status: Status, has_test: bool, after_epoch: Callable | None
) -> dict[str, Any] | None:
    """From the state in which the plan is to the end of the run."""
    config, progress, profile = plan.materials.config, plan.state.progress, plan.profile
    watch = LossWatch(plan.materials.dataset.index.paths, plan.materials.device)

    def before_save() -> None:
        lock.check()
        watch.read()

    def after_save() -> None:
        note_progress(status, asdict(plan.state.progress), plan.steps * config.epochs)
        status.say("running")

    keeper = Keeper(
        files, lambda: plan.describe() | plan.state.capture(), config.save_every,
        time_limit(parse_duration("max_time", config.max_time)),
        before_save=before_save, after_save=after_save, watch=profile.phase,
    )  # fmt: skip
    forecast = Forecast(plan.steps, config.epochs)
    after_save()
    if progress.global_step:
        log.info("Going on at epoch %d, step %d of %d", progress.epoch, progress.step, plan.steps)
        write_epochs(plan, files)  # the process before this one may have died just after its last save
    with tracking.opened(config, files, plan.summary(), progress.epoch) as trackers:
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
            trackers.log(tracking.Epoch(row, speed, lambda outputs=outputs: plan.examples("validation", outputs)))
            if after_epoch is not None:
                after_epoch(row)
            keeper.after_epoch(fleeting=plan.features is not None and not progress.finished)
        note_progress(
            status, asdict(progress), plan.steps * config.epochs
        )  # though a full disk may have refused the state
        keeper.flush_best()
        if after_epoch is not None:
            return None  # a trial of a search: neither test nor report
        try:
            with profile.phase("test"):
                keep_reference(plan, files, lambda: keeper.check(save=False))
                result = test(plan, keeper, files) if has_test else None
        except Interrupted:
            keeper.check(save=False)
            raise
        trackers.close("finished", result)
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
        log.warning("The report could not be written (%s: %s); python -m deep_cnn report --run_name=%s tries again",
                    type(error).__name__, error, files.name)  # fmt: skip
        log.debug("%s", traceback.format_exc())


def write_records(files: RunFiles, plan: Plan) -> None:
    """config.json and splits.csv, before the first step: what was asked, and what is trained and tested on."""
    m = plan.materials
    record = plan.describe() | {"command": command_line(m.config), "left_out": list(m.dataset.bad_files)}
    write_json(files.results / "config.json", record)
    save_splits(files.results / "splits.csv", m.dataset.index, m.dataset.splits)


def _known_result(files: RunFiles) -> dict[str, Any] | None:
    result = read_json(files.results / "test.json")
    if result is not None:
        results.show_result(result)
    return result


def train_epoch(plan: Plan, keeper: Keeper, watch: LossWatch, forecast: Forecast) -> None:
    """The rest of the epoch at which the state is; the whole of it in an unbroken run."""
    m, state, progress = plan.materials, plan.state, plan.state.progress
    if progress.step >= plan.steps:
        return  # stopped during this epoch's validation
    config = m.config
    plan.prepare("train", keeper.check)
    settings = engine.StepSettings(
        seed=config.seed,
        pieces=plan.decisions.pieces,
        clip=config.clip,
        l1=config.l1,
        mixer=Mixer(config.mixup, config.cutmix),
        autocast=machine.autocast(m.device, plan.decisions.precision),
    )
    engine.training_mode(state.model, plan.frozen(progress.epoch))
    bar = logbook.Bar(f"Epoch {progress.epoch}", plan.steps, progress.step)
    steps = engine.train_one_epoch(
        plan.network(state.model),
        plan.profile.batches(plan.feeds["train"].train_batches(progress.epoch, progress.step, config.batch_size)),
        m.task,
        state.optimizer,
        settings,
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
            if config.console == "tutorial" and progress.step % tutorial_lines.EVERY == 0:
                log.info(tutorial_lines.loss_line(progress.epoch, progress.step, state.recent_loss()))
            now = time.monotonic()
            progress.train_seconds, then = progress.train_seconds + now - then, now
            if forecast.trained_step(now):
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
        The epoch's row of metrics.csv, and the validation's raw outputs (n, K); None without a validation set.
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
        scores = results.flat_scores(m.task, outputs, targets)
        row |= {f"val_{name}": value for name, value in scores.items()}
        selected = scores[m.task.select]
        better = progress.validated(float("nan") if selected is None else selected, m.task.higher_is_better)
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
    state.timing[-1] |= {"validation_seconds": round(validation_seconds, 3),
                         "images_per_second": round(images / max(train_seconds, 1e-3), 2)}  # fmt: skip
    write_epochs(plan, files)
    forecast.validated(validation_seconds)
    scores = {name.removeprefix("val_"): value for name, value in row.items() if name.startswith("val_")}
    best = " (best so far)" if state.progress.best_epoch == row["epoch"] and scores else ""
    text = (
        f"validation {results.metric_line(scores)}{best}" if scores else "no validation set: the last weights are kept"
    )
    left = None if state.progress.finished else forecast.seconds_left(state.progress.global_step)
    log.info("Epoch %d: training loss %.4g, %s; %s%s", row["epoch"], row["train_loss"], text,
             duration(train_seconds + validation_seconds),
             f"; {forecast_text(left, deadline.left())}" if left is not None else "")  # fmt: skip
    if state.progress.finished and state.progress.epoch < config.epochs:
        log.info("Stopping early: no better validation for %d epochs", config.patience)


def write_epochs(plan: Plan, files: RunFiles) -> None:
    """metrics.csv and timing.csv; what a full disk refuses is in the state, and is written with the next epoch."""
    try:
        results.write_epochs(files, plan.state)
    except OSError as error:
        log.warning("%s could not be written (%s); the run goes on", files.results / "metrics.csv", error.strerror)


def score_split(plan: Plan, split: str, between: Callable[[], None]) -> np.ndarray:
    """Raw outputs of every sample of a split, in its order, float32 (n, K)."""
    plan.prepare(split, between)
    feed, rows = plan.feeds[split], plan.decisions.eval_batch
    autocast = machine.autocast(plan.materials.device, plan.decisions.precision)
    return scoring.collect(plan.network(plan.state.selected), feed, rows, autocast, split.capitalize(), between)


def test(plan: Plan, keeper: Keeper, files: RunFiles) -> dict[str, Any]:
    """Read the test set, once, with the best weights; write everything that a run leaves behind."""
    m, state = plan.materials, plan.state
    best = checkpoint.load(files.best)
    state.selected.load_state_dict(best["weights"])
    samples = m.dataset.splits.test
    outputs = score_split(plan, "test", lambda: keeper.check(save=False))
    result = results.held_out(m.task, m.dataset.index, samples, outputs, "test", m.config.seed)
    result["best_epoch"] = best["epoch"]
    keeper.check(save=False)
    results.write_plots(files, m.task, m.dataset.index, state, (samples, outputs))
    results.write_test(files, m.task, m.dataset.index, samples, outputs, result)
    results.show_result(result)
    for line in tutorial_lines.result_lines(result) if m.config.console == "tutorial" else ():
        log.info(line)
    log.info("Everything is in %s", files.results)
    return result
