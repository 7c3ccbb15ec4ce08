"""Cross-validation: each fold a run of its own, bit for bit the same alone or among others, and never mixed with other flags."""

import hashlib
import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import PLACES, TINY
from scipy import stats

from deep_cnn.config.schema import Config
from deep_cnn.runtime.atomic import write_json, write_text
from deep_cnn.runtime.errors import NonFiniteLoss
from deep_cnn.runtime.lock import held
from deep_cnn.runtime.manifest import Manifest
from deep_cnn.runtime.run_files import RunFiles, fold_name
from deep_cnn.tools.folds import runner
from deep_cnn.training.trainer import train as train_run

pytestmark = pytest.mark.usefixtures("undrawn")

FLAGS = TINY | {"data_dir": PLACES / "train", "folds": 2, "batch_size": 8}
BITS = ("metrics.csv", "test.json", "predictions_test.csv", "splits.csv")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """All folds of a tiny cross-validation, trained by one command; for tests that only read them."""
    from deep_cnn.cli.main import main

    root = tmp_path_factory.mktemp("folds")
    assert main([f"--{name}={value}" for name, value in (FLAGS | {"root_dir": root, "run_name": "cv"}).items()]) == 0
    return root / "outputs"


def member(outputs, fold: int, name: str = "cv") -> RunFiles:
    return RunFiles(outputs, fold_name(name, fold))


def test_each_image_is_predicted_once_by_a_network_that_was_not_trained_on_it(outputs):
    table = pd.read_csv(outputs / "results/cv/predictions_folds.csv")
    plan = pd.read_csv(outputs / "results/cv/folds.csv")
    assert len(table) == 40 and table["file"].is_unique
    assert (table.set_index("file")["fold"] == plan.set_index("file")["fold"]).all()
    for fold in (1, 2):
        splits = pd.read_csv(member(outputs, fold).results / "splits.csv").set_index("file")["split"]
        own = set(table["file"][table["fold"] == fold])
        assert own == set(splits[splits == "test"].index) and len(own) == 20
        assert (splits == "validation").any(), "held out of the other folds"


def test_the_common_result_is_the_mean_of_the_folds_own(outputs):
    result = json.loads((outputs / "results/cv/folds.json").read_text())
    own = [json.loads((member(outputs, fold).results / "test.json").read_text()) for fold in (1, 2)]
    assert result["folds"] == 2 and result["count"] == 40
    for name in ("top1", "balanced_accuracy", "loss"):
        assert result[name] == pytest.approx(sum(test[name] for test in own) / 2)
        assert [fold[name] for fold in result["per_fold"]] == pytest.approx([test[name] for test in own])
    low, high = result["intervals"]["top1"]
    assert low < result["top1"] < high and result["interval_methods"]["top1"].startswith("Nadeau-Bengio over folds")
    assert result["estimand"].startswith("the mean of the 2 networks as trained, on new images")
    table = pd.read_csv(outputs / "results/cv/predictions_folds.csv")
    assert result["pooled"]["top1"] == pytest.approx((table["target"] == table["predicted"]).mean())
    assert (outputs / "results/cv/report.html").exists()
    assert json.loads((outputs / "results/cv/status.json").read_text())["state"] == "finished"


def test_what_was_learnt_beyond_predictions_without_a_network_is_told(outputs):
    """The differences of the folds, against pandas and Nadeau and Bengio's formula."""
    result = json.loads((outputs / "results/cv/folds.json").read_text())
    assert list(result["differences"]) == ["majority_class", "linear_baseline"]
    changes = []
    for fold in (1, 2):
        ours, base = (
            pd.read_csv(member(outputs, fold).results / f"predictions_{name}.csv").set_index("file")
            for name in ("test", "baseline")
        )
        said = base.idxmax(axis=1).str.removeprefix("p_")
        changes.append((ours["target"] == ours["predicted"]).mean() - (ours["target"] == said[ours.index]).mean())
    found = result["differences"]["linear_baseline"]["top1"]
    error = np.sqrt((1 / 2 + 1 / 1) * np.var(changes, ddof=1))
    half = stats.t.ppf(0.975, 1) * error
    assert found["value"] == pytest.approx(np.mean(changes))
    assert found["interval"] == pytest.approx([found["value"] - half, found["value"] + half])
    majority = [json.loads((member(outputs, f).results / "test.json").read_text())["differences"] for f in (1, 2)]
    expected = np.mean([of_fold["majority_class"]["top1"]["value"] for of_fold in majority])
    assert result["differences"]["majority_class"]["top1"]["value"] == pytest.approx(expected)
    assert "Compared with linear baseline" in (outputs / "results/cv/report.html").read_text().replace("\n", " ")


