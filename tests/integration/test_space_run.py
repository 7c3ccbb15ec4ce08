"""Grids, buffers and what place has to do with errors, in whole runs; mistakes in one line."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from deep_cnn.data.space import nearer_than


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    """100 grey images on a map of 5 km; the score is the grey value and a slow change over the map."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("streets")
    (folder / "images").mkdir()
    lines = ["image,latitude,longitude,score,city"]
    for i in range(100):
        grey, x, y = int(rng.integers(40, 210)), *rng.uniform(0, 0.045, 2)
        pixels = np.clip(grey + rng.normal(0, 9, (40, 40, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{i}.png")
        score = grey / 50 + 2 * np.sin(150 * x) + rng.normal(0, 0.2)
        lines.append(f"{i}.png,{48 + x:.6f},{11 + y:.6f},{score:.4f},{'AB'[int(x > 0.02)]}")
    (folder / "scores.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.fixture
def flags(streets):
    return {"data_dir": streets / "images", "metadata": streets / "scores.csv", "target": "score", "test_split": 0.3}


def places_of(streets, results, split):
    with open(streets / "scores.csv", encoding="utf-8") as stream:
        where = {row["image"]: (float(row["latitude"]), float(row["longitude"])) for row in csv.DictReader(stream)}
    with open(results / "splits.csv", encoding="utf-8") as stream:
        return np.array([where[row["file"]] for row in csv.DictReader(stream) if row["split"] == split])


def test_a_buffer_leaves_out_training_images_near_the_test(train, streets, flags, capsys):
    code, files = train(**flags, buffer="150m")
    out = capsys.readouterr().out
    assert code == 0 and "--buffer=150m:" in out and "training images are nearer to a test image" in out
    kept, tested = places_of(streets, files.results, "train"), places_of(streets, files.results, "test")
    assert not nearer_than(kept, tested, 149).any()
    result = json.loads((files.results / "test.json").read_text(encoding="utf-8"))
    assert result["space"]["score"]["count"] == 30 and "Moran's I" in out


def test_the_report_has_a_map_of_the_test_images(train, pictures, run_cli, streets, flags):
    code, files = train(**flags)
    assert code == 0
    page = (files.results / "report.html").read_text(encoding="utf-8")
    assert "Map of predictions and residuals" in page and "score: residual" in page and "north is up" in page
    assert "Moran&#39;s I of the residuals of score is" in page and len(page) < 2_000_000
    with open(files.results / "predictions_test.csv", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    said = np.array([(float(row["latitude"]), float(row["longitude"])) for row in rows])
    assert np.array_equal(np.sort(said, axis=0), np.sort(places_of(streets, files.results, "test"), axis=0))
    # the run's files are enough: the map needs neither the images nor the table
    (files.results / "score_map.png").unlink(missing_ok=True)
    assert run_cli("report")[0] == 0 and (files.results / "score_map.png").exists()


def test_grid_cells_are_groups(train, flags, capsys):
    code, files = train(**flags, group="grid:1km")
    out = capsys.readouterr().out
    assert code == 0 and "cells with images" in out and "Within groups score has R2" in out
    result = json.loads((files.results / "test.json").read_text(encoding="utf-8"))
    assert result["number_of_groups"] > 3 and "pearson" in result["within_groups"]["score"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"group": "grid:100km"}, "all images are in one cell"),
        ({"group": "grid:five"}, "--group=grid:five: expected the side of the grid's cells"),
        ({"buffer": "far"}, "--buffer=far: expected a length"),
        ({"buffer": "90km"}, "no training image is farther"),
        ({"group": "grid:2km", "folds": "90", "test_split": 0.15}, "fewer folds"),
        (
            {"group": "grid:500m", "where": "latitude!=x", "metadata": "bad.csv"},
            "latitude is '148.2' in line 3, no coordinate",
        ),
        ({"buffer": "500m", "metadata": "gaps.csv"}, "1 image has no coordinates"),
        ({"buffer": "500m", "metadata": "none.csv"}, "needs coordinates"),
    ],
)
def test_mistakes_are_told_in_one_line(train, streets, flags, capsys, tmp_path, more, said):
    lines = (streets / "scores.csv").read_text(encoding="utf-8").splitlines()
    cells = [line.split(",") for line in lines]
    variants = {"bad.csv": "148.2", "gaps.csv": ""}
    for name, cell in variants.items():
        text = [[*row[:1], cell, *row[2:]] if k == 2 else row for k, row in enumerate(cells)]
        (tmp_path / name).write_text("\n".join(map(",".join, text)), encoding="utf-8")
    (tmp_path / "none.csv").write_text("\n".join(",".join([row[0], row[3]]) for row in cells), encoding="utf-8")
    code, _ = train(**(flags | more))
    assert code == 2 and said in capsys.readouterr().err
