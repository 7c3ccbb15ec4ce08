"""Arrays that are kept in a file for the next start, and are not believed where the file is damaged."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, np.ndarray] | None:
    """The arrays of a .npz by their names, or None where there is no such file or a bit of it is not what was written."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return None
        with np.load(path) as arrays:
            return {name: arrays[name] for name in names}
    except Exception:  # of a damaged archive, or a damaged header in it: of a dozen kinds
        return None