def test_folds_that_are_trained_one_by_one_are_the_same_bits_and_the_last_one_writes_the_result(
    outputs, run_cli, capsys
):
    for fold in (2, 1):
        code, files = run_cli(**FLAGS, run_name="cv", fold=fold)
        assert code == 0
        said = capsys.readouterr().out
        assert files.fold_plan.exists() and ("still open: 1 (not started)" in said) == (fold == 2)
        assert (files.results / "folds.json").exists() == (fold == 1)
    for fold in (1, 2):
        ours, theirs = member(files.outputs, fold), member(outputs, fold)
        for name in BITS:
            assert (ours.results / name).read_bytes() == (theirs.results / name).read_bytes(), name
        weights = [torch.load(f.best, weights_only=True)["weights"] for f in (ours, theirs)]
        assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])
    for name in ("predictions_folds.csv", "folds.csv", "folds.json"):
        assert (files.results / name).read_bytes() == (outputs / "results/cv" / name).read_bytes()


@pytest.fixture
def pretended(monkeypatch):
    """Training is a file; returns the folds that were trained. A fold that is in `broken` has no finite loss."""
    trained: list[int] = []

    def train(config, place):
        if config.fold in train.broken:
            raise NonFiniteLoss("epoch 0, step 3: the loss is nan")
        trained.append(config.fold)

    train.broken = set()
    monkeypatch.setattr(runner, "train", train)
    train.trained = trained
    return train


def test_a_fold_that_fails_names_itself_and_the_others_are_trained(pretended, run_cli, capsys):
    pretended.broken = {1}
    code, files = run_cli(**FLAGS | {"folds": 3})
    assert code == 2 and pretended.trained == [2, 3]
    assert "deep_cnn: fold 1 of 3: epoch 0, step 3: the loss is nan" in capsys.readouterr().err
    assert json.loads(files.status.read_text())["state"] == "mistake"


def test_images_that_change_between_two_folds_end_the_command(run_cli, monkeypatch, tmp_path, capsys):
    data = shutil.copytree(PLACES / "train", tmp_path / "data")

    def then_changed(config, **place):
        if config.fold == 2:
            next(data.rglob("*.jpg")).unlink()
        return train_run(config, **place)

    monkeypatch.setattr(runner, "train", then_changed)
    code, files = run_cli(**FLAGS | {"data_dir": data})
    assert (
        code == 2
        and "fold 2 of 2: the images or the table have changed since the folds began; run the same"
        in capsys.readouterr().err
    )
    monkeypatch.undo()
    code, files = run_cli(**FLAGS | {"data_dir": data})
    assert code == 0 and "renamed them to default.1" in capsys.readouterr().out
    assert json.loads((files.results / "folds.json").read_text())["count"] == 39


def test_a_fold_of_another_process_is_left_to_it(pretended, run_cli, capsys, tmp_path):
    with held(RunFiles(tmp_path / "outputs", "default-fold1")):
        code, _ = run_cli(**FLAGS)
        assert code == 0 and pretended.trained == [2]
        assert "Fold 1 of 2 is trained elsewhere" in capsys.readouterr().out
        code, _ = run_cli(**FLAGS, fold=1)
        assert code == 2 and "fold 1 of 2: --run_name=default-fold1: in use by process" in capsys.readouterr().err
        code, _ = run_cli(**FLAGS | {"lr": 0.5})
        assert code == 2 and "default-fold1 with other flags, data or code is being trained" in capsys.readouterr().err


def test_folds_of_other_flags_are_moved_aside_together(outputs, run_cli, pretended, capsys, tmp_path):
    shutil.copytree(outputs, tmp_path / "outputs")
    code, files = run_cli(**FLAGS, run_name="cv")
    assert code == 0 and pretended.trained == [], "the same flags: all is there"
    code, files = run_cli(**FLAGS | {"lr": 0.5}, run_name="cv", fold=2)
    assert code == 0 and pretended.trained == [2]
    assert "The existing folds differ (--lr was 0.001, is 0.5); renamed them to cv.1" in capsys.readouterr().out
    there = sorted(path.name for path in (tmp_path / "outputs/results").iterdir())
    assert there == ["cv", "cv-fold2", "cv.1", "cv.1-fold1", "cv.1-fold2"]
    assert not (files.results / "folds.json").exists()
    code, _ = run_cli(**FLAGS | {"lr": 0.25}, run_name="cv", resume="must")
    assert code == 2 and "--resume=must: the folds of --run_name=cv differ" in capsys.readouterr().err


