"""Train, validation and test: given ones kept, missing ones held out from train; saved, and read again by every command."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

import numpy as np

from deep_cnn.data import contradictions
from deep_cnn.data.duplicates import _alike, duplicate_groups
from deep_cnn.data.index import FREE, SPLITS, TEST, TRAIN, VALIDATION, Index
from deep_cnn.runtime.atomic import Announce, read_csv, write_csv
from deep_cnn.runtime.errors import ConfigError, DataError, nearest
from deep_cnn.runtime.format import plural
from deep_cnn.runtime.manifest import Manifest
from deep_cnn.runtime.rng import permutation
from deep_cnn.runtime.run_files import RunFiles


@dataclass(frozen=True)
class Strata:
    """What a split keeps in proportion, as the task says it.

    codes: of each sample, int64 (N,). how: in words, "by class". classes: names that the codes number, each of which must be
    trained on to be learnt; () where the codes are no classes.
    """

    codes: np.ndarray
    how: str
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Splits:
    """Which samples are trained on, validated and tested; notes: lines for the log."""

    train: np.ndarray  # int64, ascending positions in the index
    validation: np.ndarray
    test: np.ndarray
    notes: tuple[str, ...] = ()
    duplicates: list[tuple[str, str, str, str]] = field(default_factory=list)  # (path, split, path, split): same bytes


def make_splits(
    index: Index, strata: Strata, *, val_split: float, test_split: float, seed: int, cache_dir: Path | None = None
) -> Splits:
    """Divide the samples; a pure function of the seed, the strata, and the index's relative paths and groups.

    Splits that folders or a column give are kept. A missing one is held out of train: stratified, never dividing a group
    or images of the same bytes. A stratum of one trains, of two trains and tests.

    Args:
        val_split, test_split: shares of what they are held out of; 0 for none.
        cache_dir: where it is kept which files hold the same bytes (`duplicate_groups`).

    Raises:
        ConfigError: shares that leave nothing to train on. DataError: nothing in train; a file deleted meanwhile.
    """
    shares = {VALIDATION: val_split, TEST: test_split}
    split = index.given_split.copy()
    held_out = [k for k in (VALIDATION, TEST) if not (split == k).any()]
    for k, flag in ((VALIDATION, "--val_split"), (TEST, "--test_split")):
        if not 0 <= shares[k] < 1:
            raise ConfigError(f"{flag}={shares[k]}: expected a fraction from 0 to below 1, e.g. 0.15")
    if sum(shares[k] for k in held_out) >= 1:
        raise ConfigError(
            f"--val_split={val_split} --test_split={test_split}: no images left for training; the sum must be below 1"
        )
    pool = np.flatnonzero((split == FREE) | (split == TRAIN))
    same_bytes = duplicate_groups(index, cache_dir)
    split[pool] = TRAIN
    wanted = {k: shares[k] for k in held_out if shares[k] > 0}
    if wanted and len(pool):
        units = units_of(same_bytes[pool], None if index.groups is None else index.groups[pool])
        split[pool] = _hold_out(strata.codes[pool], units, wanted, seed)
    parts = [np.flatnonzero(split == k).astype(np.int64) for k in (TRAIN, VALIDATION, TEST)]
    if not len(parts[TRAIN]):
        raise DataError("the training set is empty; add images to train")
    notes = ["Split: " + ", ".join(f"{name} {len(part):,}" for name, part in zip(SPLITS, parts, strict=True))]
    if held := [k for k in held_out if len(parts[k])]:
        grouped = "" if index.groups is None else "; each group stays in one split"
        images = "training images" if (index.given_split == TRAIN).any() else "images"
        uses = {VALIDATION: "for validation", TEST: "for the test"}
        counts = [f"{len(parts[k]):,}{f' {images}' if k == held[0] else ''} {uses[k]}" for k in held]
        notes.append(f"Held out {' and '.join(counts)}, stratified {strata.how}{grouped}")
    duplicates = _duplicates(index, same_bytes, split)
    train, validation, test = parts
    notes += [*_warnings(index, split, parts, shares, duplicates), *contradictions.notes(index, same_bytes)]
    return Splits(train, validation, test, tuple(notes), duplicates)


def _warnings(index: Index, split: np.ndarray, parts: list, shares: dict, duplicates: list) -> list[str]:
    notes = []
    for k in (VALIDATION, TEST):
        if not len(parts[k]):
            flag = ("--val_split", "--test_split")[k - 1]
            why = f"{flag}=0" if not shares[k] else "too few images or groups"
            notes.append(f"The {SPLITS[k]} set is empty ({why}); {SPLITS[k]} is skipped")
    for path, first, other, second in duplicates[:5]:
        notes.append(f"Duplicate image in {first} and {second}: {path} and {other}")
    if len(duplicates) > 5:
        notes.append(f"{len(duplicates):,} images in total are in two splits; scores on them are too optimistic")
    if index.groups is not None and (torn := _torn(index.groups, split)):
        notes.append(
            f"{plural(torn, 'group', 'are')} in more than one of the given splits; scores may be too optimistic"
        )
    return notes


def _torn(groups: np.ndarray, split: np.ndarray) -> int:
    """How many groups have images in more than one split."""
    return int((np.bincount(np.unique(groups * 3 + split) // 3) > 1).sum())


def groups_trained_on(groups: np.ndarray | None, rows: np.ndarray, train: np.ndarray) -> int:
    """How many of the groups of some images are trained on as well; it may only be more than 0 where the split was given.

    Args:
        groups: codes of all images (N,), or None. rows, train: positions of these images, and of the training images.
    """
    return 0 if groups is None else len(np.intersect1d(groups[rows], groups[train]))


# --- strata and units ------------------------------------------------------------------------------------------------


def units_of(same_bytes: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """What stays together, as codes 0.. (N,): connected parts of "same group" and "same bytes"."""
    if groups is None:
        return np.unique(same_bytes, return_inverse=True)[1]
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    left, right = np.unique(groups, return_inverse=True)[1], np.unique(same_bytes, return_inverse=True)[1]
    offset = left.max() + 1
    graph = coo_matrix((np.ones(len(left), np.int8), (left, right + offset)), shape=(offset + right.max() + 1,) * 2)
    return np.unique(connected_components(graph, directed=False)[1][left], return_inverse=True)[1]


def allocate(sizes: np.ndarray, share: float, least: np.ndarray, ties: np.ndarray) -> np.ndarray:
    """How many of each stratum to take: proportional, the total right to one image (largest remainders), never below `least`.

    Args:
        sizes: images per stratum, int (S,). least: int (S,).
        ties: a permutation (S,): who goes first among equal remainders. Always the first would favour low scores.
    """
    exact = sizes * share
    counts = np.maximum(np.floor(exact + 1e-9).astype(np.int64), least)
    missing = round(sizes.sum() * share) - counts.sum()
    if missing > 0:
        by_remainder = np.lexsort((ties, counts - exact))
        counts[by_remainder[:missing]] += 1
    return counts


def _hold_out(stratum: np.ndarray, units: np.ndarray, wanted: dict[int, float], seed: int) -> np.ndarray:
    """The split of each sample of the pool, int8 (N,). Large units first, single images then fill each stratum up."""
    stratum = np.unique(stratum, return_inverse=True)[1]
    sizes = np.bincount(stratum)
    left = np.zeros((len(sizes), 3), dtype=np.int64)  # (S, split): how many are still wanted
    for rank, k in enumerate(sorted(wanted, reverse=True)):  # TEST first: of two images one trains and one tests
        # of three or more images each split has one, even where the share would round to none
        counts = allocate(
            sizes, wanted[k], (sizes >= 2 + rank).astype(np.int64), permutation(seed, k, len(sizes), "ties")
        )
        left[:, k] = np.minimum(counts, sizes - 1 - left.sum(axis=1)).clip(min=0)
    left[:, TRAIN] = sizes - left.sum(axis=1)
    split = np.full(len(stratum), TRAIN, dtype=np.int8)
    order = permutation(seed, 0, len(stratum), "split")
    single = np.bincount(units)[units] == 1
    choices = (TRAIN, *sorted(wanted, reverse=True))
    place_units(split, (stratum, units), order[~single[order]], left, choices, int(single.sum()))
    order = order[single[order]]
    order = order[np.argsort(stratum[order], kind="stable")]  # shuffled within each stratum
    ends = np.cumsum(np.bincount(stratum[order], minlength=len(sizes)))
    for here, (_, validation, test) in zip(np.split(order, ends[:-1]), left.clip(min=0), strict=True):
        split[here[:test]] = TEST
        split[here[test : test + validation]] = VALIDATION
    return split


def place_units(
    split: np.ndarray,
    of: tuple[np.ndarray, np.ndarray],
    order: np.ndarray,
    left: np.ndarray,
    choices: Sequence[int],
    singles: int,
) -> None:
    """Place groups, the largest first, where they fill the most of what is left and overshoot the least.

    Writes to `split` (N,) and takes from `left` (S, parts), images that are still wanted; both are the caller's own.

    Args:
        of: stratum and unit of each image, int (N,). order: the groups' images, shuffled.
        choices: the parts, columns of `left`. singles: images that stand alone, placed later.
    """
    stratum, units = of
    codes, first, counts = np.unique(units[order], return_index=True, return_counts=True)
    members = np.split(order[np.argsort(units[order], kind="stable")], np.cumsum(counts)[:-1])
    asked = np.maximum(left.sum(axis=0), 1)
    empty = list(choices)
    for rank, u in enumerate(np.lexsort((first, -counts))):
        kinds, sizes = np.unique(stratum[members[u]], return_counts=True)
        filled = np.minimum(sizes[:, None], left[kinds].clip(min=0)).sum(axis=0)  # (parts,)
        # the last groups go to splits that would have none
        among = empty if 0 < len(codes) - rank + singles <= len(empty) else choices
        remaining = left.sum(axis=0) / asked
        best = max(among, key=lambda k: (filled[k], remaining[k], -among.index(k)))
        split[members[u]] = best
        left[kinds, best] -= sizes
        if best in empty:
            empty.remove(best)


# --- duplicates ------------------------------------------------------------------------------------------------------


def _duplicates(index: Index, same_bytes: np.ndarray, split: np.ndarray) -> list[tuple[str, str, str, str]]:
    """Images that are in two splits: the first of each split with the same bytes, once per pair of splits."""
    _, counts = _alike(same_bytes)
    rows = np.flatnonzero(counts > 1)
    first: dict[int, dict[int, int]] = {}
    for i in rows.tolist():
        first.setdefault(int(same_bytes[i]), {}).setdefault(int(split[i]), i)
    found = []
    for by_split in first.values():
        (one, i), *others = sorted(by_split.items())
        found += [(index.paths[i], SPLITS[one], index.paths[j], SPLITS[other]) for other, j in others]
    return found


# --- the file --------------------------------------------------------------------------------------------------------

# rows of Index.targets -> their cells in splits.csv, as the task writes them
TargetRows = Callable[[np.ndarray], list[list[str]]]
ROWS_AT_ONCE = 1 << 16  # bounds the memory that a million samples take


def save_splits(
    path: Path, index: Index, splits: Splits, target_rows: TargetRows, announce: Announce | None = None
) -> None:
    """Write splits.csv: file, target columns, split; in the index's order, atomically."""
    write_csv(path, _columns(index), _rows_of_splits(index, splits, target_rows), announce=announce)


