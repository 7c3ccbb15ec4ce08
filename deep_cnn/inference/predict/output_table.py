"""The table of predictions on disk: rows are only ever appended, and each one that is whole is true for good.

Beside FILE.csv lie FILE.failed.csv (images that cannot be read, and why) and FILE.csv.json (what makes the table: the
checkpoints, the list of images, the columns), and FILE.csv.contents (24 bytes for each image: size, modification time and
digest of the file that was read). Failures are flushed to the disk before the rows that follow them, so the
last whole row of FILE.csv tells how far the work came; what lies behind it in either file is cut off and done again.
"""

import contextlib
import csv
import hashlib
import io
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from deep_cnn.data.files import Paths
from deep_cnn.runtime.atomic import csv_line, read_csv, read_json, unescaped, write_json
from deep_cnn.runtime.errors import ConfigError, MachineError

FLUSH_SECONDS = 1.0  # at most so much work is done twice; a flush takes 1 to 10 ms
FAILED_HEADER = ["file", "reason"]
NOT_KEPT = -2  # in place of a time: nothing is known of this image
ENTRY = 3 * 8  # bytes of an image in FILE.csv.contents: int64 size (-1: no such file), modification time, digest


@dataclass(frozen=True)
class TableFiles:
    """Where a table and its companions lie."""

    rows: Path  # FILE.csv

    @property
    def failed(self) -> Path:
        """The images that could not be read, and why: FILE.failed.csv."""
        return self.rows.with_name(f"{self.rows.stem}.failed.csv")

    @property
    def contents(self) -> Path:
        """What the images held when they were predicted: FILE.csv.contents."""
        return self.rows.with_name(f"{self.rows.name}.contents")

    @property
    def about(self) -> Path:
        """How the table is made, and how far it is: FILE.csv.json."""
        return self.rows.with_name(f"{self.rows.name}.json")


def known_of(files: TableFiles, about: dict[str, Any]) -> dict[str, Any] | None:
    """What FILE.csv.json says of a table that is there; None when there is none, or the user removed it to have it made anew.

    Raises:
        ConfigError: it is no table of predict's, or one of another making than `about` says.
    """
    if not files.rows.exists():
        return None
    known = read_json(files.about)
    if known is None:
        raise ConfigError(
            f"--output={files.rows}: the file exists and is not a table of predict; choose another name or remove the file"
        )
    # tables of 0.1.0 do not name the places that they were made with
    if different := [k for k, v in about.items() if known.get(k, v if k == "places" else None) != v]:
        raise ConfigError(
            f"--output={files.rows}: the file exists and is of another prediction (different: {', '.join(different)}); choose another "
            "name or remove the file"
        )
    if edited(files, known):
        raise ConfigError(
            f"--output={files.rows}: the table was finished, and was edited or damaged since; choose another name or remove the file"
        )
    return known


def edited(files: TableFiles, known: dict[str, Any]) -> bool:
    """Whether a finished table is not what predict wrote. known: of its .json; tables of before have no digest there."""
    return (
        bool(known.get("complete")) and "sha256" in known and known["sha256"] != digest_of(files, known.get("failed"))
    )


def digest_of(files: TableFiles, failed: Any) -> str:
    """SHA-256 of the rows, and of the failures behind them where some images have `failed`."""
    digest = hashlib.sha256(files.rows.read_bytes())
    if failed and files.failed.exists():
        digest.update(files.failed.read_bytes())
    return digest.hexdigest()