def test_a_plain_run_may_not_take_the_name(pretended, run_cli, train, capsys):
    assert run_cli(**FLAGS)[0] == 0
    assert train()[0] == 2
    assert "--run_name=default: the name of a cross-validation (--folds); choose another" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"folds": 1}, "--folds=1: expected a number of folds from 2 on, or groups"),
        ({"folds": "cities"}, "--folds=cities: expected a number of folds from 2 on, or groups"),
        ({"folds": "groups"}, "--folds=groups: needs --group"),
        ({"folds": 2, "fold": 3}, "--fold=3: there are only 2 folds; choose one from 1 to 2"),
        ({"folds": None, "fold": 1}, "--fold=1: works only with --folds; add --folds=5"),
        ({"folds": 2, "test_split": 0.3}, "--test_split=0.3: with --folds each image is tested in its own fold"),
        ({"folds": 9}, "--folds=9: some classes have fewer images than folds: alley (8)"),
        ({"folds": 2, "val_split": 0, "patience": 3}, "--patience=3: needs a validation set"),
        ({"folds": 2, "resume": "must"}, "--resume=must: there are no folds of --run_name=default"),
    ],
)
def test_mistakes_are_one_line(run_cli, capsys, flags, said):
    flags = {name: value for name, value in (FLAGS | flags).items() if value is not None}
    code, files = run_cli(**flags)
    err = capsys.readouterr().err
    assert code == 2 and said in err and "Traceback" not in err
    assert not files.best.exists() and not list(files.outputs.glob("models/*/best.pt"))


def test_the_search_chooses_within_one_fold(run_cli, capsys):
    assert run_cli("search", **FLAGS, space="lr=1e-4,1e-3")[0] == 2
    assert "--folds=2: a search chooses within one fold; add --fold=1" in capsys.readouterr().err


def test_leave_one_group_out_of_a_table_of_scores(run_cli, tmp_path):
    names = sorted(path.relative_to(PLACES).as_posix() for path in (PLACES / "train").rglob("*.jpg"))
    rows = [f"{name},{k % 7},{'AB'[k % 3 == 0]}" for k, name in enumerate(names)]
    (tmp_path / "scores.csv").write_text("\n".join(["image,score,city", *rows]) + "\n", encoding="utf-8")
    flags = {
        "metadata": tmp_path / "scores.csv",
        "target": "score",
        "task": "regression",
        "group": "city",
        "val_split": 0,
    }
    code, files = run_cli(**FLAGS | {"data_dir": PLACES, "folds": "groups"} | flags)
    assert code == 0
    result = json.loads((files.results / "folds.json").read_text())
    assert [fold["name"] for fold in result["per_fold"]] == list(result["per_group"]) == ["A", "B"]
    assert [fold["count"] for fold in result["per_fold"]] == [26, 14] and result["count"] == 40
    for fold in result["per_fold"]:
        assert fold["mae"] == pytest.approx(result["per_group"][fold["name"]]["mae"])
    # beside metrics of all images together stands the error of all images together, not the mean over folds of 26 and 14
    table = pd.read_csv(files.results / "folds.csv")
    means = table["fold"].map({fold: table["score"][table["fold"] != fold].mean() for fold in (1, 2)})
    assert result["mean_predictor"]["mae"] == pytest.approx((table["score"] - means).abs().mean())
    assert result["mean_predictor"]["rmse"] == pytest.approx(((table["score"] - means) ** 2).mean() ** 0.5)
    # areas by the mean of the folds' networks
    flags = {"images": tmp_path / "scores.csv", "data_dir": PLACES, "output": tmp_path / "said.csv"}
    code, _ = run_cli("predict", **flags, run_name="default", aggregate="city")
    assert code == 0 and len(pd.read_csv(tmp_path / "said_areas.csv")) == 2


