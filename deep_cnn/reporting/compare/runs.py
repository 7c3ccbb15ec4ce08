"""Which runs there are to compare, each read back from its files; and which of them differ only in the seed."""

import fnmatch
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from deep_cnn.config.identity import sources_of
from deep_cnn.inference.linear_baseline import TABLE as BASELINE_TABLE
from deep_cnn.models.complexity import Size
from deep_cnn.reporting.report.record import Record, read_frame, read_record
from deep_cnn.runtime.atomic import escaped
from deep_cnn.runtime.errors import DataError, nearest
from deep_cnn.runtime.manifest import NAME
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.runtime.status import seen_status, unfinished
from deep_cnn.tasks.differences import LINEAR_BASELINE
from deep_cnn.tasks.metrics import Scored


@dataclass(frozen=True)
class Run:
    """A finished run. size: None where its network can no longer be built."""

    record: Record
    size: Size | None

    @property
    def name(self) -> str:
        """Of --run_name."""
        return self.record.files.name

    @property
    def model(self) -> str:
        """Of --model."""
        return self.record.config["model"]["name"]

    @property
    def flags(self) -> dict[str, Any]:
        """The flags that change numbers."""
        return self.record.config["identity"]["flags"]

    @property
    def seed(self) -> int:
        """Of --seed."""
        return self.flags["seed"]

    @property
    def data(self) -> tuple[str, str, tuple[str, ...]]:
        """Equal where two runs saw the same images, with the same truths; their splits may differ all the same."""
        task = self.record.task
        return self.record.config["identity"]["data"], task.answers, task.names

    @property
    def seconds(self) -> float:
        """Of training and validating, on whatever machine it was."""
        return sum((row["train_seconds"] or 0) + (row["validation_seconds"] or 0) for row in self.record.timing)

    @property
    def machine(self) -> str:
        """The device of its first process, 'cpu, 8 threads'."""
        decisions = self.record.config["decisions"]
        return decisions["device"] + (f", {decisions['threads']} threads" if decisions["device"] == "cpu" else "")

    def validation(self, metric: str) -> float | None:
        """A metric of the epoch whose weights were kept; None where there was no validation, or no such metric."""
        best = next((row for row in self.record.history if row["epoch"] == self.record.best_epoch), {})
        return best.get(f"val_{metric}")

    def test(self, metric: str) -> float | None:
        """A metric of test.json; that of one target is 'price/mae', of several views of each image 'tta/top1'."""
        test, name = self._tested_as(metric)
        return None if test is None else _looked_up(test, name)

    def interval(self, metric: str) -> tuple[float, float] | None:
        """The 95% interval of a metric of the test."""
        test, name = self._tested_as(metric)
        found = None if test is None else _looked_up(test["intervals"], name)
        return None if found is None else (found[0], found[1])

    @property
    def views(self) -> str:
        """Of --tta: which views of each image it was tested with, beside the image itself."""
        return (self.record.test or {}).get("tta", {}).get("views", "none")

    def _tested_as(self, metric: str) -> tuple[dict[str, Any] | None, str]:
        """The result in which a metric is found, and its name there."""
        test, (prefix, _, name) = self.record.test, metric.partition("/")
        return (test["tta"], name) if test is not None and prefix == "tta" and "tta" in test else (test, metric)

    def metrics(self) -> list[str]:
        """The names of all its metrics, of the test or the validation, in the order of its files."""
        validated = [name.removeprefix("val_") for name in self.record.history[-1] if name.startswith("val_")]
        result = self.record.test or {}
        views = [f"tta/{name}" for name in _names(result.get("tta", {}).get("intervals", {}))]
        return list(dict.fromkeys(_names(result.get("intervals", {})) + validated + views))

    @cached_property
    def tested_rows(self) -> list[tuple[str, ...]]:
        """(file, truth...) of each test image as predictions_test.csv has them; [] where there are none."""
        if self.record.test is None:
            return []
        path = self.record.files.results / "predictions_test.csv"
        truths = self.record.task.truth_columns
        try:
            # of a thousand classes only these columns are kept
            table = read_frame(path, ["file", *truths])
        except (OSError, ValueError):
            return []  # the run is compared by its test.json; a paired comparison says that it needs the file
        return list(table[["file", *map(escaped, truths)]].itertuples(index=False, name=None))

    @cached_property
    def groups(self) -> np.ndarray | None:
        """Codes of the groups of its test images (n,), in the order of the sorted test rows; None where no file says them."""
        table = self.record.predictions
        if table is None or "group" not in table.columns:
            return None
        codes: np.ndarray = np.unique(table["group"].to_numpy(), return_inverse=True)[1][self._order]
        return codes

    @property
    def has_groups(self) -> bool:
        """Whether it was tested with --group."""
        return (self.record.test or {}).get("bootstrap", {}).get("resampled") == "groups"

    @cached_property
    def test_set(self) -> str:
        """Names the images that it was tested on, with their truths, in whatever order; "" where they are not known."""
        if not self.tested_rows:
            return ""
        lines = "\n".join("\t".join(row) for row in sorted(self.tested_rows))
        return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()

    @cached_property
    def samples(self) -> Scored:
        """Its predictions, ready to be scored in any selection, in the order of the sorted test rows."""
        said, true = self._tested_in_order
        return self.record.task.scored_decoded(said, true)

    def baseline(self, name: str) -> Scored | None:
        """What needs no network: `Task.blind_name`, or linear_baseline; None where the run does not have it."""
        if name == self.record.task.blind_name:
            return self.blind
        return self.linear if name == LINEAR_BASELINE else None

    @property
    def has_linear(self) -> bool:
        """Whether the run has written the predictions of linear_baseline; version 0.1.0 did not."""
        return (self.record.files.results / BASELINE_TABLE).exists()

    @cached_property
    def linear(self) -> Scored | None:
        """What mean colours and edges say of its test images."""
        said, (_, true) = self.record.linear_baseline, self._tested_in_order
        return None if said is None else self.record.task.uncalibrated().scored_decoded(said[self._order], true)

    @cached_property
    def blind(self) -> Scored:
        """What one would say of its test images without looking at them; see `Task.blind`."""
        task, (_, true) = self.record.task, self._tested_in_order
        return task.uncalibrated().scored_decoded(task.blind(self.record.targets("train"), len(true)), true)

    def votes(self, question: str) -> "TestedVotes | None":
        """The decided votes between two of its test images, of one question or, with "", of all; None where no file has them."""
        table = self.record.votes
        if table is None:
            return None
        table = table[table["winner"] != "tie"]
        table = table[table["question"] == escaped(question)] if question else table
        lead = table["predicted_lead"].to_numpy()
        sign = np.where(table["winner"].to_numpy() == "left", 1.0, -1.0)
        names = list(table[["left", "right", "question", "winner"]].itertuples(index=False, name=None))
        grouped = "left_group" in table.columns
        groups = table[["left_group", "right_group"]].to_numpy(dtype=str) if grouped else None
        return TestedVotes(names, (1 + np.sign(lead) * sign) / 2, groups)

    @cached_property
    def _tested_in_order(self) -> tuple[np.ndarray, np.ndarray]:
        assert self.record.tested is not None, "only runs with a test_set are paired"
        said, true = self.record.tested
        return said[self._order], true[self._order]

    @cached_property
    def _order(self) -> list[int]:
        return sorted(range(len(self.tested_rows)), key=self.tested_rows.__getitem__)


