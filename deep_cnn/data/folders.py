"""What the names of folders say: which class an image has, and whether it trains, validates or tests."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deep_cnn.data.files import Files, Paths
from deep_cnn.data.table import TABLE_ENDINGS
from deep_cnn.runtime.errors import DataError, nearest

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
NAMED = 3  # folders named in one line


@dataclass(frozen=True)
class ClassFolders:
    """What each of F folders stands for. notes: lines for the log."""

    classes: tuple[str, ...]  # in alphabetical order
    class_of: np.ndarray  # int64 (F,) into classes; -1: its images belong to no class
    split_of: np.ndarray  # int8 (F,) FREE, TRAIN, VALIDATION or TEST
    notes: tuple[str, ...]


@dataclass(frozen=True)
class SplitFolders:
    """What the folders say about the images of a table. notes: lines for the log."""

    split: np.ndarray  # int8 (N,) FREE, TRAIN, VALIDATION or TEST
    used: np.ndarray  # bool (N,)
    notes: tuple[str, ...]


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

    def check(self, names: Iterable[str]) -> None:
        """Refuse a folder that is not among `names`."""
        names = set(names)
        for name, (flag, _) in self.named().items():
            if name not in names:
                raise DataError(f"{flag}={name}: --data_dir has no such folder with images.{nearest(name, names)}")


# --- names -----------------------------------------------------------------------------------------------------------


def split_word(name: str) -> tuple[int | None, str]:
    """The split that a folder's name speaks of, and the rest of it: "seg_train" -> (TRAIN, "seg_"); (None, name) without one."""
    lower = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    found = SPLIT_WORD.search(lower)
    if found is None:
        return None, lower
    return ALIASES[found[1]], lower[: found.start()] + lower[found.end() :]


def roles_of(names: Iterable[str], asked: Asked) -> dict[str, int]:
    """Which of some folders beside each other are train, validation and test: {"seg_train": TRAIN, "seg_test": TEST}.

    Those that a flag names; then train, val and test in their usual spellings; else those that differ in this word alone.
    Names that leave a choice (trainA, trainB, testA) are none.
    """
    names = sorted(names)
    roles = {name: split for name, (_, split) in asked.named().items() if name in names}
    families: dict[str, dict[int, str]] = {}  # the rest of the name -> its folder of each split
    for name in names:
        split, rest = split_word(name)
        if split in asked.usual() and name not in roles:
            family = families.setdefault(rest, {})
            family[split] = name if name == SHORT[split] else family.get(split, name)
    usual = families.pop("", {})
    found = [family for family in families.values() if TRAIN in family and (len(family) > 1 or roles)]
    if TRAIN not in usual and len(found) == 1:
        usual = found[0]
    return roles | {name: split for split, name in usual.items()}


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    if len(names) > NAMED + 1:
        names = [*names[:NAMED], f"{len(names) - NAMED:,} more"]
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def _uses(roles: dict[str, int], prefix: str = "") -> list[str]:
    """Lines about the folders that are not simply called train, val and test."""
    return [
        f"{prefix}{name}/ is used as the {SPLITS[split]} set"
        for name, split in sorted(roles.items(), key=lambda row: row[1])
        if prefix or name != SHORT[split]
    ]


# --- class folders ---------------------------------------------------------------------------------------------------


class _Tree:
    """The folders with images in or below them, by relative path; "" is the top."""

    def __init__(self, files: Files):
        self.root = files.root
        counts = np.bincount(files.folder_of, minlength=len(files.folders)).tolist()
        self.direct = dict(zip(files.folders, counts, strict=True))  # images in the folder itself, also 0
        filled: set[str] = set()
        for folder, count in self.direct.items():
            while count and folder and folder not in filled:
                filled.add(folder)
                folder = folder.rpartition("/")[0]
        self._children: dict[str, list[str]] = {}
        for folder in sorted(filled):
            parent, _, name = folder.rpartition("/")
            self._children.setdefault(parent, []).append(name)

    def inside(self, folder: str) -> list[str]:
        """Names of the folders inside `folder` that have images."""
        return self._children.get(folder, [])

    def parents(self) -> list[str]:
        """All folders that have others with images inside, a parent before its children."""
        return sorted(self._children)

    def only(self, folder: str) -> str | None:
        """The folder inside `folder` that has all of its images; None if there is no such one."""
        names = self.inside(folder)
        return _joined(folder, names[0]) if len(names) == 1 and not self.direct.get(folder) else None


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


