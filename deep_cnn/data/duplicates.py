"""Which image files hold the same bytes."""

import contextlib
import os
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path

import numpy as np

from deep_cnn.data.archives import Member, Source
from deep_cnn.data.index import Index
from deep_cnn.data.kept import read_arrays
from deep_cnn.runtime import signals
from deep_cnn.runtime.atomic import atomic_path
from deep_cnn.runtime.errors import DataError

PEEK = 4096  # bytes from the middle of a file: photographs share their headers, not their middle


READERS = 8  # threads that hash: reading waits for the disk or the network, not for Python


def duplicate_groups(index: Index, cache_dir: Path | None = None) -> np.ndarray:
    """Which files hold the same bytes: the position of the first of them, int64 (N,).

    Files of equal size are compared by 4 kB of their middle, and where these agree, whole, once per inode.

    Args:
        cache_dir: where the answer is kept for the next start, under the files' names, sizes and modification times.

    Raises:
        DataError: a file that is gone or may not be read, by name.
    """
    groups = np.arange(len(index), dtype=np.int64)
    _, counts = _alike(index.sizes)
    rows = np.flatnonzero((counts > 1) & (index.sizes > 0))
    kept = None if cache_dir is None or not len(rows) else Path(cache_dir) / f"same-{files_key(index)}.npz"
    twins = (read_arrays(kept, ("twins",)) or {}).get("twins") if kept is not None else None
    if twins is None:
        twins = _twins(index, rows)
        if kept is not None:
            # a disk that is full or read-only only means that the next start reads the files again
            with contextlib.suppress(OSError), atomic_path(kept) as temporary, open(temporary, "wb") as file:
                np.savez(file, twins=twins)
    groups[twins[0]] = twins[1]
    return groups


def _twins(index: Index, rows: np.ndarray) -> np.ndarray:
    """Among files whose size is not unique: those that may have a twin, and the first of each one's like, int64 (2, n)."""
    alike_in_zip_and_tar = index.members is None or index.members.same_kind
    middles, inodes = _map(_peek if alike_in_zip_and_tar else lambda source: (0, 0), index, rows)
    _, counts = _alike(index.sizes[rows], middles)
    rows, inodes = rows[counts > 1], inodes[counts > 1]
    first, _ = _alike(inodes)
    first = np.where(inodes == 0, np.arange(len(rows)), first)  # 0: a file of one name only
    leaders, leader_of = np.unique(first, return_inverse=True)
    whole, _ = _map(lambda path: (_hash_file(path), 0), index, rows[leaders])
    first, _ = _alike(index.sizes[rows], whole[leader_of])
    return np.stack([rows, rows[first]])


def files_key(index: Index) -> str:
    """Names the files by their folder, names, sizes and modification times."""
    digest = blake2b(os.path.realpath(index.root).encode("utf-8", "surrogateescape"), digest_size=8)
    digest.update(index.paths.blob)
    for column in (index.paths.offsets, index.sizes, index.mtimes):
        digest.update(column.data)
    return digest.hexdigest()


def _alike(*columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row the position of the first row that equals it in all columns, and how many equal it, int64 (M,) each."""
    order = np.lexsort(columns[::-1])  # stable: equal rows stay in ascending order
    changes = np.zeros(max(len(order) - 1, 0), dtype=bool)
    for column in columns:
        changes |= np.diff(column[order]) != 0
    starts = np.concatenate([[0], np.flatnonzero(changes) + 1])[: len(order)]
    lengths = np.diff(np.append(starts, len(order)))
    first, counts = np.empty((2, len(order)), dtype=np.int64)
    first[order] = np.repeat(order[starts], lengths)
    counts[order] = np.repeat(lengths, lengths)
    return first, counts


def _map(function: Callable[[Source | str], tuple[int, int]], index: Index, rows: np.ndarray) -> np.ndarray:
    """function(path) -> two integers, for each row, int64 (2, M), by threads; in blocks, for a future per file is an object per file.

    Raises:
        DataError: a file that cannot be read.
    """
    if not len(rows):
        return np.zeros((2, 0), dtype=np.int64)

    root = str(index.root)

    def block_of(block: np.ndarray) -> np.ndarray:
        found = np.empty((len(block), 2), dtype=np.int64)
        for k, i in enumerate(block.tolist()):
            # no Path: making 20,000 of them takes 0.2 s, and all else that is done here 0.4 s
            path = os.path.join(root, index.paths[i]) if index.members is None else index.source(i)
            signals.raise_if_requested()
            try:
                found[k] = function(path)
            except ValueError as problem:
                raise DataError(f"{path}: {problem}") from problem
            except OSError as problem:
                why = f"cannot be read ({problem.strerror})"
                raise DataError(
                    f"{path}: {why}. It may have been removed or renamed; run the command again"
                ) from problem
        return found

    with ThreadPoolExecutor(READERS) as pool:
        return np.concatenate(list(pool.map(block_of, np.array_split(rows, -(-len(rows) // 1000))))).T


def _peek(path: Source | str) -> tuple[int, int]:
    """A checksum of the file's middle; and a number for its inode where it has several names, else 0."""
    if isinstance(path, Member):
        return path.middle(PEEK), 0
    # os.open and not open(): 5 s for 1,000,000 files instead of 45 (8 threads, two cores)
    file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        status = os.fstat(file)
        os.lseek(file, max(0, (status.st_size - PEEK) // 2), os.SEEK_SET)
        several = status.st_nlink > 1 and status.st_ino
        return zlib.crc32(os.read(file, PEEK)), hash((status.st_dev, status.st_ino)) if several else 0
    finally:
        os.close(file)


def _hash_file(path: Source | str) -> int:
    digest = blake2b(digest_size=8)
    if isinstance(path, Member):
        digest.update(path.read())
        return int.from_bytes(digest.digest(), "little", signed=True)
    with open(path, "rb", buffering=0) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return int.from_bytes(digest.digest(), "little", signed=True)
