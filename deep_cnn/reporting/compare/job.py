"""Compare finished runs, from their files to the table and the figure. Reads no image and loads no weights."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from deep_cnn.config.registries import metric_row
from deep_cnn.models.build import ModelSpec
from deep_cnn.models.complexity import Size, count
from deep_cnn.reporting.compare import picture, published
from deep_cnn.reporting.compare.page import Block
from deep_cnn.reporting.compare.paired import difference_of_rows, meaning
from deep_cnn.reporting.compare.picture import Point
from deep_cnn.reporting.compare.rows import NUMBERS, aligned, csv_rows, metric_label, shown_difference, table_cells
from deep_cnn.reporting.compare.runs import Row, Run, read_runs, rows_of, value
from deep_cnn.reporting.plots.panel import Panel, write_png
from deep_cnn.reporting.plots.style import short_label
from deep_cnn.reporting.report.record import Record
from deep_cnn.runtime.atomic import write_rows, write_text
from deep_cnn.runtime.errors import ConfigError, nearest
from deep_cnn.tasks.differences import LINEAR_BASELINE, Difference

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """What the user wants compared: patterns of run names, and --metric, --baseline and --reference."""

    patterns: tuple[str, ...]
    metric: str | None
    baseline: str | None
    reference: bool


@dataclass(frozen=True)
class Section:
    """The rows of runs on the same data, with the metric they are compared by."""

    title: str
    rows: list[Row]
    metric: str

    @property
    def lower_is_better(self) -> bool:
        """Of the metric."""
        return not metric_row(self.metric).higher_is_better

    @property
    def split(self) -> str:
        """The test, or the validation where nothing was tested."""
        return "test" if any(value(row, "test", self.metric) for row in self.rows) else "validation"


def compare(outputs: Path, folder: Path, asked: Asked) -> list[Block]:
    """Show the table; write table.txt, table.csv and a figure for each set of data below `folder`; returns each set's part of the page.

    Args:
        outputs: ROOT_DIR/outputs.

    Raises:
        DataError: no such run, or none that is finished.
        ConfigError: a metric that no run has, a baseline that is not among the runs, a reference that does not fit.
    """
    records, left_out = read_runs(outputs, asked.patterns)
    notes = [f"left out: {reason}" for reason in left_out]
    if unverified := [record.files.name for record in records if not record.verified]:
        notes.append(f"not verified, since version 0.1.0 wrote no digests of its files: {', '.join(unverified)}")
    runs = sized(records, notes)
    rows, repeated = rows_of(runs)
    notes += repeated
    sections = sections_of(rows, asked.metric, notes)
    baseline = find_baseline(rows, asked.baseline)
    if asked.reference and not any(references(section) for section in sections):
        raise ConfigError(
            "--reference: the published values are top-1 accuracies on CIFAR-10, and these runs have "
            + "; ".join(f"{metric_label(s.metric)} on {s.title}" for s in sections)
        )
    if len(sections) > 1:
        notes.append(
            f"The runs were trained on {len(sections)} different data sets, whose numbers cannot be compared: each has its own "
            "table and figure; --runs selects runs"
        )
        trained = [section.rows[0].first.record.config["config"] for section in sections]
        if len({(flags.get("data_dir"), flags.get("metadata")) for flags in trained}) == 1:
            notes.append(
                "They read the same folder, but what was taken of it differs (--target, --where, --group, --split_column ...), which counts as "
                "other data"
            )

    lines: list[str] = []
    cells, blocks = [], []
    folder.mkdir(parents=True, exist_ok=True)
    for number, section in enumerate(sections, 1):
        found = differences(section, baseline) if baseline else {}
        to = baseline.name if isinstance(baseline, Row) else baseline or ""
        cells += csv_rows(section.rows, section.metric, section.title, found, to)
        block = block_of(section, baseline, found, asked.reference)
        blocks.append(block)
        table = aligned([block.columns, *block.rows], right=NUMBERS)
        lines += [f"{section.title}:", *table, *(f"  {note}" for note in block.notes), ""]
        path = folder / figure_name(section, number if len(sections) > 1 else None)
        if block.panel is None:
            path.unlink(missing_ok=True)
        else:
            write_png([replace(block.panel, title=short_label(section.title, 90))], path)
    lines += [f"Note: {note}" for note in dict.fromkeys(notes)]
    for line in lines:
        log.info("%s", line)
    write_rows(folder / "table.csv", cells)
    write_text(folder / "table.txt", "\n".join(lines) + "\n")
    log.info("Table (text and CSV) and figure: %s", folder)
    if notes:
        blocks[-1] = replace(blocks[-1], notes=blocks[-1].notes + list(dict.fromkeys(notes)))
    return blocks


def sized(records: Sequence[Record], notes: list[str]) -> list[Run]:
    """The runs with the sizes of their networks, each network counted once; `notes` gets those that cannot be built."""
    sizes: dict[ModelSpec, Size | None] = {}
    runs = []
    for record in records:
        spec = ModelSpec.from_dict(record.config["model"])
        if spec not in sizes:
            try:
                sizes[spec] = count(spec)
            except ConfigError as error:
                sizes[spec] = None
                notes.append(f"{record.files.name}: its network cannot be built, so its size is unknown ({error})")
        runs.append(Run(record, sizes[spec]))
    return runs


def sections_of(rows: Sequence[Row], metric: str | None, notes: list[str]) -> list[Section]:
    """Rows on the same data together, the best first, and left out where none of them has the metric, with a note."""
    by_data: dict[tuple, list[Row]] = {}
    for row in rows:
        by_data.setdefault(row.first.data, []).append(row)
    titles = distinct([title_of(group[0].first) for group in by_data.values()])
    sections = []
    for title, group in zip(titles, by_data.values(), strict=True):
        known = list(dict.fromkeys(name for row in group for name in row.first.metrics()))
        chosen = metric or next(name for name in group[0].first.record.task.headline if name in known)
        if chosen not in known:
            names = ", ".join(row.name for row in group)
            notes.append(
                f"--metric={chosen}: the runs on {title} ({names}) do not have it and are left out; they have {', '.join(known)}"
            )
            continue
        sections.append(sorted_section(Section(title, group, chosen), notes))
    if metric is not None and not sections:
        known = list(dict.fromkeys(name for row in rows for name in row.first.metrics()))
        raise ConfigError(
            f"--metric={metric}: no run has it; choose one of {', '.join(known)}.{nearest(metric, known)}"
        )
    return sections


def sorted_section(section: Section, notes: list[str]) -> Section:
    """The best row first, those without a value last and told."""
    sign = 1 if section.lower_is_better else -1
    found = {row.name: value(row, section.split, section.metric) for row in section.rows}
    means = {name: measured.mean for name, measured in found.items() if measured is not None}
    label = metric_label(section.metric)
    missing = [row for row in section.rows if row.name not in means]
    for row in missing:
        notes.append(f"{row.name} has no {section.split} {label} and is not in the figure")
    known = sorted((row for row in section.rows if row.name in means), key=lambda row: sign * means[row.name])
    return Section(section.title, known + missing, section.metric)


def block_of(
    section: Section, baseline: Row | str | None, found: dict[str, Difference | str], reference: bool
) -> Block:
    """A section's table, its figure, and what a reader must know of it."""
    rows = section.rows
    runs = [run for row in rows for run in row.runs]
    sets = list(dict.fromkeys(run.test_set for run in runs if run.test_set))
    letters = {name: chr(ord("A") + k % 26) for k, name in enumerate(sets)} | {"": "?"} if len(sets) > 1 else {}
    header, *cells = table_cells(rows, section.metric, differences=found, test_sets=letters)
    lines = []
    if any(len(row.runs) > 1 for row in rows):
        lines.append("±: standard deviation over n runs that differ only in the seed; their time is the mean")
    views = sorted({run.views for run in runs})
    if section.metric.startswith("tta/") and len(views) > 1:
        lines.append(f"Not all runs were tested with the same views of each image (--tta={', --tta='.join(views)})")
    if letters:
        lines.append(
            "Not all runs were tested on the same images (the same letter: the same images), for example because the seed also "
            "chooses the test set; part of the differences comes from the split"
        )
    if baseline is not None and found:
        lines += difference_lines(baseline, found, section.metric)
    machines = list(dict.fromkeys(run.machine for run in runs))
    if len(machines) > 1:
        lines.append(
            f"time: the runs were on different machines ({'; '.join(machines)}), so their times cannot be compared"
        )
    if len(rows) == 1:
        lines.append("Only one row: train other networks on this data to compare them")
    return Block(section.title, header, cells, lines, figure(section, reference))


