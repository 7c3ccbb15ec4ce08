"""Which folders beside each other are train, validation and test, by their names and by --val_folder and --test_folder."""

import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from deep_cnn.runtime.errors import DataError, nearest
from deep_cnn.runtime.format import listed

FREE, TRAIN, VALIDATION, TEST = -1, 0, 1, 2
SPLITS = ("train", "validation", "test")
ALIASES = {
    "train": TRAIN,
    "training": TRAIN,
    "val": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "dev": VALIDATION,
    "test": TEST,
    "testing": TEST,
}
SHORT = {TRAIN: "train", VALIDATION: "val", TEST: "test"}
NO_FOLDER = "none"  # --val_folder=none: no folder is the validation set; one is held out of train
# a split's name as a word of a longer one: seg_train, training_set, TestSet, val2017; but not trainer or latest
SPLIT_WORD = re.compile(rf"(?<![a-z])({'|'.join(sorted(ALIASES, key=len, reverse=True))})(?:set)?(?![a-z])")
GLUED = re.compile(r"^(?:train|test|valid)|(?:train|test|val)$")
NUMBERED = re.compile(r"[\W\d_]+")  # what else may differ: 01_train and 02_test, train (80%) and test (20%)
NAMED = 3  # folders named in one line


@dataclass(frozen=True)
class Asked:
    """--val_folder and --test_folder. "val" and "test" stand for all usual spellings, "none" for no folder."""

    val_folder: str = "val"
    test_folder: str = "test"

    def _rows(self) -> tuple[tuple[str, str, int], ...]:
        return ("--val_folder", self.val_folder, VALIDATION), ("--test_folder", self.test_folder, TEST)

    def named(self) -> dict[str, tuple[str, int]]:
        """Folders that have been named: {name: (flag, split)}."""
        return {name: (flag, split) for flag, name, split in self._rows() if name not in (NO_FOLDER, SHORT[split])}

    def usual(self) -> set[int]:
        """Splits that may be found by the usual names; the others are another folder, or none."""
        return {TRAIN} | {split for _, name, split in self._rows() if name == SHORT[split]}

    def resolved(self, names: Collection[str]) -> "Asked":
        """The same with a folder's name among `names` where a flag has another usual spelling: val for validation."""

        def found(name: str, split: int) -> str:
            if name in names or name in (NO_FOLDER, SHORT[split]):
                return name
            same = [other for other in names if split_word(other) == (ALIASES.get(name.lower()), "")]
            return same[0] if len(same) == 1 else name

        return Asked(*(found(name, split) for _, name, split in self._rows()))

    def check(self, names: Iterable[str]) -> None:
        """Refuse a folder that is not among `names`."""
        names = set(names)
        for name, (flag, _) in self.named().items():
            if name not in names:
                raise DataError(f"{flag}={name}: --data_dir has no such folder with images.{nearest(name, names)}")


def split_word(name: str) -> tuple[int | None, str]:
    """The split that a folder's name speaks of, and the rest of it: "seg_train" -> (TRAIN, "seg_"); (None, name) without one."""
    lower = _spaced(name)
    found = SPLIT_WORD.search(lower)
    if found is None:
        return None, lower
    return ALIASES[found[1]], lower[: found.start()] + lower[found.end() :]


def splits_named(name: str) -> set[int]:
    """All splits that words of a name speak of: "train_test" -> {TRAIN, TEST}; "trainer" -> none."""
    return {ALIASES[found[1]] for found in SPLIT_WORD.finditer(_spaced(name))}


def _spaced(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def speaks_of(name: str) -> tuple[int, str] | None:
    """The split that a folder's name seems to mean, and the letters of the rest; None where it means none.

    Also without a sign or capital between the words: testimages, imgtrain.
    """
    split, rest = split_word(name)
    if split is None and (found := GLUED.search(name.lower())):
        split, rest = ALIASES[found[0]], rest[: found.start()] + rest[found.end() :]
    return None if split is None else (split, NUMBERED.sub("", rest))


def roles_of(names: Iterable[str], asked: Asked) -> dict[str, int]:
    """Which of some folders beside each other are train, validation and test: {"seg_train": TRAIN, "seg_test": TEST}.

    Those that a flag names; then train, val and test in their usual spellings; else those that differ in this word alone, or
    in numbers besides: 1_train and 2_test, train_800 and test_200. Names that leave a choice (trainA, trainB, testA) are none.
    """
    names = sorted(names)
    words = {name: split_word(name) for name in names}
    roles = _roles(words, asked)
    if TRAIN in roles.values():
        return roles
    bare = {name: (split, NUMBERED.sub("", rest)) for name, (split, rest) in words.items()}
    distinct = Counter(row for row in bare.values() if row[0] is not None)
    numbered = _roles(bare, asked) if max(distinct.values(), default=0) == 1 else {}
    return numbered if TRAIN in numbered.values() else roles


def _roles(words: dict[str, tuple[int | None, str]], asked: Asked) -> dict[str, int]:
    """See `roles_of`. words: of each folder what `split_word` gives."""
    names = list(words)
    roles = {name: split for name, (_, split) in asked.named().items() if name in names}
    families: dict[str, dict[int, str]] = {}  # the rest of the name -> its folder of each split
    for name in names:
        split, rest = words[name]
        if split in asked.usual() and name not in roles:
            family = families.setdefault(rest, {})
            family[split] = name if name == SHORT[split] else family.get(split, name)
    usual = families.pop("", {})
    found = [family for family in families.values() if TRAIN in family and (len(family) > 1 or roles)]
    if TRAIN not in usual and len(found) == 1:
        usual = found[0]
    return roles | {name: split for split, name in usual.items()}


def roles_by_family(names: Iterable[str], asked: Asked) -> dict[str, int]:
    """The splits of folders that come in several families, each with a training set: trainA, testA, trainB, testB.

    {} where there are no such families.
    """
    families: dict[str, dict[str, int]] = {}
    for name in names:
        split, rest = split_word(name)
        if split is not None and split in asked.usual():
            families.setdefault(rest, {})[name] = split
    found = list(families.values())
    whole = len(found) > 1 and all(TRAIN in family.values() for family in found)
    if not whole or all(len(set(family.values())) == 1 for family in found):
        return {}
    return {name: split for family in found for name, split in family.items()}


def shortlist(names: Iterable[str]) -> str:
    """Some names in one line: "a, b and c", of more than four the first three and how many more."""
    names = list(names)
    return listed([*names[:NAMED], f"{len(names) - NAMED:,} more"] if len(names) > NAMED + 1 else names)


def uses(roles: dict[str, int], prefix: str = "") -> list[str]:
    """Lines about the folders that are not simply called train, val and test."""
    return [
        f"{prefix}{name}/ is used as the {SPLITS[split]} set"
        for name, split in sorted(roles.items(), key=lambda row: row[1])
        if prefix or name != SHORT[split]
    ]
