"""What a run says of itself: what was asked and read before its first step, its report after the last, its result when asked again."""

import logging
import shlex
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deep_cnn.config.identity import command_line
from deep_cnn.data.dataset import Dataset
from deep_cnn.data.split import save_splits
from deep_cnn.data.split_names import SPLITS
from deep_cnn.reporting import result_text
from deep_cnn.reporting.probe_advice import all_advice
from deep_cnn.reporting.report.page import write_report
from deep_cnn.reporting.report.record import read_record
from deep_cnn.runtime import distributed
from deep_cnn.runtime.atomic import read_json, write_json
from deep_cnn.runtime.distributed import main_process
from deep_cnn.runtime.errors import DataError
from deep_cnn.runtime.manifest import Manifest
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.training.resume import SavedRun
from deep_cnn.training.run import Run

if TYPE_CHECKING:
    from deep_cnn.training.trainer import Trainer

log = logging.getLogger(__name__)


@main_process
def write(trainer: "Trainer") -> None:
    """config.json and splits.csv, before the first step: what was asked, and what is trained and tested on."""
    dataset, results = trainer.dataset, trainer.run.files.results
    record = trainer.describe() | {"command": command_line(trainer.config), "left_out": list(dataset.bad_files)}
    record |= {"chosen": trainer.run.chosen, "data": data_facts(dataset)}
    record |= {"weights_file": trainer.weights or (read_json(results / "config.json") or {}).get("weights_file")}
    digest = trainer.run.weights_digest
    if trainer.state.progress.global_step:  # the weights were read when the run began
        digest = (read_json(results / "config.json") or {}).get("weights_sha256")
    record |= {"weights_sha256": digest} if digest else {}
    announce = Manifest(trainer.run.files).announce
    write_json(results / "config.json", record, announce=announce)
    save_splits(results / "splits.csv", dataset.index, dataset.splits, trainer.task.target_rows, announce)


def data_facts(dataset: Dataset) -> dict[str, Any]:
    """What reading the data has shown, for config.json: its notes, which splits were given, and how many groups each split has."""
    index, splits = dataset.index, dataset.splits
    parts = dict(zip(SPLITS, (splits.train, splits.validation, splits.test), strict=True))
    facts: dict[str, Any] = {
        "notes": [*index.notes, *splits.notes],
        "given_splits": [name for k, name in enumerate(SPLITS) if (index.given_split == k).any()],
    }
    if index.groups is not None:
        facts["groups"] = {name: len(np.unique(index.groups[rows])) for name, rows in parts.items()}
    return facts


@main_process
def show_again(run: Run, dataset: Dataset, saved: SavedRun, *, searching: bool) -> dict[str, Any] | None:
    """The result of a run that is finished."""
    assert saved.state is not None
    log.info("This run is finished; its result (use --resume=never to train again):")
    run.status.note_progress(saved.state["progress"], saved.state["progress"]["global_step"])
    Manifest(run.files).settle()  # the process before this one may have died before it did
    result = read_json(run.files.results / "test.json")
    if result is not None:
        result_text.show_result(result)
        level = run.config.tta
        if level not in ("none", result.get("tta", {}).get("views")):
            again = f"python -m deep_cnn evaluate --run_name={run.files.name} --tta={level}"
            log.info("It was tested without --tta=%s; to test with it, run: %s", level, again)
        log.info("Everything is in %s", run.files.results)
    if not run.files.best.exists():
        log.warning("%s is missing, which predict and evaluate need: --resume=never trains it again", run.files.best)
    shown = (read_json(run.files.results / "config.json") or {}).get("task", {}).get("units") or []
    if run.config.unit and set(run.config.unit) != set(shown):
        again = f"python -m deep_cnn report --run_name={run.files.name} {shlex.quote('--unit=' + ','.join(run.config.unit))}"
        log.info("Its report has other units; to write it with these, run: %s", again)
    page = run.files.results / "report.html"
    if page.exists():
        log.info("Report: %s", page)
    elif not searching:
        write_report_of(run.files, dataset.index.root)  # the process before this one died while it wrote it
    return result


@main_process
def check_whole(files: RunFiles) -> None:
    """DataError where another program has changed or removed results of the run that is ending."""
    gone = [name for name in ("config.json", "splits.csv") if not (files.results / name).exists()]
    if damaged := gone or Manifest(files).damaged():
        raise DataError(
            f"{files.results}: {', '.join(damaged)}: changed or deleted while the run was going on; run the same command again "
            "to repair it"
        )


@main_process
def settle(files: RunFiles) -> None:
    """The run is finished: of each of its files one content is right."""
    Manifest(files).settle()


def write_report_of(files: RunFiles, data: Path) -> None:
    """Say what the learning curves show, and write the report; a run that is done is not undone by a page."""
    if not distributed.is_main():
        return
    try:
        for sentence in all_advice(read_record(files)):
            log.info("Note: %s", sentence)
        log.info("Report: %s", write_report(files, data, "finished"))
    except Exception as error:
        log.warning(
            "Could not write the report (%s: %s); to try again, run: python -m deep_cnn report --run_name=%s",
            type(error).__name__,
            error,
            files.name,
        )
        log.debug("%s", traceback.format_exc())
