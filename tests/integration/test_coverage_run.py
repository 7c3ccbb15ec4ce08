"""predict --coverage and the calibration of real runs: what the test set says is what predict does, alone and with folds."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import PERCEPTION, PLACES, TINY

from deep_cnn import load_model, predict, train
from deep_cnn.tasks.make import task_from_dict

pytestmark = pytest.mark.usefixtures("undrawn")

FOLDS = TINY | {"data_dir": PLACES / "train", "folds": 2, "batch_size": 8, "run_name": "cv"}


def test_the_sets_of_predict_are_those_of_the_test(places_run):
    test = places_run.result
    table = predict(PLACES / "test", places_run.checkpoint, coverage=0.9)
    truth = [name.split("/")[0] for name in table["file"]]
    hits = [y in classes.split(";") for y, classes in zip(truth, table["set"], strict=True)]
    assert np.mean(hits) == test["coverage"]["reached"] and test["coverage"]["level"] == 0.9
    assert np.mean([len(classes.split(";")) for classes in table["set"]]) == test["coverage"]["mean_set_size"]
    assert set(table["coverage_method"]) == {test["coverage"]["method"]} == {"split conformal, few images"}
    assert all(said in classes.split(";") for said, classes in zip(table["predicted"], table["set"], strict=True))


def test_the_intervals_of_predict_are_those_of_the_test(tmp_path):
    flags = {"metadata": "meta", "study_id": "safety,wealthy", "val_split": 0.4, "test_split": 0.2}
    scores_run = train(PERCEPTION, root_dir=str(tmp_path), **(TINY | flags))
    rows = scores_run.predictions
    table = predict([str(PERCEPTION / name) for name in rows["file"]], scores_run.checkpoint, coverage=0.8)
    both = predict([str(PERCEPTION / name) for name in rows["file"]], scores_run.checkpoint, coverage=0.9)
    for target, about in scores_run.result["coverage"]["per_target"].items():
        truth, known = rows[f"target_{target}"], rows[f"target_{target}"].notna()
        low, high = both[f"lower_{target}"], both[f"upper_{target}"]
        assert np.mean((low <= truth)[known] & (truth <= high)[known]) == pytest.approx(about["reached"])
        assert (high - low).mean() == pytest.approx(about["mean_width"])
        assert (table[f"lower_{target}"] >= low).all() and (table[f"upper_{target}"] <= high).all()
        middle = (low + high) / 2
        assert middle.to_numpy() == pytest.approx(both[f"predicted_{target}"].to_numpy())


def test_probabilities_of_the_test_are_those_of_predict_and_of_the_checkpoint(places_run):
    """The temperature is applied once, everywhere."""
    rows = places_run.predictions.set_index("file")
    table = predict(PLACES / "test", places_run.checkpoint)
    columns = [name for name in table if name.startswith("p_")]
    ours = rows.loc[["test/" + name for name in table["file"]], columns].to_numpy()
    assert ours == pytest.approx(table[columns].to_numpy(), abs=1e-12)
    network, meta = load_model(places_run.checkpoint)
    task = task_from_dict(meta["task"])
    calibration = places_run.result["calibration"]
    assert task.temperature == calibration["temperature"] != 1 and calibration["validation_images"] == 15
    with torch.inference_mode():
        image = meta["transform"](PLACES / "test" / table["file"][0])[None]
        said = (network(image) / task.temperature).softmax(1)[0]
    assert said.numpy() == pytest.approx(table[columns].to_numpy()[0], abs=1e-5)
    assert calibration["loss"] == pytest.approx(places_run.result["loss"])


def test_evaluate_says_the_same(places_run, run_cli, capsys):
    root = places_run.files.outputs.parent
    assert run_cli("evaluate", root_dir=root, device="cpu")[0] == 0
    said = capsys.readouterr().out
    assert "Probabilities: calibrated on 15 validation images" in said and "90% prediction sets contain" in said
    assert run_cli("evaluate", root_dir=root, device="cpu", split="validation")[0] == 0
    assert "prediction sets contain" not in capsys.readouterr().out, "they are calibrated there"


def test_all_folds_together_are_calibrated_out_of_fold(run_cli, capsys, tmp_path):
    assert run_cli(**FOLDS)[0] == 0
    capsys.readouterr()
    flags = {"images": PLACES / "val", "output": tmp_path / "new.csv", "run_name": "cv"}
    assert run_cli("predict", **flags, coverage=0.9)[0] == 0
    assert "Coverage 0.9 (CV+), for new images" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "new.csv")
    best = [tmp_path / f"outputs/models/cv-fold{k}/best.pt" for k in (1, 2)]
    folds = [torch.load(path, weights_only=True) for path in best]
    errors = np.concatenate([fold["fold_errors"]["errors"].numpy()[:, 0] for fold in folds])
    rows = pd.read_csv(tmp_path / "outputs/results/cv/predictions_folds.csv")
    expected = [1 - row[f"p_{row['target']}"] for _, row in rows.iterrows()]
    assert sorted(errors) == pytest.approx(sorted(expected))
    # the definition, image by image: a class is left out if 90% of the 41 out-of-fold scores are smaller than its own
    own = [predict(PLACES / "val", path) for path in best]
    names = json.loads((tmp_path / "outputs/results/cv-fold1/config.json").read_text())["task"]["names"]
    for i, classes in enumerate(table["set"]):
        smaller = {
            name: sum(
                (fold["fold_errors"]["errors"].numpy() < 1 - p[f"p_{name}"][i]).sum()
                for fold, p in zip(folds, own, strict=True)
            )
            for name in names
        }
        assert set(classes.split(";")) == {n for n in names if smaller[n] < 0.9 * 41 or n == table["predicted"][i]}
    # two networks that are not the folds of one cross-validation were validated on other images
    code, _ = run_cli("predict", images=PLACES / "val", checkpoint=best[0], output=tmp_path / "one.csv", coverage=0.6)
    assert code == 0 and "CV+" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("90", "--coverage=90: expected a share from 0.5 to below 1; for example 0.9"),
        ("1", "--coverage=1: expected a share from 0.5 to below 1"),
        ("0", "--coverage=0: expected a share from 0.5 to below 1"),
        ("most", "--coverage=most: expected a number"),
        ("0.95", "--coverage=0.95: there are only 15 calibration images, but a coverage of 0.95 needs 19; use a lower"),
    ],
)
def test_mistakes_are_one_line(places_run, run_cli, capsys, value, said, tmp_path):
    flags = {"images": PLACES / "test", "checkpoint": places_run.checkpoint, "output": tmp_path / "new.csv"}
    code, _ = run_cli("predict", **flags, coverage=value)
    err = capsys.readouterr().err
    assert code == 2 and said in err and "Traceback" not in err and not (tmp_path / "new.csv").exists()


def test_without_validation_there_is_neither_temperature_nor_coverage(run_cli, capsys, tmp_path):
    code, files = run_cli(**TINY, data_dir=PLACES / "train", val_split=0)
    test = json.loads((files.results / "test.json").read_text())
    assert code == 0 and test["calibration"]["temperature"] == 1 and "coverage" not in test
    assert "as the network gives them" in capsys.readouterr().out
    code, _ = run_cli("predict", images=PLACES / "val", output=tmp_path / "new.csv", coverage=0.9)
    assert code == 2 and "no errors of validation images (no validation set" in capsys.readouterr().err
