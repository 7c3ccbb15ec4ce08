"""Parquet: tables of text as CSV's are, and columns of encoded images (Hugging Face's form), copied once into an archive.

Images in Parquet are compressed in pages with others, so none can be read alone. They are written, as they are, into one tar
beside the cache, in WebDataset's naming: the other columns become KEY.json, the class of each image KEY.cls.
"""

import hashlib
import io
import json
import math
import posixpath
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deep_cnn.config.registries import IMAGE_ENDINGS
from deep_cnn.data.cells import one_cell
from deep_cnn.data.files import SYSTEM_FOLDERS
from deep_cnn.data.table import Table
from deep_cnn.data.webdataset import CLASS_ENDING, keys_of
from deep_cnn.runtime import signals
from deep_cnn.runtime.atomic import atomic_path
from deep_cnn.runtime.errors import DataError
from deep_cnn.runtime.extras import require_extra
from deep_cnn.runtime.format import some

PARQUET = ".parquet"
PACKED_FORMAT = 2  # of the tar; another number is written again
ROWS_AT_ONCE = 256  # of images: a few hundred MB at most
IMAGES = ("image", "img", "picture", "photo")  # which of several columns of images is meant
LABELS = ("label", "labels", "class", "target", "fine_label")  # columns that hold the class, if features say so
ENDING_OF = ((b"\xff\xd8\xff", ".jpg"), (b"\x89PNG", ".png"), (b"GIF8", ".gif"), (b"RIFF", ".webp"), (b"BM", ".bmp"))


def _opened(path: Path, what: str) -> Any:
    require_extra("export", ("pyarrow",), what)
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{what}: cannot be read as Parquet ({str(error).splitlines()[0]}); copy or download it again"
        ) from error


def read_frame(path: Path, what: str) -> pd.DataFrame:
    """A table of Parquet with every cell as text, as a CSV file would have it; missing values are empty cells.

    Raises:
        DataError: it is damaged, or its cells are no text, numbers or dates. ConfigError: pyarrow is not installed.
    """
    file = _opened(path, what)
    _check_names(file.schema_arrow, what)
    nested = [field.name for field in file.schema_arrow if not _has_cells(field.type)]
    table = file.read([name for name in file.schema_arrow.names if name not in nested])
    if nested and not table.num_columns:
        raise DataError(f"{what}: no column of text or numbers; if its images are in it, give it as --data_dir")
    frame = {name: _values(table.column(name)) for name in table.column_names}
    for name, classes in _class_names(file.schema_arrow).items():
        if name in frame:
            frame[name] = [
                _class_of(code, classes, f"{what}: row {k}, {name}") for k, code in enumerate(frame[name], 1)
            ]
    return pd.DataFrame({name: [_text(cell) for cell in cells] for name, cells in frame.items()}, dtype=str)


def _values(column: Any) -> list[Any]:
    """The cells of a column; numbers of 32 bits with the digits that they have, 0.3 and not 0.30000001192092896."""
    import pyarrow as pa

    cells: list[Any] = column.to_pylist()
    if not (pa.types.is_float32(column.type) or pa.types.is_float16(column.type)):
        return cells
    exact = column.type.to_pandas_dtype()
    return [float(str(exact(cell))) if isinstance(cell, float) else cell for cell in cells]


def _check_names(schema: Any, what: str) -> None:
    if twice := sorted({name for name in schema.names if schema.names.count(name) > 1}):
        raise DataError(f"{what}: two columns are named {twice[0]!r}; rename one of them")


def _has_cells(kind: Any) -> bool:
    """Whether a column is text, numbers or dates, or lists of these, which are several labels."""
    import pyarrow as pa

    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        kind = kind.value_type
    return not (pa.types.is_nested(kind) or _is_bytes(kind))


def _is_bytes(kind: Any) -> bool:
    import pyarrow as pa

    types = pa.types
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind))


def is_parquet(path: Path) -> bool:
    """Whether it is a file of Parquet, by its ending."""
    return path.suffix.lower() == PARQUET and path.is_file()


def read_parquet(path: Path) -> Table:
    """See `read_frame`; the lines are the rows, from 1 on. Columns that are left out are named in a note."""
    what = f"--metadata={path.name}"
    frame = read_frame(path, what)
    left = [name for name in _opened(path, what).schema_arrow.names if name not in frame.columns]
    notes = (f"{path.name}: columns of neither text nor numbers are not read: {some(left)}",) if left else ()
    if frame.empty:
        raise DataError(f"--metadata={path.name}: the table has no rows")
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Table(path.name, frame.set_axis(np.arange(1, len(frame) + 1)), digest, notes, unread=tuple(map(str, left)))


def _text(cell: Any) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, list):
        return one_cell(map(_text, cell))
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return str(int(cell))  # pandas writes whole numbers of a column with gaps as floats
    return str(cell)


def has_images(path: Path, flag: str = "--data_dir") -> bool:
    """Whether it has a column of encoded images. flag: that names the file, for messages."""
    return bool(_image_columns(_opened(path, f"{flag}={path}").schema_arrow))


def _image_columns(schema: Any) -> list[str]:
    """The columns of encoded images: structs with the field bytes; without one, bytes themselves."""
    import pyarrow as pa

    types = pa.types
    structs = [
        str(field.name)
        for field in schema
        if types.is_struct(field.type) and any(part.name == "bytes" for part in field.type.fields)
    ]
    return structs or [str(f.name) for f in schema if types.is_binary(f.type) or types.is_large_binary(f.type)]


def _image_column(schema: Any, what: str) -> str:
    """The column of the images: the only one, or the one of several that is called so."""
    found = _image_columns(schema)
    called = [name for name in found if name.lower() in IMAGES]
    if len(found) == 1 or len(called) == 1:
        return (called or found)[0]
    if not found:
        raise DataError(f"{what}: no column of encoded images; columns: {some(schema.names, 12)}")
    raise DataError(
        f"{what}: {len(found)} columns hold encoded images ({some(found)}); leave one of them, or rename it to image"
    )


