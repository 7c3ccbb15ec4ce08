"""A table within an archive, photos.zip/scores.csv: copied out of it to be read."""

import contextlib
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from deep_cnn.data.archives import clean_path, kind_of, zip_name
from deep_cnn.data.parquet import is_parquet, read_parquet
from deep_cnn.data.sources import archive_above
from deep_cnn.data.table import Table, read_table
from deep_cnn.runtime.errors import DataError
from deep_cnn.runtime.format import some

NAMED = 6  # tables of an archive named in one line
ENDINGS = (".csv", ".tsv", ".txt", ".parquet")


def read_any_table(path: Path) -> Table:
    """The table of --metadata: of text or of Parquet, on the disk or within an archive.

    Raises:
        DataError: there is none, the archive is damaged, or the table cannot be read.
    """
    with _on_disk(path) as place:
        return read_parquet(place) if is_parquet(place) else read_table(place)


@contextlib.contextmanager
def _on_disk(path: Path) -> Iterator[Path]:
    """The path itself, or that of a copy of the table within an archive, for as long as it is read."""
    archive = archive_above(path)
    if archive is None or not archive[1]:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="deep_cnn_") as folder:
        copy = Path(folder) / path.name
        copy.write_bytes(_member(path, *archive))
        yield copy


def has_table(path: Path) -> bool:
    """Whether there is such a file or folder, on the disk or within an archive; DataError for an archive that is damaged."""
    archive = archive_above(path)
    return path.exists() or (archive is not None and archive[1] in _names(archive[0]))


def _names(archive: Path) -> dict[str, str]:
    """The files of an archive: their paths as unpacking would make them -> as the archive has them."""
    try:
        if kind_of(archive) == "zip":
            with zipfile.ZipFile(archive) as opened:
                files = [(zip_name(info), info.filename) for info in opened.infolist() if not info.is_dir()]
        elif kind_of(archive) == "tar":
            with tarfile.open(archive, "r:", encoding="utf-8", errors="surrogateescape") as tar:
                files = [(member.name, member.name) for member in tar if member.isfile()]
        else:
            files = []
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, ValueError) as error:
        raise DataError(f"{archive}: cannot be read as an archive ({error}); copy or download it again") from error
    return {clean_path(name, archive): stored for name, stored in files}


def _member(path: Path, archive: Path, inner: str) -> bytes:
    names = _names(archive)
    if inner not in names:
        tables = [name for name in names if name.lower().endswith(ENDINGS)]
        has = f"it has {some(tables, NAMED)}" if tables else "it has no tables"
        raise DataError(f"--metadata={path}: {archive.name} has no such file; {has}")
    try:
        if kind_of(archive) == "zip":
            with zipfile.ZipFile(archive) as opened:
                return opened.read(names[inner])
        with tarfile.open(archive, "r:", encoding="utf-8", errors="surrogateescape") as tar:
            file = tar.extractfile(names[inner])
            assert file is not None, "it is a file, not a folder"
            return file.read()
    except (OSError, EOFError, RuntimeError, NotImplementedError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise DataError(f"--metadata={path}: cannot be read from the archive ({error}); unpack it") from error
