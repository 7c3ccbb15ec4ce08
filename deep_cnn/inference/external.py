"""A finished run on images that others have rated: how well its scores fit there, and a new scale from some of the ratings."""

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from deep_cnn.config.schema import Config
from deep_cnn.data import place_pulse
from deep_cnn.data.archived_table import has_table, read_any_table
from deep_cnn.data.contents import UNKNOWN, digests_of_run
from deep_cnn.data.dataset import Dataset, find
from deep_cnn.data.decode import read_file
from deep_cnn.data.division import Images, find_images
from deep_cnn.data.split import Splits
from deep_cnn.data.split_names import SPLITS, TEST
from deep_cnn.inference.evaluate import with_views
from deep_cnn.inference.load import FinishedRun
from deep_cnn.inference.rescore import outputs_of
from deep_cnn.inference.run_images import own_folder
from deep_cnn.models import checkpoint
from deep_cnn.runtime import distributed
from deep_cnn.runtime.atomic import read_csv
from deep_cnn.runtime.device import workers_of
from deep_cnn.runtime.distributed import main_process
from deep_cnn.runtime.errors import CheckpointError, ConfigError, DataError
from deep_cnn.runtime.format import bracketed, plural, some
from deep_cnn.runtime.manifest import Manifest
from deep_cnn.runtime.rng import permutation
from deep_cnn.tasks.base import Task, plain_values
from deep_cnn.tasks.rater_groups import rater_group_result
from deep_cnn.tasks.recalibration import bent, calibration_lines, fitted_line, monotone_curve, rescaled

MOST_RATINGS = 400  # for a line of two numbers, more say little; the others measure it
FEWEST_RATINGS = 20


@dataclass(frozen=True)
class Asked:
    """What `evaluate --metadata` is asked for.

    target: columns, if they are not named as the network's targets, in their order. rater_group: the column that says who rated.
    raters, target_std: for the noise ceiling. keep_trained: also score images that the network was trained or validated on.
    tta: as --tta; None: as the run was tested.
    """

    metadata: str
    image_column: str | None = None
    target: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    group: str | None = None
    recalibrate: str = "none"
    ratings: int | None = None
    rater_group: str | None = None
    raters: tuple[str, ...] = ()
    target_std: tuple[str, ...] = ()
    keep_trained: bool = False
    tta: str | None = None


@dataclass(frozen=True)
class External:
    """The result of another rated set; after, file: with --recalibrate, of the ratings that the new scale has not seen."""

    result: dict[str, Any]
    after: dict[str, Any] | None = None
    file: Path | None = None
    notes: tuple[str, ...] = ()


def evaluate_external(run: FinishedRun, asked: Asked, **flags: Any) -> External | None:
    """Score a run's best network on the images of a table, without those that it was trained or validated on; None on every rank but 0.

    Args:
        flags: other values of the run's flags: where the images are, workers, cache.

    Raises:
        ConfigError: a network that gives no scores, or flags that need more ratings than there are.
        DataError: no images or ratings, or all were trained on. CheckpointError: the table has none of the network's targets.
    """
    task = run.network.task
    if not task.has_unit_scores:
        raise ConfigError(
            f"--metadata={asked.metadata}: another rated set can be evaluated for networks that learnt scores (--task=regression); "
            f"run {run.files.name} learnt {task.describe()}"
        )
    config, notes = external_config(run, asked, flags)
    workers = workers_of(config.workers)
    with distributed.main_process_first():
        images = find_images(
            config, run.network.pre, workers, trained=True, rater_group=asked.rater_group, folder_splits=False
        )
    everything = np.arange(len(images.index))
    nothing = everything[:0]
    dataset = Dataset(
        _with_all_targets(images, task, config), Splits(nothing, nothing, everything), images.pixels, images.bad_files
    )
    with contextlib.closing(dataset):
        outputs = outputs_of(run.network, dataset, "test", workers, "External")
        level = asked.tta or config.tta
        views = outputs_of(run.network, dataset, "test", workers, "Views", level) if level != "none" else None
        if outputs is None:
            return None
        rows, said = _new_images(run, dataset, asked)
        notes += said
        fitting = rows[:0]
        if asked.recalibrate != "none":
            rows, fitting = _divided(rows, asked, config.split_seed or 0)
        tested = replace(dataset, splits=Splits(nothing, nothing, rows))
        result = _result(task, tested, outputs[rows])
        if asked.keep_trained and said:
            result["estimand"] = "this network, on these images, some of which it was trained on or selected by"
        if views is not None:
            result = with_views(result, level, task.held_out_result(tested, "test", views[rows]))
        if asked.recalibrate == "none":
            return External(result, notes=tuple(notes))
        local, scale, said = new_scale(
            task, asked.recalibrate, task.decode(outputs[fitting]), dataset.index.targets[fitting]
        )
        notes += said
        after = _result(local, tested, outputs[rows])
        record = {"table": Path(asked.metadata).name, "ratings": len(fitting), **scale}
        return External(result, after, write_local(run, local, record, Path(asked.metadata).stem), tuple(notes))


