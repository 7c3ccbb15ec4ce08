"""A run whose name exists: does it resume, is it finished, or is it another run, which is moved aside?"""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from deep_cnn.config.identity import DATA_CHANGED, OTHER_NUMBERS, differences, sources_of
from deep_cnn.config.schema import Config
from deep_cnn.data import contents
from deep_cnn.data.contents import UNKNOWN, Contents
from deep_cnn.data.dataset import Dataset
from deep_cnn.data.decode import read_file
from deep_cnn.data.split import TargetRows, rows_read_differently
from deep_cnn.models import checkpoint
from deep_cnn.reporting.report.record import read_record
from deep_cnn.runtime import console
from deep_cnn.runtime.atomic import read_json
from deep_cnn.runtime.distributed import main_process
from deep_cnn.runtime.errors import CheckpointError, ConfigError, DataError
from deep_cnn.runtime.format import some
from deep_cnn.runtime.manifest import Manifest
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.runtime.status import Status
from deep_cnn.training.run import Run

log = logging.getLogger(__name__)

# of images with another modification time, before an unfinished run goes on; what is beyond is compared when it is read
COMPARED_AT_ONCE = 1 << 30
NAMED = 3  # files in a message
OTHER_RUN = "give its own flags to continue it, or leave --resume out to train anew"


@dataclass(frozen=True)
class AskedData:
    """What the command would train on. target_rows: the task's, as in splits.csv."""

    dataset: Dataset
    target_rows: TargetRows


@dataclass(frozen=True)
class SavedRun:
    """What is there of the run that was asked for.

    Attributes:
        identity: `run_identity` of the run that was asked for.
        state: what its last.pt holds; None to begin.
        finished: trained to its end and, where there is a test set, tested.
        to_move: why the files of this name, another run's, are to be moved aside; "" where there are none. That is done by
            `move_aside` when this run is sure to begin: a mistake must not take the name from a finished run.
        contents: what its images' bytes were when they were read, or None.
    """

    identity: dict[str, Any]
    state: dict[str, Any] | None = None
    finished: bool = False
    to_move: str = ""
    contents: Contents | None = None


@main_process
def find_checkpoint(run: Run, identity: dict[str, Any], tested: bool, asked: AskedData) -> SavedRun:
    """The state from which this run resumes; None to begin. Nothing is moved yet: see `move_aside`.

    Args:
        tested: whether the run ends with a test.

    Raises:
        CheckpointError: --resume=must and there is nothing of the same run; or no state can be read.
        ConfigError: the name is that of a cross-validation.
        DataError: an unfinished run whose images have changed, or whose program read other rows.
    """
    mode, files = run.config.resume, run.files
    if files.fold_plan.exists():
        raise ConfigError(
            f"--run_name={files.name}: the name of a cross-validation (--folds); choose another --run_name"
        )
    if mode == "never":
        return SavedRun(identity, to_move="--resume=never" if files.has_results() else "")
    state = checkpoint.load_last(files.last)
    if state is None:
        return SavedRun(identity, to_move=_nothing_saved(mode, files, run.status))
    with checkpoint.understood(files.last):
        changed = differences(identity, state["identity"])
        sources_changed = identity["sources"] != sources_of(state["identity"])
        finished = is_finished(files, run.status, state, tested)
    if changed:
        if changed == [DATA_CHANGED] and not finished:
            if "read" not in state["identity"]:
                _refuse_other_reading(files, state, asked, "its images or its table have changed, or")
            raise DataError(
                f"--data_dir={run.config.data_dir}: {DATA_CHANGED} since this unfinished run began (names, sizes or rows); "
                "restore them to continue the run, or start over with --resume=never"
            )
        if mode == "must":
            raise CheckpointError(
                f"--resume=must: {files.last} belongs to a different run: {'; '.join(changed)}; {OTHER_RUN}"
            )
        unfinished = (
            "" if finished else "; it is unfinished: to continue it, give its own flags and its new name as --run_name"
        )
        return SavedRun(identity, to_move=f"The existing run differs ({'; '.join(changed)}){unfinished}")
    other = _other_data(run, state, asked, identity, finished)
    if other:
        if mode == "must":
            raise CheckpointError(f"--resume=must: {files.last} belongs to a different run: {other}; {OTHER_RUN}")
        return SavedRun(identity, to_move=f"{other}, so it is trained again")
    if sources_changed and finished and mode != "must":
        why = "The source code has changed since this run finished, so it is trained again"
        return SavedRun(identity, to_move=why)
    check_began_with(files, run.config)
    Manifest(files).check_writable()  # before the run is touched: what is finished stays so
    if sources_changed:
        log.warning(_changed_sources(state["identity"]["sources"], finished))
    run.status.claim()
    return SavedRun(identity, state, finished, contents=asked.dataset.pixels.contents)


def check_began_with(files: RunFiles, config: Config) -> None:
    """CheckpointError where a run that is there began with other weights than those of --weights_sha256."""
    began_with = (read_json(files.results / "config.json") or {}).get("weights_sha256")
    if config.weights_sha256 and began_with and config.weights_sha256 != began_with:
        raise CheckpointError(
            f"--weights_sha256={config.weights_sha256}: the run {files.name} began with weights of the SHA-256 {began_with}; correct "
            "the flag, or train again with --resume=never"
        )


def expect_contents(dataset: Dataset, saved: SavedRun) -> None:
    """From now on a sample whose bytes are not those that the run has read before is refused when it is read."""
    if saved.contents is not None and dataset.pixels.contents is not None:
        dataset.pixels.contents.adopt(saved.contents)


