"""A run or a cross-validation as the methods paragraph needs it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from deep_cnn.reporting.report.folds import FoldsRecord, read_folds
from deep_cnn.reporting.report.record import Record, read_frame, read_record
from deep_cnn.runtime.errors import DataError
from deep_cnn.runtime.run_files import RunFiles, fold_name
from deep_cnn.tasks.base import Task

DIVIDED = "in more than one of"  # in the note of data/split.py on groups


@dataclass(frozen=True)
class Study:
    """record: the run, or the common result of all folds. members: the run itself, or each fold's run."""

    record: Record
    members: tuple[Record, ...]

    @property
    def of_folds(self) -> bool:
        """Whether it is a cross-validation."""
        return isinstance(self.record, FoldsRecord)

    @property
    def first(self) -> Record:
        """The run, or that of the first fold."""
        return self.members[0]

    @property
    def flags(self) -> dict[str, Any]:
        """Every flag of the training as it was used; of a cross-validation, those that all folds share."""
        flags: dict[str, Any] = self.first.config["config"]
        return flags

    def flag(self, name: str) -> Any:
        """A flag's value; None where the version that trained did not have it."""
        return self.flags.get(name)

    @property
    def task(self) -> Task:
        """What was learnt."""
        return self.record.task

    @property
    def of_votes(self) -> bool:
        """Whether it was learnt which of two images is preferred."""
        return bool(self.task.vote_metrics)

    @property
    def of_scores(self) -> bool:
        """Whether it was learnt to predict numbers with a unit."""
        return self.task.has_unit_scores

    @property
    def test(self) -> dict[str, Any]:
        """test.json or folds.json; {} where nothing was tested."""
        return self.record.test or {}

    @property
    def data(self) -> dict[str, Any]:
        """What reading the data has shown; {} in the record of an older version."""
        found: dict[str, Any] = self.first.config.get("data", {})
        return found

    @property
    def divided_groups(self) -> bool:
        """Whether groups (--group) are in more than one split, as the data or another run gave it."""
        return any(DIVIDED in note for note in self.data.get("notes", ()))

    @cached_property
    def counts(self) -> list[dict[str, int]]:
        """Images by split, of each member."""
        return [
            {str(name): int(n) for name, n in member.splits["split"].value_counts().items()} for member in self.members
        ]

    @cached_property
    def images(self) -> int:
        """All images that are trained, validated or tested on."""
        return len(self.first.splits)

    @cached_property
    def targets(self) -> np.ndarray:
        """Of all images, as the index has them."""
        splits = self.first.splits["split"].unique()
        return np.concatenate([self.first.targets(str(split)) for split in splits])

    @cached_property
    def comparison(self) -> pd.DataFrame | None:
        """The table of the last `compare`, if this very result is in it with p values; None otherwise."""
        path = self.record.files.outputs / "compare" / "table.csv"
        if self.of_folds or not path.exists() or not self.test:
            return None
        table = read_frame(path)
        own = table[table["run"] == self.record.files.name] if "run" in table else table[:0]
        p = next((name for name in table if str(name).endswith("_p_holm")), None)
        if len(own) != 1 or p is None or not (table[p] != "").any():
            return None
        metric = str(p).removeprefix("difference_").removesuffix("_p_holm")
        value = own.iloc[0].get(f"test_{metric}", "")
        return table if value and str(self.test.get(metric)) == str(float(value)) else None


def read_study(files: RunFiles) -> Study:
    """DataError as of `read_record` and `read_folds`, and where a run has not finished: its paragraph would change."""
    if files.fold_plan.exists():
        folds = read_folds(files)
        names = [fold_name(files.name, fold["fold"]) for fold in (folds.test or {})["per_fold"]]
        return Study(folds, tuple(read_record(RunFiles(files.outputs, name)) for name in names))
    record = read_record(files)
    ended = record.test is not None or record.status.get("state") == "finished"
    if not ended:
        raise DataError(
            f"--methods: the run {files.name} has not finished, so its methods may still change; run the same command to resume it"
        )
    return Study(record, (record,))
