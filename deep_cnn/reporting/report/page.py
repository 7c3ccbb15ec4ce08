"""report.html: one page about a run with everything in it: no network, no other file."""

import functools
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from deep_cnn.config.registries import REPORT_SECTIONS, metric_row, resolve
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.data.sources import is_source
from deep_cnn.reporting.plots import of_task
from deep_cnn.reporting.plots.learning_curves import learning_curves
from deep_cnn.reporting.probe_advice import all_advice
from deep_cnn.reporting.report.images import Photographs
from deep_cnn.reporting.report.record import Record, read_record
from deep_cnn.reporting.result_text import shown
from deep_cnn.runtime.atomic import write_text
from deep_cnn.runtime.manifest import understood
from deep_cnn.runtime.run_files import RunFiles


def write_report(files: RunFiles, data: Path | None, state: str | None = None) -> Path:
    """Write outputs/results/RUN/report.html from the run's own files; returns its path.

    Args:
        data: the folder with the images of splits.csv; without it, or if it is gone, the page has no photographs.
        state: of the run, if status.json does not have it yet.

    Raises:
        DataError: no such run, or no finished epoch.
    """
    record = read_record(files)
    if record.verified:
        return _write(record, data, state)
    with understood(files.results):  # nothing vouches for what its files say
        return _write(record, data, state)


def _write(record: Record, data: Path | None, state: str | None) -> Path:
    files = record.files
    photographs = Photographs(
        data if data is not None and is_source(data) else None, Preprocessing.from_dict(record.config["preprocessing"])
    )
    draw_figures(record, again=state is None)
    page = render(
        "run.html",
        name=files.name,
        state=state or record.status.get("state", "unknown"),
        reason="" if state else record.status.get("reason", ""),
        verified=record.verified,
        headline=headline(record),
        kind=record.task.title,
        model=record.config["model"]["name"],
        crop=record.config["preprocessing"]["crop"],
        advice=all_advice(record),
        sections=sections_of(record, photographs),
    )
    path = files.results / "report.html"
    write_page(path, page)
    return path


def sections_of(record: Record, photographs: Photographs) -> list[tuple[str, Markup]]:
    """(heading, HTML) of each section that the run has, as the registry REPORT_SECTIONS lists them."""
    found = []
    for row in REPORT_SECTIONS.values():
        values = resolve(row.code)(record, photographs)
        if values is not None:
            found.append((row.description, Markup(render(f"sections/{row.name}.html", **values))))
    return found


def render(template: str, **values: Any) -> str:
    """Fill in a template of this folder; all text is escaped, and a missing value is an error."""
    return _environment().get_template(template).render(**values)


@functools.cache  # it compiles each template once
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("deep_cnn.reporting.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def write_page(path: Path, page: str) -> None:
    """Write a page of HTML, atomically."""
    write_text(path, page)


def draw_figures(record: Record, *, again: bool) -> None:
    """Draw the figures that only the report has, and those that the run has not drawn.

    again: draw all of them, since a figure may have been damaged after the run drew it.
    """
    task, results = record.task, record.files.results
    if again or not (results / "learning_curves.png").exists():
        learning_curves(record.history, results / "learning_curves.png", record.best_epoch)
    if record.tested is not None:
        drawn = [row for row in of_task.figures_of(task) if row.by_run and (results / f"{row.name}.png").exists()]
        rows = [row for row in of_task.figures_of(task) if again or row not in drawn]
        of_task.draw(rows, task, *record.tested, results)


def headline(record: Record) -> str:
    """The main metric: of the test, or of validation if there was no test."""
    if record.test is not None:
        name = next(n for n in record.task.headline if record.test.get(n) is not None)
        interval = record.test["intervals"].get(name)
        between = f" [{shown(name, interval[0])}, {shown(name, interval[1])}]" if interval else ""
        return f"{metric_row(name).label} {shown(name, record.test[name])}{between} on {record.test['count']:,} test images"
    if record.best_epoch is not None:
        name, row = record.task.select, next(r for r in record.history if r["epoch"] == record.best_epoch)
        return f"validation {metric_row(name).label} {shown(name, row[f'val_{name}'])}, not tested"
    return "neither validated nor tested"
