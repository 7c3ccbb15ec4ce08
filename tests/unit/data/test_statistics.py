"""Normalisation by the data's own mean and spread, against numpy."""

import shutil

import numpy as np
import pytest
from conftest import PLACES
from PIL import Image

from deep_cnn.data import statistics
from deep_cnn.data.assemble import Pixels
from deep_cnn.data.files import Paths
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.data.statistics import pixel_statistics
from deep_cnn.inference.predict.inputs import Images


@pytest.fixture
def images(tmp_path):
    """80 images of 8 x 8, as an array (80, 8, 8, 3) and as Pixels."""
    values = np.random.default_rng(0).integers(0, 256, (80, 8, 8, 3)).astype(np.uint8)
    values[..., 2] //= 3
    for k, image in enumerate(values):
        Image.fromarray(image).save(tmp_path / f"{k:02}.png")
    return values, Pixels(
        Images(tmp_path, Paths.from_list([f"{k:02}.png" for k in range(80)])), Preprocessing(8, 8), None
    )


def test_mean_and_spread_are_numpys_over_the_training_images_alone(images):
    values, pixels = images
    train = np.arange(5, 78)
    mean, std, count = pixel_statistics(pixels, train, workers=3)
    seen = values[train].reshape(-1, 3) / 255
    assert count == 73
    assert mean == pytest.approx(seen.mean(0), rel=1e-12) and std == pytest.approx(seen.std(0), rel=1e-9)
    assert (mean, std, count) == pixel_statistics(pixels, train, workers=1)


def test_of_many_images_evenly_spaced_ones(images, monkeypatch):
    values, pixels = images
    monkeypatch.setattr(statistics, "PIXELS", 5 * 64)
    mean, _, count = pixel_statistics(pixels, np.arange(1, 80), workers=1)
    rows = [1, 21, 40, 59, 79]  # first and last included
    assert count == 5 and mean == pytest.approx(values[rows].reshape(-1, 3).mean(0) / 255)


def test_images_of_one_colour_do_not_divide_by_zero(tmp_path):
    Image.new("RGB", (8, 8), (0, 255, 9)).save(tmp_path / "a.png")
    pixels = Pixels(Images(tmp_path, Paths.from_list(["a.png"] * 2)), Preprocessing(8, 8), None)
    assert pixel_statistics(pixels, np.arange(2), 1)[:2] == ((0.0, 1.0, 9 / 255), (1.0, 1.0, 1.0))


@pytest.mark.parametrize("flags", [{"schedule": "plateau"}, {"patience": 3}])
def test_what_waits_for_a_validation_needs_one(train, tmp_path, capsys, flags):
    for split in ("train", "test"):
        shutil.copytree(PLACES / split, tmp_path / "data" / split)
    assert train(data_dir=tmp_path / "data", val_split=0, **flags)[0] == 2
    assert f"--{next(iter(flags))}" in (said := capsys.readouterr().err) and "needs a validation set" in said
