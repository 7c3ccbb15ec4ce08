"""The same picture with two labels: one of them is wrong, or the image belongs to both."""

import numpy as np

from deep_cnn.data.index import Index

NAMED = 5  # pairs in the log


def different_targets(index: Index, pairs: np.ndarray) -> np.ndarray:
    """The pairs of samples whose targets differ, int64 (n, 2) of int64 (p, 2). A missing score differs from no other, nor do votes."""
    pairs = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
    if not len(pairs) or index.votes is not None:
        return pairs[:0]
    one, other = (index.targets[pairs[:, k]].reshape(len(pairs), -1) for k in (0, 1))
    return pairs[((one != other) & ~np.isnan(one) & ~np.isnan(other)).any(axis=1)]


def same_bytes_pairs(groups: np.ndarray) -> np.ndarray:
    """Each file with the first of the same bytes, int64 (p, 2), of `duplicate_groups`."""
    others = np.flatnonzero(groups != np.arange(len(groups)))
    return np.stack([groups[others], others], axis=1)


def named(index: Index, pair: np.ndarray) -> str:
    """Both files and what each is labelled: 'cat/1.jpg (cat) and dog/7.jpg (dog)'."""
    return " and ".join(f"{index.paths[i]} ({label(index, i)})" for i in map(int, pair))


def label(index: Index, sample: int) -> str:
    """The target of a sample, for people."""
    target = index.targets[sample]
    if index.task == "classification":
        return index.classes[int(target)]
    if index.task == "multilabel":
        return ";".join(name for name, has in zip(index.classes, target, strict=True) if has) or "no label"
    return ", ".join(f"{name} {value:g}" for name, value in zip(index.target_names, target, strict=True))


def notes(index: Index, groups: np.ndarray) -> list[str]:
    """Lines about files with the same bytes and different targets. groups: of `duplicate_groups`."""
    pairs = different_targets(index, same_bytes_pairs(groups))
    lines = [f"The same image with two targets: {named(index, pair)}; correct the data" for pair in pairs[:NAMED]]
    if len(pairs) > NAMED:
        lines.append(
            f"{len(pairs):,} images in total have the same bytes as another one with another target; correct the data"
        )
    return lines
