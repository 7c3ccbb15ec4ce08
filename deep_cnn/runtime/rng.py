"""Every random number of a run, as a pure function of the seed and of what it is for.

No generator's state is carried along: a sample's augmentation is the same whoever draws it, and a resumed run
need not replay the draws it skips. The hash is the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable
pseudorandom number generators", OOPSLA 2014), applied once per word.
"""

import zlib

import numpy as np
from numpy.typing import NDArray

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio: SplitMix64's increment


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser: a bijection of 64-bit integers in which each input bit flips half of the output bits."""
    with np.errstate(over="ignore"):
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return state ^ (state >> np.uint64(31))


def _fold(state: NDArray[np.uint64], word: np.ndarray | int) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        return _mix((state ^ np.asarray(word).astype(np.uint64)) + GOLDEN)


def _key(seed: int, *words: int | str) -> NDArray[np.uint64]:
    state = _fold(np.zeros(1, np.uint64), seed & 0xFFFFFFFFFFFFFFFF)
    for word in words:
        # crc32 and not hash(): Python's own string hash differs from process to process
        state = _fold(state, zlib.crc32(word.encode()) if isinstance(word, str) else word & 0xFFFFFFFFFFFFFFFF)
    return state


def draws(seed: int, purpose: str, epoch: int, index: np.ndarray, count: int) -> np.ndarray:
    """Uniform numbers in [0, 1) for each sample.

    Args:
        purpose: what they are for, e.g. "augment"; other purposes give unrelated numbers.
        index: sample numbers, integers (B,).
        count: how many numbers each sample needs.

    Returns:
        float64 (B, count). Row b depends on (seed, purpose, epoch, index[b]) alone.
    """
    index = np.asarray(index, dtype=np.int64).reshape(-1)
    samples = _fold(_key(seed, purpose, epoch), index)  # (B,)
    bits = _fold(samples[:, None], np.arange(count)[None, :])  # (B, count)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53  # the upper 53 bits fill a float64's mantissa


def permutation(seed: int, epoch: int, n: int, purpose: str = "order") -> np.ndarray:
    """A random order of range(n), int64 (n,): the order of an epoch."""
    keys = _fold(_key(seed, purpose, epoch), np.arange(n))
    return np.argsort(keys, kind="stable").astype(np.int64)


def number(seed: int, *words: int | str) -> int:
    """One integer in [0, 2**63), e.g. the seed of a torch generator: number(seed, "step", 1200)."""
    return int(_key(seed, *words)[0] >> np.uint64(1))