def test_a_target_called_group_is_no_group(run_cli, tmp_path):
    names = sorted(path.relative_to(PLACES).as_posix() for path in (PLACES / "train").rglob("*.jpg"))
    rows = [f"{name},{k % 7}" for k, name in enumerate(names)]
    (tmp_path / "scores.csv").write_text("\n".join(["image,group", *rows]) + "\n", encoding="utf-8")
    flags = {"metadata": tmp_path / "scores.csv", "target": "group", "task": "regression", "val_split": 0}
    code, files = run_cli(**FLAGS | {"data_dir": PLACES} | flags)
    assert code == 0
    assert list(pd.read_csv(files.results / "folds.csv")) == ["file", "target_group", "fold"]
    assert "group" not in pd.read_csv(files.results / "predictions_folds.csv")
    assert "per_group" not in json.loads((files.results / "folds.json").read_text())


def test_the_report_command_writes_the_page_again(outputs, run_cli):
    page = outputs / "results/cv/report.html"
    os.unlink(page)
    assert run_cli("report", root_dir=outputs.parent, run_name="cv")[0] == 0
    text = page.read_text()
    assert "Each fold" in text and "2 folds" in text and "http" not in text.split("</style>")[1].replace("http://", "")


@pytest.fixture
def two_sets(outputs, tmp_path):
    """The cross-validation and another one of the same folds, better by 5 to 15 points in each."""
    shutil.copytree(outputs, tmp_path / "outputs")
    results = tmp_path / "outputs/results"
    shutil.copytree(results / "cv", results / "better")
    for fold in (1, 2):
        shutil.copytree(results / f"cv-fold{fold}", results / f"better-fold{fold}")
    values = json.loads((results / "cv/folds.json").read_text())
    for fold, gain in zip(values["per_fold"], (0.05, 0.15), strict=True):
        fold["top1"] += gain
    values["top1"] = values["mean_of_folds"]["top1"] = sum(fold["top1"] for fold in values["per_fold"]) / 2
    better = RunFiles(tmp_path / "outputs", "better")
    write_json(better.results / "folds.json", values, announce=Manifest(better).announce)
    return results


def compared(results, **flags) -> int:
    from deep_cnn.cli.main import main

    root = results.parent.parent
    return main(["compare", f"--root_dir={root}", *(f"--{name}={value}" for name, value in flags.items())])


def test_compare_shows_cross_validations_and_not_their_folds(two_sets, capsys):
    assert compared(two_sets, runs="*", baseline="cv") == 0
    table = pd.read_csv(two_sets.parent / "compare/folds.csv")
    assert table["run"].tolist() == ["better", "cv"] and "cv-fold1" not in capsys.readouterr().out
    low, high = map(float, table["difference"][0].split("[")[1].replace(" points", "").rstrip("]").split(", "))
    assert table["difference"][0].startswith("10.0 points")
    assert -100 <= low < 0 < high <= 100, "two folds say little, but no more than is possible"
    assert table["difference"][1] == "baseline"


def test_compare_refuses_other_folds_and_unknown_metrics(two_sets, capsys):
    plan = two_sets / "better/folds.csv"
    other = plan.read_text().replace(",1\n", ",x\n").replace(",2\n", ",1\n").replace(",x\n", ",2\n")
    write_text(plan, other, announce=Manifest(RunFiles(two_sets.parent, "better")).announce)
    assert compared(two_sets, runs="cv,better", baseline="cv") == 0
    assert "not the same folds" in (two_sets.parent / "compare/folds.txt").read_text()
    assert compared(two_sets, runs="cv", metric="mae") == 2
    assert "--metric=mae: cv does not have it; it has loss, top1" in capsys.readouterr().err
    assert compared(two_sets, runs="cv,better", baseline="cw") == 2
    assert "--baseline=cw: not among the cross-validations; choose one of better, cv" in capsys.readouterr().err


