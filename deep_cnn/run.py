"""One run from start to end: check, index, split, build, train, validate, test."""

import logging
import time
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

from deep_cnn import checkpoint, engine, logbook, machine, preparation, results, scoring, stopping, tracking
from deep_cnn.config import Config, parse_duration
from deep_cnn.data.split import save_splits
from deep_cnn.errors import DeepCNNError
from deep_cnn.identity import command_line
from deep_cnn.keeper import Keeper
from deep_cnn.likeness import keep_reference
from deep_cnn.loss_watch import LossWatch
from deep_cnn.mixing import Mixer
from deep_cnn.preparation import Plan
from deep_cnn.resume import find_saved, is_finished
from deep_cnn.run_files import RunFiles, held
from deep_cnn.stopping import Deadline, Stopped
from deep_cnn.storage import read_json, write_json

log = logging.getLogger(__name__)


def train(config: Config) -> dict[str, Any] | None:
    """Train, validate and test one network; what the run leaves behind is below ROOT_DIR/outputs.

    Returns:
        The held-out result, as in test.json, or None where there is no test set.
    Raises:
        Stopped: by a signal or the time limit, with everything saved. DeepCNNError: a mistake of the user.
    """
    files = RunFiles(config.root / "outputs", config.run_name)
    files.make_folders()
    with held(files, steal=config.steal_lock), logbook.opened(files.log):
        try:
            files.say("running")
            result = _run(config, files)
            files.say("finished")
            return result
        except Stopped as stop:
            files.say("stopped", str(stop))
            raise
        except DeepCNNError as mistake:
            log.debug("%s", mistake)  # to the log file; the console gets it as the command's last line
            files.say("mistake", str(mistake))
            raise
        except BaseException as fault:
            log.debug("%s", traceback.format_exc())
            files.say("failed", f"{type(fault).__name__}: {fault}")
            raise


def _run(config: Config, files: RunFiles) -> dict[str, Any] | None:
    materials = preparation.gather(config, fresh=not files.exists())
    has_test = len(materials.dataset.splits.test) > 0
    saved = find_saved(config.resume, files, materials.identity, has_test=has_test)
    if saved and is_finished(files, saved, has_test):
        log.info("This run is finished; its result again (--resume=never trains it afresh):")
        return _known_result(files)

    plan = preparation.build(materials, saved)
    profile = plan.profile
    write_records(files, plan)
    keeper = Keeper(
        files, lambda: plan.describe() | plan.state.capture(), config.save_every, time_limit(config), profile.phase
    )
    progress = plan.state.progress
    if saved:
        log.info("Going on at epoch %d, step %d of %d", progress.epoch, progress.step, plan.steps)
    with tracking.opened(config, files, plan.summary(), progress.epoch) as trackers:
        while not progress.finished:
            begun = time.monotonic()
            with profile.phase("step"):
                train_epoch(plan, keeper)
            trained = time.monotonic()
            profile.epoch()
            with profile.phase("validation"):
                row, outputs = validate_epoch(plan, keeper, files)
            note_epoch(plan, files, row, trained - begun, time.monotonic() - trained)
            speed = plan.state.timing[-1]["images_per_second"]
            trackers.log(tracking.Epoch(row, speed, lambda outputs=outputs: plan.examples("validation", outputs)))
            keeper.save()
        with profile.phase("test"):
            keep_reference(plan, files, lambda: keeper.check(save=False))
            result = test(plan, keeper, files) if has_test else None
        trackers.close("finished", result)
    profile.report(plan.facts, files.results / "profile.json")
    return result


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


def time_limit(config: Config) -> Deadline:
    """--max_time or, in a batch job, what the scheduler still grants."""
    seconds = parse_duration("max_time", config.max_time)
    if seconds is None and (granted := stopping.granted_time()) is not None:
        seconds, source = granted
        log.info("Time left: %s, by %s", results.duration(seconds), source)
    return Deadline(seconds)