def packed(files: Sequence[tuple[str, Path]], folder: Path) -> Path:
    """One tar with the images of Parquet files, written on the first call.

    Args:
        files: each with the folder that its images are put in. folder: where the tar is kept.

    Raises:
        DataError: no column of images, an image without bytes, or a disk without room; says what to do.
    """
    digest = hashlib.sha256()
    for prefix, path in files:
        status = path.stat()
        digest.update(
            f"{PACKED_FORMAT} {prefix} {path.resolve()} {status.st_size} {status.st_mtime_ns}\n".encode(
                "utf-8", "surrogateescape"
            )
        )
    target = folder / f"parquet-{digest.hexdigest()[:16]}.tar"
    if target.exists():
        return target
    try:
        with atomic_path(target) as temporary, tarfile.open(temporary, "w", format=tarfile.GNU_FORMAT) as tar:
            taken = _Keys()
            for number, (prefix, path) in enumerate(files):
                for row, (name, data, values) in enumerate(_images(path)):
                    signals.raise_if_requested()
                    name = posixpath.join(prefix, name or f"{number:04}-{row:07}{_ending(data)}")
                    while taken.has(name):
                        parent, base = posixpath.split(name)
                        name = posixpath.join(parent, f"{number:04}-{row:07}-{base}")
                    taken.add(name)
                    _add(tar, name, data)
                    for ending, text in values.items():
                        _add(tar, name[: name.rindex(".")] + ending, text.encode())
    except OSError as error:
        raise DataError(
            f"--data_dir={files[0][1]}: its images need a copy in {folder} ({error.strerror or error}); free some space, or give "
            "another folder with --cache"
        ) from error
    return target


class _Keys:
    """Names of images, such that no file beside one of them can be taken for that of another: cat.jpg, cat.png, cat.crop.jpg."""

    def __init__(self) -> None:
        self.own: set[str] = set()
        self.short: set[str] = set()

    def has(self, name: str) -> bool:
        own, short = keys_of(name)
        return own in self.own or own in self.short or short in self.own

    def add(self, name: str) -> None:
        own, short = keys_of(name)
        self.own.add(own)
        self.short.add(short)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def _ending(data: bytes) -> str:
    return next((ending for magic, ending in ENDING_OF if data.startswith(magic)), ".jpg")


def _images(path: Path) -> Iterator[tuple[str, bytes, dict[str, str]]]:
    """Of each row: the image's path ("" without one), its bytes, and its files beside it by their endings."""
    what = f"--data_dir={path}"
    file = _opened(path, what)
    _check_names(file.schema_arrow, what)
    column, classes = _image_column(file.schema_arrow, what), _class_names(file.schema_arrow)
    row = 0
    for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
        for values in batch.to_pylist():
            row += 1
            image = values.pop(column)
            data, name = (image.get("bytes"), image.get("path") or "") if isinstance(image, dict) else (image, "")
            if not data:
                raise DataError(
                    f"{what}: row {row} has no bytes of an image in the column {column}; if it has paths alone, give "
                    "the table as --metadata and the folder of images as --data_dir"
                )
            beside = {}
            for label, known in classes.items():
                values[label] = _class_of(values.get(label), known, f"{what}: row {row}, {label}")
            labels = [label for label in (*LABELS, *classes) if isinstance(values.get(label), str) and label in classes]
            if labels:
                beside[CLASS_ENDING] = values[labels[0]]
            simple = {k: v for k, v in values.items() if not isinstance(v, dict | bytes)}
            if simple:
                text = json.dumps(
                    {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in simple.items()}, default=str
                )
                beside[".json"] = text
            yield _relative(name, data), data, beside


def _relative(name: str, data: bytes) -> str:
    """An image's path as a member's: relative, in no folder that is hidden or passed over, with the ending of an image."""
    parts = [part for part in re.split(r"[\\/]", name) if part not in ("", ".", "..") and not part.endswith(":")]
    if not parts:
        return ""
    parts = [f"_{part}" if part.startswith(".") or part.lower() in SYSTEM_FOLDERS else part for part in parts]
    if posixpath.splitext(parts[-1])[1].lower() not in IMAGE_ENDINGS:
        parts[-1] += _ending(data)
    return "/".join(parts)


def _class_names(schema: Any) -> dict[str, list[str]]:
    """The names of classes that Hugging Face's description of the columns gives: {"label": ["ant", "bee"]}."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        found = {name: _names_of(feature) for name, feature in features.items()}
    except (KeyError, ValueError, TypeError, AttributeError):  # no description, or one of another form
        return {}
    return {name: names for name, names in found.items() if names}


def _names_of(feature: Any) -> list[str]:
    """The names of a ClassLabel, or of a list of them in each of its three forms; [] of anything else."""
    if isinstance(feature, list):
        return _names_of(feature[0]) if len(feature) == 1 else []
    if not isinstance(feature, dict):
        return []
    if feature.get("_type") == "ClassLabel":
        return [str(name) for name in feature.get("names") or ()]
    return _names_of(feature.get("feature"))


def _class_of(code: Any, names: Sequence[str], where: str) -> Any:
    """The name of a class by its number, "" where it is unknown (-1 or missing); of a list the list of names."""
    if isinstance(code, list):
        return [_class_of(one, names, where) for one in code]
    if code is None or (isinstance(code, int) and code < 0):
        return ""
    if not isinstance(code, int) or code >= len(names):
        raise DataError(f"{where}: {code!r} is not the number of one of its {len(names)} classes ({some(names)})")
    return names[code]
