"""Everything that can be known before a job is queued: the data, the network on this machine, the disk, the time."""

import logging
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from deep_cnn.config.schema import Config
from deep_cnn.data.contradictions import different_targets
from deep_cnn.data.contradictions import named as named_pair
from deep_cnn.data.dataset import Dataset
from deep_cnn.data.duplicates import duplicate_groups
from deep_cnn.data.formats import ADVICE
from deep_cnn.data.index import SPLITS, Index
from deep_cnn.data.near_duplicates import alike
from deep_cnn.data.thumbnails import Look, look
from deep_cnn.runtime.device import memory_for_training
from deep_cnn.runtime.errors import DeepCNNError
from deep_cnn.runtime.format import duration, plural, quantity, readable
from deep_cnn.tasks.base import Task
from deep_cnn.training import loop
from deep_cnn.training.compute import step_memory
from deep_cnn.training.resume import SavedRun
from deep_cnn.training.run import Run
from deep_cnn.training.setup import look_at_data
from deep_cnn.training.trainer import Trainer

log = logging.getLogger(__name__)

NAMED = 10  # files named in one finding; the others are counted
OUTLYING = 12.0  # robust standard deviations; of a normal distribution 1 value in 10**32 is farther out
FEW = 5  # training images of a class: fewer, and it is hardly learnt
HARMLESS = ("Ignored ", "Image column: ", "--where: ", "16-bit images: ")  # notes that tell rather than warn


@dataclass(frozen=True)
class Finding:
    """One line of the table. level: 'ok' (known), 'look' (worth a look) or 'stop' (a run would end on it)."""

    level: str
    what: str
    detail: str


def inspect(config: Config) -> Iterator[Finding]:
    """All findings, in the order in which a run would meet them."""
    fold = config.fold or (1 if config.folds else None)  # of a cross-validation the first fold stands for all
    try:
        asked = replace(config, on_bad_image="error", resume="never", fold=fold)
        run, dataset, task = look_at_data(asked, fresh=True)
    except DeepCNNError as mistake:
        yield Finding("stop", "flags and data", str(mistake))
        return
    yield Finding("ok", "weights", f"--weights={config.weights}: available")
    index = dataset.index
    for note in index.notes:
        yield Finding("ok" if note.startswith(HARMLESS) else "look", "files and table", note)
    yield from about_targets(dataset, task)
    seen = look(index, run.workers, dataset.pixels.pre.bits)
    yield from about_files(seen, index, config.on_bad_image, dataset.pixels.pre.crop)
    yield from about_copies(seen, dataset)
    yield from about_machine(run, dataset, task, seen)


def about_targets(dataset: Dataset, task: Task) -> Iterator[Finding]:
    """Classes with few images, scores that never vary or lie far out."""
    index, splits = dataset.index, dataset.splits
    parts = {name: getattr(splits, name) for name in SPLITS}
    yield Finding("ok", "images", ", ".join(f"{len(rows):,} {name}" for name, rows in parts.items()))
    for name, values in task.measured(index.targets):
        yield from about_scores(name, values, index)
    for name, has in task.members(index.targets):
        counts = {split: int(has[rows].sum()) for split, rows in parts.items()}
        missing = [split for split, rows in parts.items() if len(rows) and not counts[split]]
        text = f"{name}: " + ", ".join(f"{count:,} {split}" for split, count in counts.items())
        few = counts["train"] < FEW
        if missing or few:
            why = f"none in {' and '.join(missing)}" if missing else f"fewer than {FEW} for training"
            yield Finding("look", "class", f"{text}: {why}")
        elif len(index.classes) <= 40:
            yield Finding("ok", "class", text)


