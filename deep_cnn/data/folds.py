"""Cross-validation: which fold tests each image."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from deep_cnn.config.fields import wrong
from deep_cnn.data.duplicates import duplicate_groups
from deep_cnn.data.index import FREE, TEST, TRAIN, Index
from deep_cnn.data.split import Strata, place_units, units_of
from deep_cnn.runtime.errors import ConfigError
from deep_cnn.runtime.format import some
from deep_cnn.runtime.rng import permutation

NAMED = 3  # classes in a message


def fold_title(fold: int, count: int, names: Sequence[str]) -> str:
    """'fold 3 of 5', or, with a name for each fold, 'fold 3 of 8 (Boston)'; fold: from 1 on."""
    return f"fold {fold} of {count}" + (f" ({names[fold - 1]})" if names else "")


@dataclass(frozen=True)
class Folds:
    """The fold that tests each image.

    Attributes:
        of: int64 (N,), from 0; -1 for images of a given validation set, which validate in every fold.
        count: the number of folds, K.
        names: the group that each fold tests, with --folds=groups; else ().
        notes: lines for the log.
    """

    of: np.ndarray
    count: int
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def title(self, fold: int) -> str:
        """See `fold_title`."""
        return fold_title(fold, self.count, self.names)

    def testing(self, fold: int, index: Index) -> Index:
        """The index with the fold's images given as the test set; validation is then held out of the others as usual.

        Raises:
            ConfigError: there is no such fold; `fold` is counted from 1.
        """
        if fold > self.count:
            raise wrong("fold", fold, f"there are only {self.count} folds", f"choose one from 1 to {self.count}")
        given = index.given_split.copy()
        given[self.of == fold - 1] = TEST
        return replace(index, given_split=given)


def assign_folds(
    index: Index, strata: Strata, folds: str, *, group: str | None, seed: int, cache_dir: Path | None = None
) -> Folds:
    """Divide the images that no given split holds into folds; a pure function of the seed, the strata, paths and groups.

    Each fold gets its share of each stratum. Groups, and images of the same bytes, stay whole.

    Args:
        index: without a test set. folds: as --folds: a number from 2 on, or "groups" for a fold of each group.
        group: as --group, for messages.
        cache_dir: where it is kept which files hold the same bytes (`duplicate_groups`).

    Raises:
        ConfigError: fewer images, images of a class, or groups than folds.
    """
    pool = np.flatnonzero((index.given_split == FREE) | (index.given_split == TRAIN))
    groups = None if index.groups is None else index.groups[pool]
    notes = [] if groups is None else _lonely_classes(index, strata, pool, groups)
    of = np.full(len(index), -1, dtype=np.int64)
    if folds == "groups":
        assert groups is not None, "--folds=groups needs --group"
        present, of[pool] = np.unique(groups, return_inverse=True)
        if len(present) < 2:
            raise wrong("folds", folds, f"--group={group} has only one group of images to divide", "use --folds=5")
        return Folds(of, len(present), tuple(index.group_names[g] for g in present), tuple(notes))
    count = int(folds)
    _check_counts(strata, pool, groups, count, group)
    units = units_of(duplicate_groups(index, cache_dir)[pool], groups)
    if (different := int(units.max()) + 1) < count:
        raise ConfigError(f"--folds={folds}: only {different} different images; use fewer folds, or add images")
    of[pool] = _dealt(strata.codes[pool], units, count, seed)
    return Folds(of, count, (), tuple(notes))


def _check_counts(strata: Strata, pool: np.ndarray, groups: np.ndarray | None, count: int, group: str | None) -> None:
    """ConfigError where some folds would have no group, no image, or, without groups, no image of some class."""
    if groups is not None:
        if (there := len(np.unique(groups))) < count:
            raise wrong("folds", count, f"--group={group} has only {there} groups", "use --folds=groups or fewer folds")
        return
    if len(pool) < count:
        raise wrong("folds", count, f"only {len(pool)} images to divide", "add images")
    sizes = np.bincount(strata.codes[pool], minlength=len(strata.classes))
    few = [(name, int(n)) for name, n in zip(strata.classes, sizes, strict=False) if n < count]
    if few:
        least = min(n for _, n in few)
        named = some((f"{name} ({n})" for name, n in few), NAMED)
        hint = f"use --folds={least}, or add images" if least > 1 else "add images, or remove the class"
        raise wrong("folds", count, f"some classes have fewer images than folds: {named}", hint)


def _lonely_classes(index: Index, strata: Strata, pool: np.ndarray, groups: np.ndarray) -> list[str]:
    """A note for classes that only one group has: the fold that tests this group cannot learn them."""
    pairs = np.unique(np.stack([strata.codes[pool], groups]), axis=1)  # (2, different pairs)
    counts = np.bincount(pairs[0], minlength=len(strata.classes))
    lonely = [k for k in range(len(strata.classes)) if counts[k] == 1]
    group_of = {int(c): index.group_names[g] for c, g in pairs.T if counts[c] == 1}
    named = some((f"{strata.classes[k]} ({group_of[k]})" for k in lonely), NAMED)
    return (
        [f"Classes with images in one group only: {named}; the fold that tests this group cannot learn them"]
        if lonely
        else []
    )


def _dealt(codes: np.ndarray, units: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The fold of each image of the pool, int64 (n,). Large units first, single images then fill each stratum up."""
    stratum = np.unique(codes, return_inverse=True)[1]
    sizes = np.bincount(stratum)
    left = np.repeat(sizes[:, None] / count, count, axis=1)  # (S, K): images that are still wanted
    fold = np.zeros(len(stratum), dtype=np.int64)
    order = permutation(seed, 0, len(stratum), "folds")
    single = np.bincount(units)[units] == 1
    place_units(fold, (stratum, units), order[~single[order]], left, range(count), int(single.sum()))
    missing = left.sum(axis=0)  # (K,): images that each fold still lacks
    order = order[single[order]]
    order = order[np.argsort(stratum[order], kind="stable")]  # shuffled within each stratum
    ends = np.cumsum(np.bincount(stratum[order], minlength=len(sizes)))
    for s, here in enumerate(np.split(order, ends[:-1])):
        counts = _shares(left[s].clip(min=0), missing, len(here), permutation(seed, s, count, "fold ties"))
        missing -= counts
        fold[here] = np.repeat(np.arange(count), counts)
    return fold


def _shares(wanted: np.ndarray, missing: np.ndarray, images: int, ties: np.ndarray) -> np.ndarray:
    """How many of the images each fold gets, int64 (K,), in proportion to `wanted`.

    What rounding leaves over goes where the largest share was rounded down; of equals, to the fold that lacks the most in all
    strata together.
    """
    total = wanted.sum()
    exact = wanted * images / total if total > 0 else np.full(len(wanted), images / len(wanted))
    counts = np.floor(exact + 1e-9).astype(np.int64)
    by_remainder = np.lexsort((ties, -missing.round(6), (counts - exact).round(6)))
    counts[by_remainder[: images - counts.sum()]] += 1
    return counts
