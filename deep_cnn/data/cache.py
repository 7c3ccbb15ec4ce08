"""Decoded images in one file: written as the first epoch reads them, read from it ever after.

Three files per cache: KEY.pixels, a row per image of the index; KEY.rows, eight bytes per row: 0 while it is missing, else its
CRC-32, bit 32 set, and from bit 33 on its length in bytes; KEY.contents, the digest of the file that the row was made of. Rows
begin at multiples of the longest one; what a shorter one leaves free is a hole in the file and takes no space on the
disk. A row is written before its checksum, and a row whose checksum is not that of its bytes is decoded again: it was half
written when a machine died, or another program has changed it since. Two processes may fill one cache at once, since they
write the same bytes.

A checksum costs 60 us for an image of 256 x 342, 6% of the time that a thread needs to read and augment it. So on Linux a
process verifies a row once, and again after anyone, itself included, has written to the file. Linux then sets the file's time of
change (ctime) before it copies the bytes, and nobody can put it back, as mtime can be. But times tick (each 1 to 10 ms, on FAT
each 2 s), and a write may still go on at the time that the file has: a row counts as verified only if this process had seen the
same time 5 s earlier. Times are compared with each other and never with this machine's clock: a file server's may be wrong.
Elsewhere each read is verified: Windows, for example, may set the time only when the writer closes the file.

What is noticed late, when the time changes next, or not at all: bytes that a program writes through a map of the file (the time
is set once per page and write-back); those of one call to write that takes more than 5 s; what a failing disk does by
itself. Of a network file system the time may be old: NFS asks its server every 3 to 60 s whether another machine has written.
Where times come from the writer's machine in whole seconds (Lustre), the machines' clocks must agree within 4 s.

Rows are written and read with pwrite and preadv, not through a map: of a file that another program has cut short, a map
is a deadly signal (SIGBUS).
"""

import hashlib
import logging
import os
import shutil
import sys
import threading
import time
import zlib
from pathlib import Path

import numpy as np

from deep_cnn.data.contents import UNKNOWN
from deep_cnn.data.index import Index
from deep_cnn.data.picture import row_bytes
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.runtime.errors import ConfigError
from deep_cnn.runtime.format import readable
from deep_cnn.runtime.scheduler import job_id

log = logging.getLogger(__name__)

PRESENT, LENGTH_BIT = 1 << 32, 33
TYPICAL_ASPECT = 4 / 3  # of a photograph: how large a cache is expected to become
SETTLED = 5.0  # seconds for which a modification time has been seen before rows count as verified: FAT ticks each 2 s
LARGEST_SHARE = 1 / 3  # of the free space, so that a shared or small disk keeps room for others


def cache_key(index: Index, pre: Preprocessing) -> str:
    """Names the pixels: the files (path, size, modification time) and the geometry, not the normalisation."""
    # 4: the sum is of the content, too. 3: whole pictures. 2: orientation is found wherever Pillow finds it, values of 16-bit images count from the highest used bit
    digest = hashlib.sha256(f"4 {pre.resize} {pre.fit} {pre.interpolation} {pre.bits}\n".encode())
    digest.update(index.paths.blob)
    for column in (index.paths.offsets, index.sizes, index.mtimes):
        digest.update(np.ascontiguousarray(column, dtype=np.int64).tobytes())
    return digest.hexdigest()[:16]


def cache_folder(flag: str, root: Path) -> Path | None:
    """Where --cache puts it: the node's own disk within a batch job, outputs/cache elsewhere, or the folder named."""
    if flag == "off":
        return None
    if flag != "auto":
        return Path(flag).expanduser()
    scratch = os.environ.get("TMPDIR")
    return Path(scratch) / "deep_cnn_cache" if job_id() and scratch else root / "outputs" / "cache"


