"""index.html: all runs, cross-validations, searches and comparisons below one folder of outputs, with links to their reports."""

import datetime
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deep_cnn.reporting.report.folds import read_folds
from deep_cnn.reporting.report.front import Front, front_of
from deep_cnn.reporting.report.page import data_name, front, render, write_page
from deep_cnn.reporting.report.record import Record, read_record
from deep_cnn.runtime.errors import DataError, DeepCNNError
from deep_cnn.runtime.run_files import RunFiles, folds_of
from deep_cnn.runtime.status import seen_status

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A line of the index. link: of its report, relative to the index; '' where there is none. problem: why it has no result."""

    name: str
    link: str
    state: str
    ended: str
    model: str = ""
    data: str = ""
    result: Front | None = None
    problem: str = ""


def write_index(outputs: Path) -> Path:
    """Write OUTPUTS/index.html; returns its path.

    Args:
        outputs: ROOT_DIR/outputs.

    Raises:
        DataError: there is no run.
    """
    runs = sorted(_runs(outputs), key=lambda entry: entry.ended, reverse=True)
    others = [
        (path.parent.name if folder == "search" else "", path.relative_to(outputs).as_posix())
        for folder, pattern in (("search", "*/report.html"), ("compare", "report.html"))
        for path in sorted((outputs / folder).glob(pattern))
    ]
    if not runs and not others:
        raise DataError(f"--root_dir={outputs.parent}: there is no run in {outputs}")
    path = outputs / "index.html"
    write_page(
        path, render("index.html", name="All runs", folder=outputs.resolve().parent.name, runs=runs, others=others)
    )
    return path


def _runs(outputs: Path) -> Iterator[Entry]:
    """Every run and cross-validation; the folds of a finished cross-validation are part of it."""
    results = outputs / "results"
    finished = {path.parent.name for path in results.glob("*/folds.json")}
    for folder in sorted(path for path in results.glob("*") if path.is_dir()):
        if folds_of(folder.name) not in finished and any(folder.glob("*.json")):
            yield _entry(RunFiles(outputs, folder.name))


def _entry(files: RunFiles) -> Entry:
    status = seen_status(files) or {}
    state = status.get("state", "unknown")
    page = files.results / "report.html"
    link = page.relative_to(files.outputs).as_posix() if page.exists() else ""
    newest = max(path.stat().st_mtime for path in files.results.glob("*.json"))
    ended = datetime.datetime.fromtimestamp(newest).isoformat(" ", "minutes")
    try:
        folds = files.fold_plan.exists()
        record: Record = read_folds(files) if folds else read_record(files)
        if folds:
            assert record.test is not None
            found, state = front_of(record.task, record.test, "images"), f"{record.test['folds']} folds"
        else:
            found = front(record, state, status.get("reason", ""))
        return Entry(files.name, link, state, ended, record.config["model"]["name"], data_name(record), found)
    except DeepCNNError as error:
        return Entry(files.name, link, state, ended, problem=str(error).partition(": ")[2] or str(error))
    except Exception as error:  # one run whose files cannot be understood must not hide all others
        log.warning("%s: its files cannot be read (%s: %s)", files.name, type(error).__name__, error)
        return Entry(files.name, link, state, ended, problem="its files cannot be read")