@dataclass(frozen=True)
class _Layout:
    """How classes and splits are nested.

    bases: {top folder: (the folder whose folders are classes, split)}, e.g. {"seg_train": ("seg_train/seg_train", TRAIN)}.
    flat: whether the other top folders are classes. inner: folders inside each class, {"train": TRAIN, "test": TEST}.
    """

    bases: dict[str, tuple[str, int]]
    flat: bool
    inner: dict[str, int]

    def place(self, folder: str) -> tuple[int, str] | None:
        """(split, class) of the images in a folder; None: they belong to no class."""
        parts = folder.split("/") if folder else []
        base, split = self.bases.get(parts[0] if parts else "", ("", FREE))
        depth = base.count("/") + 1 if base else 0
        if len(parts) <= depth or not folder.startswith(base) or not (base or self.flat):
            return None
        if self.inner and len(parts) > 1:
            split = self.inner.get(parts[1], FREE)
        return split, parts[depth]

    def notes(self) -> list[str]:
        """Lines about folders whose use is not plain from their names."""
        return _uses(self.inner, "CLASS/") or _uses({top: split for top, (_, split) in self.bases.items()})


def read_class_folders(files: Files, asked: Asked) -> ClassFolders:
    """The classes are the top folders (and may have train/ and test/ inside), or those inside train/, val/ and test/.

    Raises:
        DataError: fewer than two classes, several data sets, or folders that contradict each other.
    """
    tree = _Tree(files)
    layout = _layout(tree, asked)
    places = [layout.place(folder) for folder in files.folders]
    counts: dict[int, Counter[str]] = {split: Counter() for split in (FREE, TRAIN, VALIDATION, TEST)}
    stray: Counter[str] = Counter()
    for folder, at in zip(files.folders, places, strict=True):
        if at is not None:
            counts[at[0]][at[1]] += tree.direct[folder]
        elif tree.direct[folder]:
            stray[folder.partition("/")[0]] += tree.direct[folder]
    classes = tuple(sorted(+(counts[FREE] + counts[TRAIN])))
    _check_classes(tree, classes, counts, stray, layout)
    notes = [_about_stray(tree, top, count, classes, layout) for top, count in stray.items()]
    notes += [*layout.notes(), *_hints(tree, layout)]
    filled = {name for found in counts.values() for name in +found} if layout.inner else set()
    if empty := sorted({name for found in counts.values() for name, count in found.items() if not count} - filled):
        notes.append(f"{len(empty)} class folders have no images: {', '.join(empty[:5])}")
    code = {name: k for k, name in enumerate(classes)}
    class_of = np.array([-1 if at is None else code.get(at[1], -1) for at in places], dtype=np.int64)
    split_of = np.array([FREE if at is None else at[0] for at in places], dtype=np.int8)
    return ClassFolders(classes, class_of, split_of, tuple(notes))