class OwnFile:
    """A file that only this process writes, and only at its end. What another program does to it is noticed."""

    def __init__(self, path: Path):
        """Opens it, or makes it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.file = path, _opened(path)
        self._size, self._sum = 0, hashlib.sha256()

    def cut(self, end: int) -> None:
        """Keep the first `end` bytes, as they stand."""
        self.file.truncate(end)
        self._size, self._sum = end, _sum_of(self.file)

    def append(self, data: bytes) -> None:
        """Write to the disk, even if the power goes. MachineError where another program has changed the file."""
        self.check_size()
        self.file.write(data)
        self.file.flush()
        os.fsync(self.file.fileno())
        self._size += len(data)
        self._sum.update(data)

    def check_size(self) -> None:
        """MachineError where there is another file now, or one of another length."""
        try:
            same = os.path.samestat(os.stat(self.path), status := os.fstat(self.file.fileno()))
        except FileNotFoundError:
            same = False
        if not same or status.st_size != self._size:
            raise self._changed()

    def check_bytes(self) -> None:
        """`check_size`, and MachineError where a byte is not as it was written."""
        self.check_size()
        if _sum_of(self.file).digest() != self._sum.digest():
            raise self._changed()

    def _changed(self) -> MachineError:
        return MachineError(
            f"--output={self.path}: was changed, replaced or deleted by another program while it was written; remove what is "
            "left of the table and run the command again, or choose another name"
        )


class OutputTable:
    """A table that is being written. A context manager; one process at a time.

    about: what makes the rows what they are. Raises ConfigError when a table of another making has this name.
    """

    def __init__(self, files: TableFiles, columns: list[str], about: dict[str, Any]):
        self.files, self.columns, self.about = files, columns, about | {"columns": columns}
        self._waiting: list[bytes] = []
        self._waiting_failed: list[bytes] = []
        self._waiting_contents: list[bytes] = []
        self._flushed = time.monotonic()
        self.failed = 0

    def __enter__(self) -> "OutputTable":
        if known_of(self.files, self.about) is None:
            write_json(self.files.about, self.about | {"complete": False})
        self._rows, self._failed = OwnFile(self.files.rows), OwnFile(self.files.failed)
        self._contents = OwnFile(self.files.contents)
        _lock(self._rows)
        return self

    def __exit__(self, kind, *_) -> None:
        try:
            if kind is None or not issubclass(kind, OSError):  # a full disk would only refuse again
                self.flush()
        finally:
            for own in (self._rows, self._failed, self._contents):
                own.file.close()
            with contextlib.suppress(OSError):
                if self.files.failed.stat().st_size <= len(csv_line(FAILED_HEADER)):  # nothing has failed
                    self.files.failed.unlink()

    def finished(self) -> dict[str, Any] | None:
        """What FILE.csv.json says when the table is complete, else None."""
        known = read_json(self.files.about) or {}
        return known if known.get("complete") else None

    def restart(self) -> None:
        """Begin the table anew; its rows so far were put aside."""
        write_json(self.files.about, self.about | {"complete": False}, durable=True)
        self._rows.file.close()
        self._rows = OwnFile(self.files.rows)
        _lock(self._rows)

    def resume(self, paths: Paths, first: int, last: int) -> int:
        """Cut off what is not whole; the position in `paths` of the first image that has no row yet.

        Raises:
            ConfigError: the rows are not those of these images.
        """
        reasons, header = _reasons(self._failed.file), self._line(self.columns)
        position, end, done = first - 1, 0, first  # position: of the last row; end: of its bytes
        skipped: list[bytes] = []
        for number, (stop, record) in enumerate(_records(self._rows.file)):
            if not number and record != header:
                raise ConfigError(
                    f"--output={self.files.rows}: its first line is not that of this table; choose another name or remove the file"
                )
            if number:
                name = _first_cell(record)
                while done < last and self._cell(paths[done]) != name and self._cell(paths[done]) in reasons:
                    skipped.append(reasons[self._cell(paths[done])])
                    done += 1
                if done >= last or self._cell(paths[done]) != name:
                    raise ConfigError(
                        f"--output={self.files.rows}: row {number} is {name.decode('utf-8', 'replace')}, "
                        "which is not the next image of --images; choose another name or remove the file"
                    )
                position, done = done, done + 1
            end = stop
        self._rows.cut(end)
        if end == 0:
            self._waiting.append(header)
        self._failed.cut(0)
        self._waiting_failed += [csv_line(FAILED_HEADER).encode(), *skipped]
        self.failed = len(skipped)
        entries = _entries(self._contents.file, position + 1 - first)
        self._contents.cut(0)
        self._waiting_contents.append(entries.tobytes())
        self.flush()
        return position + 1

    def add(self, rows: list[list[Any]], failures: list[tuple[str, str]], contents: np.ndarray) -> None:
        """Rows and (file, reason) of failures, which lie before or among them.

        contents: int64 (n, 3), size, time and digest of the file of each row and failure, in the order of the images.
        """
        self.append(list(map(self._line, rows)), list(map(self._line, failures)), contents)

    def append(self, rows: list[bytes], failures: list[bytes], contents: np.ndarray) -> None:
        """`add` of lines as they stand in the files."""
        self._waiting += rows
        self._waiting_failed += failures
        self._waiting_contents.append(np.ascontiguousarray(contents, np.int64).tobytes())
        self.failed += len(failures)
        if time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def _line(self, cells: Sequence[Any]) -> bytes:
        return csv_line(map(spreadsheet_safe, cells) if self.about.get("csv_safe") else cells).encode(
            "utf-8", "surrogateescape"
        )

    def _cell(self, path: str) -> bytes:
        """A file's name as the first cell of its row has it."""
        return _encoded(spreadsheet_safe(path) if self.about.get("csv_safe") else path)

    def flush(self) -> None:
        """Everything so far is on the disk, even if the power goes."""
        for own, waiting in (
            (self._failed, self._waiting_failed),
            (self._contents, self._waiting_contents),
            (self._rows, self._waiting),
        ):  # this order: see above
            if waiting:
                own.append(b"".join(waiting))
                waiting.clear()
        self._flushed = time.monotonic()

    def finish(self, images: int) -> dict[str, Any]:
        """Each of the images has its row or its reason; returns what FILE.csv.json says from now on.

        Raises:
            MachineError: another program has changed what was written.
        """
        self.flush()
        for own in (self._rows, self._failed, self._contents):
            own.check_bytes()
        about = self.about | {"complete": True, "rows": images - self.failed, "failed": self.failed}
        about["sha256"] = digest_of(self.files, self.failed)
        write_json(self.files.about, about, durable=True)
        return about


