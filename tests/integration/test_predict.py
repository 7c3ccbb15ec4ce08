"""predict: its rows are those of the test, it goes on where it was killed, in shards, around broken files."""

import csv
import json
import math
import os
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import PLACES
from scenes import write_perception_set

from deep_cnn.inference.predict import shards
from deep_cnn.runtime import scheduler
from deep_cnn.runtime.errors import ConfigError, DataError
from deep_cnn.tasks.classification import Classification
from deep_cnn.tasks.multilabel import MultiLabel
from deep_cnn.tasks.regression import Regression

BROKEN = b"\xff\xd8\xff\xe0 no more than a beginning"


@pytest.fixture
def predict(run_cli, places_run):
    """A function: flags -> (exit code, path of the table), with the network of places_run."""

    def run(output, **flags):
        code, _ = run_cli("predict", checkpoint=places_run.checkpoint, output=output, **flags)
        return code, output

    return run


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """70 pictures, four of them broken: the first, two in a row, the last."""
    folder = tmp_path_factory.mktemp("scenes")
    write_perception_set(folder, 70, 32)
    for number in (0, 40, 41, 69):
        (folder / "images" / f"street_{number:05d}.jpg").write_bytes(BROKEN)
    return folder / "images"


def table(path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("run_name", ["places_run", "scores_run"])
def test_the_rows_of_the_test_set_bit_for_bit(request, run_cli, tmp_path, run_name):
    run = request.getfixturevalue(run_name)
    known = run.files.results / "predictions_test.csv"
    output = tmp_path / "again.csv"
    code, _ = run_cli("predict", checkpoint=run.checkpoint, images=known, output=output)
    assert code == 0
    before, after = table(known), table(output)
    shared = [name for name in before[0] if not name.startswith("target")]
    assert len(shared) >= 3 and len(before) > 5
    assert [{name: row[name] for name in shared} for row in after] == [
        {name: row[name] for name in shared} for row in before
    ]


def test_a_folder_with_broken_files(predict, tmp_path, capsys):
    write_perception_set(tmp_path, 500, 32)
    broken = [f"street_{number:05d}.jpg" for number in range(0, 500, 25)]
    for name in broken:
        (tmp_path / "images" / name).write_bytes(BROKEN)
    code, output = predict(tmp_path / "out.csv", images=tmp_path / "images")
    assert code == 3
    failed = table(tmp_path / "out.failed.csv")
    assert [row["file"] for row in failed] == broken and all("unreadable" in row["reason"] for row in failed)
    rows = [row["file"] for row in table(output)]
    assert len(rows) == 480 and sorted(rows + broken) == sorted(p.name for p in (tmp_path / "images").iterdir())
    assert "20 images could not be read" in capsys.readouterr().err


@pytest.mark.parametrize("cut", [0, 11, 2000, 5001, -1, -200])
def test_a_killed_table_goes_on_to_the_same_bytes(predict, scenes, tmp_path, cut):
    predict(tmp_path / "whole.csv", images=scenes)
    killed = tmp_path / "killed.csv"
    for ending in (".csv", ".failed.csv", ".csv.json"):
        shutil.copy(tmp_path / f"whole{ending}", tmp_path / f"killed{ending}")
    whole = killed.read_bytes()
    os.truncate(killed, cut % len(whole) if cut else 0)
    about = json.loads((tmp_path / "killed.csv.json").read_text())
    (tmp_path / "killed.csv.json").write_text(json.dumps(about | {"complete": False}))
    code, _ = predict(killed, images=scenes)
    assert code == 3
    assert killed.read_bytes() == whole
    assert (tmp_path / "killed.failed.csv").read_bytes() == (tmp_path / "whole.failed.csv").read_bytes()


def test_a_finished_table_that_was_removed_is_made_anew(predict, scenes, tmp_path):
    predict(tmp_path / "out.csv", images=scenes)
    rows, failed = ((tmp_path / name).read_bytes() for name in ("out.csv", "out.failed.csv"))
    (tmp_path / "out.csv").unlink()
    assert predict(tmp_path / "out.csv", images=scenes)[0] == 3
    assert (tmp_path / "out.csv").read_bytes() == rows and (tmp_path / "out.failed.csv").read_bytes() == failed


def test_what_belongs_to_other_images_or_networks_is_not_gone_on_with(
    predict, scores_run, run_cli, tmp_path, scenes, capsys
):
    predict(tmp_path / "out.csv", images=PLACES / "test")
    code, _ = predict(tmp_path / "out.csv", images=scenes)
    assert code == 2 and "different: list" in capsys.readouterr().err
    code, _ = run_cli("predict", checkpoint=scores_run.checkpoint, images=PLACES / "test", output=tmp_path / "out.csv")
    assert code == 2 and "different: checkpoints" in capsys.readouterr().err
    (tmp_path / "mine.csv").write_text("a,b\n1,2\n")
    assert predict(tmp_path / "mine.csv", images=scenes)[0] == 2
    assert (tmp_path / "mine.csv").read_text() == "a,b\n1,2\n"


def test_shards_put_together_are_one_run(predict, run_cli, scenes, tmp_path, capsys):
    _, whole = predict(tmp_path / "whole.csv", images=scenes)
    for i in (1, 2):
        predict(tmp_path / "parts.csv", images=scenes, shard=f"{i}/3")
    code, _ = run_cli("predict", merge=True, output=tmp_path / "parts.csv")
    assert code == 2 and "parts.shard-3-of-3.csv is missing" in capsys.readouterr().err
    predict(tmp_path / "parts.csv", images=scenes, shard="3/3")
    third = tmp_path / "parts.shard-3-of-3.csv.json"
    about = third.read_text()
    third.write_text(about.replace('"complete": true', '"complete": false'))
    code, _ = run_cli("predict", merge=True, output=tmp_path / "parts.csv")
    assert code == 2 and "not finished" in capsys.readouterr().err
    third.write_text(about)
    code, _ = run_cli("predict", merge=True, output=tmp_path / "parts.csv")
    assert code == 3
    assert (tmp_path / "parts.csv").read_bytes() == whole.read_bytes()
    assert (tmp_path / "parts.failed.csv").read_bytes() == (tmp_path / "whole.failed.csv").read_bytes()


@pytest.mark.parametrize("images", [0, 1, 31, 32, 33, 1000])
@pytest.mark.parametrize("count", [1, 3, 8])
def test_shards_cover_the_images_in_whole_batches(images, count):
    bounds = [shards.shard_bounds((i, count), images, 32) for i in range(1, count + 1)]
    assert [p for first, last in bounds for p in range(first, last)] == list(range(images))
    assert all(first % 32 == 0 or first == images for first, _ in bounds)


def test_the_place_in_an_array(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("PBS_", "SLURM_")):
            monkeypatch.delenv(name)
    assert shards.parse_shard(None) == (1, 1)
    assert scheduler.array_indices("Job: 7[].pbs\n    array_indices_submitted = 0-6:2\n") == [0, 2, 4, 6]
    assert scheduler.array_indices("    array_indices_submitted = 1-20%2\n") == list(range(1, 21))
    monkeypatch.setenv("PBS_ARRAY_INDEX", "4")
    monkeypatch.setenv("PBS_JOBID", "7[4].pbs")
    asked = []

    def qstat(command, **_):
        asked.append(command)
        return type("Answer", (), {"stdout": "    array_indices_submitted = 0-6:2"})

    monkeypatch.setattr(scheduler.subprocess, "run", qstat)
    assert shards.parse_shard(None) == (3, 4) and asked == [["qstat", "-f", "7[].pbs"]]
    monkeypatch.setattr(scheduler.subprocess, "run", lambda *_, **__: type("Answer", (), {"stdout": ""}))
    with pytest.raises(ConfigError, match="--shard=4/N"):
        shards.parse_shard(None)
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "12")
    for name, value in (("MIN", 10), ("STEP", 2), ("COUNT", 5)):
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", str(value))
    assert shards.parse_shard(None) == (2, 5)
    for wrong in ("0/3", "4/3", "2", "a/b"):
        with pytest.raises(ConfigError):
            shards.parse_shard(wrong)


