"""A run as its files tell it: what outputs/results/RUN holds, read back."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deep_cnn.config.registries import metric_row
from deep_cnn.data.place_pulse import name_parts
from deep_cnn.inference.linear_baseline import TABLE as BASELINE_TABLE
from deep_cnn.reporting.advice import STILL_IMPROVING, advise
from deep_cnn.reporting.plots.map_areas import Sites
from deep_cnn.reporting.too_little import RunSize, too_little
from deep_cnn.runtime.atomic import escaped, read_json, unescaped
from deep_cnn.runtime.errors import DataError
from deep_cnn.runtime.manifest import REPAIR, Manifest, understood
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.runtime.status import seen_status
from deep_cnn.tasks.base import Chance, Task
from deep_cnn.tasks.make import task_from_dict
from deep_cnn.tasks.pairwise import VOTES_COLUMNS, VOTES_TABLE


@dataclass(frozen=True)
class Record:
    """config: of config.json; history, timing: rows with numbers; test: of test.json, None where there is none.

    verified: whether the files are what the run wrote, by their digests; False for version 0.1.0, which wrote none.
    units: of the targets, where the report is asked for others than the run has.
    """

    files: RunFiles
    config: dict[str, Any]
    status: dict[str, Any]
    history: list[dict[str, Any]]
    timing: list[dict[str, Any]]
    test: dict[str, Any] | None
    verified: bool = field(default=True, kw_only=True)
    units: tuple[str, ...] = field(default=(), kw_only=True)

    @cached_property
    def task(self) -> Task:
        """As config.json describes it, with what it has learnt from the validation set since, which test.json has."""
        task = task_from_dict(dict(self.config["task"]))
        task = task.with_units(self.units) if self.units else task
        return task if self.test is None else task.as_tested(self.test)

    @cached_property
    def splits(self) -> pd.DataFrame:
        """Columns file, each target's, split; all of them text."""
        return self._table("splits.csv")

    def targets(self, split: str) -> np.ndarray:
        """Those of a split, in the order of `splits`, as the index has them."""
        cells = self.splits[self.splits["split"] == split].iloc[:, 1:-1]
        return self.task.parse_targets([names_in(row) for row in cells.to_numpy().tolist()])

    @cached_property
    def predictions(self) -> pd.DataFrame | None:
        """predictions_test.csv, all of it text."""
        if self.test is None or not (self.files.results / "predictions_test.csv").exists():
            return None
        return self._table("predictions_test.csv")

    @cached_property
    def tested(self) -> tuple[np.ndarray, np.ndarray] | None:
        """What was said of the test set and what is true, as `Task.decode` and the index have them."""
        table, task = self.predictions, self.task
        if table is None:
            return None
        said, true = (table[[escaped(name) for name in names]] for names in (task.decoded_columns, task.truth_columns))
        decoded = said.apply(pd.to_numeric).to_numpy(np.float64)
        return decoded, task.parse_targets([names_in(row) for row in true.to_numpy().tolist()])

    @cached_property
    def votes(self) -> pd.DataFrame | None:
        """votes_test.csv, predicted_lead as float64, the rest as text; None where there is none."""
        if not (self.files.results / VOTES_TABLE).exists():
            return None
        return self._table(VOTES_TABLE).astype({"predicted_lead": np.float64})

    @cached_property
    def linear_baseline(self) -> np.ndarray | None:
        """What mean colours and edges say of the test set, as `tested`'s first; None where they were not asked."""
        if self.predictions is None or not (self.files.results / BASELINE_TABLE).exists():
            return None
        names = [escaped(name) for name in self.task.decoded_columns]
        said = self._table(BASELINE_TABLE).set_index("file").loc[self.predictions["file"], names]
        return said.apply(pd.to_numeric).to_numpy(np.float64)

    @cached_property
    def sites(self) -> Sites | None:
        """Where the test images are; None where their table does not say it, as of runs before version 0.2."""
        table = self.predictions
        if table is None or not {"latitude", "longitude"} <= set(table.columns):
            return None
        places = table[["latitude", "longitude"]].apply(pd.to_numeric).to_numpy(np.float64)
        cities = [(name_parts(file) or [""])[-1] for file in names_in(table["file"])]
        groups = names_in(table["group"]) if "group" in table.columns else [""] * len(cities)
        names = [group or city for group, city in zip(groups, cities, strict=True)]
        return Sites(places, np.array(names, dtype=object))

    @cached_property
    def best_epoch(self) -> int | None:
        """The epoch whose weights were kept; None where nothing was validated or tested."""
        if self.test is not None and self.test.get("best_epoch") is not None:
            return int(self.test["best_epoch"])
        name = f"val_{self.task.select}"
        known = [row for row in self.history if row.get(name) is not None]
        if not known:
            return None
        best = (max if self.task.higher_is_better else min)(row[name] for row in known)
        tied = [row for row in known if row[name] == best]
        if "chosen" in self.config:  # older versions kept the first of equal epochs, today's that with the lowest loss
            tied.sort(key=lambda row: math.inf if row.get("val_loss") is None else row["val_loss"])
        return int(tied[0]["epoch"])

    def read_all(self) -> None:
        """Read what is read only where it is needed otherwise, as far as it is there."""
        _ = self.task, self.best_epoch, self.tested, self.sites
        if self.votes is not None:
            _ = self.votes[list(VOTES_COLUMNS)]
        if (self.files.results / "splits.csv").exists():
            _ = self.splits, self.advice()
        _ = self.config["identity"]["flags"]["seed"], self.config["model"]["name"], self.config["decisions"]["device"]
        if self.test is not None:
            _ = self.test["count"], self.test["intervals"]
            if not any(isinstance(self.test.get(name), (int, float)) for name in self.task.headline):
                raise ValueError("test.json has no metric")

    def advice(self) -> list[str]:
        """What its learning curves say, and what there was too little of."""
        said = advise(
            self.history,
            select=self.task.select,
            higher_is_better=self.task.higher_is_better,
            chance=self.chance("validation"),
        )
        if self.test is None and self.history[-1]["epoch"] + 1 < self.config["config"]["epochs"]:
            return said  # it is not finished
        improving = any(sentence.startswith(STILL_IMPROVING) for sentence in said)
        size = self.size if not improving else replace(self.size, best_epoch=None)  # that says it with its numbers
        return [*said, *too_little(size, self.test, self.task.headline)]

    @property
    def size(self) -> RunSize:
        """How much it had."""
        counts = self.splits["split"].value_counts()
        validated = "validation" in counts.index
        select, flags = self.task.select, self.config["config"]
        best = [row.get(f"val_{select}") for row in self.history if row["epoch"] == self.best_epoch]
        return RunSize(
            epochs=len(self.history),
            steps=int(self.history[-1]["step"]),
            best_epoch=self.best_epoch if validated else None,
            images={str(split): int(count) for split, count in counts.items()},
            batch=int(flags["batch_size"]),
            fold=flags.get("fold") is not None,
            all_right=metric_row(select).share and best == [1],
            stopped_early=flags.get("patience", 0) > 0 and self.history[-1]["epoch"] + 1 < flags["epochs"],
        )

    def chance(self, split: str) -> Chance | None:
        """What a network that learnt nothing would reach on a split."""
        return self.task.chance(self.targets(split))

    def _table(self, name: str) -> pd.DataFrame:
        return read_frame(self.files.results / name)


