"""Raters, standard errors and numbers of votes in whole runs: what the console and test.json say, and mistakes in one line."""

import json

import numpy as np
import pytest
from conftest import PERCEPTION
from PIL import Image


@pytest.fixture
def rated(tmp_path):
    """60 grey images and ratings of three raters, with the standard error of their mean."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "images"
    folder.mkdir()
    lines = ["image,a,b,c,mean,se,num_votes"]
    for i in range(60):
        grey = int(rng.integers(30, 220))
        Image.fromarray(np.full((40, 40, 3), grey, np.uint8)).save(folder / f"{i:03d}.png")
        a, b, c = (grey / 50 + rng.normal(0, 0.5, 3)).round(4)
        cells = [
            f"{i:03d}.png",
            a,
            b,
            "" if i % 5 == 0 else c,
            round((a + b) / 2 if i % 5 == 0 else (a + b + c) / 3, 6),
        ]
        lines.append(",".join(map(str, [*cells, 0.3, 2 + i % 9])))
    (tmp_path / "scores.csv").write_text("\n".join(lines), encoding="utf-8")
    return {"data_dir": folder, "metadata": tmp_path / "scores.csv"}


def test_raters_alone_are_learnt_as_their_mean(train, rated, capsys):
    code, files = train(**rated, raters="a,b,c")
    assert code == 0
    out = capsys.readouterr().out
    assert "Noise ceiling of mean_rating (ICC(1,k)" in out and "a bias that they share" in out
    result = json.loads((files.results / "test.json").read_text(encoding="utf-8"))
    found = result["noise_ceiling"]["mean_rating"]
    assert found["largest_r2"] == found["reliability"] > 0.5 and not found["upper_bound"]
    assert found["share_r2"] == pytest.approx(result["r2"] / found["reliability"])


def test_standard_errors_and_weights(train, rated, capsys):
    code, _ = train(**rated, target="mean", target_std="se", weigh_by="std")
    assert code == 0 and "standard errors" in capsys.readouterr().out
    code, _ = train(**rated, target="mean", weigh_by="votes")
    assert code == 0


def test_place_pulse_has_an_upper_bound(train, capsys):
    code, files = train(
        data_dir=PERCEPTION, metadata="meta", study_id="safety", weigh_by="votes", val_split=0.1, test_split=0.4
    )
    assert code == 0 and "reliability at most" in capsys.readouterr().out
    result = json.loads((files.results / "test.json").read_text(encoding="utf-8"))
    assert result["noise_ceiling"]["safety"]["upper_bound"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"raters": "a"}, "--raters=a: a single rater"),
        ({"raters": "a,x"}, "--raters=x: scores.csv has no such column"),
        ({"raters": "a,b", "target_std": "se"}, "--target_std=se: --raters says the same already"),
        ({"target": "mean,a", "raters": "b,c"}, "--raters=b,c: they rated one thing"),
        ({"target": "mean", "weigh_by": "std"}, "--weigh_by=std: needs --target_std"),
        ({"target": "mean", "target_std": "se,num_votes"}, "2 columns for 1 targets"),
        ({"target": "mean", "target_std": "zero"}, "--target_std=zero: 0 in line 5"),
        ({"raters": "a,once"}, "--raters=once: this rater has a single rating"),
        ({"raters": "even,odd"}, "no image has ratings of two raters"),
    ],
)
def test_mistakes_are_told_in_one_line(train, rated, capsys, flags, said):
    lines = rated["metadata"].read_text(encoding="utf-8").splitlines()
    more = [
        f"{0 if i == 3 else 1},{3 if i == 1 else ''},{i if i % 2 == 0 else ''},{i if i % 2 else ''}" for i in range(60)
    ]
    text = [lines[0] + ",zero,once,even,odd", *(f"{line},{cells}" for line, cells in zip(lines[1:], more, strict=True))]
    rated["metadata"].write_text("\n".join(text), encoding="utf-8")
    code, _ = train(**rated, **flags)
    assert code == 2 and said in capsys.readouterr().err


def test_evaluate_adds_the_ceiling_to_a_run_that_was_trained_without(train, run_cli, rated, capsys):
    train(**rated, target="mean")
    assert "Noise ceiling" not in capsys.readouterr().out
    code, _ = run_cli("evaluate", raters="a,b,c")
    assert code == 0 and "Noise ceiling of mean" in capsys.readouterr().out


def test_scores_are_learnt_on_another_scale_and_reported_in_their_own(train, run_cli, rated, capsys):
    code, files = train(**rated, target="mean", target_transform="rank")
    assert code == 0
    result = json.loads((files.results / "test.json").read_text(encoding="utf-8"))
    table = (files.results / "predictions_test.csv").read_text(encoding="utf-8").splitlines()[1:]
    errors = [abs(float(true) - float(said)) for _, true, said in (line.split(",") for line in table)]
    assert result["mae"] == pytest.approx(np.mean(errors))
    code, _ = run_cli("evaluate")
    assert code == 0
    capsys.readouterr()
    code, _ = train(**rated, target="mean", target_transform="logit", run_name="other")
    assert code == 2 and "logit needs values between 0 and 1" in capsys.readouterr().err