@dataclass(frozen=True)
class TestedVotes:
    """Votes (left, right, question, winner), whether the network has each right: 1, 0 or 0.5, (m,); names of groups (m, 2), or None."""

    names: list[tuple[str, ...]]
    right: np.ndarray
    groups: np.ndarray | None


@dataclass(frozen=True)
class Row:
    """Runs that differ only in the seed."""

    runs: tuple[Run, ...]

    @property
    def name(self) -> str:
        """Of one run its name; of several what their names begin with, and a star."""
        names = [run.name for run in self.runs]
        if len(names) == 1:
            return names[0]
        shared = next((n for n in range(len(names[0])) if len({name[: n + 1] for name in names}) > 1), len(names[0]))
        return names[0][:shared] + "*" if shared else f"{names[0]} (+{len(names) - 1})"

    @property
    def first(self) -> Run:
        """The run of the lowest seed."""
        return self.runs[0]

    @property
    def test_set(self) -> str:
        """That of all its runs, or "" where they were not tested on the same images."""
        sets = {run.test_set for run in self.runs}
        return sets.pop() if len(sets) == 1 else ""


@dataclass(frozen=True)
class Value:
    """A metric of a row: the mean over its n runs that have it; spread: their standard deviation (n - 1), None for one."""

    mean: float
    spread: float | None
    n: int


