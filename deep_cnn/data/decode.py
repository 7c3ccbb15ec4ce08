"""File -> canonical picture: the pixels that the cache stores and that training and evaluation start from.

formats.py has the conventions of reading, picture.py the geometry.
"""

import errno
import io
import os
import time

import torch

from deep_cnn.data.archives import Member, Source
from deep_cnn.data.formats import ADVICE, header_size, reader, unreadable
from deep_cnn.data.picture import Picture, fitted, rows_first, square
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.runtime.errors import DataError

TRANSIENT = (
    errno.EIO,
    getattr(errno, "ESTALE", errno.EIO),
)  # what a network file system says while its server restarts
FIRST_READ = 1 << 16  # bytes: photographs of a few hundred pixels are whole with it
PAUSES = (0.5, 2.0, 5.0)  # seconds before the second, third and fourth try


def decode(path: str | Source, pre: Preprocessing, data: bytearray | None = None) -> torch.Tensor:
    """The middle square of a file's canonical picture, which evaluation starts from; see `decode_picture`.

    Args:
        path: of a file, or a member of an archive. data: its bytes (`read_file`), where they have been read.

    Returns:
        uint8 (3, R, R), RGB, R = pre.resize; a view of (R, R, 3) memory, so `.permute(1, 2, 0)` is contiguous.
    """
    return rows_first(square(decode_picture(path, pre, data), pre))


def decode_picture(path: str | Source, pre: Preprocessing, data: bytearray | None = None) -> Picture:
    """The canonical picture of a file: a function of its bytes and of `pre` alone, safe to call from several threads.

    Args:
        path: of a file, or a member of an archive. data: its bytes (`read_file`), where they have been read.

    Raises:
        DataError: the file is missing, empty, truncated, no image, or above Pillow's limit of 179 megapixels.
    """
    data = read_file(path) if data is None else data
    return fitted(rows_first(reader(data)(data, path, pre.bits)), pre)


def image_size(path: str | Source) -> tuple[int, int]:
    """(width, height) in pixels as the image is shown (turned by its metadata), read from its header."""
    try:
        with io.BytesIO(read_file(path)) if isinstance(path, Member) else open(path, "rb") as file:
            return header_size(file, path)
    except OSError as error:
        raise unreadable(path, error) from error


def read_file(path: str | Source) -> bytearray:
    """All bytes of a file or of a member of an archive, tried again where a network file system drops out for a moment."""
    return read_dated(path)[0]


def _read(path: str | os.PathLike[str]) -> tuple[bytearray, int]:
    """What a file holds, and when it had last been changed, in ns.

    With four calls of the system for a small file, where Python's `open` makes ten: at each of them the threads that read hand
    Python's lock to each other, which costs as much as decoding a picture of 32 pixels.
    """
    file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        # bytearray: torch.frombuffer warns about memory it could not write to
        data = bytearray(os.read(file, FIRST_READ))
        while len(data) < (now := os.fstat(file)).st_size and (more := os.read(file, now.st_size - len(data))):
            data += more
        return data, now.st_mtime_ns
    finally:
        os.close(file)


def read_dated(path: str | Source) -> tuple[bytearray, int]:
    """`read_file`, and when the file (of a member, the archive) had last been changed once it was read, in ns."""
    for pause in (*PAUSES, None):
        try:
            if isinstance(path, Member):
                data, changed = path.read(), path.archive.last_change()
                break
            data, changed = _read(path)
            break
        except ValueError as error:  # a damaged archive
            raise unreadable(path, error) from error
        except OSError as error:
            if pause is None or error.errno not in TRANSIENT:
                raise unreadable(path, error) from error
            time.sleep(pause)  # opened again by its name: a stale handle never comes back
            if isinstance(path, Member):
                path.archive.reopen()
    if not data:
        raise DataError(f"{path}: the file is empty (0 bytes). {ADVICE}")
    return data, changed