def about_scores(name: str, values: np.ndarray, index: Index) -> Iterator[Finding]:
    """The range of a target's values, float64 (N,), NaN where unknown; all alike, and those far from the middle."""
    known = np.flatnonzero(~np.isnan(values))
    numbers = values[known]
    text = f"{name}: {len(known):,} known, from {quantity(numbers.min())} to {quantity(numbers.max())}, mean {quantity(numbers.mean())}"
    if numbers.min() == numbers.max():
        yield Finding("look", "target", f"{name}: always {quantity(numbers[0])}, so there is nothing to learn")
        return
    yield Finding("ok", "target", text)
    middle = np.median(numbers)
    spread = 1.4826 * np.median(np.abs(numbers - middle)) or numbers.std()
    far = known[np.abs(numbers - middle) > OUTLYING * spread]
    if len(far):
        yield Finding(
            "look",
            "outlying target",
            listed(
                (f"{index.paths[int(i)]} ({name} {quantity(values[i])})" for i in far),
                len(far),
                f"the median of {name} is {quantity(middle)}",
            ),
        )


def about_files(seen: Look, index: Index, on_bad_image: str, crop: int) -> Iterator[Finding]:
    """Unreadable images, and sizes in pixels; crop: the side that the network sees."""
    reasons = [text.removesuffix(ADVICE).rstrip(" .") for _, text in sorted(seen.errors.items())]
    if reasons:
        reasons[-1] += ". Replace or remove such files, or skip them with --on_bad_image=skip"
    for text in reasons:
        yield Finding("stop" if on_bad_image == "error" else "look", "unreadable image", text)
    good = np.flatnonzero(seen.sizes.min(1) > 0)
    if not len(good):
        return
    sides = seen.sizes[good]
    shorter = sides.min(1)
    yield Finding(
        "ok",
        "image sizes",
        f"shorter sides {shorter.min()} to {shorter.max()} pixels, median "
        f"{int(np.median(shorter))}; the network sees {crop} x {crop}",
    )
    tiny = good[shorter * 4 < crop]
    if len(tiny):
        yield Finding(
            "look",
            "tiny image",
            listed(
                (f"{index.paths[int(i)]} ({seen.sizes[i, 0]} x {seen.sizes[i, 1]})" for i in tiny),
                len(tiny),
                f"enlarged more than four times to {crop} x {crop}; see --image_size",
            ),
        )


def about_copies(seen: Look, dataset: Dataset) -> Iterator[Finding]:
    """The same bytes, and pictures that look the same, within a split and, worse, across two."""
    index = dataset.index
    split = np.full(len(index.paths), -1)
    for number, name in enumerate(SPLITS):
        split[getattr(dataset.splits, name)] = number
    groups = duplicate_groups(index)
    copies = [(int(first), i) for i, first in enumerate(groups) if first != i]
    good = np.array([i for i in np.unique(groups) if i not in seen.errors], dtype=np.int64)
    near = alike(seen.thumbs, good)
    # scores of two pictures that look alike may differ, those of one picture not
    for pairs, words, labelled in ((copies, "identical files", True), (near, "near duplicates", bool(index.classes))):
        pairs = [(a, b) for a, b in pairs if split[a] >= 0 and split[b] >= 0]
        across = [pair for pair in pairs if split[pair[0]] != split[pair[1]]]
        within = [pair for pair in pairs if split[pair[0]] == split[pair[1]]]
        if across:
            named = (
                f"{index.paths[a]} ({SPLITS[split[a]]}) = {index.paths[b]} ({SPLITS[split[b]]})" for a, b in across
            )
            yield Finding(
                "look", f"{words}, in two splits", listed(named, len(across), "scores on them are too optimistic")
            )
        if labelled and len(differ := different_targets(index, np.array(pairs))):
            named = (named_pair(index, pair) for pair in differ)
            yield Finding("look", f"{words}, two labels", listed(named, len(differ), "check which label is right"))
        if within:
            named = (f"{index.paths[a]} = {index.paths[b]}" for a, b in within)
            yield Finding("look", f"{words}, in one split", listed(named, len(within)))


