"""How many bits the 16-bit images of a data set use: cameras of 12 bits write their values into files of 16.

The high byte of a 12-bit value is at most 15, which is black. So the values count from the highest bit that any image of the
set uses. It is one number for the set, and not one for each image: a dark image stays darker than a bright one. It is found
before training, belongs to the preprocessing that a checkpoint keeps, and `predict` and `evaluate` use the same.
"""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from deep_cnn.data.decode import read_file
from deep_cnn.data.duplicates import files_key
from deep_cnn.data.formats import peak
from deep_cnn.data.index import Index
from deep_cnn.runtime import signals
from deep_cnn.runtime.atomic import atomic_path
from deep_cnn.runtime.errors import DataError

DEPTHS = (8, 10, 12, 14, 16)  # bits of what takes the pictures
ENDINGS = (".png", ".tif", ".tiff")  # of the formats that have 16 bits
LOOKED_AT = 64  # images, evenly spaced: if none of them has 16 bits, the set has none


def used_bits(index: Index, workers: int, cache_dir: Path | None = None) -> int:
    """The fewest of DEPTHS that hold every value of the 16-bit images of `index`; 16 without such images.

    Reads 64 images, and if one has 16 bits, all of them until one uses all 16. Unreadable ones are left to decoding.

    Args:
        workers: threads. cache_dir: where the answer is kept for the next start, under the files' names, sizes and times.
    """
    rows = np.array([i for i, path in enumerate(index.paths) if path.lower().endswith(ENDINGS)], dtype=np.int64)
    if not len(rows):
        return 16
    kept = None if cache_dir is None else Path(cache_dir) / f"bits-{files_key(index)}.txt"
    if kept is not None:
        with contextlib.suppress(OSError, ValueError):  # none yet, or not a whole one
            return int(kept.read_text())
    looked_at = rows[np.unique(np.linspace(0, len(rows) - 1, LOOKED_AT).round().astype(np.int64))]
    highest = _highest(index, looked_at, workers)
    if highest is not None:
        others = np.setdiff1d(rows, looked_at, assume_unique=True)
        highest = max(highest, _highest(index, others, workers, highest) or 0)
    bits = 16 if highest is None else next((bits for bits in DEPTHS if not highest >> bits), 16)
    if kept is not None:
        with (
            contextlib.suppress(OSError),
            atomic_path(kept) as temporary,
        ):  # a full disk: the next start reads them again
            temporary.write_text(str(bits))
    return bits


def _highest(index: Index, rows: np.ndarray, workers: int, known: int = 0) -> int | None:
    """The largest value of the 16-bit images among `rows`; None without any. Ends early once all 16 bits are used."""
    enough = threading.Event()
    if known >> DEPTHS[-2]:
        enough.set()

    def look(row: int) -> int | None:
        signals.raise_if_requested()
        if enough.is_set():
            return None
        source = index.source(row)
        try:
            value = peak(read_file(source), source)
        except DataError:
            return None
        if value is not None and value >> DEPTHS[-2]:
            enough.set()
        return value

    with ThreadPoolExecutor(max(1, workers)) as pool:
        found = [value for value in pool.map(look, rows.tolist()) if value is not None]
    return max(found, default=None)
