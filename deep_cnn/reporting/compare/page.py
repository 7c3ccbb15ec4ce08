"""report.html of a comparison: the tables and figures of all sets of data, in the look of a run's report."""

from dataclasses import dataclass, field
from pathlib import Path

from deep_cnn.reporting.plots.panel import Panel
from deep_cnn.reporting.report.charts import drawn
from deep_cnn.reporting.report.page import render, write_page
from deep_cnn.reporting.report.tables import Table


@dataclass(frozen=True)
class Block:
    """The runs on one set of data: a table, what must be known to read it, and a figure, if there is one."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)
    panel: Panel | None = None


def write_comparison(folder: Path, blocks: list[Block]) -> Path:
    """Write FOLDER/report.html; returns its path."""
    parts = [
        (
            Table(block.title, block.columns, block.rows),
            drawn([block.panel], f"block{number}-")[0] if block.panel else None,
            block.notes,
        )
        for number, block in enumerate(blocks)
    ]
    path = folder / "report.html"
    write_page(path, render("comparison.html", name="Comparison", count=sum(len(b.rows) for b in blocks), parts=parts))
    return path