def test_an_ensemble_and_its_mirror_images(predict, run_cli, places_run, tmp_path):
    images = PLACES / "test"
    last = places_run.checkpoint.with_name("last.pt")
    one = pd.read_csv(predict(tmp_path / "1.csv", images=images)[1])
    run_cli("predict", checkpoint=last, images=images, output=tmp_path / "2.csv")
    two = pd.read_csv(tmp_path / "2.csv")
    run_cli("predict", checkpoint=f"{places_run.checkpoint},{last}", images=images, output=tmp_path / "both.csv")
    both = pd.read_csv(tmp_path / "both.csv")
    names = [name for name in one if name.startswith("p_")]
    np.testing.assert_allclose(both[names], (one[names] + two[names]) / 2, rtol=1e-15)
    p = both[names].to_numpy()
    np.testing.assert_allclose(both["uncertainty"], -(p * np.log(p)).sum(1), rtol=1e-12)
    flips = pd.read_csv(predict(tmp_path / "flips.csv", images=images, tta="flip")[1])
    for old in (True, False):  # as scripts of before --tta=shift say it
        output = predict(tmp_path / f"{old}.csv", images=images, tta=old)[1]
        assert output.read_bytes() == (tmp_path / ("flips.csv" if old else "1.csv")).read_bytes()
    mirrored = 2 * flips[names].to_numpy() - one[names].to_numpy()
    assert mirrored.sum(1).min() > 0.9 and not np.allclose(mirrored, one[names])
    best = flips[names].to_numpy().argmax(1)
    chosen = [v[np.arange(len(best)), best] for v in (one[names].to_numpy(), mirrored)]
    np.testing.assert_allclose(flips["spread"], np.abs(chosen[0] - chosen[1]) / math.sqrt(2), atol=1e-12)


