"""--subset: a part of the training set."""

import re

import numpy as np

from deep_cnn.data.index import Index
from deep_cnn.data.split import Strata, allocate
from deep_cnn.runtime.errors import ConfigError
from deep_cnn.runtime.rng import permutation

LAB_SEED = 2147483647  # that the labs' notebooks give to numpy.random.RandomState


def subset_size(total: int, subset: float | int | None) -> int:
    """How many of `total` images a number of them (int) or a share up to 1 (float) is; ConfigError for none."""
    if subset is None:
        return total
    count = round(subset * total) if isinstance(subset, float) and subset <= 1 else int(subset)
    if count < 1:
        raise ConfigError(
            f"--subset={subset}: selects none of {total:,} images; expected a number of images, or a fraction up to 1"
        )
    return min(count, total)


def apply_subset(strata: Strata, train_indices: np.ndarray, subset: float | int | None, seed: int) -> np.ndarray:
    """A part of the training set, stratified: a number of images (int) or a share of them (float up to 1).

    Returns:
        int64 ascending positions in the index.
    """
    train = np.asarray(train_indices, dtype=np.int64)
    count = subset_size(len(train), subset)
    if count == len(train):
        return train
    stratum = np.unique(strata.codes[train], return_inverse=True)[1]
    sizes = np.bincount(stratum)
    counts = allocate(
        sizes,
        count / len(train),
        (sizes > 0).astype(np.int64) * (count >= len(sizes)),
        permutation(seed, 0, len(sizes), "ties"),
    )
    while counts.sum() > count:  # at least one of each class was more than the share of the rare ones
        counts[counts.argmax()] -= 1
    order = permutation(seed, 0, len(train), "subset")
    order = order[np.argsort(stratum[order], kind="stable")]
    rank = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # within its stratum
    return np.sort(train[order[rank < np.repeat(counts, sizes)]])


def lab_subset(index: Index, pool: np.ndarray, subset: float | int | None) -> np.ndarray:
    """The labs' own part of a training set: the first of its images, shuffled as their notebooks do, in torchvision's order.

    That order is in the file names, when they are the numbers that `public_data.unpack` gives; otherwise it is ImageFolder's,
    by class and name, which is the index's own.

    Args:
        pool: int64 (n,), the whole training set, before anything was held out of it.

    Returns:
        int64 ascending positions in the index.
    """
    pool = np.sort(np.asarray(pool, dtype=np.int64))
    names = [index.paths[i].rpartition("/")[2] for i in pool.tolist()]
    if len(set(names)) == len(names) and all(re.fullmatch(r"[0-9]{5}\.png", name) for name in names):
        pool = pool[np.argsort(np.array(names), kind="stable")]
    shuffled = np.random.RandomState(LAB_SEED).permutation(len(pool))
    return np.sort(pool[shuffled[: subset_size(len(pool), subset)]])
