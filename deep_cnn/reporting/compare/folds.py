"""Cross-validations (--folds) side by side, and their differences from a baseline on the same folds."""

import fnmatch
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from deep_cnn.config.registries import metric_row, shown
from deep_cnn.reporting.compare.page import Block
from deep_cnn.reporting.compare.rows import aligned, shown_difference, shown_p
from deep_cnn.reporting.report.folds import FoldsRecord, read_folds
from deep_cnn.reporting.report.front import main_metric
from deep_cnn.runtime.atomic import read_json, write_rows, write_text
from deep_cnn.runtime.errors import ConfigError, DataError, nearest
from deep_cnn.runtime.format import bracketed
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.tasks.across_folds import difference_of_folds
from deep_cnn.tasks.differences import Difference, holm, within_shares

log = logging.getLogger(__name__)

MEANING = (
    "difference: of the means over the folds, paired by fold, with its 95% interval (Nadeau-Bengio). It is of networks trained on parts of "
    "these images, on new images; the p values are Holm's where there are several"
)


@dataclass(frozen=True)
class Line:
    """A cross-validation in the table; found: its difference from the baseline, or why there is none."""

    record: FoldsRecord
    result: dict[str, Any]
    found: Difference | str | None

    @property
    def name(self) -> str:
        """Of --run_name."""
        return self.record.files.name


def divided(outputs: Path, patterns: Sequence[str]) -> tuple[list[str], list[str]]:
    """The names of finished cross-validations that match a pattern, and the patterns that are for single runs.

    A fold's own run is no run to compare, unless a pattern names it.
    """
    results = outputs / "results"
    sets = sorted(path.parent.name for path in results.glob("*/folds.json"))
    chosen = [name for name in sets if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]
    if not sets:
        return [], list(patterns)
    runs = sorted(path.parent.name for path in results.glob("*/config.json") if not _is_fold(path))
    rest = []
    for pattern in patterns:
        if any(fnmatch.fnmatchcase(name, pattern) for name in runs):
            rest += [name for name in runs if fnmatch.fnmatchcase(name, pattern)]
        elif not any(fnmatch.fnmatchcase(name, pattern) for name in sets):
            rest.append(pattern)  # one fold by its name, or a mistake
    return chosen, list(dict.fromkeys(rest))


def _is_fold(path: Path) -> bool:
    """Whether a config.json is of a fold's own run."""
    config = (read_json(path) or {}).get("config")
    return isinstance(config, dict) and config.get("fold") is not None


def read_sets(outputs: Path, names: Sequence[str]) -> tuple[list[FoldsRecord], list[str]]:
    """The cross-validations of these names whose files are sound; and for each other one why it is left out."""
    records, left_out = [], []
    for name in names:
        try:
            records.append(read_folds(RunFiles(outputs, name)))
        except DataError as error:
            left_out.append(f"left out: {name}: {error}")
    return records, left_out


def compare_folds(
    folder: Path, records: Sequence[FoldsRecord], metric: str | None, baseline: str | None, notes: Sequence[str] = ()
) -> Block:
    """Show the table; write folds.txt and folds.csv below `folder`; returns the table for the page.

    Args:
        records: of finished cross-validations, at least one. baseline: the name of one of them, or None.
        notes: what a reader of the table must know.

    Raises:
        ConfigError: a metric that one of them lacks, or a baseline that is not among them.
    """
    results = {record.files.name: record.test or {} for record in records}
    if baseline is not None and baseline not in results:
        raise ConfigError(f"--baseline={baseline}: not among the cross-validations; choose one of {', '.join(results)}")
    first = next((record for record in records if record.files.name == baseline), records[0])
    chosen = metric or main_metric(first.task, results[first.files.name])
    compared, notes = [], list(notes)
    for record in records:
        name = record.files.name
        known = [key for key, value in results[name]["mean_of_folds"].items() if not isinstance(value, dict)]
        if chosen in known:
            compared.append(record)
        elif metric is None:
            notes.append(f"left out: {name}: it has no {metric_row(chosen).label}; --runs={name} shows it")
        else:
            raise ConfigError(
                f"--metric={chosen}: {name} does not have it; it has {', '.join(known)}.{nearest(chosen, known)}"
            )
    base = next((record for record in records if record.files.name == baseline), None)
    table = [Line(r, results[r.files.name], None if base is None else difference(r, base, chosen)) for r in compared]
    sign = -1 if metric_row(chosen).higher_is_better else 1
    table.sort(key=lambda line: sign * (line.result[chosen] if line.result[chosen] is not None else float("inf")))
    rows = cells(table, chosen)
    meaning = [MEANING] if base is not None else []
    lines = aligned([list(rows[0]), *(list(row.values()) for row in rows)]) + [f"  {line}" for line in meaning]
    unverified = [record.files.name for record in compared if not record.verified]
    if unverified:
        notes = [*notes, f"not verified, since there are no digests of its files: {', '.join(unverified)}"]
    lines += [f"Note: {note}" for note in notes]
    for text in lines:
        log.info("%s", text)
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "folds.csv", rows)
    write_text(folder / "folds.txt", "\n".join(lines) + "\n")
    log.info("Table of cross-validations: %s and folds.csv", folder / "folds.txt")
    return Block("Cross-validations", list(rows[0]), [list(row.values()) for row in rows], [*meaning, *notes])


def difference(ours: FoldsRecord, theirs: FoldsRecord, metric: str) -> Difference | str:
    """Of the mean over the folds; the reason, in words, where there is none."""
    if ours is theirs:
        return "baseline"
    if not same_folds(ours, theirs):
        return "not the same folds: other images, targets, --folds or --split_seed"
    a, b = ([fold.get(metric) for fold in (record.test or {})["per_fold"]] for record in (ours, theirs))
    found = difference_of_folds(a, b)
    if found is None:
        return f"{metric} is undefined in a fold"
    return within_shares(found) if metric_row(metric).share else found


def same_folds(ours: FoldsRecord, theirs: FoldsRecord) -> bool:
    """Whether the same folds test the same images with the same targets."""
    tables = [(record.files.results / "folds.csv").read_bytes() for record in (ours, theirs)]
    return tables[0] == tables[1]


def cells(table: Sequence[Line], metric: str) -> list[dict[str, str]]:
    """The table as text."""
    compared = [line for line in table if isinstance(line.found, Difference) and line.found.p is not None]
    adjusted = holm([line.found.p for line in compared])  # type: ignore[union-attr, misc]
    p_values = {line.name: p for line, p in zip(compared, adjusted, strict=True)}
    label = metric_row(metric).label
    rows = []
    for line in table:
        between = bracketed(line.result["intervals"].get(metric), partial(shown, metric))
        row = {
            "run": line.name,
            "model": line.record.config["model"]["name"],
            "folds": str(line.result["folds"]),
            "images": f"{line.result['count']:,}",
            label: shown(metric, line.result[metric]) + between,
            f"mean of folds {label}": shown(metric, line.result["mean_of_folds"].get(metric)),
        }
        if line.found is not None:
            row["difference"] = line.found if isinstance(line.found, str) else _difference(metric, line.found)
            row["p"] = shown_p(p_values.get(line.name))
        rows.append(row)
    return rows


def _difference(metric: str, found: Difference) -> str:
    return shown_difference(metric, found.value) + bracketed(found.interval, partial(shown_difference, metric))