def test_uncertainty_by_hand():
    classes = Classification(("a", "b"), "cross_entropy")
    sure = classes.uncertainty_cells(np.array([[[1.0, 0.0], [0.5, 0.5]]]))
    np.testing.assert_allclose(sure, [[0.0], [math.log(2)]], atol=1e-15)
    labels = MultiLabel(("a", "b"), "bce").uncertainty_cells(np.array([[[0.5, 1.0]]]))
    np.testing.assert_allclose(labels, [[math.log(2) / 2]], atol=1e-15)
    scores = Regression(("s",), "mse", 0.0, (0.0,), (1.0,))
    np.testing.assert_allclose(scores.uncertainty_cells(np.array([[[1.0]], [[3.0]]])), [[math.sqrt(2)]])
    assert scores.uncertainty_cells(np.array([[[1.0]]])).shape == (1, 0)


def test_the_limit_is_that_of_validation(places_run, predict, tmp_path):
    splits = places_run.splits
    splits[splits["split"] == "validation"].to_csv(tmp_path / "validation.csv", index=False)
    rows = pd.read_csv(predict(tmp_path / "out.csv", images=tmp_path / "validation.csv", data_dir=PLACES)[1])
    assert (rows["unlike_training"] == (rows["distance"] > 1)).all()
    assert np.quantile(rows["distance"], 0.99) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("images", [30, 300])  # fewer than features, and more
def test_the_distance_is_that_of_ledoit_and_wolf(images):
    import torch
    from sklearn.covariance import LedoitWolf

    from deep_cnn.inference.ood import measure

    draws = np.random.default_rng(0)
    mixing = draws.normal(size=(64, 64)) * np.linspace(0.1, 3, 64)
    training, others = (draws.normal(size=(n, 64)) @ mixing + 5 for n in (images, 40))
    reference = measure(torch.tensor(training).float(), torch.tensor(others).float())
    theirs = np.sqrt(LedoitWolf().fit(training).mahalanobis(others))
    ours = reference.distances(torch.tensor(others).float()).numpy() * reference.threshold
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)
    assert reference.threshold == pytest.approx(np.quantile(theirs, 0.99), rel=1e-3)