def _layout(tree: _Tree, asked: Asked) -> _Layout:
    tops = tree.inside("")
    roles = roles_of(tops, asked)
    train = next((name for name, split in roles.items() if split == TRAIN), None)
    # a class may be called "train" (COCO has it): then it holds its images itself and has other classes beside it
    if train is not None and (tree.inside(train) or set(tops) <= set(roles)):
        asked.check(tops)
        base = _class_level(tree, train, None)
        known = set(tree.inside(base))
        return _Layout({name: (_class_level(tree, name, known), split) for name, split in roles.items()}, False, {})
    inner = _splits_in_classes(tree, asked)
    asked.check({*tops, *inner})
    if inner:
        return _Layout({}, True, inner)
    bases = {}
    for name, split in roles.items():  # classes beside a folder that has the same classes once more: test/
        known = {top for top in tops if top not in roles}
        base = _class_level(tree, name, known)
        again = set(tree.inside(base))
        if split != TRAIN and again and again <= known:
            bases[name] = (base, split)
        elif name in asked.named():
            flag = asked.named()[name][0]
            raise DataError(
                f"{flag}={name}: contains no folders with the names of the classes ({_listed(sorted(known))})"
            )
    return _Layout(bases, True, {})


def _class_level(tree: _Tree, folder: str, known: set[str] | None) -> str:
    """Where the classes of a split's folder are: in itself, or below folders that only wrap them (seg_train/seg_train).

    Args:
        known: classes of the training set; None for the training set itself.
    """
    while (inner := tree.only(folder)) is not None:
        name, inside = inner.rpartition("/")[2], tree.inside(inner)
        wraps = len(inside) > 1 if known is None else name not in known and set(inside) <= known
        if not (wraps and not tree.direct[inner]) and name.lower() != folder.rpartition("/")[2].lower():
            break
        folder = inner
    return folder


def _splits_in_classes(tree: _Tree, asked: Asked) -> dict[str, int]:
    """The folders of CLASS/train/, CLASS/test/: {"train": TRAIN, "test": TEST}; {} where classes have no such folders."""
    names: Counter[str] = Counter()
    for top in tree.inside(""):
        for name in tree.inside(top):
            folder = f"{top}/{name}"
            # with several folders inside, top/ is a data set rather than a class
            names[name] += tree.direct[folder] > 0 or len(tree.inside(folder)) == 1
    spelt = {name for name in names if split_word(name)[1] == "" or name in asked.named()}
    roles = roles_of(spelt, asked)
    return (
        roles if sum(names[name] for name in roles) > 1 and max((names[name] for name in roles), default=0) > 1 else {}
    )


def _data_sets(tree: _Tree) -> list[str]:
    """The folders, other than the top, that have train/ with classes in it: data sets, not classes."""
    found: list[str] = []
    for folder in tree.parents():
        names = tree.inside(folder)
        roles = roles_of(names, Asked())
        train = next((name for name, split in roles.items() if split == TRAIN), None)
        if not folder or train is None or (len(roles) < 2 and len(names) > 1):
            continue
        base = _class_level(tree, _joined(folder, train), None)
        if len(tree.inside(base)) > 1 and not tree.direct[base] and not any(folder.startswith(f"{f}/") for f in found):
            found.append(folder)
    return found


