"""A table whose images have changed since: the rows of the unchanged ones are copied, the others are predicted again.

The old table becomes FILE.previous.csv, and a new one is made from its start, in the same blocks as ever. So it may be stopped
at any moment like a table that is made for the first time.
"""

import logging
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from deep_cnn.data.contents import READERS, ROWS_AT_ONCE, UNKNOWN, digest_of, status_of
from deep_cnn.data.decode import read_file
from deep_cnn.inference.predict.inputs import Images
from deep_cnn.inference.predict.output_table import NOT_KEPT, OutputTable, TableFiles, positions_of, read_contents
from deep_cnn.runtime import signals
from deep_cnn.runtime.errors import DataError

log = logging.getLogger(__name__)


def changed(files: TableFiles, images: Images, first: int, last: int) -> np.ndarray:
    """Which of the images first ... last - 1 are not what they were when their rows were made, bool (n,).

    Those that have no row yet, and those of which nothing was kept, count as unchanged. An image of another modification time is
    read, and is changed if its bytes are; one that could not be read is changed when there is a file of its name now.
    """
    kept = read_contents(files, last - first)  # int64 (n, 3): size, time, digest
    known = np.flatnonzero(kept[:, 1] != NOT_KEPT)
    found = np.zeros(last - first, dtype=bool)

    def of_block(block: np.ndarray) -> None:
        for k in block.tolist():
            signals.raise_if_requested()
            source = images.source(first + k)
            size, time, digest = kept[k].tolist()
            now = status_of(source)
            if now == (size, time):
                continue
            found[k] = now[0] != size or digest == UNKNOWN
            if not found[k]:
                try:
                    found[k] = digest_of(read_file(source)) != digest
                except DataError:
                    found[k] = True

    if len(known):
        with ThreadPoolExecutor(READERS) as pool:
            list(pool.map(of_block, np.array_split(known, -(-len(known) // ROWS_AT_ONCE))))
    return found


def previous(files: TableFiles) -> TableFiles:
    """Where the table is kept while it is made again."""
    return TableFiles(files.rows.with_name(f"{files.rows.stem}.previous{files.rows.suffix}"))


def put_aside(files: TableFiles) -> None:
    """Keep the table for its unchanged rows. Stopped before the last line, nothing has happened."""
    old = previous(files)
    for source, target in ((files.failed, old.failed), (files.contents, old.contents)):
        if source.exists():
            shutil.copyfile(source, target)
    os.replace(files.rows, old.rows)


def remove_previous(files: TableFiles) -> None:
    """When the table is complete."""
    old = previous(files)
    for path in (old.rows, old.failed, old.contents):
        path.unlink(missing_ok=True)


class OldRows:
    """The rows of a table that was put aside, and for which images of a shard they are still true.

    usable: bool (n,), the images first ... last - 1 that need not be predicted.
    """

    def __init__(self, files: TableFiles, images: Images, first: int, last: int):
        self.files, self.first = previous(files), first
        self.usable = np.zeros(last - first, dtype=bool)
        if self.files.rows.exists():
            self.rows, self.failed = positions_of(self.files, images.names, first, last)
            self.contents = read_contents(self.files, last - first)
            has = (self.rows[:, 1] > 0) | np.isin(np.arange(last - first), list(self.failed))
            stale = changed(self.files, images, first, last)
            self.usable = has & ~stale
            log.info("Images that have changed since they were predicted: %d; predicting them again", int(stale.sum()))

    def parts(self, start: int, last: int, block: int) -> Iterator[tuple[int, int, bool]]:
        """start ... last in pieces of whole blocks: (first, last + 1, whether it can be copied)."""
        pieces: list[tuple[int, int, bool]] = []
        for left in range(start, last, block):
            right = min(left + block, last)
            copied = bool(self.usable[max(left - self.first, 0) : right - self.first].all())
            if pieces and pieces[-1][2] == copied:
                pieces[-1] = (pieces[-1][0], right, copied)
            else:
                pieces.append((left, right, copied))
        yield from pieces

    def copy_to(self, table: OutputTable, first: int, last: int) -> None:
        """Append the old rows of the images first ... last - 1."""
        with open(self.files.rows, "rb") as file:
            for start in range(first, last, ROWS_AT_ONCE):
                positions = range(start - self.first, min(start + ROWS_AT_ONCE, last) - self.first)
                rows, failed = [], []
                for k in positions:
                    left, right = self.rows[k].tolist()
                    if right:
                        file.seek(left)
                        rows.append(file.read(right - left))
                    else:
                        failed.append(self.failed[k])
                table.append(rows, failed, self.contents[positions.start : positions.stop])