def test_features_of_another_direction_are_unlike():
    """Features that are all nearly one direction, as a network's are after few epochs: 1 - cosine in float16 is noise."""
    import torch

    from deep_cnn.inference.ood import measure

    draws = torch.Generator().manual_seed(0)

    def features(count, spread):
        return 100 + spread * torch.randn(count, 64, generator=draws)

    reference = measure(features(300, 0.1), features(300, 0.1))
    assert 0.9 < (reference.distances(features(1000, 0.1)) < 1).float().mean() <= 1
    assert (reference.distances(features(100, 0.3)) > 1).all()
    assert measure(torch.ones(20, 4), torch.ones(5, 4)).distances(torch.ones(3, 4)).max() < 1


def test_geojson_and_parquet(run_cli, scores_run, tmp_path):
    pytest.importorskip("pyarrow")
    images = scores_run.files.results / "predictions_test.csv"
    for ending in ("geojson", "parquet"):
        code, _ = run_cli(
            "predict",
            checkpoint=scores_run.checkpoint,
            images=images,
            tta=True,
            output=tmp_path / ending / f"out.{ending}",
        )
        assert code == 0
    rows = pd.read_csv(tmp_path / "parquet" / "out.csv")
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "parquet" / "out.parquet"), rows, check_dtype=False, rtol=0
    )
    points = json.loads((tmp_path / "geojson" / "out.geojson").read_text(encoding="utf-8"))
    assert points["type"] == "FeatureCollection" and len(points["features"]) == len(rows)
    for feature, row in zip(points["features"], rows.to_dict("records"), strict=True):
        latitude, longitude = row["file"].split("/")[-1].split("_")[:2]
        assert feature["geometry"] == {"type": "Point", "coordinates": [float(longitude), float(latitude)]}
        assert feature["properties"]["predicted_safety"] == row["predicted_safety"]
        assert feature["properties"]["uncertainty_safety"] >= 0


def test_a_table_with_places(predict, tmp_path, capsys):
    files = sorted(str(p.relative_to(PLACES)) for p in (PLACES / "test").rglob("*.jpg"))[:4]
    frame = pd.DataFrame({"id": range(4), "Photo": files, "Lat": [1.5, "", 3, 4], "lng": [5, 6, 7, 8]})
    pd.concat([frame, frame[:1]]).to_csv(tmp_path / "places.csv", index=False, sep=";")
    code, output = predict(
        tmp_path / "out.geojson", images=tmp_path / "places.csv", data_dir=PLACES, image_column="Photo"
    )
    assert code == 0
    rows = table(output.with_suffix(".csv"))
    assert [row["file"] for row in rows] == files and rows[0]["latitude"] == "1.5" and rows[0]["longitude"] == "5.0"
    geometries = [f["geometry"] for f in json.loads(output.read_text(encoding="utf-8"))["features"]]
    assert geometries[0]["coordinates"] == [5.0, 1.5] and geometries[1] is None
    # the rows of a finished table have the old places
    frame.assign(lng=[5, 6, 7, 9]).to_csv(tmp_path / "places.csv", index=False, sep=";")
    capsys.readouterr()
    code, _ = predict(output, images=tmp_path / "places.csv", data_dir=PLACES, image_column="Photo")
    assert code == 2 and "different: places" in capsys.readouterr().err


def test_the_most_probable_classes(predict, tmp_path):
    everything = pd.read_csv(predict(tmp_path / "all.csv", images=PLACES / "test")[1])
    top = pd.read_csv(predict(tmp_path / "top.csv", images=PLACES / "test", top=2)[1])
    names = [name for name in everything if name.startswith("p_")]
    assert list(top.columns[:5]) == ["file", "class_1", "p_1", "class_2", "p_2"]
    assert (top["class_1"] == everything["predicted"]).all()
    np.testing.assert_array_equal(top["p_2"], np.sort(everything[names].to_numpy(), axis=1)[:, -2])


