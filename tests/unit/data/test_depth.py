"""How many bits of 16 a data set uses: one number for all of its images."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deep_cnn.config.schema import Config
from deep_cnn.data import formats
from deep_cnn.data.cache import cache_key
from deep_cnn.data.depth import used_bits
from deep_cnn.data.division import check_formats, find_images
from deep_cnn.data.index import build_index
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.runtime.errors import DataError

PRE = Preprocessing(16, 16)


def folders(root: Path, highest: list[int], ending: str = "png") -> Path:
    """Class folders of 16-bit images with these largest values, and of as many 8-bit images."""
    for i, value in enumerate(highest):
        for name in "ab":
            (root / name).mkdir(parents=True, exist_ok=True)
            ramp = np.linspace(0, value, 256).astype(np.uint16).reshape(16, 16)
            Image.fromarray(ramp).save(root / name / f"deep{i:03}.{ending}")
    return root


@pytest.mark.parametrize(
    "highest, bits",
    [
        ([200, 90], 8),
        ([1000, 60], 10),
        ([4095, 100, 2000], 12),
        ([4096], 14),
        ([100, 40_000], 16),
        ([16_384], 16),
    ],
)
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_the_highest_value_of_the_set_decides(highest, bits, ending, tmp_path):
    assert used_bits(build_index(folders(tmp_path, highest, ending)), 2) == bits


def test_one_bright_image_among_many_is_found_and_kept(tmp_path):
    values = [3000] * 200
    values[101] = 60_000
    index = build_index(folders(tmp_path / "data", values))
    assert used_bits(index, 2, tmp_path) == 16
    assert used_bits(build_index(folders(tmp_path / "dark", [3000] * 200)), 2, tmp_path) == 12
    kept = sorted(path.read_text() for path in tmp_path.glob("bits-*"))
    assert kept == ["12", "16"]
    (kept_file,) = (path for path in tmp_path.glob("bits-*") if path.read_text() == "16")
    kept_file.write_text("14")
    assert used_bits(index, 2, tmp_path) == 14  # read, not computed
    kept_file.write_text("")
    assert used_bits(index, 2, tmp_path) == 16


def test_sets_without_16_bits_are_hardly_looked_at(tmp_path, monkeypatch):
    for i in range(150):
        for name in "ab":
            (tmp_path / name).mkdir(exist_ok=True)
            Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / name / f"{i}.png")
    seen = []
    monkeypatch.setattr("deep_cnn.data.depth.peak", lambda data, path: seen.append(path) or formats.peak(data, path))
    assert used_bits(build_index(tmp_path), 2) == 16 and len(seen) == 64


def test_dark_and_bright_images_of_a_set_keep_their_proportion_and_it_is_said(tmp_path):
    data = folders(tmp_path / "data", [4000, 400])
    images = find_images(Config(data_dir=str(data), root_dir=str(tmp_path), cache="off"), PRE, 1)
    bright, dark = (images.pixels[i].numpy().astype(int) for i in (0, 1))
    assert bright.max() == 4000 >> 4 and dark.max() == 400 >> 4
    assert images.pixels.pre.bits == 12
    assert "16-bit images: no value uses more than 12 bits, so 4,095 is white" in images.index.notes
    again = find_images(Config(data_dir=str(data), root_dir=str(tmp_path), cache="off"), PRE, 1, trained=True)
    assert again.pixels.pre.bits == 16  # a trained network keeps its own


def test_the_preprocessing_of_a_checkpoint_has_the_bits():
    twelve = Preprocessing(16, 16, bits=12)
    assert Preprocessing.from_dict(twelve.to_dict()) == twelve
    old = {name: value for name, value in PRE.to_dict().items() if name != "bits"}  # as 0.1.0 has saved it
    assert Preprocessing.from_dict(old) == PRE


def test_the_cache_of_other_bits_is_another_one(tmp_path):
    index = build_index(folders(tmp_path, [4000]))
    assert cache_key(index, PRE) != cache_key(index, Preprocessing(16, 16, bits=12))


def test_formats_without_a_library_are_refused_at_once(tmp_path, monkeypatch):
    data = folders(tmp_path, [4000])
    for i in range(3):
        (data / "a" / f"IMG_{i}.HEIC").write_bytes(b"not looked at")
    index = build_index(data)
    monkeypatch.setitem(sys.modules, "torchcodec", None)
    monkeypatch.setattr(formats, "_register_heif", lambda: False)
    with pytest.raises(DataError, match=r"IMG_0\.HEIC: to read HEIC files, `pip install pillow-heif`; 3 of the images"):
        check_formats(index)
    monkeypatch.setattr(formats, "_register_heif", lambda: True)
    check_formats(index)
