"""A table within an archive is read as the one of the unpacked folder."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from deep_cnn.config.schema import Config
from deep_cnn.data.archived_table import has_table
from deep_cnn.data.dataset import data_dir, find
from deep_cnn.data.index import build_index
from deep_cnn.runtime.errors import DataError

FILES = {f"photos/{i}.jpg": b"image %d" % i for i in range(6)}
SCORES = b"file,score\n" + b"".join(b"%d.jpg,%d.5\n" % (i, i) for i in range(6))


def as_zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (FILES | {"photos/scores.csv": SCORES}).items():
            archive.writestr(name, data)
    return path


def as_tar(path: Path) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in (FILES | {"photos/scores.csv": SCORES}).items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("pack", [as_zip, as_tar])
def test_the_table_is_read_with_its_images(tmp_path, pack):
    archive = pack(tmp_path / "data.x")
    index = build_index(archive, metadata=archive / "photos/scores.csv", target=("score",))
    assert index.targets[:, 0].tolist() == [i + 0.5 for i in range(6)]
    (tmp_path / "scores.csv").write_bytes(SCORES)
    unpacked = build_index(archive, metadata=tmp_path / "scores.csv", target=("score",))
    assert unpacked.table_digest == index.table_digest and list(unpacked.paths) == list(index.paths)


def test_it_is_looked_for_below_the_archive_of_images(tmp_path):
    archive = as_zip(tmp_path / "data.zip")
    config = Config(root_dir=str(tmp_path / "root"))
    assert find("metadata", "photos/scores.csv", config, archive, there=has_table) == archive / "photos/scores.csv"
    assert (
        find("metadata", str(archive / "photos/scores.csv"), config, there=has_table) == archive / "photos/scores.csv"
    )
    with pytest.raises(DataError, match=r"--metadata=photos/score\.csv: no such file or folder"):
        find("metadata", "photos/score.csv", config, archive, there=has_table)


def test_a_file_that_is_not_in_the_archive_is_named_with_those_that_are(tmp_path):
    archive = as_tar(tmp_path / "data.tar")
    with pytest.raises(DataError, match=r"score\.csv: data\.tar has no such file; it has photos/scores\.csv"):
        build_index(archive, metadata=archive / "photos/score.csv", target=("score",))
    (tmp_path / "table.csv").write_bytes(SCORES)
    with pytest.raises(DataError, match=r"table\.csv has no such file"):
        build_index(archive, metadata=tmp_path / "table.csv" / "x.csv", target=("score",))


def test_a_zip_made_on_windows_has_its_table_too(tmp_path):
    archive = tmp_path / "data.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for name, data in (FILES | {"photos/scores.csv": SCORES}).items():
            info = zipfile.ZipInfo(name.replace("/", "\\"))
            info.create_system = 0
            opened.writestr(info, data)
    index = build_index(archive, metadata=archive / "photos/scores.csv", target=("score",))
    assert has_table(archive / "photos/scores.csv") and len(index) == 6


def test_a_damaged_archive_is_named_as_such(tmp_path):
    archive = as_zip(tmp_path / "data.zip")
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"data\.zip: cannot be read as an archive"):
        find("metadata", "photos/scores.csv", Config(root_dir=str(tmp_path)), archive, there=has_table)


def test_a_folder_whose_name_is_too_long_is_told_in_one_line(tmp_path):
    with pytest.raises(DataError, match=r"--data_dir=x+: cannot be read \(File name too long\)"):
        data_dir(Config(root_dir=str(tmp_path), data_dir="x" * 280))
