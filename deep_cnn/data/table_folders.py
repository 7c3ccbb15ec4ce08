"""The splits of a table's images that the folders make in which they lie."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from deep_cnn.data.files import Paths
from deep_cnn.data.split_names import (
    FREE,
    NO_FOLDER,
    SHORT,
    SPLITS,
    TEST,
    TRAIN,
    VALIDATION,
    Asked,
    roles_by_family,
    roles_of,
    shortlist,
    speaks_of,
    split_word,
    uses,
)
from deep_cnn.runtime.errors import DataError
from deep_cnn.runtime.format import plural


@dataclass(frozen=True)
class SplitFolders:
    """What the folders say about the images of a table. notes: lines for the log."""

    split: np.ndarray  # int8 (N,) FREE, TRAIN, VALIDATION or TEST
    used: np.ndarray  # bool (N,)
    notes: tuple[str, ...]


def split_of_folders(paths: Paths, asked: Asked) -> SplitFolders:
    """train/, val/ and test/ mean what they say for a table's images too, at the top or further down.

    Images of other folders are held out of and trained on as if nothing was given, except those of a folder whose name
    speaks of validation or test: they are left out.

    Raises:
        DataError: names speak of training and of a test, but leave a choice: train2017, train2018 and test2019.
    """
    codes: dict[str, int] = {}
    folder_of = np.array([codes.setdefault(path.rpartition("/")[0], len(codes)) for path in paths], dtype=np.int64)
    counts = np.bincount(folder_of, minlength=len(codes)).tolist()
    parts = [folder.split("/") if folder else [] for folder in codes]
    asked = asked.resolved({name for at in parts for name in at})
    level, roles = _split_level(parts, asked)
    if not roles:
        _check_unused_splits(parts, asked)
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
    notes = uses(roles, prefix)
    made_by = f"the split is made by {shortlist(f'{prefix}{name}/' for name in sorted(roles))}"
    for left_out, found in enumerate(others):
        where = shortlist(f"{prefix}{name}/" if name else "other folders" for name in found)
        line = f"{sum(found.values()):,} images in {where}"
        if found and left_out:
            notes.append(
                f"{line} are not used: {made_by if roles else 'another folder, or none, is the test or validation set'}"
            )
        elif found and TRAIN in roles.values():
            notes.append(f"{line} are training images, too: {made_by}")
    trains = sorted({name for name in names if name is not None and split_word(name)[0] == TRAIN} - set(roles))
    if trains and not roles and len(set(names)) > len(trains):
        notes.append(
            f"{prefix}{trains[0]}/ has no validation or test folder beside it: all images are split together, those of the "
            "other folders, too; to use some rows only, give --where"
        )
    return SplitFolders(split[folder_of], used[folder_of], tuple(notes))


def _check_unused_splits(parts: list[list[str]], asked: Asked) -> None:
    """See `split_of_folders`: the images of such folders must not be mixed in silence.

    All folders speak of splits, or a training and a test folder differ in that word and numbers alone. One of train_station,
    test_kitchen and park speaks of none.
    """
    for level in range(max(map(len, parts), default=0)):
        names = sorted({at[level] for at in parts if len(at) > level})
        said = {name: spoken for name in names if (spoken := speaks_of(name))}
        trained = {rest for split, rest in said.values() if split == TRAIN}
        held_out = {
            split: [name for name, (spoken, _) in said.items() if spoken == split]
            for split in (VALIDATION, TEST)
            if split in asked.usual()
        }
        alike = any(said[name][1] in trained for found in held_out.values() for name in found)
        if not (alike or (trained and any(held_out.values()) and len(said) == len(names))):
            continue
        folders = shortlist(f"{name}/" for name in said)
        flags = " ".join(f"--{SHORT[split]}_folder={found[0]}" for split, found in held_out.items() if found)
        raise DataError(
            f"--test_folder: {folders} look like parts of a data set, but which of them are the splits is not clear; give e.g. "
            f"{flags}, or split all images together with --val_folder={NO_FOLDER} --test_folder={NO_FOLDER}"
        )


def contradicted_folders(paths: Paths, given: np.ndarray, column: str) -> list[str]:
    """A line where --split_column=`column` puts images elsewhere than the folders train/, val/ and test/ that they are in.

    Args:
        given: the split that the column gives each image, int8 (N,), FREE for an empty cell.
    """
    folders = split_of_folders(paths, Asked()).split
    other = np.flatnonzero((folders != FREE) & (given != FREE) & (folders != given))
    if not len(other):
        return []
    first = int(other[0])
    return [
        f"--split_column={column}: {plural(len(other), 'image', 'are')} in the folder of another split (the first is {paths[first]}, used as "
        f"{SPLITS[given[first]]}); the column decides"
    ]


def _split_level(parts: list[list[str]], asked: Asked) -> tuple[int, dict[str, int]]:
    """How deep the folders lie that make the split, and which they are; at the first level that differs, and {}, without any."""
    asked.check({name for at in parts for name in at})
    first = 0
    while all(len(at) > first for at in parts) and len({at[first] for at in parts}) == 1:
        first += 1
    for level in range(first, max(map(len, parts), default=0)):
        names = {at[level] for at in parts if len(at) > level}
        roles = roles_of(names, asked)
        if TRAIN not in roles.values():
            roles |= roles_by_family(names, asked)
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
