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

from deep_cnn.data.table import Table
from deep_cnn.data.webdataset import CLASS_ENDING
from deep_cnn.runtime import signals
from deep_cnn.runtime.atomic import atomic_path
from deep_cnn.runtime.errors import DataError
from deep_cnn.runtime.extras import require_extra
from deep_cnn.runtime.format import some

PARQUET = ".parquet"
ROWS_AT_ONCE = 256  # of images: a few hundred MB at most
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
    nested = [field.name for field in file.schema_arrow if not _has_cells(field.type)]
    table = file.read([name for name in file.schema_arrow.names if name not in nested])
    if nested and not table.num_columns:
        raise DataError(f"{what}: no column of text or numbers; if its images are in it, give it as --data_dir")
    frame = {name: [_text(cell) for cell in table.column(name).to_pylist()] for name in table.column_names}
    return pd.DataFrame(frame, dtype=str)


def _has_cells(kind: Any) -> bool:
    """Whether a column is text, numbers or dates, or lists of these, which are several labels."""
    import pyarrow as pa

    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
    return not (pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


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
    return Table(path.name, frame.set_axis(np.arange(1, len(frame) + 1)), digest, notes)


def _text(cell: Any) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, list):
        return ";".join(map(_text, cell))
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return str(int(cell))  # pandas writes whole numbers of a column with gaps as floats
    return str(cell)


def image_column(path: Path, flag: str = "--data_dir") -> str | None:
    """The column of encoded images: a struct with the field bytes, or bytes themselves; None without one.

    flag: that names the file, for messages.
    """
    file = _opened(path, f"{flag}={path}")
    import pyarrow as pa

    for field in file.schema_arrow:
        if pa.types.is_struct(field.type) and "bytes" in [
            field.type.field(k).name for k in range(field.type.num_fields)
        ]:
            return str(field.name)
        if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
            return str(field.name)
    return None


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
            f"1 {prefix} {path.resolve()} {status.st_size} {status.st_mtime_ns}\n".encode("utf-8", "surrogateescape")
        )
    target = folder / f"parquet-{digest.hexdigest()[:16]}.tar"
    if target.exists():
        return target
    try:
        with atomic_path(target) as temporary, tarfile.open(temporary, "w", format=tarfile.GNU_FORMAT) as tar:
            names: set[str] = set()
            for number, (prefix, path) in enumerate(files):
                for row, (name, data, values) in enumerate(_images(path)):
                    signals.raise_if_requested()
                    name = posixpath.join(prefix, name or f"{number:04}-{row:07}{_ending(data)}")
                    if name in names:
                        name = posixpath.join(
                            posixpath.dirname(name), f"{number:04}-{row:07}-{posixpath.basename(name)}"
                        )
                    names.add(name)
                    _add(tar, name, data)
                    for ending, text in values.items():
                        _add(tar, name[: name.rindex(".")] + ending, text.encode())
    except OSError as error:
        raise DataError(
            f"--data_dir={files[0][1]}: its images need a copy in {folder} ({error.strerror or error}); free some space, or give "
            "another folder with --cache"
        ) from error
    return target


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def _ending(data: bytes) -> str:
    return next((ending for magic, ending in ENDING_OF if data.startswith(magic)), ".jpg")


def _images(path: Path) -> Iterator[tuple[str, bytes, dict[str, str]]]:
    """Of each row: the image's path ("" without one), its bytes, and its files beside it by their endings."""
    file, column = _opened(path, f"--data_dir={path}"), image_column(path)
    if column is None:
        names = some(file.schema_arrow.names, 12)
        raise DataError(f"--data_dir={path}: no column of encoded images; columns: {names}")
    classes = _class_names(file.schema_arrow)
    row = 0
    for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
        for values in batch.to_pylist():
            row += 1
            image = values.pop(column)
            data, name = (image.get("bytes"), image.get("path") or "") if isinstance(image, dict) else (image, "")
            if not data:
                raise DataError(
                    f"--data_dir={path}: row {row} has no bytes of an image in the column {column}; if it has paths alone, give "
                    "the table as --metadata and the folder of images as --data_dir"
                )
            beside = {}
            for label, known in classes.items():
                code = values.get(label)
                values[label] = "" if code is None or code < 0 else known[code]
            labels = [label for label in (*LABELS, *classes) if label in classes]
            if labels:
                beside[CLASS_ENDING] = values[labels[0]]
            simple = {k: v for k, v in values.items() if v is None or isinstance(v, str | int | float | list)}
            if simple:
                text = json.dumps(
                    {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in simple.items()}, default=str
                )
                beside[".json"] = text
            yield _relative(name, data), data, beside


def _relative(name: str, data: bytes) -> str:
    """An image's path as a member's: relative, with an ending, of one point so that it is WebDataset's key."""
    parts = [part for part in re.split(r"[\\/]", name) if part not in ("", ".", "..") and not part.endswith(":")]
    if not parts:
        return ""
    base, _, ending = parts[-1].rpartition(".")
    parts[-1] = f"{base}.{ending}" if base else f"{parts[-1]}{_ending(data)}"
    return "/".join(parts)


def _class_names(schema: Any) -> dict[str, list[str]]:
    """The names of classes that Hugging Face's description of the columns gives: {"label": ["ant", "bee"]}."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: feature["names"] for name, feature in features.items() if feature.get("_type") == "ClassLabel"}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}