def read_contents(files: TableFiles, count: int) -> np.ndarray:
    """int64 (count, 3): size, time and digest of the images of a table, time NOT_KEPT where nothing was kept."""
    try:
        with open(files.contents, "rb") as file:
            return _entries(file, count)
    except OSError:
        return _no_entries(count)


def _no_entries(count: int) -> np.ndarray:
    return np.tile(np.array([-1, NOT_KEPT, 0], np.int64), (count, 1))


def _entries(file: BinaryIO, count: int) -> np.ndarray:
    file.seek(0)
    data = file.read(count * ENTRY)
    entries = np.frombuffer(data[: len(data) // ENTRY * ENTRY], np.int64).reshape(-1, 3)
    return np.concatenate([entries, _no_entries(count - len(entries))])


def positions_of(files: TableFiles, paths: Paths, first: int, last: int) -> tuple[np.ndarray, dict[int, bytes]]:
    """Where the rows of the images first ... last - 1 lie in FILE.csv, int64 (n, 2) first and last + 1 byte, 0 where there is none.

    Also the lines of FILE.failed.csv, by position from `first` on.
    """
    found, failed, done, begin = np.zeros((last - first, 2), np.int64), {}, first, 0
    with open(files.rows, "rb") as rows, contextlib.ExitStack() as stack:
        reasons = _reasons(stack.enter_context(open(files.failed, "rb"))) if files.failed.exists() else {}
        for number, (stop, record) in enumerate(_records(rows)):
            while number and done < last and _first_cell(record) not in _cells(paths[done]):
                if (reason := _reason(reasons, paths[done])) is not None:
                    failed[done - first] = reason
                done += 1
            if number and done < last:
                found[done - first] = begin, stop
                done += 1
            begin = stop
    for k in range(done, last):
        if (reason := _reason(reasons, paths[k])) is not None:
            failed[k - first] = reason
    return found, failed


def _cells(path: str) -> tuple[bytes, bytes]:
    """A file's name as the first cell of its row may have it: as it is, or with --csv_safe."""
    return _encoded(path), _encoded(spreadsheet_safe(path))


def _reason(reasons: dict[bytes, bytes], path: str) -> bytes | None:
    return next((reasons[cell] for cell in _cells(path) if cell in reasons), None)


def _reasons(file: BinaryIO) -> dict[bytes, bytes]:
    """The lines of FILE.failed.csv by the names of their files."""
    return {_first_cell(record): record for _, record in _records(file)}


def spreadsheet_safe(cell: Any) -> Any:
    """The cell, behind an apostrophe where a spreadsheet would take its text for a formula (--csv_safe)."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def _sum_of(file: io.BufferedRandom) -> "hashlib._Hash":
    """SHA-256 of a whole file, which is left at its end."""
    file.seek(0)
    return hashlib.file_digest(file, "sha256")


def _opened(path: Path) -> io.BufferedRandom:
    return open(path, "a+b")


def _lock(own: OwnFile) -> None:
    """Refuse a second process on the same table. Released by the system when this one dies, however it dies."""
    with contextlib.suppress(ImportError):  # Windows
        import fcntl

        try:
            fcntl.flock(own.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MachineError(
                f"--output={own.path}: another process is writing this file; give each process its own --shard=i/n"
            ) from None
        except OSError:
            return  # a file system without locks


def header_of(file: BinaryIO) -> bytes:
    """The first record of a table, whose names may hold line feeds; the file is read up to its end."""
    end, header = next(_records(file), (0, b""))
    file.seek(end)
    return header


def _records(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Each whole record with the position of its end; a last one without a line feed is none. Quotes may hold line feeds."""
    file.seek(0)
    end, record = 0, b""
    for line in file:
        record += line
        if record.endswith(b"\n") and record.count(b'"') % 2 == 0:
            end += len(record)
            yield end, record
            record = b""


def _first_cell(record: bytes) -> bytes:
    if not record.startswith(b'"') and b"\\" not in record:
        return record[: record.index(b",")]
    return _encoded(unescaped(next(csv.reader([record.decode("utf-8", "surrogateescape")]))[0]))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a table of predictions by column, one at a time."""
    rows = read_csv(path)
    header = next(rows)
    for row in rows:
        yield dict(zip(header, row, strict=True))
