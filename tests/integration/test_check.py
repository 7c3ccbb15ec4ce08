"""Planted faults: each is found, by name, and nothing else is."""

import csv
import io

import numpy as np
import pytest
import torch
from PIL import Image
from scenes import street

from deep_cnn.config.schema import Config
from deep_cnn.data.near_duplicates import alike
from deep_cnn.data.thumbnails import thumb
from deep_cnn.tools.preflight import inspect

FLAGS = {"model": "resnet18", "weights": "none", "image_size": 48, "batch_size": 8, "cache": "off"}
COUNT = 60


@pytest.fixture
def clean(tmp_path):
    """60 street scenes and a table of a score, a constant-free second one and given splits: nothing to find."""
    folder = tmp_path / "images"
    folder.mkdir()
    rows = []
    for number in range(COUNT):
        picture, shares = street(0, number, 64, 64)
        picture.save(folder / f"{number:03}.jpg", quality=90)
        split = "test" if number % 6 == 5 else "val" if number % 6 == 4 else "train"
        rows.append(
            {"image": f"images/{number:03}.jpg", "sky": 10 * shares[0], "year": 1990 + number % 20, "split": split}
        )
    return tmp_path, rows


def findings(folder, rows, **flags):
    with open(folder / "scores.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    config = Config(
        **FLAGS
        | {
            "root_dir": str(folder),
            "data_dir": str(folder),
            "metadata": "scores.csv",
            "target": ("sky", "year"),
            "split_column": "split",
        }
        | flags
    )
    return [f for f in inspect(config) if f.level != "ok"]


def test_a_clean_folder_has_no_findings(clean):
    assert findings(*clean) == []


def test_ten_planted_faults_are_found_by_name_and_nothing_else(clean):
    folder, rows = clean
    images = folder / "images"

    def bytes_of(number):
        return (images / f"{number:03}.jpg").read_bytes()

    (images / "003.jpg").write_bytes(b"this is no picture at all" * 20)  # 1: not an image
    (images / "007.jpg").write_bytes(bytes_of(7)[: len(bytes_of(7)) // 2])  # 2: truncated
    (images / "009.jpg").write_bytes(b"")  # 3: empty
    (images / "013.jpg").write_bytes(bytes_of(12))  # 4: the same bytes, both in train
    (images / "017.jpg").write_bytes(bytes_of(18))  # 5: the same bytes, in test and train
    again = Image.open(io.BytesIO(bytes_of(24))).resize((50, 50)).resize((60, 60))
    again.save(images / "022.jpg", quality=70)  # 6: another size and quality of 24 (train), in validation
    rows[30]["image"] = "images/lost.jpg"  # 7: a row without a file; 8: 030.jpg is a file without a row
    rows[36]["sky"] = 9999.0  # 9: an outlying score
    Image.open(io.BytesIO(bytes_of(42))).resize((9, 7)).save(images / "042.jpg")  # 10: a speck
    found = findings(folder, rows)
    assert not any("`python -m deep_cnn check`" in f.detail for f in found), "it is what was just run"
    assert sum("--on_bad_image=skip" in f.detail for f in found) == 1, "once, behind the last of them"

    def one(what, *names):
        matching = [f for f in found if f.what == what and all(name in f.detail for name in names)]
        assert len(matching) == 1, (what, names, found)
        found.remove(matching[0])
        return matching[0].level

    for number in (3, 7, 9):
        assert one("unreadable image", f"{number:03}.jpg") == "stop"
    assert one("identical files, in one split", "012.jpg", "013.jpg") == "look"
    assert one("identical files, in two splits", "017.jpg (test)", "018.jpg (train)") == "look"
    assert one("identical files, two labels", "012.jpg", "013.jpg", "017.jpg", "018.jpg") == "look"
    assert one("near duplicates, in two splits", "022.jpg (validation)", "024.jpg (train)") == "look"
    assert one("files and table", "no image file", "images/lost.jpg") == "look"
    assert one("files and table", "no row", "030.jpg") == "look"
    assert one("outlying target", "036.jpg", "9999") == "look"
    assert one("files and table", "values far from all others", "9999") == "look"  # 9: it may stand for "missing"
    assert one("tiny image", "042.jpg", "9 x 7") == "look"
    assert found == []


def test_a_constant_target(clean):
    folder, rows = clean
    (found,) = findings(folder, [row | {"year": 2000} for row in rows])
    assert found.level == "stop" and "year" in found.detail and "2000" in found.detail


def test_classes_with_few_images_and_missing_weights(run_cli, tmp_path, capsys):
    for number in range(24):
        split, name = ("train", "val")[number % 4 == 3], ("a", "b", "c")[min(2, number % 10 // 4)]
        folder = tmp_path / "photos" / split / name
        folder.mkdir(parents=True, exist_ok=True)
        street(1, number, 64, 64)[0].save(folder / f"{number}.jpg")
    again = Image.open(tmp_path / "photos" / "train" / "a" / "0.jpg").resize((50, 50))
    again.save(tmp_path / "photos" / "train" / "b" / "again.jpg")
    flags = FLAGS | {"data_dir": tmp_path / "photos", "test_split": 0}
    code, files = run_cli("check", **flags)
    said = capsys.readouterr().out
    assert code == 0 and not files.results.exists() and not files.models.exists()  # it leaves no run behind
    assert "c: 3 train, 1 validation, 0 test: fewer than 5" in said and "3 findings to look at" in said
    assert "near duplicates, two labels" in said and "train/a/0.jpg (a) and train/b/again.jpg (b)" in said
    code, _ = run_cli("check", **flags | {"weights": "lost.pt"})
    assert code == 2 and "STOP" in capsys.readouterr().out


def test_near_duplicates_survive_size_and_quality_and_scenes_are_told_apart():
    def seen(picture):
        pixels = np.array(picture.resize((72, 72), Image.Resampling.BILINEAR))
        return thumb(torch.from_numpy(pixels).permute(2, 0, 1))

    scenes = [street(2, number, 96, 96)[0] for number in range(100)]
    copies = []
    for scene in scenes:
        buffer = io.BytesIO()
        scene.resize((70, 70)).save(buffer, "JPEG", quality=60)
        copies.append(Image.open(buffer))
    thumbs = np.stack([seen(picture) for picture in scenes + copies])
    pairs = alike(thumbs, np.arange(200))
    assert set(pairs) <= {(i, i + 100) for i in range(100)}  # never two scenes
    assert len(pairs) >= 98  # nearly every copy
    assert alike(np.zeros((50, 8, 8, 3), np.uint8), np.arange(50)) == []  # black images are not called copies