def _check_classes(
    tree: _Tree, classes: tuple[str, ...], counts: dict[int, Counter[str]], stray: Counter[str], layout: _Layout
) -> None:
    """Refuse data sets as classes, fewer than two classes, and classes that only validation or test folders have."""
    sets = [] if layout.bases else _data_sets(tree)
    if len(sets) > 1 and len(classes) > 1:
        raise DataError(
            f"--data_dir={tree.root}: contains {len(sets)} data sets ({_listed(sets)}), each with its own train folder, "
            f"instead of class folders; choose one of them, e.g. --data_dir={tree.root / sets[0]}"
        )
    if sets and len(classes) > 1:
        raise DataError(
            f"--data_dir={tree.root}: {sets[0]}/ is a data set with its own train folder, not a class. "
            f"Did you mean --data_dir={tree.root / sets[0]}? If not, move it out of this folder"
        )
    if len(classes) < 2:
        found = f"only one class ({classes[0]})" if classes else f"{sum(stray.values()):,} images but no class folders"
        hint = tables_beside(tree.root)
        if inner := sets or ([] if layout.bases else _only_level(tree)):
            hint = f" Did you mean --data_dir={tree.root / inner[0]}?{hint}"
        raise DataError(
            f"--data_dir={tree.root}: {found}; expected one folder of images per class, or --metadata.{hint}"
        )
    if layout.flat and not layout.inner:
        for name in classes:
            roles = roles_of((inner for inner in tree.inside(name) if inner.lower() in ALIASES), Asked())
            if TRAIN in roles.values() and len(roles) > 1:
                raise DataError(
                    f"--data_dir={tree.root}: the class folder {name}/ contains {_listed(f'{role}/' for role in roles)}, others do "
                    "not; give every class these folders, or none"
                )
    if not layout.bases and {ALIASES.get(name.lower()) for name in classes} <= {VALIDATION, TEST}:
        raise DataError(f"--data_dir={tree.root}: has {' and '.join(classes)}, but no train folder; add one")
    train = next((top for top, (_, split) in layout.bases.items() if split == TRAIN), "")
    for split, flag in ((VALIDATION, "--val_folder"), (TEST, "--test_folder")):
        for name, count in counts[split].items():
            if count and name not in classes:
                raise DataError(
                    f"class {name!r} has {count:,} images in the {SPLITS[split]} folder and none in {train or 'the others'}/, "
                    f"so the network cannot learn it.{nearest(name, classes)} Add images to {_joined(train, name)}/, "
                    f"remove the class, or leave this folder out with {flag}={NO_FOLDER}"
                )


def _only_level(tree: _Tree) -> list[str]:
    """The first folder below the top with several folders inside, where all above it only wrap it."""
    folder: str | None = ""
    while folder is not None and len(tree.inside(folder)) < 2:
        folder = tree.only(folder)
    return [folder] if folder else []


def _about_stray(tree: _Tree, top: str, count: int, classes: tuple[str, ...], layout: _Layout) -> str:
    """A line about images that belong to no class."""
    if not top or top in layout.bases or layout.flat:
        return f"{count:,} images in {top or 'the top folder'} are not in a class folder; they are not used"
    line = f"{count:,} images in {top}/ are not used: the data set is {_listed(f'{name}/' for name in layout.bases)}"
    inside = set(tree.inside(_class_level(tree, top, set(classes))))
    free = [split for split in (TEST, VALIDATION) if split not in {split for _, split in layout.bases.values()}]
    if inside and inside <= set(classes) and free:
        flag = "--test_folder" if free[0] == TEST else "--val_folder"
        line += f". To use them as the {SPLITS[free[0]]} set, give {flag}={top}"
    return line


def _hints(tree: _Tree, layout: _Layout) -> list[str]:
    """Lines about folders that could be read in another way, too."""
    base = next((base for base, split in layout.bases.values() if split == TRAIN), "")
    tops = [name for name in tree.inside(base) if base or name not in layout.bases]
    folders = [_joined(base, name) for name in tops]
    notes = []
    if layout.flat and not layout.inner:
        like = [name for name in tops if name.lower() in ALIASES]
        notes += [f"{name}/ is used as a class, not as the {SPLITS[ALIASES[name.lower()]]} set" for name in like]
        torn = [f"{folder}/{name}" for folder in folders for name in tree.inside(folder) if name.lower() in ALIASES]
        if torn:
            notes.append(f"{_listed(f'{name}/' for name in torn)}: used as parts of a class, not as splits")
    inside = [set(tree.inside(folder)) for folder in folders]
    if len(folders) < 2 or layout.inner or any(tree.direct[f] for f in folders) or min(map(len, inside)) < 2:
        return notes
    common = sorted(set.intersection(*inside))
    if len(common) > 1 and 2 * len(common) >= max(map(len, inside)):
        notes.append(
            f"All {len(tops)} classes ({_listed(tops)}) contain the same {len(common)} folders ({_listed(common)}). If "
            f"these are the classes, give e.g. --data_dir={tree.root / folders[0]}"
        )
    else:
        example = f"{folders[0]}/{tree.inside(folders[0])[0]}"
        notes.append(
            f"The classes are {_listed(tops)}; folders inside them, such as {example}/, are parts of their class"
        )
    return notes


