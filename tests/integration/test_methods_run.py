"""report --methods of real runs: the record has what the paragraph tells."""

import json

import cities
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


def test_a_missing_run_is_named(run_cli, capsys):
    code, _ = run_cli("report", methods=True, run_name="nothing")
    assert code == 2 and "--run_name=nothing: no such run" in capsys.readouterr().err
