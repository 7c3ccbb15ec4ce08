"""`predict --aggregate`: a table and a map of areas."""

import csv
import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("areas")
    (folder / "images").mkdir()
    rows = ["image,score,district,latitude,longitude"]
    for i in range(90):
        Image.fromarray(rng.integers(0, 255, (34, 34, 3), dtype=np.uint8)).save(folder / "images" / f"{i}.png")
        x, y = rng.uniform(0, 0.04, 2)
        rows.append(f"{i}.png,{rng.normal():.3f},{'ABCDEFGHI'[i % 9]},{48 + x:.5f},{11 + y:.5f}")
    (folder / "scores.csv").write_text("\n".join(rows), encoding="utf-8")
    new = [",".join([r.split(",")[0], r.split(",")[1] if k % 2 else "", *r.split(",")[2:]]) for k, r in enumerate(rows)]
    (folder / "new.csv").write_text("\n".join([rows[0], *new[1:]]), encoding="utf-8")
    (folder / "plain.csv").write_text(
        "\n".join(",".join([r.split(",")[0], *r.split(",")[2:]]) for r in rows), encoding="utf-8"
    )
    return folder


def areas(path):
    with open(path, encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_areas_of_a_column_and_of_a_grid(train, run_cli, streets, tmp_path, capsys):
    code, _ = train(
        data_dir=streets / "images", metadata=streets / "scores.csv", target="score", group="district", test_split=0.6
    )
    assert code == 0
    out = tmp_path / "said.csv"
    flags = {"data_dir": streets / "images", "output": out}
    code, _ = run_cli("predict", **flags, images=streets / "plain.csv", aggregate="district")
    assert code == 0 and "Intervals of area means: errors between groups of the test" in capsys.readouterr().out
    said = areas(out)
    found = {row["area"]: row for row in areas(tmp_path / "said_areas.csv")}
    assert len(found) == 9 and {row["images"] for row in found.values()} == {"10"}
    of_a = [float(row["predicted_score"]) for row in said if int(row["file"].split(".")[0]) % 9 == 0]
    assert float(found["A"]["mean_score"]) == pytest.approx(np.mean(of_a))
    assert float(found["A"]["lower_score"]) < np.mean(of_a) < float(found["A"]["upper_score"])
    map_ = json.loads((tmp_path / "said_areas.geojson").read_text(encoding="utf-8"))
    assert len(map_["features"]) == 9 and 48 < map_["features"][0]["geometry"]["coordinates"][1] < 48.05

    out.unlink()
    code, _ = run_cli("predict", **flags, images=streets / "new.csv", aggregate="district")
    local = {row["area"]: row for row in areas(tmp_path / "said_areas.csv")}
    assert code == 0 and local["A"]["rated_score"] == "5" and "prediction-powered" in local["A"]["method_score"]
    code, _ = run_cli("predict", **flags, images=streets / "new.csv", aggregate="grid:2km")
    assert code == 0 and sum(int(row["images"]) for row in areas(tmp_path / "said_areas.csv")) == 90
    capsys.readouterr()
    code, _ = run_cli("predict", **flags, images=streets / "new.csv", aggregate="distrit")
    assert code == 2 and "Did you mean district?" in capsys.readouterr().err
