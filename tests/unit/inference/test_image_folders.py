"""Where images may lie: --data_dir is a folder or an archive, or it is refused."""

import re
import zipfile

import pytest

from deep_cnn.errors import ConfigError
from deep_cnn.inference.load import given_folders


def test_data_dir_is_a_folder_or_an_archive(tmp_path):
    (tmp_path / "photos").mkdir()
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("cat/1.jpg", b"x")
    for name in ("photos", "photos.zip", "photos.zip/cat"):
        assert tmp_path / name in given_folders(tmp_path, name)
    assert given_folders(tmp_path, None) == []
    (tmp_path / "notes.txt").write_text("no images")
    for name in ("nowhere", "notes.txt", str(tmp_path / "notes.txt")):
        with pytest.raises(ConfigError, match=f"--data_dir={re.escape(name)}: no such folder or archive"):
            given_folders(tmp_path, name)
    with pytest.raises(ConfigError, match=r"--data_dir=n+: cannot be read"):
        given_folders(tmp_path, "n" * 280)
