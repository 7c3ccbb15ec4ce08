"""What a run leaves behind, and where; and in what state it is, for job scripts."""

import os
from dataclasses import dataclass
from pathlib import Path

from deep_cnn.runtime.atomic import clear_leftovers
from deep_cnn.runtime.errors import ConfigError


def fold_name(run_name: str, fold: int) -> str:
    """The name of one fold's run of `--run_name=NAME --folds=5`: each fold is a run with files of its own."""
    return f"{run_name}-fold{fold}"


def folds_of(name: str) -> str | None:
    """The --run_name of the folds that a run of this name is one of; None for another name."""
    run_name, _, fold = name.rpartition("-fold")
    return run_name if fold.isdecimal() else None


def are_outputs(folder: Path) -> bool:
    """Whether runs left their files in this folder, as in an outputs/ that lies among the images of --data_dir=."""
    return any(folder.glob("logger/*.log")) or any(folder.glob("results/*/status.json"))


@dataclass(frozen=True)
class RunFiles:
    """The places of one run's files, below ROOT_DIR/outputs."""

    outputs: Path
    name: str

    @property
    def models(self) -> Path:
        """Checkpoints."""
        return self.outputs / "models" / self.name

    @property
    def results(self) -> Path:
        """Scores, plots, the report and status.json."""
        return self.outputs / "results" / self.name

    @property
    def explanations(self) -> Path:
        """Pictures of `explain`."""
        return self.results / "explain"

    @property
    def log(self) -> Path:
        """What the run says, with times."""
        return self.outputs / "logger" / f"{self.name}.log"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's events."""
        return self.outputs / "tensorboard" / self.name

    @property
    def last(self) -> Path:
        """The newest state, from which the run resumes."""
        return self.models / "last.pt"

    @property
    def best(self) -> Path:
        """The best network so far."""
        return self.models / "best.pt"

    @property
    def fold_plan(self) -> Path:
        """What the folds of this name have in common; none where the name is a single run's."""
        return self.results / "plan.json"

    @property
    def status(self) -> Path:
        """The state of the run, for job scripts."""
        return self.results / "status.json"

    @property
    def lock(self) -> Path:
        """Who holds the run's name; beside the folders, which may be moved."""
        return self.outputs / "models" / f".{self.name}.lock"

    def make_folders(self) -> None:
        """Raises ConfigError, before anything is computed, where the results could not be written."""
        for folder in (self.models, self.results, self.log.parent):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                probe = folder / f".writable-{os.getpid()}"
                probe.touch()
                probe.unlink()
            except OSError as error:
                raise ConfigError(
                    f"{folder}: cannot be written ({error.strerror}); choose another --root_dir or fix its permissions"
                ) from None

    def clear_leftovers(self) -> None:
        """Remove files half written by a process that died. Only while the run's name is held."""
        for folder in (self.models, self.results):
            clear_leftovers(folder)

    def has_results(self) -> bool:
        """Whether something was trained under this name; a run that died before its first save has left nothing of worth."""
        return any(path.exists() for path in (self.last, self.best, self.results / "test.json"))

    def move_aside(self) -> str:
        """Rename this run's files to NAME.1, NAME.2, ... (the first that is free); returns that name.

        The checkpoints go after the results: a process that dies in between finds them, and moves the rest as well.
        """
        number = 1
        while (other := RunFiles(self.outputs, f"{self.name}.{number}"))._any_of(self._worth_moving()):
            number += 1
        for part in self._worth_moving():
            os.rename(getattr(self, part), getattr(other, part))
        self.make_folders()
        return other.name

    def _worth_moving(self) -> list[str]:
        """The parts that hold more than this very process has just made; the log is moved by its keeper."""
        folders = [part for part in ("results", "tensorboard", "models") if getattr(self, part).exists()]
        return [part for part in folders if any(f.name != "status.json" for f in getattr(self, part).iterdir())]

    def _any_of(self, parts: list[str]) -> bool:
        return any(getattr(self, part).exists() for part in parts)
