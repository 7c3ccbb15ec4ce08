"""Do the files still hold the bytes that a run has read? Their digests, and their modification times as a hint.

A digest is made of bytes that are in memory anyway, to be decoded. A file whose size and modification time are as they were is
taken to be unchanged; one with another time is read again before it is called changed, since a copy has another time, too.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from deep_cnn.data.archives import NOWHERE, Member, Source
from deep_cnn.data.kept import read_arrays
from deep_cnn.runtime import signals
from deep_cnn.runtime.atomic import atomic_path
from deep_cnn.runtime.errors import ImageChanged

UNKNOWN = 0
READERS = 8  # threads that read: they wait for the disk or the network, not for Python
ROWS_AT_ONCE = 1000  # in a task of a thread: a future per file would be an object per file


def digest_of(data: bytes | bytearray | memoryview) -> int:
    """The first 8 bytes of SHA-256 as int64, never UNKNOWN: 64 bits, and three times as fast as BLAKE2b where a processor has SHA."""
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "little", signed=True) or 1


def status_of(path: Source) -> tuple[int, int]:
    """Size in bytes and modification time in ns of a file, in an archive the archive's; (-1, -1) where there is none."""
    if isinstance(path, Member):
        return (-1, -1) if path.offset == NOWHERE else (path.size, path.archive.time)
    try:
        status = os.stat(path)
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


class Contents:
    """What each sample's bytes were when they were read, in a run of this or an earlier process.

    Attributes:
        digests: int64 (N,), UNKNOWN where they were never read. times: int64 (N,) ns, the file's modification time then.
        now: int64 (N,) ns, the modification times of the files that were found by this process. sizes: int64 (N,) bytes.
        unsaved: whether something is known that `save` has not written.
    """

    def __init__(self, now: np.ndarray, sizes: np.ndarray):
        self.now, self.sizes = now, sizes
        self.digests, self.times = np.zeros(len(now), np.int64), np.zeros(len(now), np.int64)
        self.unsaved = False

    def take(self, rows: np.ndarray) -> "Contents":
        """Of the samples `rows`, int64 (M,)."""
        part = Contents(self.now[rows], self.sizes[rows])
        part.digests, part.times, part.unsaved = self.digests[rows], self.times[rows], self.unsaved
        return part

    def is_as_found(self, sample: int, size: int, time: int) -> bool:
        """Whether a file that has been read is of the size (bytes) and modification time (ns) that this process found."""
        return size == self.sizes[sample] and time == self.now[sample]

    def note(self, sample: int, digest: int, name: Callable[[], Any], as_found: bool = True) -> None:
        """Take note of what was read. Threads may call it at once, each for other samples.

        as_found: False for a file that somebody has written since this process found it: its bytes must be known ones.

        Raises:
            ImageChanged: the sample's bytes are not those that were read before; `name()` names it.
        """
        known = int(self.digests[sample])
        if digest == UNKNOWN or (known == digest and self.times[sample] == self.now[sample]):
            return
        if known not in (UNKNOWN, digest):
            raise ImageChanged(
                f"{name()}: this image has changed since the run read it; restore it, or train again with --resume=never"
            )
        if known == UNKNOWN and not as_found:
            raise ImageChanged(f"{name()}: this image has changed since the run found it; run the same command again")
        self.digests[sample], self.times[sample] = digest, self.now[sample]
        self.unsaved = True

    def doubtful(self, before: "Contents") -> np.ndarray:
        """The samples, int64 (M,), whose digest is known from `before` and that have another modification time now."""
        return np.flatnonzero((before.digests != UNKNOWN) & (before.times != self.now))

    def differing(self, before: "Contents", rows: np.ndarray) -> np.ndarray:
        """Those of the samples `rows` whose bytes are known here and are not those of `before`, int64 (M,)."""
        both = (self.digests[rows] != UNKNOWN) & (before.digests[rows] != UNKNOWN)
        return rows[both & (self.digests[rows] != before.digests[rows])]

    def adopt(self, before: "Contents") -> None:
        """Expect what an earlier process has read, where this one has not read it itself."""
        unread = self.digests == UNKNOWN
        self.digests[unread], self.times[unread] = before.digests[unread], before.times[unread]

    def read(self, rows: np.ndarray, read: Callable[[int], bytes | bytearray]) -> None:
        """Read the samples `rows` (int64 (M,)), several at a time, for their digests alone. read: the bytes of a sample.

        Raises:
            DataError: of `read`, for a file that cannot be read.
        """

        def of_block(block: np.ndarray) -> None:
            for sample in block.tolist():
                signals.raise_if_requested()
                self.digests[sample], self.times[sample] = digest_of(read(sample)), self.now[sample]

        with ThreadPoolExecutor(READERS) as pool:
            list(pool.map(of_block, np.array_split(rows, -(-len(rows) // ROWS_AT_ONCE) or 1)))
        self.unsaved = self.unsaved or len(rows) > 0


def file_of(folder: Path, rank: int) -> Path:
    """Where a rank keeps what it has read: each has read other samples, and may run on another machine."""
    return folder / (f"contents.rank{rank}.npz" if rank else "contents.npz")


def save(path: Path, contents: Contents, samples: str) -> None:
    """Write what is known. samples: names the samples and their order. OSError when the disk refuses."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, samples=np.array(samples), digests=contents.digests, times=contents.times)
    contents.unsaved = False


def clear(folder: Path) -> None:
    """Remove what was kept of a run that left no state: the next one may read other images."""
    for path in folder.glob("contents*.npz"):
        path.unlink(missing_ok=True)


def load(folder: Path, now: Contents, samples: str) -> Contents | None:
    """What all ranks of a run have kept in `folder` of these samples; None where nothing can be read."""
    found = None
    for arrays in _kept(folder):
        # of other samples nothing is known, which the caller says
        if str(arrays["samples"]) != samples or len(arrays["digests"]) != len(now.now):
            continue
        part = Contents(now.now, now.sizes)
        part.digests, part.times = arrays["digests"], arrays["times"]
        found = found or Contents(now.now, now.sizes)
        found.adopt(part)
    return found


def digests_of_run(folder: Path) -> np.ndarray | None:
    """What all ranks of a run have read of its samples, int64 (N,), UNKNOWN where nothing; None where nothing was kept."""
    found = None
    for digests in (arrays["digests"] for arrays in _kept(folder)):
        if found is not None and len(found) != len(digests):
            return None
        found = digests if found is None else np.where(found == UNKNOWN, digests, found)
    return found


def _kept(folder: Path) -> Iterator[dict[str, np.ndarray]]:
    """The files of all ranks that can be read: samples, digests, times."""
    for path in sorted(folder.glob("contents*.npz")) if folder.is_dir() else ():
        arrays = read_arrays(path, ("samples", "digests", "times"))
        if re.fullmatch(r"contents(\.rank\d+)?\.npz", path.name) and arrays is not None:  # not half a file
            yield arrays
