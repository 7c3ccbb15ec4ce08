"""What files beside the images of an archive say of them, in WebDataset's naming: KEY.cls or KEY.json beside KEY.jpg."""

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from deep_cnn.data.cells import one_cell
from deep_cnn.data.files import Files
from deep_cnn.data.table import Table
from deep_cnn.runtime import signals
from deep_cnn.runtime.errors import DataError

CLASS = "class"  # the column of KEY.cls; so is the target of class folders called
OTHER_CLASS = "class (json)"  # the column of a JSON key "class" where KEY.cls files give the class
MOST = 0.5  # of the images have a .cls: then their classes are there, and not in the names of folders
CLASS_ENDING = ".cls"
SAYS = (CLASS_ENDING, ".json")  # endings that are read; KEY.txt holds a caption


def has_classes(files: Files) -> bool:
    """Whether most images have a KEY.cls beside them."""
    if files.sidecars is None:
        return False
    return sum(path.lower().endswith(CLASS_ENDING) for path in files.sidecars.paths) > MOST * len(files.paths)


def has_values(files: Files) -> bool:
    """Whether there is a KEY.cls or a KEY.json at all."""
    return files.sidecars is not None and any(path.lower().endswith(SAYS) for path in files.sidecars.paths)


def sidecar_table(files: Files) -> tuple[Table, np.ndarray]:
    """A row per image that has a KEY.cls or a KEY.json: columns class (of KEY.cls), and the keys of the JSON objects.

    KEY is the image's name without its ending, or, where no file of that ending has this name, the name up to its first point.

    Returns:
        the table; int64 (M,) which image each row is about.

    Raises:
        DataError: a file that cannot be read; names it.
    """
    assert files.sidecars is not None
    beside = {(path[: path.rindex(".")], _ending(path)) for path in files.sidecars.paths}
    has_cls = any(ending == CLASS_ENDING for _, ending in beside)
    rows: dict[int, dict[str, str]] = {}
    of_key: dict[tuple[str, str], list[int]] = {}  # (KEY, ending) -> the images that the file is about
    for i, path in enumerate(files.paths):
        own, short = keys_of(path)
        for ending in SAYS:
            of_key.setdefault((own if (own, ending) in beside else short, ending), []).append(i)
    digest, other = hashlib.sha256(), False
    for path, said in _read(files):
        digest.update(json.dumps([path, said]).encode())
        if has_cls and _ending(path) != CLASS_ENDING and CLASS in said:
            said, other = {OTHER_CLASS if name == CLASS else name: value for name, value in said.items()}, True
        for i in of_key.get((path[: path.rindex(".")], _ending(path)), ()):
            rows.setdefault(i, {}).update(said)
    if not rows:
        example = next(path for path in files.sidecars.paths if path.lower().endswith(SAYS))
        raise DataError(
            f"--data_dir={files.root}: none of the .cls and .json files ({example}) is named as an image ({files.paths[0]}); "
            "give a file and its image the same name before the first point"
        )
    columns = sorted({column for row in rows.values() for column in row})
    positions = np.array(sorted(rows), dtype=np.int64)
    cells = {column: [rows[i].get(column, "") for i in positions.tolist()] for column in columns}
    frame = pd.DataFrame(cells, dtype=str).set_axis(positions + 1)
    notes = (f"The class is that of the .cls files; {CLASS!r} of the .json files is the column {OTHER_CLASS!r}",)
    return Table(files.root.name, frame, digest.hexdigest(), notes if other else ()), positions


def keys_of(path: str) -> tuple[str, str]:
    """What a file beside an image may be called, without its ending: as the image, or up to the first point (WebDataset's key)."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{name[: name.rindex('.')]}", f"{folder}{slash}{name.partition('.')[0]}"


def _ending(path: str) -> str:
    return path[path.rindex(".") :].lower()


def _read(files: Files) -> Iterator[tuple[str, dict[str, str]]]:
    assert files.sidecars is not None
    for i, path in enumerate(files.sidecars.paths):
        if _ending(path) not in SAYS:
            continue
        signals.raise_if_requested()
        source = files.sidecars.members.at(i, path)
        try:
            text = source.read().decode("utf-8-sig")
            yield path, {CLASS: text.strip()} if _ending(path) == CLASS_ENDING else _cells(json.loads(text))
        except (OSError, ValueError) as error:
            raise DataError(f"{source}: cannot be read ({error}); correct or remove it") from error


def _cells(values: Any) -> dict[str, str]:
    """An object of JSON as the cells of a row; what is neither text, number nor a list of them is left out."""
    if not isinstance(values, dict):
        raise ValueError("expected a JSON object of names and values")
    found = {}
    for name, value in values.items():
        if isinstance(value, list) and all(isinstance(one, str | int | float) for one in value):
            found[str(name)] = one_cell(map(str, value))
        elif value is None or isinstance(value, str | int | float):
            found[str(name)] = "" if value is None else re.sub(r"\s+", " ", str(value)).strip()
    return found