def _other_data(run: Run, state: dict[str, Any], asked: AskedData, identity: dict[str, Any], finished: bool) -> str:
    """Why the data is not what the run was trained on, though names, sizes and table are; "" where it is.

    Raises:
        DataError: where it is not, and the run is unfinished.
    """
    read_before = state["identity"].get("read")
    if read_before != identity["read"]:
        try:
            rows = rows_read_differently(
                run.files.results / "splits.csv", asked.dataset.index, asked.dataset.splits, asked.target_rows
            )
        except OSError as error:
            rows = 0
            log.warning("It is not known whether this run has read the same rows: splits.csv: %s", error.strerror)
        if rows or read_before is not None:
            if not finished:
                _refuse_other_reading(run.files, state, asked, "")
            return f"The program that trained this run read {rows or 'some'} rows of the data differently"
    now, index = asked.dataset.pixels.contents, asked.dataset.index
    assert now is not None
    before = contents.load(run.files.models, now, identity["data"])
    since = "finished" if finished else "began"
    if before is None:
        log.info("It is not known whether images have changed since this run %s: it has no digests of them", since)
        return ""
    rows_changed = _changed(now, before, asked.dataset, finished)
    if not len(rows_changed):
        now.adopt(before)
        if finished and now.unsaved:
            contents.save(contents.file_of(run.files.models, 0), now, identity["data"])
        return ""
    names = some((index.paths[int(i)] for i in rows_changed), NAMED)
    verb = "has" if len(rows_changed) == 1 else "have"
    what = f"{len(rows_changed):,} of its images {verb} changed since this run {since} ({names})"
    if not finished:
        raise DataError(
            f"--data_dir={run.config.data_dir}: {what}; restore them to continue the run, or start over with --resume=never"
        )
    return what


def _changed(now: Contents, before: Contents, dataset: Dataset, finished: bool) -> np.ndarray:
    """The samples that hold other bytes than before, as far as that is known, int64 (M,)."""
    index, doubtful = dataset.index, now.doubtful(before)
    doubtful = doubtful[now.digests[doubtful] == UNKNOWN]
    if len(doubtful):
        if finished or index.sizes[doubtful].sum() <= COMPARED_AT_ONCE:
            log.info("Files with another modification time: %d; comparing their contents", len(doubtful))
            now.read(doubtful, lambda i: read_file(index.source(i)))
        else:
            log.info("Files with another modification time: %d; each is compared when it is read", len(doubtful))
    return now.differing(before, np.flatnonzero(before.digests != UNKNOWN))


def _refuse_other_reading(files: RunFiles, state: dict[str, Any], asked: AskedData, maybe: str) -> None:
    """Raise DataError: an unfinished run would resume with other files, targets or splits than it began with."""
    version = state.get("versions", {}).get("deep_cnn", "0.1.0")
    try:
        rows = rows_read_differently(
            files.results / "splits.csv", asked.dataset.index, asked.dataset.splits, asked.target_rows
        )
    except OSError:
        rows = 0  # splits.csv is gone: that something differs is known, how much is not
    count = f"{rows:,}" if rows else "some"
    raise DataError(
        f"{files.last}: this unfinished run was begun by deep_cnn {version}; {maybe}{' ' if maybe else ''}that program read "
        f"{count} rows (file, target or split) differently; start over with --resume=never, or continue with that version"
    )


@main_process
def move_aside(run: Run, saved: SavedRun) -> None:
    """Move the other run of this name aside, if there is one, with its lines of the log; the name is this run's from now on."""
    files = run.files
    if saved.to_move:
        name = files.move_aside()
        console.keep_old_lines(files.log, RunFiles(files.outputs, name).log)
        log.info("%s; renamed the existing run to %s", saved.to_move, name)
    elif saved.state is None:
        contents.clear(files.models)  # of a start that saved no state
    run.status.claim()


def _changed_sources(before: str, finished: bool) -> str:
    if finished:
        return "The source code has changed since this run finished"
    if release := OTHER_NUMBERS.get(before):
        return (
            f"This run was started by version {release}, whose augmentation and learning rates are not the same (see "
            "CHANGELOG.md). It continues with those of this version, so its result is that of neither version alone. To train it "
            "with this version from the beginning, use --resume=never"
        )
    return "The source code has changed since this run started; it continues with the new code"


def _nothing_saved(mode: str, files: RunFiles, status: Status) -> str:
    """Why other files of this name are to be moved aside, or ""."""
    if files.has_results():  # a best.pt, or a test, whose last.pt somebody has removed
        if mode == "must":
            raise CheckpointError(f"--resume=must: {files.last} does not exist; there is nothing to resume")
        return f"There is no {files.last} to resume from"
    if mode == "must" and status.before() is None:
        raise CheckpointError(f"--resume=must: {files.last} does not exist; there is nothing to resume")
    if mode == "must":  # a link of a chain that was stopped while it still counted the images
        log.info(
            "--resume=must: this run was %s before its first checkpoint, so training starts from the beginning",
            status.before(),
        )
    return ""


def is_finished(files: RunFiles, status: Status, saved: dict[str, Any], tested: bool) -> bool:
    """Trained to its end and, where there is a test set, tested: test.json is the last file of all.

    A run with a damaged file is not: going on with it writes the files again.
    """
    if not saved["progress"]["finished"]:
        return False
    try:
        record = read_record(files)
    except DataError as damage:
        if (files.results / "test.json").exists():
            log.warning("%s. The files are written again from the saved state", damage)
        return False
    return record.test is not None if tested else status.before() == "finished"