def difference_lines(baseline: Row | str, found: dict[str, Difference | str], metric: str) -> list[str]:
    """What the column of differences is, what it generalises to, and how small a difference it could have shown."""
    name = baseline if isinstance(baseline, str) else baseline.name
    lines = [f"difference: to {name}, on the same test images, with its 95% interval"]
    lines += meaning(list(found.values()))
    smallest = [each.detectable for each in found.values() if isinstance(each, Difference) and each.detectable]
    if smallest:
        least, most = shown_difference(metric, min(smallest)), shown_difference(metric, max(smallest))
        between = least if least == most else f"{least} to {most}"
        lines.append(
            f"A true difference of {between} would be found in 80% of such comparisons, a smaller one less often"
        )
    if (compared := sum(isinstance(each, Difference) and each.p is not None for each in found.values())) > 1:
        lines.append(
            f"{compared} comparisons: the p values are Holm's, so that all of them together call equal rows different in at most 5% of "
            "cases; the intervals are each by itself"
        )
    return lines


def differences(section: Section, baseline: Row | str) -> dict[str, Difference | str]:
    """Row's name -> its paired difference to the baseline, or why there is none."""
    return {
        row.name: "baseline" if row is baseline else difference_of_rows(row, baseline, section.metric)
        for row in section.rows
    }