def about_machine(run: Run, dataset: Dataset, task: Task, seen: Look) -> Iterator[Finding]:
    """Memory, a few steps of the very training, the time of an epoch, and the disk."""
    config, splits = run.config, dataset.splits
    train = np.array([i for i in splits.train if int(i) not in seen.errors], dtype=np.int64)
    if len(train) < 2:
        yield Finding("stop", "training", "fewer than two readable training images")
        return
    try:
        trainer = Trainer(run, replace(dataset, splits=replace(splits, train=train)), task, SavedRun({}))
        memory, needed = (
            memory_for_training(run.device),
            step_memory(run, dataset, trainer.state.model, trainer.settings),
        )
        yield Finding(
            "ok" if needed < memory else "look",
            "memory",
            f"about {readable(needed)} of {readable(memory)}, a batch of {config.batch} in "
            f"{plural(trainer.settings.pieces, 'piece')}",
        )
        seconds, loss = time_of_sample(trainer)
    except (DeepCNNError, RuntimeError) as error:  # RuntimeError: torch's out-of-memory and shape errors
        yield Finding("stop", "a batch through the network", str(error).splitlines()[0])
        return
    yield Finding("ok" if np.isfinite(loss) else "stop", "a batch through the network", f"loss {loss:.4g}")
    whole = seconds / trainer.work(0)  # the steps were those of the first epoch, whose images may be small
    # an image is scored without a backward pass, a third of the work
    validation = whole / dataset.views * len(dataset.scored("validation")) / 3
    epochs = [whole * len(dataset.training) * trainer.work(epoch) + validation for epoch in range(config.epochs)]
    yield Finding(
        "ok",
        "time",
        f"about {duration(max(epochs))} an epoch, {duration(sum(epochs))} for "
        f"{config.epochs}, on {run.device.type} with {plural(trainer.settings.threads, 'thread')}",
    )
    yield about_disk(config, trainer)


def time_of_sample(trainer: Trainer) -> tuple[float, float]:
    """Seconds of training per image (per vote on two) over the later of a few steps, reading included, and their last loss."""
    rows = min(trainer.config.batch, 32)
    trainer.compute_features("train", lambda: None)
    settings = loop.StepSettings(seed=trainer.config.seed, lr_multiplier=lambda step: 0.0, autocast=trainer.autocast)
    network, batches = trainer.training_network(0), trainer.feeds["train"].train_batches(0, 0, rows)
    steps = loop.train_one_epoch(network, batches, trainer.task, trainer.state, settings)
    times, loss, begun = [], float("nan"), time.perf_counter()
    for step in steps:
        loss = float(step.loss)  # waits for the device
        times.append((time.perf_counter() - begun) / len(step.indices))
        begun = time.perf_counter()
        if len(times) == 4:
            break
    steps.close()
    return min(times[1:] or times), loss  # the first one allocates and chooses kernels


def about_disk(config: Config, trainer: Trainer) -> Finding:
    """Whether the checkpoints of the run have room below --root_dir."""
    weights = 4 * sum(t.numel() for t in trainer.state.model.state_dict().values())
    # last.pt, the one before it and the one being written, each with two moments; best.pt; the rest is small
    needed = 3 * 3 * weights + weights + (3 * weights if config.ema else 0)
    existing = next(p for p in (config.root, *config.root.absolute().parents) if p.exists())
    free = shutil.disk_usage(existing).free
    text = f"{readable(needed)} for checkpoints, {readable(free)} free at {existing.absolute()}"
    return Finding("ok" if needed < free else "stop", "disk", text)


def listed(named: Iterator[str], count: int, remark: str = "") -> str:
    """The first few and how many more."""
    shown = [text for text, _ in zip(named, range(NAMED), strict=False)]
    more = f" and {count - len(shown):,} more" if count > len(shown) else ""
    return "; ".join(shown) + more + (f": {remark}" if remark else "")
