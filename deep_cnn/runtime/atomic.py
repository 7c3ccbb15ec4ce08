"""Files that are never half written: written beside, flushed to the disk where they are state, and renamed."""

import contextlib
import csv
import errno
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

# What UTF-8 cannot hold of a file name (bytes of another encoding, halves of UTF-16 pairs), and what looks like its escape
QUOTED = re.compile('[,"\r\n]')  # cells with one of these stand in quotes
UNWRITABLE = re.compile(r"[\ud800-\udfff]|\\(?=x[89a-f][0-9a-f]|x5c|ud[89a-f][0-9a-f]{2})")
ESCAPES = re.compile(r"\\x([89a-f][0-9a-f]|5c)|\\u(d[89a-f][0-9a-f]{2})")
FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}  # disk, file size limit, quota


Announce = Callable[[Path, Path], None]  # told (path, temporary) of a file that is about to get its name


@contextlib.contextmanager
def atomic_path(path: Path, *, durable: bool = False, announce: Announce | None = None) -> Iterator[Path]:
    """Yield the name of a temporary file or folder to fill; put it in the place of `path` in one step afterwards.

    Two processes may write the same path at once: each has a temporary name of its own, which `clear_leftovers` knows.

    Args:
        path: the final place; its parent folders are made. A folder must not exist there yet.
        durable: flush to the disk before and after renaming, so that not even a power cut leaves a broken file.
        announce: called just before the renaming; what it raises leaves the old file in its place.

    Raises:
        OSError: the disk is full or the folder is not writable; what was there before is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # not the process id: in containers it is the same on many machines
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        if durable:
            _flush(temporary)
        if announce is not None:
            announce(path, temporary)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            shutil.rmtree(temporary) if temporary.is_dir() else temporary.unlink(missing_ok=True)
        raise
    if durable:
        with contextlib.suppress(OSError):  # Windows cannot open a folder, some network file systems cannot flush one
            _flush(path.parent)


def write_text(path: Path, text: str, *, durable: bool = False, announce: Announce | None = None) -> None:
    r"""Write UTF-8 text with line feeds. What UTF-8 does not have of a file name becomes \udcbd, in JSON its escape."""
    with atomic_path(path, durable=durable, announce=announce) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def write_json(path: Path, values: Any, *, durable: bool = False, announce: Announce | None = None) -> None:
    """JSON with two spaces; NaN and infinity, which JSON does not have, are refused rather than written."""
    text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(path, text, durable=durable, announce=announce)


def escaped(text: str) -> str:
    r"""Text that UTF-8 can hold: bytes of a file name that are not UTF-8 become \xbd; `unescaped` is the inverse.

    Other text stays as it is, but for a backslash that begins such an escape, which becomes \x5c.
    """
    if text.isascii() and "\\" not in text:
        return text
    return UNWRITABLE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code & 0xFF:02x}" if 0xDC80 <= code <= 0xDCFF or code < 0x80 else f"\\u{code:04x}"


def unescaped(text: str) -> str:
    """The text of which `escaped` made this."""
    if "\\" not in text:
        return text
    return ESCAPES.sub(lambda found: _character(int(found[1] or found[2], 16)), text)


def _character(code: int) -> str:
    return chr(code) if code == 0x5C or code > 0xFF else chr(0xDC00 + code)


def write_csv(
    path: Path, header: Iterable[str], rows: Iterable[Iterable[Any]], *, announce: Announce | None = None
) -> None:
    """Write a CSV file row by row, in UTF-8 whatever the names of files are. See `csv_line` for the cells."""
    with (
        atomic_path(path, announce=announce) as temporary,
        open(temporary, "w", encoding="utf-8", newline="\n") as file,
    ):
        file.write(csv_line(header))
        file.writelines(map(csv_line, rows))


def write_rows(path: Path, rows: list[dict[str, Any]], *, announce: Announce | None = None) -> None:
    """A CSV whose columns are the keys of all rows in order of appearance; numbers with all their digits."""
    columns: dict[str, None] = dict.fromkeys(key for row in rows for key in row)
    write_csv(path, columns, ((row.get(column) for column in columns) for row in rows), announce=announce)


def read_csv(path: Path) -> Iterator[list[str]]:
    """The header and the rows of a CSV file of ours, one at a time; escapes of file names are undone (also raw bytes of 0.1.0).

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
        for row in csv.reader(file):
            yield [unescaped(cell) for cell in row]


def csv_line(values: Iterable[Any]) -> str:
    """One line of RFC 4180 with a line feed; None is empty; floats as repr, which reads back bit for bit; text `escaped`."""
    return ",".join(_cell(value) for value in values) + "\n"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(float(value))
    text = escaped(str(value))
    return '"' + text.replace('"', '""') + '"' if QUOTED.search(text) else text


def read_json(path: Path) -> dict[str, Any] | None:
    """The values by name, or None where there is no such file or it is not a JSON object."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


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
