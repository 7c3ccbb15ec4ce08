"""Whole runs, small: what a run leaves behind, that it repeats itself, and that the same command goes on or ends at once."""

import csv
import hashlib
import json
import shutil

import numpy as np
import pytest
import torch
import torchvision
from conftest import PERCEPTION, PLACES

from deep_cnn.runtime.run_files import RunFiles


def weights(files: RunFiles) -> dict[str, torch.Tensor]:
    return torch.load(files.last, weights_only=True)["weights"]


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def rows(path) -> list[dict]:
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_classification_leaves_everything_behind(pictures, train, capsys):
    code, files = train(epochs=2)
    assert code == 0
    out = capsys.readouterr().out
    assert out.startswith("Running on cpu device") and "Epoch 1: training loss" in out and "top-1" in out
    for name in (
        "config.json",
        "splits.csv",
        "metrics.csv",
        "timing.csv",
        "test.json",
        "status.json",
        "predictions_test.csv",
        "learning_curves.png",
        "confusion_matrix.png",
    ):
        assert (files.results / name).stat().st_size > 0, name
    assert files.best.exists() and files.log.read_text(encoding="utf-8").count("Epoch") == 2
    result = json.loads((files.results / "test.json").read_text(encoding="utf-8"))
    assert result["count"] == 15 and 0 <= result["top1"] <= 1 and "top5" not in result  # of five classes always 1
    low, high = result["intervals"]["top1"]
    assert low <= result["top1"] <= high
    assert len(rows(files.results / "metrics.csv")) == 2
    assert json.loads(files.status.read_text(encoding="utf-8"))["state"] == "finished"
    splits = rows(files.results / "splits.csv")
    assert {row["split"] for row in splits} == {"train", "validation", "test"} and len(splits) == 70
    # the result can be computed again from the predictions
    table = rows(files.results / "predictions_test.csv")
    assert np.mean([row["target"] == row["predicted"] for row in table]) == pytest.approx(result["top1"])
    assert sum(
        float(table[0][f"p_{name}"]) for name in ("alley", "beach", "butte", "boathouse", "auto_factory")
    ) == pytest.approx(1)


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_only_plateau_cuts_the_rate_where_validation_stands_still(train, schedule):
    """With a rate of 1e-12 no epoch is better than the first; torch's own schedulers say what the rate has to be."""
    code, files = train(model="net", image_size=32, epochs=6, lr=1e-12, schedule=schedule, warmup=0)
    table = rows(files.results / "metrics.csv")
    assert code == 0 and len({row["val_top1"] for row in table}) == 1
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1e-12)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", factor=0.1, patience=2, threshold=0, eps=0)
    steps = int(table[0]["step"])
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=6 * steps) if schedule == "cosine" else None
    for epoch, row in enumerate(table):
        for _ in range(steps if epoch else steps - 1):  # the row has the rate of the epoch's last step
            optimizer.step()
            cosine and cosine.step()
        assert float(row["lr"]) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-6, abs=0)
        cosine or plateau.step(float(row["val_top1"]))


def test_evaluate_repeats_the_numbers_by_name_alone(train, run_cli, capsys):
    train()
    trained = capsys.readouterr().out.split("Test result")[1].split("Everything is in")[0]
    code, _ = run_cli("evaluate")
    assert code == 0
    evaluated = capsys.readouterr().out.split("Test result")[1]
    assert "top-1" in trained and trained.strip() == evaluated.strip()
    assert run_cli("evaluate", split="validation")[0] == 0
    assert run_cli("evaluate", run_name="nobody")[0] == 2


def test_same_seed_same_weights_whatever_the_workers_cache_and_place(train, tmp_path):
    _, first = train(run_name="first", workers=1)
    _, second = train(run_name="second", workers=3, cache=tmp_path / "cache")
    shutil.copytree(PLACES, tmp_path / "elsewhere" / "places")
    _, third = train(run_name="third", data_dir=tmp_path / "elsewhere" / "places", cache=tmp_path / "cache")
    _, other = train(run_name="other", seed=1)
    assert same(weights(first), weights(second)) and same(weights(first), weights(third))
    assert not same(weights(first), weights(other))
    for name in ("metrics.csv", "test.json", "splits.csv", "predictions_test.csv"):
        contents = {(files.results / name).read_bytes() for files in (first, second, third)}
        assert len(contents) == 1, name