class RowCache:
    """Rows of one length or shorter, one per sample of an index.

    Safe for several threads; a failing disk turns it off, never the run.
    """

    def __init__(
        self, folder: Path, key: str, rows: int, length: int, dtype: type = np.uint8, expected: int | None = None
    ):
        """Opens or makes KEY.pixels (KEY.features of floats) and KEY.rows. OSError when there is no place for them.

        Args:
            length: of the longest row, in numbers of `dtype`. expected: bytes when full; by default all rows are the longest.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.row_bytes = length * np.dtype(dtype).itemsize
        kind = "pixels" if dtype is np.uint8 else "features"
        self.path, size = folder / f"{key}.{kind}", rows * self.row_bytes
        _check_space(self.path, size if expected is None else expected)
        self._dtype = np.dtype(dtype)
        sums, sources = folder / f"{key}.rows", folder / f"{key}.contents"
        self._files = [_open_sized(self.path, size), _open_sized(sums, rows * 8), _open_sized(sources, rows * 8)]
        # as far as this process knows them; contents: UNKNOWN at first
        self._sums, self.contents = np.zeros(rows, np.uint64), np.zeros(rows, np.int64)
        self._read_at(2, 0, self.contents)
        self._read_at(1, 0, self._sums)
        self._verified = np.zeros(rows, np.int64)  # the file's modification time when each row was verified, 0 at first
        self._seen = (0, 0.0)  # that time as it was seen last, and when it was first seen (time.monotonic)
        self._lock = threading.Lock()  # of writing and closing: a closed file's number may soon be another file's
        self._writable, self._warned = True, False

    def read(self, row: int) -> np.ndarray | None:
        """A row (n,); None when it is missing or its bytes are not those that were written."""
        if not self._files:
            return None
        if not int(self._sums[row]) & PRESENT:  # another process may have written it since
            self._read_at(1, row * 8, self._sums[row : row + 1])
            self._read_at(2, row * 8, self.contents[row : row + 1])
            if not int(self._sums[row]) & PRESENT:
                return None
        length = int(self._sums[row]) >> LENGTH_BIT
        if length <= self.row_bytes:  # else the sums are damaged
            data: np.ndarray = np.empty(length // self._dtype.itemsize, self._dtype)
            before = self._settled_time()
            if self._read_at(0, row * self.row_bytes, data):
                # asked again after the bytes were read: who wrote them meanwhile has changed the time before
                if before and self._verified[row] == before == self._settled_time():
                    return data
                if _sum_of(data, int(self.contents[row])) == int(self._sums[row]) & 0xFFFFFFFF:
                    self._verified[row] = before  # not the time after: what was written since is not verified
                    return data
        if not self._warned:
            self._warned = True
            log.warning(
                "The cache %s holds other bytes than were written (changed or cut short by another program, or the machine "
                "died while it wrote); these images are decoded again",
                self.path,
            )
        return None

    def write(self, row: int, data: np.ndarray, content: int = UNKNOWN) -> None:
        """Keep a row (n,), contiguous and of the type of all. A disk that fails is said once, and nothing more is written.

        content: digest of the file that it was made of.
        """
        if not self._writable:
            return
        stored = np.uint64(_sum_of(data, content) | PRESENT | data.nbytes << LENGTH_BIT)
        try:
            with self._lock:
                if self._files:
                    self._write_at(0, row * self.row_bytes, data.data.cast("B"))
                    self._write_at(2, row * 8, np.int64(content).tobytes())
                    self._write_at(1, row * 8, stored.tobytes())
                    self.contents[row], self._sums[row] = content, stored
                    self._settled_time()  # the 5 s begin with the last write, not with the first read after it
        except OSError as error:
            if self._writable:
                self._writable = False
                log.warning(
                    "Cannot write to the cache %s (%s); training continues without caching more images",
                    self.path,
                    error.strerror,
                )

    def _settled_time(self) -> int:
        """The modification time (ns) of the file of rows; 0 where it may still be that of the next write, or cannot be known."""
        if sys.platform != "linux":
            return 0
        try:
            changed = os.fstat(self._files[0]).st_ctime_ns
        except (OSError, IndexError):  # closed meanwhile
            return 0
        seen = self._seen
        if seen[0] != changed:
            seen = self._seen = changed, time.monotonic()  # one tuple: several threads read
        return seen[0] if time.monotonic() - seen[1] >= SETTLED else 0

    def filled(self) -> int:
        """How many rows are there."""
        return int(np.count_nonzero(self._sums))

    def close(self) -> None:
        """Close the files: no more rows are read or kept."""
        with self._lock:
            self._writable = False
            files, self._files = self._files, []
        for file in files:
            os.close(file)

    def _read_at(self, which: int, offset: int, target: np.ndarray) -> bool:
        """Fill an array from a file; False where the file has been closed, cut short or cannot be read."""
        try:
            if hasattr(os, "preadv"):
                return os.preadv(self._files[which], [target.data.cast("B")], offset) == target.nbytes
            with self._lock:  # Windows
                os.lseek(self._files[which], offset, os.SEEK_SET)
                data = os.read(self._files[which], target.nbytes)
        except (OSError, IndexError):
            return False
        if len(data) == target.nbytes:
            target.data.cast("B")[:] = data
        return len(data) == target.nbytes

    def _write_at(self, which: int, offset: int, data: memoryview | bytes) -> None:
        if hasattr(os, "pwrite"):
            written = 0
            while written < len(data):  # a disk that is nearly full takes a part and refuses the next
                written += os.pwrite(self._files[which], data[written:], offset + written)
        else:
            os.lseek(self._files[which], offset, os.SEEK_SET)
            os.write(self._files[which], data)


def _sum_of(data: np.ndarray, content: int) -> int:
    """CRC-32 of a row and of the digest beside it: neither is believed where one is damaged."""
    return zlib.crc32(np.int64(content).tobytes(), zlib.crc32(data.data))


def check_cache(flag: str) -> None:
    """ConfigError for a --cache that is a file, or lies below one."""
    if flag in ("auto", "off"):
        return
    place = Path(flag).expanduser()
    file = next((path for path in (place, *place.parents) if path.exists() and not path.is_dir()), None)
    if file is not None:
        raise ConfigError(f"--cache={flag}: {file} is a file; give a folder, auto or off")


def open_cache(folder: Path | None, index: Index, pre: Preprocessing) -> RowCache | None:
    """The cache, or None, with a line in the log that says why and how large it would be."""
    if folder is None:
        return None
    rows, aspect = len(index.paths), TYPICAL_ASPECT if pre.fit == "crop" else 1
    size = round(rows * pre.resize**2 * 3 * aspect)
    try:
        cache = RowCache(folder, cache_key(index, pre), rows, row_bytes(pre), expected=size)
    except OSError as error:
        log.warning("No cache of decoded images in %s (%s needed): %s", folder, readable(size), error.strerror or error)
        return None
    log.info(
        "Cache of decoded images: %s, about %s when full, %d of %d images cached",
        cache.path,
        readable(size),
        cache.filled(),
        len(index.paths),
    )
    return cache


def _check_space(path: Path, size: int) -> None:
    allocated = path.stat().st_blocks * 512 if path.exists() and hasattr(os.stat_result, "st_blocks") else 0
    free = shutil.disk_usage(path.parent).free
    if size - allocated > free * LARGEST_SHARE:
        raise OSError(0, f"that is more than a third of the {readable(free)} free")


def _open_sized(path: Path, size: int) -> int:
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    file = os.open(path, flags, 0o644)
    if os.fstat(file).st_size != size:
        os.truncate(file, size) if os.truncate in os.supports_fd else os.ftruncate(file, size)
    return file
