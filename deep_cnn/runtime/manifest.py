"""digests.json: what each file of a run holds, so that a damaged or edited one is named and not believed.

A file is first written beside its place. Then digests.json gets its digest, next to that of the file which is still there,
and only then does the file get its name. A process that dies at any moment leaves a file whose digest is listed, so a
sound run never looks damaged. `settle` drops the older digests when a run ends.
"""

import contextlib
import csv
import hashlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deep_cnn.runtime.atomic import read_json, write_json
from deep_cnn.runtime.errors import DataError, DeepCNNError
from deep_cnn.runtime.run_files import RunFiles

NAME = "digests.json"
RESULTS = (
    "config.json",
    "splits.csv",
    "metrics.csv",
    "timing.csv",
    "predictions_baseline.csv",
    "predictions_test.csv",
    "votes_test.csv",
    "test.json",
    "plan.json",
    "folds.csv",
    "predictions_folds.csv",
    "suspects.csv",
    "folds.json",
)
STATES = ("best.pt", "last.pt")
REPAIR = "run the command that trained it again to repair it"
SAME_STATE = {"last.fresh.pt": "last.pt", "last.previous.pt": "last.pt"}  # a state is renamed as newer ones come


class Manifest:
    """digests.json of one run: file name -> digests that its content may have."""

    def __init__(self, files: RunFiles):
        self.files, self.path = files, files.results / NAME

    def announce(self, path: Path, temporary: Path) -> None:
        """List what `temporary` holds; to be called just before it becomes `path` (see `atomic_path`).

        Raises:
            OSError: the disk is full.
        """
        listed, key = self.entries() or {}, _key(path.name)
        there = [digest_of(file) for file in self._places(key) if file.exists()]
        # a run of version 0.1.0 has no list: what is there when it goes on counts as sound
        kept = [digest for digest in there if digest in listed.get(key, there)]
        self._write(listed | {key: list(dict.fromkeys([digest_of(temporary), *kept]))}, durable=False)

    def settle(self) -> None:
        """List only what the files hold now; for the end of a run."""
        listed = self.entries()
        if listed is None:
            return
        now = {key: [digest_of(file) for file in self._places(key) if file.exists()] for key in listed}
        with contextlib.suppress(OSError):  # a full disk: the list stays as it is, and is right
            self._write({k: [d for d in now[k] if d in listed[k]] or listed[k] for k in listed}, durable=True)

    def agrees(self, path: Path) -> bool | None:
        """Whether a file of the run holds what the run wrote; None where that is not known. A missing file does not."""
        answer = None
        for _ in range(2):  # a run that is being trained may have replaced the file between our two looks
            listed = self.entries()
            if not listed and _key(path.name) not in STATES and (self.path.exists() or self._wrote_digests()):
                return False  # states are known by their own sums, and a run that goes on makes the list again
            if not listed or _key(path.name) not in listed:
                return None
            with contextlib.suppress(OSError):
                if digest_of(path) in listed[_key(path.name)]:
                    return True
            answer = False
        return answer

    def damaged(self) -> list[str]:
        """The files of results that are not what the run wrote, by name."""
        if not self.entries() and (self.path.exists() or self._wrote_digests()):
            return [NAME]
        # whatever is listed is verified: a task may write tables of its own
        names = dict.fromkeys([*RESULTS, *(name for name in self.entries() or {} if name not in STATES)])
        return [name for name in names if self.agrees(self.files.results / name) is False]

    def require_all(self) -> None:
        """DataError where files of results are missing, or are not what the run wrote."""
        damaged = self.damaged()
        if missing := [name for name in damaged if not (self.files.results / name).exists()]:
            raise DataError(f"--run_name={self.files.name}: {', '.join(missing)}: missing; {REPAIR}")
        if damaged:
            raise DataError(f"--run_name={self.files.name}: {', '.join(damaged)}: damaged or edited; {REPAIR}")

    def check_writable(self) -> None:
        """DataError where a folder has the name of a file of results or of a checkpoint, so that the run could not write it."""
        for path in (*(self.files.results / name for name in (NAME, *RESULTS)), self.files.best, self.files.last):
            if path.is_dir():
                raise DataError(f"{path}: is a folder where the run writes a file; rename or remove it")

    def _wrote_digests(self) -> bool:
        """Whether the run is of a later version than 0.1.0, which knew no --split_seed."""
        record = read_json(self.files.results / "config.json") or read_json(self.files.fold_plan) or {}
        identity = record.get("identity")
        flags = identity.get("flags") if isinstance(identity, dict) else None
        return isinstance(flags, dict) and "split_seed" in flags

    @property
    def verifies(self) -> bool:
        """Whether there are digests of the files; not for runs of version 0.1.0."""
        listed = self.entries() or {}
        return all(name in listed for name in RESULTS if (self.files.results / name).exists())

    def require(self, name: str) -> Path:
        """The path of a file of results; DataError where it is not what the run wrote."""
        path = self.files.results / name
        if self.agrees(path) is False:
            raise DataError(f"{path}: is damaged or was edited; {REPAIR}")
        return path

    def entries(self) -> dict[str, list[str]] | None:
        """What is listed; None where there is no list, or where it is damaged itself."""
        try:
            values = json.loads(self.path.read_bytes())
            return values["files"] if values["check"] == _check(values["files"]) else None
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def _write(self, listed: dict[str, list[str]], *, durable: bool) -> None:
        write_json(self.path, {"files": listed, "check": _check(listed)}, durable=durable)

    def _places(self, key: str) -> list[Path]:
        if key not in STATES:
            return [self.files.results / key]
        return [self.files.models / name for name in (key, *(n for n, same in SAME_STATE.items() if same == key))]


def of_checkpoint(path: Path) -> Manifest | None:
    """The list of the run that a checkpoint lies in, outputs/models/RUN/FILE; None for a file elsewhere."""
    folder = path.absolute().parent
    if _key(path.name) not in STATES or folder.parent.name != "models":
        return None
    return Manifest(RunFiles(folder.parent.parent, folder.name))


def digest_of(path: Path) -> str:
    """32 digits that name the content. Of a checkpoint: of its parts' names, sizes and CRC-32, which loading compares."""
    if path.suffix == ".pt" or path.name.split(".")[-1] == "tmp":
        with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
            parts = [(part.filename.split("/", 1)[-1], part.file_size, part.CRC) for part in archive.infolist()]
            return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


@contextlib.contextmanager
def understood(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file of results causes while it is read into a DataError that names it."""
    try:
        yield
    except DeepCNNError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, csv.Error, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"{path}: is damaged ({reason[:160]}); {REPAIR}") from error


def _key(name: str) -> str:
    return SAME_STATE.get(name, name)


def _check(listed: Any) -> str:
    return hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()[:16]