def tables_beside(root: Path) -> str:
    """A hint about a table in the folder, or nothing."""
    entries = root.iterdir() if root.is_dir() else ()  # an archive's tables cannot be given
    tables = sorted(p.name for p in entries if p.suffix.lower() in TABLE_ENDINGS[:2])
    return f" The folder contains {tables[0]}; did you mean --metadata={tables[0]}?" if tables else ""


# --- folders of a table's images -------------------------------------------------------------------------------------


def split_of_folders(paths: Paths, asked: Asked) -> SplitFolders:
    """train/, val/ and test/ mean what they say for a table's images too, at the top or further down.

    Images of other folders are held out of and trained on as if nothing was given, except those of a folder whose name
    speaks of validation or test: they are left out.
    """
    codes: dict[str, int] = {}
    folder_of = np.array([codes.setdefault(path.rpartition("/")[0], len(codes)) for path in paths], dtype=np.int64)
    counts = np.bincount(folder_of, minlength=len(codes)).tolist()
    parts = [folder.split("/") if folder else [] for folder in codes]
    level, roles = _split_level(parts, asked)
    names = [at[level] if len(at) > level else None for at in parts]
    dropped = {name for name in names if name is not None and name not in roles and _is_left_out(name, roles, asked)}
    split = np.array([roles.get(name, FREE) for name in names], dtype=np.int8)  # type: ignore[arg-type]
    used = np.array([name not in dropped for name in names], dtype=bool)
    prefix = (
        "".join(f"{name}/" for name in parts[0][:level]) if len({tuple(at[:level]) for at in parts}) == 1 else ".../"
    )
    others: tuple[Counter[str | None], ...] = (Counter(), Counter())  # trained on, left out
    for name, count in zip(names, counts, strict=True):
        if name not in roles:
            others[name in dropped][name] += count
    notes = _uses(roles, prefix)
    made_by = f"the split is made by {_listed(f'{prefix}{name}/' for name in sorted(roles))}"
    for left_out, found in enumerate(others):
        where = _listed(f"{prefix}{name}/" if name else "other folders" for name in found)
        line = f"{sum(found.values()):,} images in {where}"
        if found and left_out:
            notes.append(
                f"{line} are not used: {made_by if roles else 'another folder, or none, is the test or validation set'}"
            )
        elif found and TRAIN in roles.values():
            notes.append(f"{line} are training images, too: {made_by}")
    return SplitFolders(split[folder_of], used[folder_of], tuple(notes))


def _split_level(parts: list[list[str]], asked: Asked) -> tuple[int, dict[str, int]]:
    """How deep the folders lie that make the split, and which they are; at the first level that differs, and {}, without any."""
    asked.check({name for at in parts for name in at})
    first = 0
    while all(len(at) > first for at in parts) and len({at[first] for at in parts}) == 1:
        first += 1
    for level in range(first, max(map(len, parts), default=0)):
        names = {at[level] for at in parts if len(at) > level}
        roles = roles_of(names, asked)
        others = any(_is_left_out(name, roles, asked) for name in names - set(roles))
        if asked.named().keys() & roles.keys() or (
            TRAIN in roles.values() and (len(set(roles.values())) > 1 or others)
        ):
            return level, roles
    roles = roles_of({at[first] for at in parts if len(at) > first}, asked)
    return first, {name: split for name, split in roles.items() if split != TRAIN}


def _is_left_out(name: str, roles: dict[str, int], asked: Asked) -> bool:
    """Whether a folder that is no split's speaks of validation or test nevertheless."""
    split, rest = split_word(name)
    unwanted = rest == "" and split not in asked.usual()
    return split in (VALIDATION, TEST) and (unwanted or TRAIN in roles.values())
