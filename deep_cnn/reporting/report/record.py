"""A run as its files tell it: what outputs/results/RUN holds, read back."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deep_cnn.reporting.advice import advise, majority, majority_loss
from deep_cnn.runtime.atomic import read_json
from deep_cnn.runtime.errors import DataError
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.tasks.base import TASKS, Task, task_from_dict


@dataclass(frozen=True)
class Record:
    """config: of config.json; history, timing: rows with numbers; test: of test.json, None where there is none."""

    files: RunFiles
    config: dict[str, Any]
    status: dict[str, Any]
    history: list[dict[str, Any]]
    timing: list[dict[str, Any]]
    test: dict[str, Any] | None

    @cached_property
    def task(self) -> Task:
        return task_from_dict(dict(self.config["task"]))

    @cached_property
    def splits(self) -> pd.DataFrame:
        """Columns file, each target's, split; scores as numbers, NaN where missing."""
        return self._table("splits.csv", self.task.names)

    @cached_property
    def predictions(self) -> pd.DataFrame | None:
        if self.test is None or not (self.files.results / "predictions_test.csv").exists():
            return None
        columns = [f"{kind}_{name}" for kind in ("target", "predicted") for name in self.task.names]
        return self._table("predictions_test.csv", columns)

    @cached_property
    def tested(self) -> tuple[np.ndarray, np.ndarray] | None:
        """What was said of the test set and what is true, as `Task.decode` and the index have them."""
        table, task = self.predictions, self.task
        if table is None:
            return None
        if task.kind == "scores":
            pair = [table[[f"{kind}_{n}" for n in task.names]].to_numpy(np.float64) for kind in ("predicted", "target")]
            return pair[0], pair[1]
        probabilities = table[[f"p_{name}" for name in task.names]].to_numpy(np.float64)
        return probabilities, self._labels(table["target"])

    @cached_property
    def best_epoch(self) -> int | None:
        if self.test is not None and self.test.get("best_epoch") is not None:
            return int(self.test["best_epoch"])
        values = [(row.get(f"val_{self.task.select}"), row["epoch"]) for row in self.history]
        known = [pair for pair in values if pair[0] is not None]
        if not known:
            return None
        return int(max(known, key=lambda pair: pair[0] if self.task.higher_is_better else -pair[0])[1])

    def advice(self) -> list[str]:
        """What its learning curves say."""
        labels = self._labels_of("validation")
        known = (
            {}
            if labels is None
            else {
                "chance": majority("single", self.task.names, labels),
                "chance_loss": majority_loss(self.task.names, labels),
            }
        )
        return advise(self.history, select=self.task.select, higher_is_better=self.task.higher_is_better, **known)

    def chance(self, split: str) -> tuple[float, str] | None:
        """What a network that learnt nothing would reach on a split; see `advice.majority`."""
        labels = self._labels_of(split)
        return None if labels is None else majority("single", self.task.names, labels)

    def _labels_of(self, split: str) -> np.ndarray | None:
        if self.task.kind != "single":
            return None
        return self._labels(self.splits[self.splits["split"] == split].iloc[:, 1])

    def _labels(self, column: pd.Series) -> np.ndarray:
        """int64 (n,) class numbers, or float (n, K) of 0 and 1 for 'a;b'."""
        position = {name: number for number, name in enumerate(self.task.names)}
        if self.task.kind == "single":
            return column.map(position).to_numpy(np.int64)
        labels = np.zeros((len(column), len(position)))
        for row, text in enumerate(column):
            for name in filter(None, text.split(";")):
                labels[row, position[name]] = 1
        return labels

    def _table(self, name: str, numbers) -> pd.DataFrame:
        path = self.files.results / name
        # "NA" is a class name, and a folder may be called None: only the numbers' columns have missing values
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding_errors="surrogateescape")
        wanted = set(numbers) if TASKS[self.config["task"]["kind"]] is TASKS["scores"] else set()
        for column in table.columns:
            if column in wanted or column.startswith("p_"):
                table[column] = pd.to_numeric(table[column].replace("", None))
        return table


def read_record(files: RunFiles) -> Record:
    """DataError where there is no such run, or where it has not finished an epoch yet."""
    config = read_json(files.results / "config.json")
    if config is None:
        known = sorted(p.parent.name for p in files.results.parent.glob("*/config.json"))
        there = f"; there are {', '.join(known)}" if known else ""
        raise DataError(f"--run_name={files.name}: no such run below {files.outputs}{there}")
    history, timing = (_rows(files.results / name) for name in ("metrics.csv", "timing.csv"))
    if not history:
        raise DataError(f"--run_name={files.name}: no epoch of it is finished yet")
    test = read_json(files.results / "test.json")
    return Record(files, config, read_json(files.status) or {}, history, timing, test)


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    table = pd.read_csv(path)
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [row | {"epoch": int(row["epoch"])} for row in rows]