def test_the_same_command_again_prints_its_result_and_trains_nothing(train, capsys):
    train()
    first = capsys.readouterr().out
    code, files = train()
    again = capsys.readouterr().out
    assert code == 0 and "finished" in again and "Epoch 0" not in again
    assert first.split("Test result")[1].splitlines()[1:6] == again.split("Test result")[1].splitlines()[1:6]
    assert not (files.results.parent / "default.1").exists()


def test_another_run_of_the_name_moves_the_old_one_aside(train, capsys):
    _, files = train()
    old = files.best.read_bytes()
    assert train(lr=0.01)[0] == 0
    assert "--lr was 0.001, is 0.01" in capsys.readouterr().out
    assert RunFiles(files.outputs, "default.1").best.read_bytes() == old
    train(lr=0.01, resume="never")
    assert RunFiles(files.outputs, "default.2").best.exists()


def test_other_workers_cache_and_trackers_are_the_same_run(train, capsys):
    train()
    assert train(workers=3, save_every="5s", max_time="10:00:00")[0] == 0
    assert "This run is finished" in capsys.readouterr().out


def test_must_resume_insists(train, capsys):
    assert train(resume="must")[0] == 2
    assert "nothing to resume" in capsys.readouterr().err
    train()
    assert train(resume="must", lr=0.5)[0] == 2
    assert "--lr was 0.001" in capsys.readouterr().err


def test_place_pulse_scores(pictures, train, capsys):
    code, files = train(
        data_dir=PERCEPTION / "test_images", metadata=PERCEPTION / "meta", study_id="50a68a51fdc9f05596000002"
    )
    assert code == 0 and "regression" in capsys.readouterr().out
    result = json.loads((files.results / "test.json").read_text(encoding="utf-8"))
    assert result["mae"] > 0 and result["mean_predictor"]["mae"] > 0
    assert (files.results / "predicted_vs_true.png").exists()


def table(tmp_path, scenes: int, column) -> dict:
    lines = ["image,value"]
    files = sorted(PLACES.rglob("*.jpg"))[:scenes]
    lines += [f"{file.relative_to(PLACES).as_posix()},{column(i)}" for i, file in enumerate(files)]
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"metadata": tmp_path / "table.csv", "target": "value", "image_column": "image"}


def test_several_labels(pictures, train, tmp_path):
    flags = table(
        tmp_path, 60, lambda i: ";".join(name for name, n in (("sky", 2), ("tree", 3), ("car", 5)) if i % n == 0)
    )
    code, files = train(task="multilabel", **flags)
    assert code == 0
    result = json.loads((files.results / "test.json").read_text(encoding="utf-8"))
    assert 0 <= result["map"] <= 1 and set(result["per_class"]) == {"sky", "tree", "car"}


@pytest.mark.parametrize(
    "flags",
    [
        {"optimizer": "sgd", "nesterov": True, "schedule": "onecycle", "clip": 1.0, "l1": 1e-5},
        {"ema": 0.9, "mixup": 0.2, "cutmix": 1.0, "label_smoothing": 0.1, "dropout": 0.5, "schedule": "plateau"},
        {"freeze": "2", "unfreeze_epoch": 1, "epochs": 2, "class_weights": True, "schedule": "step"},
        {"oversample": True, "grad_accumulation": 3, "precision": "fp32", "augment": "trivialaugment"},
        {"val_split": 0, "test_split": 0, "patience": 0, "augment": "rotation,flip,crop", "precision": "fp64"},
        {"subset": 0.5, "fit": "pad", "pre": "half", "schedule": "constant", "optimizer": "adam"},
    ],
)
def test_every_flag_of_training_trains(train, flags):
    code, files = train(**flags)
    assert code == 0
    before = torch.load(files.best, weights_only=True)
    assert all(torch.isfinite(v).all() for v in before["weights"].values() if v.is_floating_point())


def test_a_run_without_validation_or_test_says_so(pictures, train, tmp_path, capsys):
    for split in ("train",):
        shutil.copytree(PLACES / split, tmp_path / "only" / split)
    code, files = train(data_dir=tmp_path / "only", val_split=0, test_split=0)
    out = capsys.readouterr().out
    assert code == 0 and "no validation set (the last weights are kept)" in out
    assert not (files.results / "test.json").exists() and files.best.exists()
    assert train(data_dir=tmp_path / "only", val_split=0, test_split=0)[0] == 0  # finished: nothing is trained again
    assert "This run is finished" in capsys.readouterr().out