def _columns(index: Index) -> list[str]:
    """Of splits.csv. A target may be called like another column."""
    return ["file", *(f"target_{name}" if name in ("file", "split") else name for name in index.target_names), "split"]


def _rows_of_splits(index: Index, splits: Splits, target_rows: TargetRows) -> Iterator[list[str]]:
    parts = (splits.train, splits.validation, splits.test)
    samples = np.concatenate(parts)
    order = np.argsort(samples, kind="stable")
    split_of, samples = np.repeat(np.arange(3), [len(part) for part in parts])[order], samples[order]

    for start in range(0, len(samples), ROWS_AT_ONCE):
        some = samples[start : start + ROWS_AT_ONCE]
        paths, cells = list(index.paths.take(some)), target_rows(index.targets[some])
        names = [SPLITS[k] for k in split_of[start : start + ROWS_AT_ONCE].tolist()]
        yield from ([path, *row, name] for path, row, name in zip(paths, cells, names, strict=True))


def rows_read_differently(path: Path, index: Index, splits: Splits, target_rows: TargetRows) -> int:
    """How many rows of a splits.csv (or of what is read now) have no equal: file, target or split differs.

    Raises:
        OSError: the file cannot be read.
    """
    theirs = read_csv(path)
    header = next(theirs, None)
    ours = _rows_of_splits(index, splits, target_rows)
    if header != _columns(index):
        return sum(1 for _ in ours)
    only_theirs: set[tuple[str, ...]] = set()
    only_ours: set[tuple[str, ...]] = set()
    for left, right in zip_longest(map(tuple, theirs), map(tuple, ours)):  # in one order, unless something differs
        if left != right:
            only_theirs.add(left)
            only_ours.add(right)
    return max(len(only_theirs - only_ours - {None}), len(only_ours - only_theirs - {None}))


