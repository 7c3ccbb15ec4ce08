"""What the names of folders say: which class an image has, and whether it trains, validates or tests."""

from collections import Counter
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


@dataclass(frozen=True)
class ClassFolders:
    """What each of F folders stands for. notes: lines for the log."""

    classes: tuple[str, ...]  # in alphabetical order
    class_of: np.ndarray  # int64 (F,) into classes; -1: its images belong to no class
    split_of: np.ndarray  # int8 (F,) FREE, TRAIN, VALIDATION or TEST
    notes: tuple[str, ...]


def read_class_folders(files: Files, val_folder: str, test_folder: str) -> ClassFolders:
    """The classes are the top folders, or those inside train/, val/ and test/.

    Raises:
        DataError: fewer than two classes, or folders that contradict each other.
    """
    counts = np.bincount(files.folder_of, minlength=len(files.folders))
    tops: dict[str, int] = {}
    deeper: dict[str, int] = {}
    for folder, count in zip(files.folders, counts.tolist(), strict=True):
        if folder and count:
            top, _, rest = folder.partition("/")
            tops[top] = tops.get(top, 0) + count
            deeper[top] = deeper.get(top, 0) + (count if rest else 0)
    roles = _roles(tops, deeper, val_folder, test_folder)
    level = 1 if roles else 0
    classes_in: dict[int, dict[str, int]] = {split: {} for split in (FREE, TRAIN, VALIDATION, TEST)}
    place: list[tuple[int, str] | None] = []  # (split, class) of each folder, or None: its images belong to no class
    stray: dict[str, int] = {}
    for folder, count in zip(files.folders, counts.tolist(), strict=True):
        parts = folder.split("/") if folder else []
        split = roles.get(parts[0]) if roles and parts else FREE
        if split is None or len(parts) <= level or (roles and not parts):
            place.append(None)
            if count:
                where = parts[0] if parts else "the top folder"
                stray[where] = stray.get(where, 0) + count
            continue
        place.append((split, parts[level]))
        classes_in[split][parts[level]] = classes_in[split].get(parts[level], 0) + count
    source = classes_in[TRAIN if roles else FREE]
    classes = tuple(sorted(name for name, count in source.items() if count))
    _check_classes(files, classes, classes_in, stray, roles)
    notes = [
        f"{count:,} images in {where} are not in a class folder; they are not used" for where, count in stray.items()
    ]
    if not roles:
        notes += [
            f"{folder.partition('/')[0]}/ is treated as a class, but contains a {folder.rpartition('/')[2]} folder; did you mean "
            f"--data_dir={files.root / folder.partition('/')[0]}?"
            for folder in files.folders
            if folder.count("/") == 1 and ALIASES.get(folder.rpartition("/")[2].lower()) == TRAIN
        ][:3]
    empty = sorted({name for known in classes_in.values() for name, count in known.items() if not count})
    if empty:
        notes.append(f"{len(empty)} class folders have no images: {', '.join(empty[:5])}")
    notes += [
        f"{name}/ is used as the {SPLITS[split]} set"
        for name, split in roles.items()
        if name != ("train", "val", "test")[split]
    ]

    code = {name: k for k, name in enumerate(classes)}
    class_of = np.array([-1 if at is None else code.get(at[1], -1) for at in place], dtype=np.int64)
    split_of = np.array([FREE if at is None else at[0] for at in place], dtype=np.int8)
    return ClassFolders(classes, class_of, split_of, tuple(notes))


def _roles(tops: dict[str, int], deeper: dict[str, int], val_folder: str, test_folder: str) -> dict[str, int]:
    """Which top folders are train, validation and test: {"train": TRAIN, ...}; {} when they are classes.

    Args:
        tops: images below each top folder; deeper: those of them in a subfolder of it.
    """
    roles = {}
    has_train = any(ALIASES.get(name.lower()) == TRAIN for name in tops)
    for split, asked in ((TRAIN, "train"), (VALIDATION, val_folder), (TEST, test_folder)):
        if asked in tops:
            roles[asked] = split
        elif asked in ("train", "val", "test"):  # the usual names: any of their other spellings will do
            others = [name for name in sorted(tops) if ALIASES.get(name.lower()) == split]
            roles.update({name: split for name in others[:1] if name not in (val_folder, test_folder)})
        elif has_train:
            flag = "--val_folder" if split == VALIDATION else "--test_folder"
            raise DataError(f"{flag}={asked}: --data_dir has no such folder with images.{nearest(asked, tops)}")
    if TRAIN not in roles.values():
        return {}
    train = next(name for name, split in roles.items() if split == TRAIN)
    # a class may be called "train" (COCO has it): then it holds its images itself and has other classes beside it
    return roles if deeper.get(train) or set(tops) <= set(roles) else {}


def tables_beside(root: Path) -> str:
    """A hint about a table in the folder, or nothing."""
    tables = sorted(p.name for p in root.iterdir() if p.suffix.lower() in TABLE_ENDINGS[:2])
    return f" The folder contains {tables[0]}; did you mean --metadata={tables[0]}?" if tables else ""


def _check_classes(files: Files, classes: tuple[str, ...], classes_in: dict, stray: dict, roles: dict) -> None:
    """Refuse fewer than two classes, and classes that only validation or test folders have."""
    if len(classes) < 2:
        below = [f for f in files.folders if f.count("/") == 1 and ALIASES.get(f.rpartition("/")[2].lower()) == TRAIN]
        hint = (
            f" Did you mean --data_dir={files.root / below[0].partition('/')[0]}?"
            if below
            else tables_beside(files.root)
        )
        found = f"only one class ({classes[0]})" if classes else f"{sum(stray.values()):,} images but no class folders"
        raise DataError(
            f"--data_dir={files.root}: {found}; expected one folder of images per class, or --metadata.{hint}"
        )
    if not roles and {ALIASES.get(name.lower()) for name in classes} <= {VALIDATION, TEST}:
        raise DataError(f"--data_dir={files.root}: has {' and '.join(classes)}, but no train folder; add one")
    for split in (VALIDATION, TEST):
        for name, count in classes_in[split].items():
            if count and name not in classes:
                raise DataError(
                    f"class {name!r} has {count:,} images in the {SPLITS[split]} folder and none in train/, so the "
                    f"network cannot learn it.{nearest(name, classes)} Add images to train/{name}/, or remove the class"
                )


def split_of_folders(paths: Paths, val_folder: str, test_folder: str) -> np.ndarray:
    """train/, val/ and test/ mean what they say for a table's images too, when all of them lie in these folders."""
    tops_of = [path.partition("/")[0] if "/" in path else "" for path in paths]
    roles = _roles(Counter(tops_of), {}, val_folder, test_folder)
    return np.array([roles.get(top, FREE) for top in tops_of], dtype=np.int8)