def test_early_stopping(train, capsys):
    code, files = train(epochs=30, patience=2, lr=1e-12, backbone_lr=0.0, augment="none")
    assert code == 0 and "Stopping early: validation has not improved for 2 epochs" in capsys.readouterr().out
    assert len(rows(files.results / "metrics.csv")) < 30


def test_a_frozen_backbone_stays_as_it_was_statistics_too(train):
    from deep_cnn.models.build import ModelSpec, build_model

    start = build_model(ModelSpec("resnet18", 5, 0.0, 32), 0).state_dict()
    _, frozen = train(model="resnet18", freeze="backbone", augment="flip")
    now = weights(frozen)
    moved = [name for name in start if not torch.equal(start[name], now[name].to(start[name].dtype))]
    assert moved == ["fc.weight", "fc.bias"]
    _, thawed = train(model="resnet18", freeze="backbone", unfreeze_epoch=1, epochs=2, run_name="thawed")
    assert not torch.equal(weights(thawed)["bn1.running_mean"], start["bn1.running_mean"])
    assert not torch.equal(weights(thawed)["layer1.0.conv1.weight"], start["layer1.0.conv1.weight"])


@pytest.mark.parametrize("augment", ["basic", "none"])
def test_small_epochs_come_first_and_are_of_training_alone(train, monkeypatch, augment):
    seen, forward = [], torchvision.models.ShuffleNetV2.forward

    def watched(self, images):
        if images.device.type != "meta":  # the count of a step's memory
            seen.append((self.training, images.shape[-1]))
        return forward(self, images)

    monkeypatch.setattr(torchvision.models.ShuffleNetV2, "forward", watched)
    assert train(small_epochs=1, epochs=2, augment=augment, batch_size=40)[0] == 0
    assert [side for training, side in seen if training] == [24, 32]
    assert {side for training, side in seen if not training} == {32}


def test_small_epochs_are_refused_where_they_make_no_sense(train, capsys):
    assert train(small_epochs=1, freeze="backbone")[0] == 2
    assert "--small_epochs" in capsys.readouterr().err
    # a vision transformer has a place for each patch; Inception's auxiliary head, which is there in training only, needs 299
    for model, size, side in (("vit_b_16", 64, 48), ("inception_v3", 299, 224)):
        assert train(small_epochs=1, model=model, image_size=size)[0] == 2
        said = capsys.readouterr().err
        assert f"--small_epochs=1: {model} does not support images of {side} pixels" in said and said.count("\n") == 1
    assert train(small_epochs=1)[0] == 0
    assert "none of the 1 epochs uses the test size of 32 pixels" in capsys.readouterr().err


def test_weights_are_verified_also_where_another_run_has_the_name(train, tmp_path, capsys):
    code, files = train()
    state = torch.load(files.best, weights_only=True)["weights"]
    torch.save(state, tmp_path / "w.pth")
    before = files.best.read_bytes()
    flags = {"weights": tmp_path / "w.pth"}
    assert code == 0 and train(**flags, weights_sha256="0" * 64)[0] == 2
    assert "expected 0000" in capsys.readouterr().err and files.best.read_bytes() == before
    digest = hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest()
    assert train(**flags)[0] == 0  # moves the other run aside
    assert json.loads((files.results / "config.json").read_text())["weights_sha256"] == digest
    assert train(**flags, weights_sha256=digest)[0] == 0 and "This run is finished" in capsys.readouterr().out
    state = files.status.read_bytes()
    for resume in ("auto", "must"):
        assert train(**flags, weights_sha256="0" * 64, resume=resume)[0] == 2
        assert files.status.read_bytes() == state, "a finished run stays finished"
    assert f"the run default began with weights of the SHA-256 {digest}" in capsys.readouterr().err


def test_flags_that_have_no_effect_are_said_in_the_log(train, capsys):
    code, _ = train(momentum=0.5, threads=4096, tta="flip", test_folder="none", test_split=0)
    out = "".join(capsys.readouterr())
    assert code == 0
    assert "--momentum=0.5 has no effect: --optimizer=adamw has no momentum" in out
    assert "--threads=4096: using " in out and "grants this process no more cores" in out
    assert "--tta=flip has no effect: there is no test set" in out
