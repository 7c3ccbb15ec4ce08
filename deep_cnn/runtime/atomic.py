"""Files that are never half written: written beside, flushed to the disk where they are state, and renamed."""

import contextlib
import errno
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}  # disk, file size limit, quota


def write_atomically(path: Path, write: Callable[[Path], None], *, durable: bool = False) -> None:
    """Have `write` fill a file beside `path`, then put it in its place in one step.

    Args:
        durable: flush to the disk before and after renaming, so that not even a power cut leaves a broken file.
    Raises:
        OSError: the disk is full or the folder is not writable; the old file is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    try:
        write(temporary)
        if durable:
            _flush(temporary)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    if durable:
        with contextlib.suppress(OSError):  # Windows cannot open a folder, some network file systems cannot flush one
            _flush(path.parent)


def write_text(path: Path, text: str, *, durable: bool = False) -> None:
    write_atomically(path, lambda p: p.write_text(text, encoding="utf-8", newline="\n"), durable=durable)


def write_json(path: Path, values: Any, *, durable: bool = False) -> None:
    """JSON with two spaces; NaN and infinity, which JSON does not have, are refused rather than written."""
    write_text(path, json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n", durable=durable)


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """A CSV whose columns are the keys of all rows in order of appearance; numbers with all their digits."""
    columns: dict[str, None] = dict.fromkeys(key for row in rows for key in row)
    lines = [csv_line(columns)] + [csv_line(row.get(column) for column in columns) for row in rows]
    write_text(path, "".join(lines))


def csv_line(values: Iterable[Any]) -> str:
    """One line of RFC 4180 with a line feed; None is empty; floats as repr, which reads back bit for bit."""
    return ",".join(_cell(value) for value in values) + "\n"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(float(value))
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if set(text) & set(',"\r\n') else text


def read_json(path: Path) -> Any:
    """The values, or None where there is no such file or it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def clear_leftovers(folder: Path) -> None:
    """Remove what a process left that died while it wrote: nothing there has a name that anyone reads."""
    for leftover in (*folder.glob("*.*.tmp"), *folder.glob(".writable-*")):
        with contextlib.suppress(OSError):
            leftover.unlink()


def _flush(path: Path) -> None:
    file = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(file)
    finally:
        os.close(file)