def load_splits(path: Path, index: Index, target_rows: TargetRows) -> Splits:
    """Read splits.csv for the same data, wherever it lies now.

    Raises:
        DataError: no such file or not one of ours; images or targets that are no longer what they were.
    """
    position = {name: i for i, name in enumerate(index.paths)}
    parts: dict[str, list[int]] = {name: [] for name in SPLITS}
    gone, changed = [], []
    try:
        rows = read_csv(path)
        if next(rows, None) != _columns(index):
            raise DataError(
                f"{path}: these splits do not belong to this data; expected the columns {', '.join(_columns(index))}"
            )
        targets = target_rows(index.targets)
        for name, *cells, split in rows:
            i = position.pop(name, -1)
            if i < 0:
                gone.append(name)
            elif cells != targets[i]:
                changed.append(name)
            else:
                parts[split].append(i)
    except (OSError, KeyError, ValueError) as problem:
        raise DataError(f"{path}: cannot be read as splits ({problem}); train the run again") from problem
    for names, verb, what in (
        (gone, "are", "not in the data any more (the file, or its row in the table)"),
        (changed, "have", "another target now"),
    ):
        if names:
            raise DataError(
                f"{path}: {plural(len(names), 'image', verb)} {what} (e.g. {names[0]}); restore the data, or train a new run"
            )
    notes = (
        (f"{plural(len(position), 'image', 'are')} in the data folder and not in {path.name}: not used",)
        if position
        else ()
    )
    train, validation, test = (np.array(sorted(parts[name]), dtype=np.int64) for name in SPLITS)
    return Splits(train, validation, test, notes)


