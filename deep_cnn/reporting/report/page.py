"""report.html: one page about a run with everything in it: no network, no script, no other file."""

import functools
import logging
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from deep_cnn.config.registries import REPORT_SECTIONS, resolve
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.reporting.plots import of_task
from deep_cnn.reporting.plots.learning_curves import learning_curves
from deep_cnn.reporting.probe_advice import all_advice
from deep_cnn.reporting.report.charts import front_curve
from deep_cnn.reporting.report.front import Front, Verdict, front_of, validated_front
from deep_cnn.reporting.report.images import Photographs
from deep_cnn.reporting.report.record import Record, read_record
from deep_cnn.runtime.atomic import write_text
from deep_cnn.runtime.format import plural
from deep_cnn.runtime.manifest import understood
from deep_cnn.runtime.run_files import RunFiles

log = logging.getLogger(__name__)

STATES = {
    "running": "The run has not finished: this is what it has reached so far.",
    "killed": "The run was killed (or its machine went down) and has not finished; the same command resumes it.",
    "stopped": "The run was stopped and has not finished; the same command resumes it.",
    "failed": "The run failed, and this is what it had reached.",
    "mistake": "The run ended with an error, and this is what it had reached.",
    "unknown": "status.json is missing or damaged, so it is unknown whether the run is finished.",
}


def write_report(files: RunFiles, data: Path | None, state: str | None = None, units: tuple[str, ...] = ()) -> Path:
    """Write outputs/results/RUN/report.html from the run's own files; returns its path.

    Args:
        data: the folder with the images of splits.csv; without it, or if it is gone, the page has no photographs.
        state: of the run, if status.json does not have it yet.
        units: of the targets, if not those of the run.

    Raises:
        DataError: no such run, or no finished epoch.
    """
    record = read_record(files, units)
    if record.verified:
        return _write(record, data, state)
    with understood(files.results):  # nothing vouches for what its files say
        return _write(record, data, state)


def _write(record: Record, data: Path | None, state: str | None) -> Path:
    files = record.files
    draw_figures(record, again=state is None)
    shown = state or record.status.get("state", "unknown")
    if shown == "unknown":
        log.warning("%s: %s", files.name, STATES[shown])
    page = render(
        "run.html",
        name=files.name,
        state=shown,
        verified=record.verified,
        sentences=sentences(record),
        front=front(record, shown, "" if state else record.status.get("reason", "")),
        curve=front_curve(record),
        advice=all_advice(record),
        sections=sections_of(record, Photographs(data, Preprocessing.from_dict(record.config["preprocessing"]))),
    )
    path = files.results / "report.html"
    write_page(path, page)
    return path


def sentences(record: Record) -> str:
    """What was learnt from what: the network, the aim and the images."""
    config, model = record.config["config"], record.config["model"]["name"]
    counts = record.splits["split"].value_counts()
    others = [
        f"{counts[split]:,} for {word}"
        for split, word in (("validation", "validation"), ("test", "the test"))
        if split in counts
    ]
    start = {"none": "random", "pretrained": "pretrained"}.get(config["weights"], Path(config["weights"]).name)
    return (
        f"The network {model} learnt to {record.task.aim()} from {plural(int(counts.get('train', 0)), 'training image')} of {data_name(record)}"
        f"{', with ' + ' and '.join(others) if others else ''}. Initial weights: {start}; images of "
        f"{record.config['preprocessing']['crop']} x {record.config['preprocessing']['crop']} pixels."
    )


def data_name(record: Record) -> str:
    """Of the folder or table that was learnt from."""
    config = record.config["config"]  # an older run has no --dataset
    return config.get("dataset") or Path(config["metadata"] or config["data_dir"]).name or config["data_dir"]


def front(record: Record, state: str, reason: str = "") -> Front:
    """The main number: of the test, or of validation if there was no test; of an unfinished run with what became of it."""
    if record.test is not None:
        return front_of(record.task, record.test, "test images")
    row = next((r for r in record.history if r["epoch"] == record.best_epoch), record.history[-1])
    found = validated_front(record.task, row)
    if state == "finished":
        return found
    text = f"{STATES.get(state, '')} {reason}{'' if not reason or reason.endswith('.') else '.'}".strip()
    return Front(
        found.value, found.label, found.below, found.beside, Verdict("bad" if state == "failed" else "open", text)
    )


def sections_of(record: Record, photographs: Photographs) -> list[tuple[str, str, Markup]]:
    """(name, heading, HTML) of each section that the run has, as the registry REPORT_SECTIONS lists them."""
    found = []
    for row in REPORT_SECTIONS.values():
        values = resolve(row.code)(record, photographs)
        if values is not None:
            found.append((row.name, row.description, Markup(render(f"sections/{row.name}.html", **values))))
    return found


def render(template: str, **values: Any) -> str:
    """Fill in a template of this folder; all text is escaped, and a missing value is an error."""
    return _environment().get_template(template).render(**values)


@functools.cache  # it compiles each template once
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("deep_cnn.reporting.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["flags"] = with_flags
    return environment


def with_flags(sentence: str) -> Markup:
    """A sentence whose flags, such as --lr=auto, are code that is not broken over two lines."""
    return Markup(re.sub(r"--\w+(=[\w.]*\w)?", r"<code>\g<0></code>", str(escape(sentence))))


def write_page(path: Path, page: str) -> None:
    """Write a page of HTML, atomically."""
    write_text(path, page)


def draw_figures(record: Record, *, again: bool) -> None:
    """Draw the PNG files that the run has not drawn.

    again: draw all of them, since a figure may have been damaged after the run drew it.
    """
    task, results = record.task, record.files.results
    if again or not (results / "learning_curves.png").exists():
        learning_curves(record.history, results / "learning_curves.png", record.best_epoch)
    if record.tested is not None:
        drawn = [row for row in of_task.figures_of(task) if row.by_run and (results / f"{row.name}.png").exists()]
        rows = [row for row in of_task.figures_of(task) if again or row not in drawn]
        of_task.draw(rows, task, *record.tested, results, record.sites)