def new_scale(
    task: Task, shape: str, predicted: np.ndarray, true: np.ndarray
) -> tuple[Task, dict[str, Any], list[str]]:
    """The task on the scale of new ratings, what the checkpoint says of it, and lines for the log.

    Args:
        shape: linear or monotone. predicted, true: (n, K) of the images whose ratings are fitted, NaN where unknown.
    """
    rated = [(t, name) for t, name in enumerate(task.names) if not np.isnan(true[:, t]).all()]
    if shape == "linear":
        lines = {name: fitted_line(predicted[:, t], true[:, t]) for t, name in rated}
        return rescaled(task, lines), {"lines": lines}, []
    curves = {name: monotone_curve(predicted[:, t], true[:, t]) for t, name in rated}
    said = [
        f"--recalibrate=monotone: the {int((~np.isnan(true[:, t])).sum()):,} ratings of {name} give a curve of {len(curves[name].x):,} levels; "
        "it rises between them, so predictions that differ stay different"
        for t, name in rated
    ]
    return bent(task, curves), {"curves": {name: asdict(curve) for name, curve in curves.items()}}, said


def external_config(run: FinishedRun, asked: Asked, flags: dict[str, Any]) -> tuple[Config, list[str]]:
    """The flags under which the new images are indexed, and lines about targets that have no partner."""
    task = run.network.task
    trained = Config.from_dict(run.network.meta["config"])
    root = replace(trained, **{name: flags[name] for name in ("root_dir", "data_dir") if name in flags})
    path = find("metadata", asked.metadata, root, Path(root.root / root.data_dir), Path(root.data_dir), there=has_table)
    table = read_any_table(path)
    if asked.image_column is None and place_pulse.is_place_pulse(table):
        studies = {place_pulse.STUDIES.get(study, study) for study in table.column("study_id", "--metadata").tolist()}
        found, notes = _shared_targets(task, path, sorted(studies - {""}), "study")
        return replace(_indexed_so(trained, flags, asked, path, asked.target), study_id=",".join(found)), notes
    columns = [str(column) for column in table.frame.columns]
    named = table.names(asked.target, "--target")  # a name may have commas
    if named and len(named) != len(task.names):
        raise ConfigError(
            f"--target={','.join(asked.target)}: {len(named)} columns for the network's {len(task.names)} targets "
            f"({', '.join(task.names)}); give one for each, in this order"
        )
    target, notes = (named, []) if named else _shared_targets(task, path, columns, "column")
    return _indexed_so(trained, flags, asked, path, target), notes


def _shared_targets(task: Task, path: Path, known: Sequence[str], what: str) -> tuple[tuple[str, ...], list[str]]:
    """The network's targets that a table has, as a column or a study, and a line about the others."""
    found = tuple(name for name in task.names if name in known)
    if not found:
        raise CheckpointError(
            f"--metadata={path.name}: none of the network's targets ({', '.join(task.names)}) is a {what}; it has {some(known, 12)}"
            + ("; name the column as --target" if what == "column" else "")
        )
    missing = [name for name in task.names if name not in known]
    said = f"{path.name} has no {what} {', '.join(missing)}; these targets of the network are not evaluated"
    return found, [said] if missing else []


def _indexed_so(trained: Config, flags: dict[str, Any], asked: Asked, path: Path, target: tuple[str, ...]) -> Config:
    plain = Config()
    cleared = {
        name: getattr(plain, name)
        for name in (
            "study_id",
            "split_column",
            "weigh_by",
            "folds",
            "fold",
            "split_from",
            "buffer",
            "dataset",
        )
    }
    given = {
        "task": "regression",
        "metadata": str(path.absolute()),
        "image_column": asked.image_column,
        "target": target,
        "where": asked.where,
        "group": asked.group,
        "raters": asked.raters,
        "target_std": asked.target_std,
    }
    return replace(trained, **(cleared | flags | given))


def _with_all_targets(images: Images, task: Task, config: Config) -> Any:
    """The index with a column for each target of the network, NaN where the table has none; their order is the network's."""
    index = images.index
    targets = np.full((len(index), len(task.names)), np.nan)
    raters = index.rater_groups
    renamed = len(config.target) == len(task.names) and not set(config.target) <= set(task.names)
    order = [t if renamed else task.names.index(name) for t, name in enumerate(index.target_names)]
    targets[:, order] = index.targets
    if raters is not None:
        means = np.full((*raters.means.shape[:2], len(task.names)), np.nan)
        counts = np.zeros(means.shape, dtype=np.int64)
        means[:, :, order], counts[:, :, order] = raters.means, raters.counts
        raters = replace(raters, means=means, counts=counts)
    return replace(index, targets=targets, target_names=task.names, rater_groups=raters)


