"""--loss=ordinal, from a table of ratings to a report: trained, resumed, predicted, explained, exported, compared."""

import csv
import json
import time

import pandas as pd
import pytest
import torch
from conftest import PLACES

from deep_cnn.cli.main import main
from deep_cnn.runtime import signals
from deep_cnn.training.checkpointing import Checkpointer


@pytest.fixture
def ratings(tmp_path):
    """A table of the committed places: safety 1 to 5 by its class, and calm 0 to 2, missing in every fifth row."""
    images = sorted(PLACES.glob("*/*/*.jpg"))
    classes = sorted({path.parent.name for path in images})
    rows = [
        [path.relative_to(PLACES).as_posix(), 1 + classes.index(path.parent.name), "" if i % 5 == 0 else i % 3]
        for i, path in enumerate(images)
    ]
    with open(tmp_path / "ratings.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["image", "safety", "calm"], *rows])
    return {"metadata": tmp_path / "ratings.csv", "target": "safety,calm", "loss": "ordinal", "model": "cifar_resnet20"}


def test_ratings_are_learnt_as_levels_wherever_scores_are(ratings, train, run_cli, pictures, capsys, tmp_path):
    code, files = train(**ratings)
    said = capsys.readouterr()
    assert code == 0, said.err
    assert "--loss=ordinal: safety has the levels 1 to 5" in files.log.read_text(encoding="utf-8")
    test = json.loads((files.results / "test.json").read_text(encoding="utf-8"))
    assert (test["task"], test["task_name"]) == ("ordinal", "ordinal")
    of_safety = test["per_target"]["safety"]
    assert {"mae", "level_mae", "level_kappa", "r2", "spearman"} <= of_safety.keys()
    tested = pd.read_csv(files.results / "predictions_test.csv")
    one_level = tested["level_safety"].nunique() == 1  # kappa is 0 then, whichever image is left out
    assert (test["intervals"]["per_target"]["safety"]["level_kappa"] is None) == one_level
    assert list(tested)[1:7] == [
        "target_safety",
        "target_calm",
        "predicted_safety",
        "predicted_calm",
        "level_safety",
        "level_calm",
    ]
    known = tested["target_calm"].notna()
    assert (tested["level_calm"] - tested["target_calm"])[known].abs().mean() == pytest.approx(
        test["per_target"]["calm"]["level_mae"]
    )
    assert "quadratic weighted kappa" in said.out and "quadratic weighted kappa" in (
        files.results / "report.html"
    ).read_text(encoding="utf-8")

    code, _ = run_cli("predict", images=PLACES / "test", output=tmp_path / "p.csv")
    assert code == 0
    answers = pd.read_csv(tmp_path / "p.csv").set_index("file")
    for row in tested.to_dict("records"):
        if (name := row["file"]).startswith("test/"):
            given = answers.loc[name.removeprefix("test/")]
            assert (given["predicted_safety"], given["level_safety"]) == (row["predicted_safety"], row["level_safety"])

    assert run_cli("explain", count=2)[0] == 0
    assert (files.results / "explain" / "contact_sheet_safety.png").is_file()
    assert run_cli("export", format="pt2", preprocess=True)[0] == 0
    card = json.loads((files.models / "default.pt2.json").read_text(encoding="utf-8"))
    assert card["output"]["order"] == ["safety", "calm", "level of safety", "level of calm"]

    assert train(**(ratings | {"loss": "mse"}), task="regression", run_name="numbers")[0] == 0
    capsys.readouterr()
    assert main(["compare", f"--root_dir={tmp_path}", "--baseline=default"]) == 0
    said = capsys.readouterr().out
    assert "loss=mse" in said and "differ" in said, "one table: the truths are the same"


def test_stopped_in_an_epoch_it_ends_with_the_same_bits(ratings, train, monkeypatch):
    _, whole = train(**ratings, run_name="whole", epochs=2)
    after_step, steps = Checkpointer.after_step, []

    def stop_once(self):
        after_step(self)
        steps.append(1)
        if len(steps) == 4:
            signals._requests.append(("SIGTERM", time.monotonic()))

    monkeypatch.setattr(Checkpointer, "after_step", stop_once)
    assert train(**ratings, run_name="cut", epochs=2)[0] == 75
    monkeypatch.setattr(signals, "_requests", [])
    code, cut = train(**ratings, run_name="cut", epochs=2)
    assert code == 0
    one, other = (torch.load(files.best, weights_only=True)["weights"] for files in (whole, cut))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert (whole.results / "metrics.csv").read_bytes() == (cut.results / "metrics.csv").read_bytes()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"mixup": 0.2}, "--mixup=0.2: not available for --loss=ordinal"),
        ({"target_transform": "log"}, "--target_transform=log: ordered levels cannot be rescaled (--loss=ordinal)"),
        ({"task": "classification", "target": "safety"}, "--loss=ordinal: not available for --task=classification"),
    ],
)
def test_mistakes_are_told_in_one_line(ratings, train, capsys, flags, said):
    assert train(**(ratings | flags))[0] == 2 and said in capsys.readouterr().err