def test_a_list_on_the_standard_input(predict, tmp_path, monkeypatch):
    import io

    files = [str(p) for p in sorted((PLACES / "test").rglob("*.jpg"))[:3]]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(files) + "\n"))
    code, output = predict(tmp_path / "out.csv", images="-")
    assert code == 0 and [row["file"] for row in table(output)] == files


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({}, "--images: missing; give a folder"),
        ({"images": "nowhere"}, "no such folder or file"),
        ({"images": PLACES, "output": "x.xlsx"}, "choose a name that ends in .csv, .parquet, .geojson"),
        ({"images": PLACES, "top": "few"}, "--top=few"),
        ({"images": PLACES, "run_name": "nobody"}, "no such checkpoint"),
    ],
)
def test_mistakes_are_told_in_one_line(run_cli, capsys, flags, said):
    code, _ = run_cli("predict", **flags)
    error = capsys.readouterr().err.strip()
    assert code == 2 and said in error and "\n" not in error


def test_networks_that_predict_different_things_are_no_ensemble(run_cli, places_run, scores_run, capsys):
    both = f"{places_run.checkpoint},{scores_run.checkpoint}"
    code, _ = run_cli("predict", checkpoint=both, images=PLACES / "test")
    assert code == 2 and "predict the same" in capsys.readouterr().err


def test_a_table_without_files_says_where_it_looked(tmp_path):
    from deep_cnn.inference.predict.inputs import read_images

    (tmp_path / "t.csv").write_text("image,score\nnot_there.jpg,1\n")
    with pytest.raises(DataError, match=r"not_there\.jpg is not found below"):
        read_images(str(tmp_path / "t.csv"), None, [])
    (tmp_path / "u.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no column of image files was recognised"):
        read_images(str(tmp_path / "u.csv"), None, [])


@pytest.mark.parametrize("damage", ["emptied", "cut", "digit", "failed"])
def test_a_finished_table_that_was_edited_is_not_believed(predict, run_cli, scenes, tmp_path, capsys, damage):
    predict(tmp_path / "out.csv", images=scenes)
    spoilt = tmp_path / ("out.failed.csv" if damage == "failed" else "out.csv")
    rows = spoilt.read_bytes()
    changed = {"emptied": b"", "cut": rows[: len(rows) // 2]}.get(damage, rows.replace(b"0", b"1", 1))
    spoilt.write_bytes(changed)
    assert predict(tmp_path / "out.csv", images=scenes)[0] == 2
    assert "the table was finished, and was edited or damaged since" in capsys.readouterr().err
    assert spoilt.read_bytes() == changed, "it may be the user's work"
    spoilt.write_bytes(rows)
    assert predict(tmp_path / "out.csv", images=scenes)[0] == 3


def test_edited_shards_are_not_put_together(predict, run_cli, scenes, tmp_path, capsys):
    for i in (1, 2):
        predict(tmp_path / "parts.csv", images=scenes, shard=f"{i}/2")
    part = tmp_path / "parts.shard-2-of-2.csv"
    part.write_bytes(part.read_bytes().replace(b"0.", b"0.1", 1))
    assert run_cli("predict", merge=True, output=tmp_path / "parts.csv")[0] == 2
    assert "parts.shard-2-of-2.csv was edited or damaged" in capsys.readouterr().err


@pytest.mark.parametrize("about", ["[]", "{}", "3", "[" * 100_000])
def test_a_damaged_companion_is_no_table_of_ours(predict, scenes, tmp_path, capsys, about):
    predict(tmp_path / "out.csv", images=scenes)
    (tmp_path / "out.csv.json").write_text(about)
    assert predict(tmp_path / "out.csv", images=scenes)[0] == 2 and "the file exists" in capsys.readouterr().err


def test_a_device_is_no_list(predict, tmp_path, capsys):
    assert predict(tmp_path / "out.csv", images="/dev/zero")[0] == 2
    assert "--images=/dev/zero: is a device" in capsys.readouterr().err and not list(tmp_path.iterdir())