def value(row: Row, split: str, metric: str) -> Value | None:
    """None where no run of the row has it. split: "validation" or "test"."""
    found = [getattr(run, split)(metric) for run in row.runs]
    known = [number for number in found if number is not None]
    if not known:
        return None
    spread = float(np.std(known, ddof=1)) if len(known) > 1 else None
    return Value(float(np.mean(known)), spread, len(known))


def read_runs(outputs: Path, patterns: Sequence[str]) -> tuple[list[Record], list[str]]:
    """The finished runs whose names match one of the patterns, by name; and for each other match why it is left out.

    Raises:
        DataError: no run matches, or none of them is finished.
    """
    # a run whose config.json is gone is named, too
    places = (outputs / "results").glob("*/*.json")
    there = sorted({path.parent.name for path in places if path.name in ("config.json", "test.json", NAME)})
    if not there:
        raise DataError(f"no run in {outputs / 'results'}; train one first, or check --root_dir")
    chosen = [name for name in there if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in there):
            raise DataError(f"--runs={pattern}: no such run; choose from {', '.join(there)}.{nearest(pattern, there)}")
    records, left_out = [], []
    for name in chosen:
        files = RunFiles(outputs, name)
        reason = unfinished(seen_status(files))
        if reason is None:
            try:
                record = read_record(files)
                if record.test is None and not any(name.startswith("val_") for name in record.history[-1]):
                    reason = "it was neither validated nor tested"
                else:
                    records.append(record)
            except DataError as error:
                reason = str(error)
        if reason is not None:
            left_out.append(f"{name}: {reason}")
    if not records:
        raise DataError(f"no finished run to compare: {'; '.join(left_out)}")
    return records, left_out


def rows_of(runs: Sequence[Run]) -> tuple[list[Row], list[str]]:
    """Runs that differ only in the seed as one row; and notes on what a reader could take for that and is not.

    A run that is there twice under two names is counted once. Another state of the program may train otherwise under the same
    flags, so its runs are rows of their own; so is a run of the same flags and program that has other results.
    """
    groups: dict[
        tuple[Any, ...], dict[str, dict[int, Run]]
    ] = {}  # (data, flags) -> digest of the program -> seed -> run
    notes, rows = [], []
    for run in runs:
        others = tuple(sorted((name, repr(flag)) for name, flag in run.flags.items() if name != "seed"))
        programs = groups.setdefault((run.data, others), {})
        seeds = programs.setdefault(sources_of(run.record.config["identity"]), {})
        same = seeds.setdefault(run.seed, run)
        if same is run:
            continue
        if (run.record.test, run.record.history) == (same.record.test, same.record.history):
            notes.append(f"{run.name} is the same run as {same.name} (flags, data and program): counted once")
        else:
            rows.append(Row((run,)))
            notes.append(
                f"{run.name} has the flags, the names of images and the program of {same.name}, but other results: it was trained "
                "on another machine, or its images have changed"
            )
    for programs in groups.values():
        found = [Row(tuple(seeds[seed] for seed in sorted(seeds))) for seeds in programs.values()]
        if len(found) > 1:
            names = " and ".join(row.name for row in found)
            notes.append(
                f"{names} differ only in --seed, but they were trained by different versions of the program and have a row each"
            )
        rows += found
    return rows, notes


def _names(intervals: dict[str, Any]) -> list[str]:
    """Overall metrics, then those of each target, 'price/mae'."""
    of_targets = intervals.get("per_target", {}).items()
    return [n for n in intervals if n not in ("per_target", "per_class")] + [
        f"{target}/{n}" for target, values in of_targets for n in values
    ]


def _looked_up(values: dict[str, Any], metric: str) -> Any:
    target, slash, name = metric.rpartition("/")  # a column's name may have a slash, a metric's has none
    place = values.get("per_target", {}).get(target, {}) if slash else values
    found = place.get(name)
    return None if isinstance(found, dict) else found
