"""What the names of folders say: which class an image has, and whether it trains, validates or tests."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deep_cnn.data.files import Files
from deep_cnn.data.masks import check_masks, is_mask_folder
from deep_cnn.data.split_names import (
    ALIASES,
    FREE,
    NO_FOLDER,
    SPLITS,
    TEST,
    TRAIN,
    VALIDATION,
    Asked,
    roles_of,
    shortlist,
    split_word,
    uses,
)
from deep_cnn.data.table import TABLE_ENDINGS
from deep_cnn.runtime.errors import DataError, nearest
from deep_cnn.runtime.format import plural


@dataclass(frozen=True)
class ClassFolders:
    """What each of F folders stands for. notes: lines for the log."""

    classes: tuple[str, ...]  # in alphabetical order
    class_of: np.ndarray  # int64 (F,) into classes; -1: its images belong to no class
    split_of: np.ndarray  # int8 (F,) FREE, TRAIN, VALIDATION or TEST
    notes: tuple[str, ...]


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
        return uses(self.inner, "CLASS/") or uses({top: split for top, (_, split) in self.bases.items()})


def read_class_folders(files: Files, asked: Asked) -> ClassFolders:
    """The classes are the top folders (and may have train/ and test/ inside), or those inside train/, val/ and test/.

    Raises:
        DataError: fewer than two classes, several data sets, or folders that contradict each other.
    """
    tree = _Tree(files)
    asked = asked.resolved({name for folder in ("", *tree.inside("")) for name in tree.inside(folder)})
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
    _check_copies(tree, classes, layout)
    notes = [_about_stray(tree, top, count, classes, layout) for top, count in stray.items()]
    notes += [*layout.notes(), *check_masks(files, layout.place, list(classes)), *_hints(tree, layout)]
    filled = {name for found in counts.values() for name in +found} if layout.inner else set()
    if empty := sorted({name for found in counts.values() for name, count in found.items() if not count} - filled):
        notes.append(f"{plural(len(empty), 'class folder', 'have')} no images: {', '.join(empty[:5])}")
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
                f"{flag}={name}: contains no folders with the names of the classes ({shortlist(sorted(known))})"
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
            f"--data_dir={tree.root}: contains {len(sets)} data sets ({shortlist(sets)}), each with its own train folder, "
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
        _check_no_splits(tree, classes)
        for name in classes:
            roles = roles_of((inner for inner in tree.inside(name) if inner.lower() in ALIASES), Asked())
            if TRAIN in roles.values() and len(roles) > 1:
                raise DataError(
                    f"--data_dir={tree.root}: the class folder {name}/ contains {shortlist(f'{role}/' for role in roles)}, others do "
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


def _check_no_splits(tree: _Tree, classes: tuple[str, ...]) -> None:
    """Refuse classes whose names are those of parts of a data set: trainA, testA, trainB; train1, train2, test."""
    parts = {name: split for name in classes if (split := split_word(name)[0]) is not None}
    if TRAIN not in parts.values() or len(set(parts.values())) < 2:
        return
    if len(parts) == len(classes) or set.intersection(*(set(tree.inside(name)) for name in parts)):
        raise DataError(
            f"--data_dir={tree.root}: {shortlist(f'{name}/' for name in parts)} look like parts of a data set, not like classes; "
            "arrange them as train/CLASS/ and test/CLASS/, or give one of them as --data_dir"
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
        return f"{plural(count, 'image')} in {top or 'the top folder'}, not in a class folder: not used"
    line = f"{count:,} images in {top}/ are not used: the data set is {shortlist(f'{name}/' for name in layout.bases)}"
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
    folders = [_without_wrapping(tree, _joined(base, name)) for name in tops]
    notes = []
    if layout.flat and not layout.inner:
        like = [name for name in tops if name.lower() in ALIASES]
        notes += [f"{name}/ is used as a class, not as the {SPLITS[ALIASES[name.lower()]]} set" for name in like]
        torn = [f"{folder}/{name}" for folder in folders for name in tree.inside(folder) if name.lower() in ALIASES]
        if torn:
            notes.append(f"{shortlist(f'{name}/' for name in torn)}: used as parts of a class, not as splits")
        beside = [f"{folder}/{name}" for folder in folders if tree.direct[folder] for name in tree.inside(folder)]
        beside = [name for name in beside if name not in torn and not is_mask_folder(name.rpartition("/")[2])]
        if beside:  # thumbnails, a copy of the folder
            notes.append(
                f"{shortlist(f'{name}/' for name in beside)}: inside a class folder that has images itself; the images in there are used, too"
            )
    return [*notes, *_about_levels(tree, base, tops)] if len(tops) > 1 and not layout.inner else notes


def _about_levels(tree: _Tree, base: str, tops: list[str]) -> list[str]:
    """A line about folders inside of all classes that could be the classes, as those of several sites or cameras."""
    folders = [_without_wrapping(tree, _joined(base, name)) for name in tops]
    named = {name for folder in folders if len(tree.inside(folder)) > 1 for name in tree.inside(folder)}
    spelt = {name.lower(): name for name in sorted(named, reverse=True)}
    # one that has a single folder, called like those of others, is no wrapping: bergen/safe beside oslo/safe and oslo/unsafe
    folders = [_without_wrapping(tree, _joined(base, name), named) for name in tops]
    inside = [{spelt.get(name.lower(), name) for name in tree.inside(folder)} for folder in folders]
    if not all(inside) or not named or any(tree.direct[folder] for folder in folders):
        return []
    common = sorted(set.intersection(*inside))
    if len(common) > 1 and 2 * len(common) >= max(map(len, inside)):
        return [
            f"All {len(tops)} classes ({shortlist(tops)}) contain the same {len(common)} folders ({shortlist(common)}). If "
            f"these are the classes, give e.g. --data_dir={tree.root / folders[0]}"
        ]
    times = Counter(name for names in inside for name in names)
    if 2 * sum(count for count in times.values() if count > 1) >= times.total():
        largest = max(folders, key=lambda folder: len(tree.inside(folder)))
        return [
            f"The classes are {shortlist(tops)}, and several of them contain folders of the same names "
            f"({shortlist(sorted(name for name, count in times.items() if count > 1))}). If {shortlist(sorted(times))} are the classes, give "
            f"e.g. --data_dir={tree.root / largest}"
        ]
    if min(map(len, inside)) < 2:
        return []
    example = f"{folders[0]}/{tree.inside(folders[0])[0]}"
    return [f"The classes are {shortlist(tops)}; folders inside them, such as {example}/, are parts of their class"]


def _check_copies(tree: _Tree, classes: tuple[str, ...], layout: _Layout) -> None:
    """Refuse a class whose folders are called like the other classes: augmented/A and augmented/B beside A and B."""
    base = next((base for base, split in layout.bases.values() if split == TRAIN), "")
    for name in classes:
        others = {other.lower() for other in classes if other != name}
        folder: str | None = _joined(base, name)
        while folder is not None and not tree.direct.get(folder):
            same = [inner for inner in tree.inside(folder) if inner.lower() in others]
            if same and (len(same) == len(tree.inside(folder)) or 1 < len(same) >= len(tree.inside(folder)) / 2):
                test = "" if base else f", or give --test_folder={name} to test on them"
                raise DataError(
                    f"--data_dir={tree.root}: {folder}/ contains folders that are called like other classes ({shortlist(same)}), so it is "
                    f"hardly a class; move their images into the folders of these classes, or move it out of this folder{test}"
                )
            folder = tree.only(folder)


def _without_wrapping(tree: _Tree, folder: str, named: Collection[str] = ()) -> str:
    """The folder itself, or the one inside that has all of its images: amazon/images; not into one of `named`."""
    while (inner := tree.only(folder)) is not None and inner.rpartition("/")[2] not in named:
        folder = inner
    return folder


def tables_beside(root: Path) -> str:
    """A hint about a table in the folder, or nothing."""
    entries = root.iterdir() if root.is_dir() else ()  # of an archive, to find them would mean to list it again
    tables = sorted(p.name for p in entries if p.suffix.lower() in TABLE_ENDINGS[:2])
    return f" The folder contains {tables[0]}; did you mean --metadata={tables[0]}?" if tables else ""
