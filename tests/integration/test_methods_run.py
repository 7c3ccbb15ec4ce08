"""report --methods of real runs: the record has what the paragraph tells."""

import json

import cities
import pandas as pd
import pytest
from conftest import TINY

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    folder = tmp_path_factory.mktemp("city")
    drawn = cities.write_city(folder, 72, seed=3)
    cities.write_scores(folder, drawn, raters=5)
    return folder


def test_the_methods_of_a_run_and_of_a_cross_validation_by_city(run_cli, city, capsys):
    data = {"data_dir": city / "images", "metadata": city / "scores.csv", "target": "safety", "target_std": "safety_se"}
    code, files = run_cli(**TINY, **data)
    assert code == 0
    about = json.loads((files.results / "config.json").read_text(encoding="utf-8"))["data"]
    assert about["given_splits"] == [] and any(note.startswith("Split: train") for note in about["notes"])
    capsys.readouterr()
    code, _ = run_cli("report", methods=True)
    text = capsys.readouterr().out
    test = json.loads((files.results / "test.json").read_text(encoding="utf-8"))
    assert code == 0 and (files.results / "methods.md").read_text(encoding="utf-8").strip() in text
    assert f"On {test['count']} test images" in text and f"R2 was {test['r2']:.4g}" in text
    assert "15% for validation and 15% for testing, stratified by deciles of the score (seed 0)" in text
    assert (
        f"was {test['noise_ceiling']['safety']['reliability']:.4g} [" in text and "city" not in text.partition("## ")[0]
    )

    code, files = run_cli(**TINY, **data, folds=2, group="city", run_name="cv")
    assert code == 0
    capsys.readouterr()
    code, _ = run_cli("report", methods=True, run_name="cv")
    text = capsys.readouterr().out
    folds = json.loads((files.results / "folds.json").read_text(encoding="utf-8"))
    assert code == 0 and "In 2-fold cross-validation each of 72 images was tested once" in text
    assert f"R2 was {folds['r2']:.4g}" in text and "All images with the same city were kept in one split." in text
    assert "Images with the same bytes were kept in one split." in text
    assert f"On the 72 images (mean of 2 folds), loss was {folds['mean_of_folds']['loss']:.4g}" in text
    assert f"On the 72 images (all together), MAE was {folds['pooled']['mae']:.4g}" in text


@pytest.mark.parametrize("group", [{}, {"group": "city"}])
def test_folds_of_votes_say_which_metrics_are_means_and_of_which_votes(run_cli, tmp_path, capsys, group):
    drawn = cities.write_city(tmp_path, 72, seed=3)
    cities.write_votes(tmp_path, drawn, 8, tie=0.5)
    data = {"data_dir": tmp_path / "images", "metadata": tmp_path / "votes.csv", "batch_size": 16}
    learns = {
        "model": "net",
        "lr": 0.003,
        "epochs": 4,
        "augment": "none",
    }  # or all scores are alike, and have no correlation
    code, files = run_cli(**(TINY | data | learns), **group, folds=2)
    assert code == 0
    capsys.readouterr()
    assert run_cli("report", methods=True)[0] == 0
    text, folds = capsys.readouterr().out, json.loads((files.results / "folds.json").read_text(encoding="utf-8"))
    how, values = ("all together", folds["pooled"]) if group else ("mean of 2 folds", folds["mean_of_folds"])
    assert "decided votes between test images of the same fold (mean of 2 folds), pair accuracy was " in text
    assert "votes between test images of the same fold, ties included (mean of 2 folds), loss was " in text
    assert folds["pearson"] == values["pearson"] is not None
    assert f"On the 72 images ({how}), Pearson's correlation was {values['pearson']:.4g}" in text


@pytest.mark.parametrize("given", ["split_from", "split_column"])
def test_groups_that_a_given_split_divides_are_not_called_new(run_cli, city, tmp_path, capsys, given):
    data = {"data_dir": city / "images", "metadata": city / "scores.csv", "target": "safety"}
    flags = TINY | {"val_split": 0.3, "test_split": 0.3}
    if given == "split_from":
        assert run_cli(**flags, **data, run_name="by_image")[0] == 0
        asked = {"split_from": "by_image"}
    else:
        asked = {"split_column": "split"}
        table = pd.read_csv(data["metadata"])
        table["split"] = [("train", "train", "validation", "test")[i // 12 % 4] for i in range(len(table))]
        table.to_csv(tmp_path / "scores.csv", index=False)
        data["metadata"] = tmp_path / "scores.csv"
    flags = {name: value for name, value in flags.items() if name not in ("val_split", "test_split")}
    capsys.readouterr()
    code, files = run_cli(**flags, **data, **asked, group="city", run_name="torn")
    said = "".join(capsys.readouterr())
    assert code == 0 and "more than one of" in said and "confidence intervals for new images" in said
    test = json.loads((files.results / "test.json").read_text(encoding="utf-8"))
    known, number = test["trained_groups"], test["number_of_groups"]
    assert number >= known > 9 and "of these same groups" in test["estimand"]
    assert "jackknife over groups" in test["interval_methods"]["mae"]
    coverage = test["coverage"]["per_target"]["safety"]
    assert coverage["assumption"] == "new images are like the calibration images"
    assert run_cli("report", methods=True, run_name="torn")[0] == 0
    for text in (capsys.readouterr().out, said):
        assert "new groups" not in text and "these same groups" in text
    assert f"{known} of {number} groups of the test were trained on as well" in said


def test_groups_that_votes_divide_are_not_called_new(run_cli, tmp_path, capsys):
    drawn = cities.write_city(tmp_path, 72, seed=3)
    cities.write_votes(tmp_path, drawn, 8)
    data = {"data_dir": tmp_path / "images", "metadata": tmp_path / "votes.csv", "batch_size": 32}
    assert run_cli(**(TINY | data), val_split=0.2, test_split=0.3, run_name="by_image")[0] == 0
    code, files = run_cli(**(TINY | data), split_from="by_image", group="city", run_name="torn")
    assert code == 0
    test = json.loads((files.results / "test.json").read_text(encoding="utf-8"))
    assert "new votes between new images of these same groups" in test["estimand"] and test["trained_groups"] > 1
    said = "".join(capsys.readouterr())
    assert "of the test were trained on as well" in said and "new groups" not in said


def test_a_missing_run_is_named(run_cli, capsys):
    code, _ = run_cli("report", methods=True, run_name="nothing")
    assert code == 2 and "--run_name=nothing: no such run" in capsys.readouterr().err
