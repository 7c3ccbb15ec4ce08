"""The charts of a report, as SVG inside the page."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from markupsafe import Markup

from deep_cnn.config.registries import resolve
from deep_cnn.reporting.plots.learning_curves import Curves, curves_of, distinct, of_targets, panel
from deep_cnn.reporting.plots.of_task import figures_of, panels_of
from deep_cnn.reporting.plots.panel import Panel
from deep_cnn.reporting.plots.svg import as_svg
from deep_cnn.reporting.report.record import Record

SMALL_CURVE = {"width": 3.4, "height": 1.9}  # inches


@dataclass(frozen=True)
class Chart:
    """One panel in the page. small: a line below the title."""

    title: str
    small: str
    svg: Markup


@dataclass(frozen=True)
class Charts:
    """One figure: its charts, with a heading and a caption, if any. together: so many stay beside each other on a wide screen."""

    heading: str
    caption: str
    charts: list[Chart]
    together: int = 1


def drawn(panels: Sequence[Panel], key: str) -> list[Chart]:
    """Panels as charts; key: unlike that of all other charts of the page."""
    found = []
    for number, each in enumerate(panels):
        title, _, small = each.title.replace("\\$", "$").partition("\n")
        found.append(
            Chart(title, small, Markup(as_svg(each, f"{key}{number}")))
        )  # our own markup; names are escaped in it
    return found


def figures(record: Record, section: str) -> list[Charts]:
    """The task's figures of a section."""
    if record.tested is None:
        return []
    decoded, targets = record.tested
    found = []
    for row in (row for row in figures_of(record.task) if row.section == section):
        if panels := panels_of(row, record.task, decoded, targets, record.sites):
            notes = resolve(row.note)(record.task, targets, record.sites, record.test) if row.note else []
            caption = " ".join([row.description, *notes])
            found.append(Charts(row.title, caption, drawn(panels, row.name.replace("_", "-")), row.together))
    return found


def front_curve(record: Record) -> Chart | None:
    """The metric of the headline by epoch, small; None of a single epoch, whose number says it all."""
    curves, epochs, best = _curves(record)
    wanted = [each for name in (*record.task.headline, record.task.select) for each in curves if each.metric == name]
    if len(epochs) < 2 or not wanted:
        return None
    split = "validation" if "validation" in wanted[0].lines else "training"
    (chart,) = drawn([panel(wanted[0], epochs, best, **SMALL_CURVE)], "front")
    return Chart(f"{chart.title} on {split}" if len(wanted[0].lines) == 1 else chart.title, chart.small, chart.svg)


def epoch_charts(record: Record) -> tuple[list[Chart], list[Chart]]:
    """What every reader wants to see (the loss, the metric of the headline, that of each target, the learning rate), and the rest; nothing
    of a single epoch.
    """
    curves, epochs, best = _curves(record)
    if len(epochs) < 2:
        return [], []
    wanted = [name for name in (*record.task.headline, record.task.select) if any(c.metric == name for c in curves)]
    main = [each for each in curves if each.metric in ("loss", *wanted[:1])]
    rates = [each for each in curves if each.metric == "lr"]
    rest = [each for each in curves if "/" not in each.metric and each not in main + rates]
    panels = [panel(each, epochs, best) for each in main]
    if wanted and (together := of_targets(curves, wanted[0])):
        panels.append(replace(panel(together, epochs, height=2.9), title=f"{together.title} of each target"))
    panels += [panel(each, epochs, best) for each in rates]
    return drawn(panels, "curve"), drawn([panel(each, epochs, best) for each in rest], "other")


def _curves(record: Record) -> tuple[list[Curves], np.ndarray, int | None]:
    """The curves that differ, the numbers of the epochs, and the best one, None where nothing was validated."""
    curves = distinct(curves_of(record.history))
    epochs = np.array([row["epoch"] for row in record.history], dtype=np.float64)
    return curves, epochs, record.best_epoch if any("validation" in each.lines for each in curves) else None