@pytest.mark.parametrize("file", ["folds.json", "folds.csv", "predictions_folds.csv", "suspects.csv", "plan.json"])
def test_compare_names_a_damaged_cross_validation_and_shows_the_others(two_sets, capsys, file):
    shutil.rmtree(two_sets / "better")
    shutil.copytree(two_sets / "cv", two_sets / "broken")
    damaged = two_sets / "broken" / file
    damaged.write_bytes(damaged.read_bytes()[:-9])
    assert compared(two_sets, runs="broken,cv") == 0
    said = capsys.readouterr().out
    assert "Note: left out: broken: " in said and "\ncv " in said and "\nbroken " not in said
    assert compared(two_sets, runs="broken") == 2
    assert "no cross-validation to compare: left out: broken: " in capsys.readouterr().err


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1, 2]", b'{"per_fold": [{}]}', b"[" * 100_000])
def test_compare_names_a_damaged_cross_validation_without_digests(two_sets, capsys, damage):
    (two_sets / "better/folds.json").write_bytes(damage)
    (two_sets / "better/digests.json").unlink()
    plan = two_sets / "better/plan.json"
    plan.write_text(plan.read_text().replace("split_seed", "of_before"))  # as of a version that wrote no digests
    assert compared(two_sets, runs="better,cv") == 0
    assert "Note: left out: better: " in capsys.readouterr().out


def test_the_command_mends_damaged_files_of_a_cross_validation(outputs, run_cli, pretended, tmp_path, capsys):
    shutil.copytree(outputs, tmp_path / "outputs")
    names = ("folds.json", "folds.csv", "predictions_folds.csv", "suspects.csv")
    sound = {name: (tmp_path / "outputs/results/cv" / name).read_bytes() for name in names}
    for name in names:
        (tmp_path / "outputs/results/cv" / name).write_bytes(b"")
    (tmp_path / "outputs/results/cv/plan.json").write_text("[3]")
    code, files = run_cli(**FLAGS, run_name="cv")
    assert code == 0 and pretended.trained == []
    assert {name: (files.results / name).read_bytes() for name in names} == sound
    assert compared(files.results.parent, runs="cv") == 0
    assert "left out" not in capsys.readouterr().out


def edited(path, *keys, value) -> None:
    """Put another value into a JSON file."""
    values = inside = json.loads(path.read_text())
    for key in keys[:-1]:
        inside = inside[key]
    inside[keys[-1]] = value
    path.write_text(json.dumps(values))


DAMAGES_OF_A_PLAN = {
    "another seed": lambda results: edited(results / "cv/plan.json", "identity", "flags", "split_seed", value=7),
    "another learning rate": lambda results: edited(results / "cv/plan.json", "identity", "flags", "lr", value=0.5),
    "another command": lambda results: edited(results / "cv/plan.json", "command", value="python -m deep_cnn"),
    "more folds": lambda results: edited(results / "cv/plan.json", "folds", value=9),
    "chosen of a wrong kind": lambda results: edited(results / "cv/plan.json", "chosen", value="x"),
    "identity of a wrong kind": lambda results: edited(results / "cv/plan.json", "identity", value="x"),
    "cut": lambda results: (results / "cv/plan.json").write_text('{"folds": 2'),
    "gone": lambda results: (results / "cv/plan.json").unlink(),
    "digests of a single run": lambda results: shutil.copy(results / "cv-fold1/digests.json", results / "cv"),
}


@pytest.mark.parametrize("damage", DAMAGES_OF_A_PLAN)
def test_a_damaged_plan_is_written_again_and_its_folds_are_kept(outputs, run_cli, pretended, tmp_path, capsys, damage):
    shutil.copytree(outputs, tmp_path / "outputs")
    results = tmp_path / "outputs/results"
    DAMAGES_OF_A_PLAN[damage](results)
    code, files = run_cli(**FLAGS, run_name="cv")
    said = capsys.readouterr()
    assert code == 0 and pretended.trained == [], said.err
    assert "plan.json: damaged or edited; it is written again" in said.err
    assert sorted(path.name for path in results.iterdir()) == ["cv", "cv-fold1", "cv-fold2"]
    assert Manifest(files).damaged() == [] and Manifest(files).verifies
    assert (files.results / "folds.json").read_bytes() == (outputs / "results/cv/folds.json").read_bytes()
    assert compared(results, runs="cv") == 0 and "left out" not in capsys.readouterr().out


def test_folds_of_another_command_are_moved_aside_whatever_their_plan_says(
    outputs, run_cli, pretended, tmp_path, capsys
):
    shutil.copytree(outputs, tmp_path / "outputs")
    results = tmp_path / "outputs/results"
    edited(results / "cv/plan.json", "identity", "flags", "lr", value=0.5)  # as if it had been this command's
    assert run_cli(**FLAGS | {"lr": 0.5}, run_name="cv", resume="must")[0] == 2
    assert "--resume=must: the folds of --run_name=cv differ" in capsys.readouterr().err
    before = tree(results / "cv-fold1")
    assert run_cli(**FLAGS | {"lr": 0.5}, run_name="cv", fold=2)[0] == 0
    assert "The existing folds differ (--lr was 0.001, is 0.5); renamed them to cv.1" in capsys.readouterr().out
    assert {path.name for path in results.iterdir()} >= {"cv", "cv.1", "cv.1-fold1", "cv.1-fold2"}
    assert list(tree(results / "cv.1-fold1").values()) == list(before.values())


def tree(folder) -> dict[str, bytes]:
    """Every file below it but logs, which tell of mistakes, too."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".log"}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"freeze": 99}, "--freeze=99"),
        ({"weights": "FOREIGN"}, "does not match the network"),
        ({"weights": "FOREIGN", "weights_sha256": "0" * 64}, "expected 0000"),
        ({"run_name": "cv-fold1", "resume": "must"}, "there are no folds of --run_name=cv-fold1"),
        ({"folds": None}, "the name of a cross-validation"),
        ({"folds": None, "resume": "must"}, "the name of a cross-validation"),
        ({"data_dir": "BROKEN"}, "unreadable image"),
        ({"run_name": "cv-fold1", "freeze": 99}, "--freeze=99"),  # folds under the name of a single run
    ],
)
def test_a_mistake_leaves_finished_folds_where_they_are(outputs, run_cli, capsys, tmp_path, flags, said):
    shutil.copytree(outputs, tmp_path / "outputs")
    torch.save({"a.weight": torch.zeros(3, 3)}, tmp_path / "foreign.pt")
    shutil.copytree(PLACES / "train", tmp_path / "images")
    for number, image in enumerate((tmp_path / "images").rglob("*.jpg")):
        image.write_bytes(b"\xff\xd8\xff\xe0 broken" + bytes([number]))
    words = {"FOREIGN": tmp_path / "foreign.pt", "BROKEN": tmp_path / "images"}
    flags = {
        name: words.get(value, value)
        for name, value in (FLAGS | {"run_name": "cv"} | flags).items()
        if value is not None
    }
    before = tree(tmp_path / "outputs")
    assert run_cli(**flags)[0] == 2
    assert said in capsys.readouterr().err
    assert tree(tmp_path / "outputs") == before


def test_folds_that_were_moved_aside_are_shown_as_they_are(outputs, run_cli, pretended, capsys, tmp_path):
    shutil.copytree(outputs, tmp_path / "outputs")
    assert run_cli(**FLAGS | {"run_name": "cv", "model": "cifar_resnet20"}, fold=1)[0] == 0
    results = tmp_path / "outputs/results"
    (results / "cv-fold1/config.json").write_text("{}")  # something else under the name that they had
    assert compared(results, runs="cv.1") == 0
    assert "shufflenet_v2_x0_5" in (results.parent / "compare/folds.txt").read_text()


def test_finished_folds_are_asked_for_with_the_weights_that_they_began_with(run_cli, tmp_path, capsys):
    train_run(Config(**TINY, data_dir=str(PLACES), root_dir=str(tmp_path)))
    torch.save(
        torch.load(tmp_path / "outputs/models/default/best.pt", weights_only=True)["weights"], tmp_path / "w.pth"
    )
    digest = hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest()
    flags = FLAGS | {"weights": tmp_path / "w.pth", "weights_sha256": digest, "run_name": "cv"}
    code, files = run_cli(**flags)
    state = files.status.read_bytes()
    assert code == 0 and run_cli(**flags)[0] == 0 and files.status.read_bytes() == state, "nothing is written again"
    assert run_cli(**flags | {"weights_sha256": "0" * 64})[0] == 2
    assert f"the run cv-fold1 began with weights of the SHA-256 {digest}" in capsys.readouterr().err
    assert files.status.read_bytes() == state


def test_compare_leaves_out_folds_of_another_task_by_name(two_sets, capsys):
    values = json.loads((two_sets / "better/folds.json").read_text())
    values["mean_of_folds"] = {"mae": 1.0}
    write_json(two_sets / "better/folds.json", values, announce=Manifest(RunFiles(two_sets.parent, "better")).announce)
    assert compared(two_sets, runs="*", baseline="cv") == 0
    out = capsys.readouterr().out
    assert "Note: left out: better: it has no top-1; --runs=better shows it" in out and "\ncv " in out