def train_epoch(plan: Plan, keeper: Keeper) -> None:
    """The rest of the epoch at which the state is; the whole of it in an unbroken run."""
    m, state, progress = plan.materials, plan.state, plan.state.progress
    if progress.step >= plan.steps:
        return  # stopped during this epoch's validation
    config = m.config
    settings = engine.StepSettings(
        seed=config.seed,
        pieces=plan.decisions.pieces,
        clip=config.clip,
        l1=config.l1,
        mixer=Mixer(config.mixup, config.cutmix),
        autocast=machine.autocast(m.device, plan.decisions.precision),
    )
    engine.training_mode(state.model, plan.frozen(progress.epoch))
    watch = LossWatch(m.dataset.index.paths, m.device)
    bar = logbook.Bar(f"Epoch {progress.epoch}", plan.steps, progress.step)
    steps = engine.train_one_epoch(
        state.model,
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
    try:
        for step in steps:
            progress.step, progress.global_step = progress.step + 1, step.number + 1
            loss = watch.add(step, progress.epoch)
            bar.step(f"loss={loss:.3g}" if loss is not None else "")
            keeper.after_step()
        watch.read(progress.epoch)
    finally:
        bar.close()


def validate_epoch(plan: Plan, keeper: Keeper, files: RunFiles) -> tuple[dict[str, Any], np.ndarray | None]:
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
    if better or progress.best_epoch < 0:
        with plan.profile.phase("saving"):
            save_best(plan, files, row)
    progress.next_epoch(m.config.epochs, m.config.patience)
    state.sums.zero_()
    return row, outputs


def save_best(plan: Plan, files: RunFiles, row: dict[str, Any]) -> None:
    """best.pt: the weights that are tested and used, with the epoch's row."""
    state = plan.describe() | {"weights": plan.state.selected.state_dict(), "epoch": row["epoch"], "validation": row}
    try:
        checkpoint.save(files.best, state)
    except OSError as error:
        log.warning("%s could not be written (%s); it keeps the best weights before these", files.best, error.strerror)


def note_epoch(
    plan: Plan, files: RunFiles, row: dict[str, Any], train_seconds: float, validation_seconds: float
) -> None:
    """metrics.csv, timing.csv, and the epoch's line on the console."""
    state, config = plan.state, plan.materials.config
    images = len(plan.materials.dataset.splits.train)
    state.timing.append({
        "epoch": row["epoch"], "train_seconds": round(train_seconds, 3), "validation_seconds": round(validation_seconds, 3),
        "images_per_second": round(images / max(train_seconds, 1e-9), 2),
    })  # fmt: skip
    results.write_epochs(files, state)
    scores = {name.removeprefix("val_"): value for name, value in row.items() if name.startswith("val_")}
    left = (config.epochs - state.progress.epoch) * (train_seconds + validation_seconds)
    best = " (best so far)" if state.progress.best_epoch == row["epoch"] and scores else ""
    text = (
        f"validation {results.metric_line(scores)}{best}" if scores else "no validation set: the last weights are kept"
    )
    log.info("Epoch %d: training loss %.4g, %s; %s%s", row["epoch"], row["train_loss"], text,
             results.duration(train_seconds + validation_seconds),
             f", about {results.duration(left)} left" if not state.progress.finished else "")  # fmt: skip
    if state.progress.finished and state.progress.epoch < config.epochs:
        log.info("Stopping early: no better validation for %d epochs", config.patience)


def score_split(plan: Plan, split: str, between: Callable[[], None]) -> np.ndarray:
    """Raw outputs of every sample of a split, in its order, float32 (n, K)."""
    feed, rows = plan.feeds[split], plan.decisions.eval_batch
    autocast = machine.autocast(plan.materials.device, plan.decisions.precision)
    return scoring.collect(plan.state.selected, feed, rows, autocast, split.capitalize(), between)


def test(plan: Plan, keeper: Keeper, files: RunFiles) -> dict[str, Any]:
    """Read the test set, once, with the best weights; write everything that a run leaves behind."""
    m, state = plan.materials, plan.state
    state.selected.load_state_dict(checkpoint.load(files.best)["weights"])
    samples = m.dataset.splits.test
    outputs = score_split(plan, "test", lambda: keeper.check(save=False))
    result = results.held_out(m.task, m.dataset.index, samples, outputs, "test", m.config.seed)
    result["best_epoch"] = state.progress.best_epoch
    results.write_plots(files, m.task, m.dataset.index, state, (samples, outputs))
    results.write_test(files, m.task, m.dataset.index, samples, outputs, result)
    results.show_result(result)
    log.info("Everything is in %s", files.results)
    return result