def _new_images(run: FinishedRun, dataset: Dataset, asked: Asked) -> tuple[np.ndarray, list[str]]:
    """The images that are scored, int64 (n,), and a line about those that the network has seen before, by their files or bytes.

    Raises:
        DataError: the network was trained or validated on all of them.
    """
    everything, index, now = np.arange(len(dataset.index)), dataset.index, dataset.pixels.contents
    if not (run.files.results / "splits.csv").exists():  # a checkpoint that came alone
        return everything, []
    rows = [(row[0], row[-1] != SPLITS[TEST]) for row in read_csv(Manifest(run.files).require("splits.csv"))][1:]
    trained = np.array([used for _, used in rows])
    seen = np.zeros(len(index), dtype=bool)
    if (folder := own_folder(run)) is not None and folder.resolve() == index.root.resolve():
        seen |= np.isin(list(index.paths), [name for name, used in rows if used])
    digests = digests_of_run(run.files.models)  # nothing is known of images whose features were cached
    if now is not None and digests is not None:
        now.read(np.flatnonzero(now.digests == UNKNOWN), lambda i: read_file(index.source(i)))  # those of other ranks
        if len(digests) == len(rows):  # else some have no split, and all of the run's images count
            digests = digests[trained]
        seen |= np.isin(now.digests, digests[digests != UNKNOWN])
    if not seen.any():
        return everything, []
    what = f"{plural(int(seen.sum()), 'image')} of {len(seen):,} trained or validated this network"
    if asked.keep_trained:
        return everything, [f"{what}; with --split=all they count, so the result is no estimate for new images"]
    if seen.all():
        raise DataError(
            f"--metadata={asked.metadata}: the network was trained or validated on all {len(seen):,} images, which is no test; give "
            "ratings of other images, or --split=all to compare with these raters all the same"
        )
    return np.flatnonzero(~seen), [f"{what}; they are left out (--split=all keeps them)"]


def _divided(rows: np.ndarray, asked: Asked, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Of the images `rows` those that measure, and those whose ratings give the new scale; drawn by the seed of the splits."""
    total = len(rows)
    count = min(MOST_RATINGS, total // 2) if asked.ratings is None else asked.ratings
    if count < FEWEST_RATINGS or total - count < FEWEST_RATINGS:
        raise ConfigError(
            f"--recalibrate: {total} rated images are divided into {count} for the new scale and {total - count} that measure it; each "
            f"needs at least {FEWEST_RATINGS}"
        )
    order = permutation(seed, 0, total, "recalibrate")
    return rows[np.sort(order[count:])], rows[np.sort(order[:count])]


def _result(task: Task, dataset: Dataset, outputs: np.ndarray) -> dict[str, Any]:
    """As test.json, with the line of calibration of each target."""
    index, rows = dataset.index, dataset.samples("test")
    groups = None if index.groups is None else index.groups[rows]
    result = task.held_out_result(dataset, "test", outputs)
    if not task.has_loss_of(index.targets[rows]):
        result = result | {"loss": None}
        result["intervals"] = {name: ends for name, ends in result["intervals"].items() if name != "loss"}
    decoded = task.decode(outputs)
    if index.rater_groups is not None:
        raters = index.rater_groups.take(rows)
        result["rater_groups"] = rater_group_result(task.scored_decoded, decoded, raters, groups)
    return result | {
        "split": "external",
        "external": True,
        "calibration_line": calibration_lines(task.names, decoded[:, : len(task.names)], index.targets[rows], groups),
    }


@main_process
def write_local(run: FinishedRun, task: Task, record: dict[str, Any], name: str) -> Path:
    """A copy of best.pt with the new scale, best.NAME.pt; `predict --checkpoint` takes it."""
    state = checkpoint.load(run.files.best)
    for errors in (
        "calibration",
        "fold_errors",
    ):  # of the old scale: predict --coverage would take them for the new one's
        state.pop(errors, None)
    described = plain_values(task.to_dict())
    path = run.files.models / f"best.{_safe(name)}.pt"
    checkpoint.save(path, state | {"task": described, "recalibration": record})
    return path


def _safe(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name) or "local"


def _plus(number: float) -> str:
    return f"{'-' if number < 0 else '+'} {abs(number):.3g}"


def summary(found: External, names: Sequence[str]) -> list[str]:
    """Lines for the console: the calibration of each target, and errors before and after a new scale."""
    lines = []
    for name in names:
        line = found.result["calibration_line"].get(name)
        if line is None:
            continue
        slope, intercept = line["slope"], line["intercept"]
        between = bracketed(line["intervals"]["slope"], "{:.2f}".format)
        lines.append(
            f"Calibration of {name}: true = {intercept:.3g} {_plus(slope)} x predicted; slope{between} is 1 and intercept 0 where the scale fits"
        )
    if found.after is not None:
        for name in found.result["per_target"]:
            before, after = (r["per_target"][name] for r in (found.result, found.after))
            if before["mae"] is not None:
                lines.append(
                    f"Recalibrated {name}: MAE {before['mae']:.4g} -> {after['mae']:.4g}, R2 {before['r2']:.3f} -> {after['r2']:.3f}, on the "
                    f"{found.result['count']:,} images whose ratings the new scale has not seen"
                )
        lines.append(
            f"The network with the new scale: {found.file} (predict --checkpoint={found.file}). To train on these ratings instead: "
            "--weights=best.pt of this run"
        )
    return lines
