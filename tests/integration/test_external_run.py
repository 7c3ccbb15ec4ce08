"""`evaluate --metadata`: a run on another rated set, and a new scale from some of its ratings."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from deep_cnn.models import checkpoint
from deep_cnn.tasks.curves import Curve


def draw(folder, n, seed, scale=lambda score: score):
    """Grey images whose brightness is the score, and two columns of it."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    rows = ["image,score,other,city"]
    for i in range(n):
        grey = int(rng.integers(20, 235))
        pixels = np.clip(grey + rng.normal(0, 8, (36, 36, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{i}.png")
        score = scale(grey / 50 + rng.normal(0, 0.1))
        rows.append(f"{i}.png,{score:.4f},{-score:.4f},{'ABC'[i % 3]}")
    (folder / "scores.csv").write_text("\n".join(rows), encoding="utf-8")
    return {"data_dir": folder / "images", "metadata": folder / "scores.csv"}


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rated")
    return draw(folder / "here", 90, 0), draw(folder / "oslo", 80, 1, lambda score: 10 + 3 * score)


def test_another_city_and_a_new_scale(train, run_cli, sets, capsys):
    here, oslo = sets
    code, files = train(**here, target="score", epochs=6, lr=0.003, batch_size=8, augment="none", model="net")
    assert code == 0
    capsys.readouterr()
    code, _ = run_cli("evaluate", **oslo, group="city")
    out = capsys.readouterr().out
    assert code == 0 and "External result on 80 images" in out and "Calibration of score: true =" in out
    result = json.loads((files.results / "external.json").read_text(encoding="utf-8"))
    assert result["external"] and result["count"] == 80 and result["number_of_groups"] == 3
    code, _ = run_cli("evaluate", **oslo, recalibrate=True, ratings=40)
    out = capsys.readouterr().out
    assert code == 0 and "Recalibrated score: MAE" in out and "--weights=best.pt" in out
    result = json.loads((files.results / "external.json").read_text(encoding="utf-8"))
    assert result["count"] == 40 and result["recalibrated"]["mae"] < 0.7 * result["mae"]
    # the order of images, and so the correlation, is that of before
    assert result["recalibrated"]["pearson"] == pytest.approx(result["pearson"])
    local = files.models / "best.scores.pt"
    assert checkpoint.load(local)["recalibration"]["ratings"] == 40
    for name in ("best.pt", "best.scores.pt"):
        code, _ = run_cli(
            "predict", images=oslo["data_dir"], checkpoint=files.models / name, output=files.results / f"{name}.csv"
        )
        assert code == 0
    tables = []
    for name in ("best.pt", "best.scores.pt"):
        with open(files.results / f"{name}.csv", encoding="utf-8") as stream:
            tables.append(list(csv.DictReader(stream)))
    before, after = (np.array([float(row["predicted_score"]) for row in table]) for table in tables)
    line = checkpoint.load(local)["recalibration"]["lines"]["score"]
    assert after == pytest.approx(line["intercept"] + line["slope"] * before)

    code, _ = run_cli("evaluate", **oslo, recalibrate="monotone", ratings=40)
    out = capsys.readouterr().out
    assert code == 0 and "the 40 ratings of score give a curve of" in out and "Recalibrated score: MAE" in out
    bent = json.loads((files.results / "external.json").read_text(encoding="utf-8"))
    assert bent["count"] == 40 and bent["recalibrated"]["mae"] < 0.7 * bent["mae"]
    assert bent["recalibrated"]["spearman"] == pytest.approx(bent["spearman"]), "the order of images stays"
    curve = Curve(**checkpoint.load(local)["recalibration"]["curves"]["score"])
    assert run_cli("export", checkpoint=local, format="torchscript", preprocess=True, run_name="other")[0] == 2
    assert run_cli("export", checkpoint=local, format="torchscript", preprocess=True)[0] == 0
    card = (files.models / "default.scores.torchscript.pt.md").read_text(encoding="utf-8")
    assert "fitted to 40 ratings of `scores.csv`" in card and "Test set" not in card
    code, _ = run_cli("predict", images=oslo["data_dir"], checkpoint=local, output=files.results / "bent.csv")
    with open(files.results / "bent.csv", encoding="utf-8") as stream:
        after = np.array([float(row["predicted_score"]) for row in csv.DictReader(stream)])
    assert code == 0 and after == pytest.approx(curve(before))
    code, _ = run_cli("evaluate", **oslo, recalibrate="isotonic")
    assert code == 2 and "choose one of none, linear, monotone" in capsys.readouterr().err

    renamed = (oslo["metadata"].parent / "renamed.csv").write_text(
        oslo["metadata"].read_text(encoding="utf-8").replace("score", "rating"), encoding="utf-8"
    )
    assert renamed
    text = oslo["metadata"].read_text(encoding="utf-8").replace("score", '"rating, mean"')
    (oslo["metadata"].parent / "comma.csv").write_text(text, encoding="utf-8")
    parts = oslo["metadata"].parent / "parts"  # all images of a table are meant, wherever they are
    for i, image in enumerate(sorted(oslo["data_dir"].iterdir())):
        target = parts / ("train" if i % 2 else "test_hard") / image.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(image, target)
    code, _ = run_cli("evaluate", **(oslo | {"data_dir": parts}))
    assert code == 0 and "External result on 80 images" in capsys.readouterr().out
    for flags, exit_code, said in (
        ({"metadata": oslo["metadata"].parent / "renamed.csv"}, 2, "none of the network's targets (score) is a column"),
        ({"metadata": oslo["metadata"].parent / "renamed.csv", "target": "rating"}, 0, ""),
        ({"metadata": oslo["metadata"].parent / "comma.csv", "target": "rating, mean"}, 0, ""),
        ({"recalibrate": True, "ratings": 70}, 2, "each needs at least 20"),
        ({"recalibrate": True, "target": "other", "ratings": 40}, 2, "do not rise with the predictions"),
        ({"ratings": 40}, 2, "works only with --recalibrate"),
        ({"metadata": "gone.csv"}, 2, "no such file or folder"),
    ):
        code, _ = run_cli("evaluate", **(oslo | flags))
        assert code == exit_code and said in capsys.readouterr().err
    code, _ = run_cli("evaluate", group="city")
    assert code == 2 and "works only with --metadata" in capsys.readouterr().err
    assert_subgroups_of_raters(run_cli, oslo, files, capsys)


def assert_subgroups_of_raters(run_cli, oslo, files, capsys):
    """A row per rating: the result is of the mean rating, and of each subgroup's."""
    rng, rows = np.random.default_rng(5), ["image,score,gender,city"]
    with open(oslo["metadata"], encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            for gender, shift in (("women", 0), ("men", 4), ("men", 4)):
                rows.append(
                    f"{row['image']},{float(row['score']) + shift + rng.normal(0, 0.5):.3f},{gender},{row['city']}"
                )
    table = oslo["metadata"].parent / "ratings.csv"
    table.write_text("\n".join(rows), encoding="utf-8")
    flags = oslo | {"metadata": table}
    code, _ = run_cli("evaluate", **flags)
    assert code == 2 and "has two rows with different values of score" in capsys.readouterr().err
    code, _ = run_cli("evaluate", **flags, rater_group="gender", recalibrate=True, ratings=40)
    out = capsys.readouterr().out
    assert code == 0 and "240 ratings of 80 images by 2 subgroups (men, women)" in out
    assert "gender women: 40 images, 40 ratings: MAE" in out and "gender men minus women, on 40 images" in out
    result = json.loads((files.results / "external.json").read_text(encoding="utf-8"))
    means = {name: about["mae"] for name, about in result["rater_groups"]["per_group"].items()}
    assert means["women"] < result["mae"] < means["men"], "predictions are too low here, and men give more"
    after = result["recalibrated"]["rater_groups"]["per_group"]
    assert after["men"]["mae"] < 0.7 * means["men"]
    for more, said in (
        ({"rater_group": "gendr"}, "--rater_group=gendr: ratings.csv has no such column. Did you mean gender"),
        ({"rater_group": "gender", "group": "gender"}, "has two rows with different values of gender"),
    ):
        code, _ = run_cli("evaluate", **flags, **more)
        assert code == 2 and said in capsys.readouterr().err


def test_images_that_trained_the_network_are_left_out(train, run_cli, sets, tmp_path, capsys):
    """By their bytes, under other names; a table of its own images is no other rated set."""
    here, _ = sets
    code, files = train(**here, target="score", epochs=1, batch_size=16, augment="none", model="net")
    assert code == 0
    rows = (here["metadata"]).read_text(encoding="utf-8").splitlines()
    (tmp_path / "copies").mkdir()
    for row in rows[1:]:
        name = row.split(",")[0]
        shutil.copyfile(here["data_dir"] / name, tmp_path / "copies" / f"copy_{name}")
    (tmp_path / "copies.csv").write_text("\n".join([rows[0], *(f"copy_{row}" for row in rows[1:])]), encoding="utf-8")
    copies = {"data_dir": tmp_path / "copies", "metadata": tmp_path / "copies.csv"}
    with open(files.results / "splits.csv", encoding="utf-8") as stream:
        tested = sum(row["split"] == "test" for row in csv.DictReader(stream))
    own = json.loads((files.results / "test.json").read_text(encoding="utf-8"))
    for images in (here, copies):
        capsys.readouterr()
        code, _ = run_cli("evaluate", **images)
        out = "".join(capsys.readouterr())
        assert code == 0 and f"{90 - tested} images of 90 trained or validated this network; they are left out" in out
        result = json.loads((files.results / "external.json").read_text(encoding="utf-8"))
        assert result["count"] == tested and result["mae"] == pytest.approx(own["mae"], rel=1e-4)
    code, _ = run_cli("evaluate", **here, split="all")
    out = "".join(capsys.readouterr())
    assert code == 0 and "External result on 90 images" in out and "so the result is no estimate for new images" in out
    code, _ = run_cli("evaluate", **here, split="train")
    assert code == 2 and "a table of --metadata has no splits" in "".join(capsys.readouterr())
    with open(files.results / "splits.csv", encoding="utf-8") as stream:
        trained = {row["file"] for row in csv.DictReader(stream) if row["split"] == "train"}
    (tmp_path / "trained.csv").write_text(
        "\n".join([rows[0], *(r for r in rows[1:] if r.split(",")[0] in trained)]), encoding="utf-8"
    )
    code, _ = run_cli("evaluate", data_dir=here["data_dir"], metadata=tmp_path / "trained.csv")
    assert code == 2 and f"trained or validated on all {len(trained)} images, which is no test" in "".join(
        capsys.readouterr()
    )


def test_views_and_raters_of_another_set(train, run_cli, sets, tmp_path, capsys):
    here, oslo = sets
    assert train(**here, target="score", epochs=1, batch_size=16, augment="none", model="net")[0] == 0
    lines = oslo["metadata"].read_text(encoding="utf-8").splitlines()
    rated = [f"{line},{k % 5},{k % 5 + k % 2}" for k, line in enumerate(lines[1:])]
    (tmp_path / "rated.csv").write_text("\n".join([lines[0] + ",anna,ben", *rated]), encoding="utf-8")
    capsys.readouterr()
    code, files = run_cli(
        "evaluate", data_dir=oslo["data_dir"], metadata=tmp_path / "rated.csv", raters="anna,ben", tta="flip"
    )
    assert code == 0, capsys.readouterr()
    found = files.results / "external.json"
    result = json.loads(found.read_text(encoding="utf-8"))
    assert result["noise_ceiling"]["score"]["method"] == "ICC(3,k)" and result["tta"]["views"] == "flip"
    code, _ = run_cli("evaluate", data_dir=oslo["data_dir"], metadata=tmp_path / "rated.csv", raters="nobody,noone")
    assert code == 2 and "nobody" in "".join(capsys.readouterr())


def test_the_loss_of_ratings_outside_of_the_learnt_scale_is_undefined(train, run_cli, sets, tmp_path, capsys):
    here, oslo = sets
    assert (
        train(**here, target="score", epochs=1, batch_size=16, augment="none", model="net", target_transform="log")[0]
        == 0
    )
    rows = oslo["metadata"].read_text(encoding="utf-8").splitlines()
    cells = rows[1].split(",")
    (tmp_path / "zero.csv").write_text(
        "\n".join([rows[0], ",".join([cells[0], "0", *cells[2:]]), *rows[2:]]), encoding="utf-8"
    )
    code, files = run_cli("evaluate", data_dir=oslo["data_dir"], metadata=tmp_path / "zero.csv")
    assert code == 0, capsys.readouterr()
    result = json.loads((files.results / "external.json").read_text(encoding="utf-8"))
    assert result["loss"] is None and "loss" not in result["intervals"] and result["mae"] > 0
