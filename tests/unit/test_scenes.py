"""The generated images: scores known and not told by the mean colour, files as committed."""

import csv

import numpy as np
import scenes
from conftest import HERE
from PIL import Image


def r2_of_mean_colour(n: int, size: int) -> float:
    """R2 on the second half of a linear regression on mean red, green, blue of the first half."""
    colours, scores = np.empty((n, 3)), np.empty(n)
    for i in range(n):
        image, shares = scenes.street(0, i, size, size)
        colours[i] = np.asarray(image, dtype=np.float64).mean(axis=(0, 1))
        scores[i] = scenes.score_of(shares)
    design = np.column_stack([np.ones(n), colours])
    train, test = slice(0, n // 2), slice(n // 2, n)
    weights = np.linalg.lstsq(design[train], scores[train], rcond=None)[0]
    return 1 - np.mean((scores[test] - design[test] @ weights) ** 2) / scores[test].var()


def test_the_mean_colour_does_not_tell_the_score():
    assert r2_of_mean_colour(600, 32) < 0.3


def test_a_set_coloured_by_kind_would_be_caught(monkeypatch):
    """The planted bug: greenery always green, sky always bright."""
    fixed = iter(np.tile([[150, 170, 250], [120, 110, 100], [20, 160, 20], [60, 60, 60]], (600, 1)).astype(float))
    monkeypatch.setattr(scenes, "colour", lambda rng: next(fixed))
    assert r2_of_mean_colour(600, 32) > 0.5


def test_shares_are_those_of_the_picture():
    for number in range(20):
        _, shares = scenes.street(3, number, 48, 48)
        assert (shares >= 0).all() and shares.sum() < 1  # the rest is ground
    assert scenes.score_of(np.array([0.4, 0.2, 0.2])) == 25


def test_a_perception_set_on_disk(tmp_path):
    scores = scenes.write_perception_set(tmp_path, n=6, size=24)
    rows = list(csv.DictReader((tmp_path / "scores.csv").read_text(encoding="utf-8").splitlines()))
    assert [float(row["score"]) for row in rows] == scores.tolist()
    assert Image.open(tmp_path / "images" / rows[0]["image"]).size == (24, 24)


def test_committed_images_are_those_of_the_generator(tmp_path):
    """Compared as pixels, loosely: another libjpeg rounds differently."""
    scenes.write_places(tmp_path, {"train": 1})
    first = "alley/Places365_train_00000000.jpg"
    ours = np.asarray(Image.open(tmp_path / "train" / first), dtype=float)
    committed = np.asarray(Image.open(HERE / "places_test_input" / "train" / first), dtype=float)
    assert np.abs(ours - committed).mean() < 2
    folders = (HERE / "places_test_input", HERE / "test_input")
    assert sum(f.stat().st_size for folder in folders for f in folder.rglob("*") if f.is_file()) < 600_000