def splits_of_run(results: Path, index: Index) -> Splits:
    """The splits of another run, for --split_from: by the images' names alone, since its targets may be others.

    Args:
        results: the folder of that run's results.

    Raises:
        DataError: no such run; none of its training images is here.
    """
    flag = f"--split_from={results.name}"
    position = {name: i for i, name in enumerate(index.paths)}
    split = np.full(len(index.paths), FREE, dtype=np.int8)
    gone = 0
    try:
        rows = read_csv(Manifest(RunFiles(results.parent.parent, results.name)).require("splits.csv"))
        header = next(rows, [])
        if header[:1] != ["file"] or header[-1:] != ["split"]:
            raise DataError(f"{flag}: {results / 'splits.csv'} is not a file of splits")
        for name, *_, split_name in rows:
            if (i := position.get(name)) is None:
                gone += 1
            else:
                split[i] = SPLITS.index(split_name)
    except FileNotFoundError as problem:
        known = sorted(path.parent.name for path in results.parent.glob("*/splits.csv"))
        there = f"; choose one of {', '.join(known)}" if known else ""
        raise DataError(f"{flag}: no such run in {results.parent}{there}.{nearest(results.name, known)}") from problem
    except (OSError, ValueError) as problem:
        raise DataError(f"{flag}: {results / 'splits.csv'} cannot be read ({problem})") from problem
    parts = [np.flatnonzero(split == k).astype(np.int64) for k in (TRAIN, VALIDATION, TEST)]
    if not len(parts[TRAIN]):
        raise DataError(f"{flag}: none of its training images is in this data; both runs need the same images")
    notes = [
        f"Split of run {results.name}: " + ", ".join(f"{n} {len(p):,}" for n, p in zip(SPLITS, parts, strict=True))
    ]
    if gone:
        notes.append(f"{gone:,} of its images are not in this data, or have no target")
    if left := int((split == FREE).sum()):
        notes.append(f"{plural(left, 'image', 'are')} not in its splits; not used")
    for name, part in zip(SPLITS[1:], parts[1:], strict=True):
        if not len(part):
            notes.append(f"The {name} set is empty; {name} is skipped")
    used = split != FREE
    if index.groups is not None and (torn := _torn(index.groups[used], split[used])):
        notes.append(f"{plural(torn, 'group', 'are')} in more than one of these splits; scores may be too optimistic")
    return Splits(parts[0], parts[1], parts[2], tuple(notes))
