"""The splits of a table's images that the folders make in which they lie."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from deep_cnn.data.files import Paths
from deep_cnn.data.split_names import (
    FREE,
    SPLITS,
    TEST,
    TRAIN,
    VALIDATION,
    Asked,
    listed,
    roles_by_family,
    roles_of,
    split_word,
    uses,
)


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
    """
    codes: dict[str, int] = {}
    folder_of = np.array([codes.setdefault(path.rpartition("/")[0], len(codes)) for path in paths], dtype=np.int64)
    counts = np.bincount(folder_of, minlength=len(codes)).tolist()
    parts = [folder.split("/") if folder else [] for folder in codes]
    asked = asked.resolved({name for at in parts for name in at})
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
    notes = uses(roles, prefix)
    made_by = f"the split is made by {listed(f'{prefix}{name}/' for name in sorted(roles))}"
    for left_out, found in enumerate(others):
        where = listed(f"{prefix}{name}/" if name else "other folders" for name in found)
        line = f"{sum(found.values()):,} images in {where}"
        if found and left_out:
            notes.append(
                f"{line} are not used: {made_by if roles else 'another folder, or none, is the test or validation set'}"
            )
        elif found and TRAIN in roles.values():
            notes.append(f"{line} are training images, too: {made_by}")
    trains = sorted({name for name in names if name is not None and split_word(name) == (TRAIN, "")} - set(roles))
    if trains and not roles and len(set(names)) > len(trains):
        notes.append(
            f"{prefix}{trains[0]}/ has no validation or test folder beside it: all images are split together, those of the "
            "other folders, too; to use some rows only, give --where"
        )
    return SplitFolders(split[folder_of], used[folder_of], tuple(notes))


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
        f"--split_column={column}: {len(other):,} images are in the folder of another split (the first is {paths[first]}, used as "
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