def find_baseline(rows: Sequence[Row], name: str | None) -> Row | str | None:
    """The row of the run that --baseline names, or the name of a prediction that needs no image."""
    if name is None:
        return None
    for row in rows:
        if name in (row.name, *(run.name for run in row.runs)):
            return row
    blind = list(dict.fromkeys(row.first.record.task.blind_name for row in rows))
    blind += [LINEAR_BASELINE] if any(row.first.has_linear for row in rows) else []
    if name in blind:
        return name
    known = [run.name for row in rows for run in row.runs] + blind
    raise ConfigError(
        f"--baseline={name}: is not among the compared runs; choose one of {', '.join(known)}.{nearest(name, known)}"
    )


def references(section: Section) -> tuple[published.Published, ...]:
    """Published values of the same metric on the same classes."""
    return published.published_for(section.rows[0].first.record.task.names, section.metric)


def figure(section: Section, reference: bool) -> Panel | None:
    """The figure of a section; none where no row has both a size and a value."""
    points = points_of(section)
    if not points:
        return None
    scale = 100 if metric_row(section.metric).share else 1
    others = [Point(p.name, p.parameters, scale * p.top1) for p in references(section)] if reference else []
    several = any(len(row.runs) > 1 for row in section.rows)
    alone = any(len(row.runs) == 1 for row in section.rows)
    kinds = ["95% interval"] * alone + ["± standard deviation between seeds"] * several
    label = f"{section.split} {metric_label(section.metric)}" + (" (%)" if scale == 100 else "")
    return picture.against_parameters(
        points,
        others,
        label=label + (", lower is better" if section.lower_is_better else ""),
        bars=" or ".join(kinds),
        source=published.SOURCE,
        lower_is_better=section.lower_is_better,
    )


def points_of(section: Section) -> list[Point]:
    """Rows as points in the units of the axis: named after the network, or after the run where networks come twice."""
    scale = 100 if metric_row(section.metric).share else 1
    models = [row.first.model for row in section.rows]
    points = []
    for row in section.rows:
        measured = value(row, section.split, section.metric)
        if measured is None or row.first.size is None:
            continue
        ends = row.first.interval(section.metric) if len(row.runs) == 1 and section.split == "test" else None
        if measured.spread is not None:
            ends = measured.mean - measured.spread, measured.mean + measured.spread
        low, high = (scale * end for end in ends) if ends else (None, None)
        name = row.first.model if models.count(row.first.model) == 1 else row.name
        points.append(Point(name, row.first.size.parameters, scale * measured.mean, low, high))
    return points


def figure_name(section: Section, number: int | None) -> str:
    """The PNG of a section; number: where there are several of the same metric."""
    metric = re.sub(r"[^\w.-]", "_", section.metric)
    return f"{metric}_by_parameters{'' if number is None else f'_{number}'}.png"


def title_of(run: Run) -> str:
    """The data of a run in words: folder or table, and what is learnt from it."""
    config = run.record.config["config"]
    # an older run has no --dataset
    where = config.get("dataset") or Path(config["metadata"] or config["data_dir"]).name or config["data_dir"]
    return f"{where}, {run.record.task.describe()}"


def distinct(titles: Sequence[str]) -> list[str]:
    """Equal titles numbered: a folder whose images have changed is other data under the same name."""
    return [
        title if titles.count(title) == 1 else f"{title} (data {titles[: k + 1].count(title)})"
        for k, title in enumerate(titles)
    ]