def read_frame(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """A table of ours, or some columns of it, as text: "NA" is a class name, and a folder may be called None.

    Names that are not UTF-8 stay escaped, as pandas' text must be UTF-8; see `names_in`.

    Raises:
        OSError: the file cannot be read. ValueError: it has no such columns.
    """
    wanted = None if columns is None else [escaped(name) for name in columns]
    return pd.read_csv(path, usecols=wanted, dtype=str, keep_default_na=False, encoding_errors="surrogateescape")


def names_in(column: Iterable[str]) -> list[str]:
    """Names of files or labels as they are, where the table has them escaped."""
    return [unescaped(cell) for cell in column]


def read_record(files: RunFiles, units: tuple[str, ...] = ()) -> Record:
    """DataError where there is no such run, where it has not finished an epoch yet, or where a file of it is damaged."""
    manifest = Manifest(files)
    manifest.require_all()
    config = read_json(files.results / "config.json")
    if config is None and (files.results / "config.json").exists():
        raise DataError(f"--run_name={files.name}: config.json is damaged; {REPAIR}")
    if config is None:
        known = sorted(p.parent.name for p in files.results.parent.glob("*/config.json"))
        there = f"; choose one of {', '.join(known)}" if known else ""
        raise DataError(f"--run_name={files.name}: no such run in {files.outputs}{there}")
    with understood(files.results):
        history, timing = (_rows(files.results / name) for name in ("metrics.csv", "timing.csv"))
    if not history:
        raise DataError(f"--run_name={files.name}: no epoch is finished yet")
    test = read_json(files.results / "test.json")
    if test is None and (files.results / "test.json").exists():
        raise DataError(f"--run_name={files.name}: test.json is damaged; {REPAIR}")
    record = Record(
        files, config, seen_status(files) or {}, history, timing, test, verified=manifest.verifies, units=units
    )
    if not record.verified:  # nothing vouches for its files: read them all, so that a damaged one is named
        with understood(files.results):
            record.read_all()
    return record


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    table = pd.read_csv(path)
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} | {"epoch": int(row["epoch"])} for row in rows]
