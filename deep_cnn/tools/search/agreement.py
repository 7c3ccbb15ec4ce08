"""Whether a study's own journal can be believed: its trials lie in the space, and agree with their own epochs and files.

Optuna takes whatever the journal says, and --final trains by it. A storage of --storage is the user's, and is not checked.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.distributions import distribution_to_json
from optuna.trial import FrozenTrial, TrialState

from deep_cnn.config.registries import metric_row
from deep_cnn.runtime.atomic import read_csv, read_json
from deep_cnn.runtime.errors import DataError, DeepCNNError
from deep_cnn.runtime.manifest import Manifest
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.tools.search.space import Space

JOURNAL = "journal.log"


@contextlib.contextmanager
def understood(folder: Path) -> Iterator[None]:
    """Turn whatever a damaged journal in a study's folder causes while it is read into a DataError that names it."""
    try:
        yield
    except (DeepCNNError, OSError):
        raise
    except Exception as error:  # Optuna raises whatever it stumbles over
        raise damaged(folder, "it cannot be read as a study") from error


def damaged(folder: Path, what: str) -> DataError:
    """What to say of a journal that was damaged or edited."""
    return DataError(
        f"{folder / JOURNAL}: is damaged or was edited ({what}); choose another --run_name, or remove the folder "
        f"{folder} to start over"
    )


def contradiction(trial: FrozenTrial, space: Space, files: RunFiles, metric: str) -> str | None:
    """What is wrong with a trial of the journal, in words; None where nothing is.

    files: of its run. metric: without val_.
    """
    for name, value in trial.params.items():
        if name not in space or not _lies_in(space, name, trial):
            return f"{name}={value} is not in --space"
    if trial.state not in (TrialState.COMPLETE, TrialState.PRUNED):
        return None
    if missing := [name for name in space if name not in trial.params]:
        return f"it has no {missing[0]}"
    best = (max if metric_row(metric).higher_is_better else min)(trial.intermediate_values.values(), default=None)
    if trial.state == TrialState.COMPLETE and trial.values != [best]:
        return f"its {metric} is {trial.value}, but the best of its epochs {best}"
    return _contradiction_in_files(trial, files, metric) if trial.intermediate_values else None


def _lies_in(space: Space, name: str, trial: FrozenTrial) -> bool:
    own, value = trial.distributions[name], trial.params[name]
    same = distribution_to_json(own) == distribution_to_json(space[name])
    return same and own._contains(own.to_internal_repr(value))


def _contradiction_in_files(trial: FrozenTrial, files: RunFiles, metric: str) -> str | None:
    """Likewise by the trial's config.json and metrics.csv, where they are what its run wrote."""
    manifest = Manifest(files)
    config, metrics = (files.results / name for name in ("config.json", "metrics.csv"))
    if manifest.agrees(config):
        trained: dict[str, Any] = (read_json(config) or {}).get("config", {})
        for name, value in trial.params.items():
            # `auto` has become a number there, and weights have become a path
            comparable = name in trained and value != "auto" and name != "weights"
            if comparable and json.loads(json.dumps(value)) != trained[name]:
                return f"{name}={value}, but its run was trained with {trained[name]}"
    if manifest.agrees(metrics):
        header, *rows = read_csv(metrics)
        epoch, scored = header.index("epoch"), header.index(f"val_{metric}")
        for row in rows:
            told = trial.intermediate_values.get(int(row[epoch]))
            if row[scored] and told != float(row[scored]):
                return f"its {metric} in epoch {row[epoch]} is {told}, in its metrics.csv {row[scored]}"
    return None
