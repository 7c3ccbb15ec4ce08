"""The fast network and its recipe: the whitening layer, what is frozen when, the rates, and several views at the test."""

import json
import signal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import PERCEPTION
from torch import nn
from torchvision.transforms.v2 import functional as T

from deep_cnn.cli.main import main
from deep_cnn.data.augment.steps import parse_augment
from deep_cnn.inference.tta import Averaged
from deep_cnn.models.build import ModelSpec, build_model, head_modules
from deep_cnn.models.freeze import training_mode
from deep_cnn.models.zoo.cifar_fast import LITTLE, CifarFast, whitening_filters
from deep_cnn.training import setup
from deep_cnn.training.optim.average import MovingAverage
from deep_cnn.training.optim.optimizers import parameter_groups
from deep_cnn.training.optim.schedules import make_schedule

FAST = {"recipe": "cifar_fast", "model": "cifar_fast", "batch_size": 16, "lr": 0.1, "precision": "fp32"}


def smooth(count: int) -> torch.Tensor:
    """Images whose neighbouring pixels and channels are alike, float32 (count, 3, 32, 32)."""
    grey = F.avg_pool2d(torch.randn(count, 1, 34, 34), 3, stride=1)
    return grey + 0.3 * torch.randn(count, 3, 32, 32)


def test_the_first_layer_whitens_patches():
    """Its answers to the images are uncorrelated and of unit size, but for what is added to the eigenvalues."""
    torch.manual_seed(0)
    images = smooth(64)
    answers = F.conv2d(images, whitening_filters(images.split(10))).double()  # (64, 12, 31, 31)
    rows = answers.permute(0, 2, 3, 1).reshape(-1, 12)
    moments = rows.T @ rows / len(rows)
    sizes = moments.diagonal()
    assert (moments - torch.diag(sizes)).abs().max() < 1e-4
    patches = F.unfold(images, 2).transpose(1, 2).reshape(-1, 12).double()  # torch's own
    values = torch.linalg.svdvals(patches) ** 2 / len(patches)
    torch.testing.assert_close(sizes.sort().values, (values / (values + LITTLE)).sort().values, atol=1e-5, rtol=0)


def test_each_filter_is_there_with_both_signs():
    model = CifarFast()
    model.start_from([smooth(8)])
    assert torch.equal(model.whiten.weight[:12], -model.whiten.weight[12:]) and not model.whiten.bias.any()


def test_convolutions_begin_as_the_identity():
    group = CifarFast().body.group2
    x = torch.rand(2, 64, 8, 8)
    assert torch.equal(group.conv1(x)[:, :64], x)
    y = torch.rand(2, 256, 4, 4)
    torch.testing.assert_close(group.conv2(y), y)


def test_filters_never_train_and_their_bias_for_three_epochs():
    model = build_model(ModelSpec("cifar_fast", 10), 0)
    for epoch, trained in enumerate([True, True, True, False, False]):
        training_mode(model, model.still(epoch))
        assert not model.whiten.weight.requires_grad and model.whiten.bias.requires_grad is trained
        assert all(p.requires_grad for name, p in model.named_parameters() if not name.startswith("whiten"))


def test_biases_of_norms_learn_faster_and_decay_as_much():
    model = build_model(ModelSpec("cifar_fast", 10), 0)
    groups = parameter_groups(
        model, head_modules("cifar_fast", model), lr=1.5, backbone_lr=1.5, weight_decay=0.00133, pace=model.pace
    )
    norms = {id(p) for m in model.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()}
    assert len(norms) == 6  # biases alone: there are no scales
    for group in groups:
        fast = {id(p) for p in group["params"]} <= norms
        assert group["base_lr"] == (96 if fast else 1.5)
        if group["params"][0].ndim > 1 or fast:
            assert group["base_lr"] * group["weight_decay"] == pytest.approx(1.5 * 0.00133)


def test_triangle_is_straight_lines():
    schedule = make_schedule("triangle", 490, 0.23)
    expected = np.interp(np.arange(490), [0, 113, 490], [0.2, 1, 0.07])
    np.testing.assert_allclose([schedule.factor(step) for step in range(490)], expected, atol=1e-12)


def test_two_epochs_show_both_sides_of_each_image():
    images = torch.randint(0, 256, (200, 3, 8, 8), dtype=torch.uint8)
    flips = parse_augment("alternate")
    shown = [flips.each(images, 8, 0, epoch, np.arange(200)) for epoch in range(4)]
    assert torch.equal(shown[0], shown[1].flip(-1)) and torch.equal(shown[0], shown[2])
    turned = (shown[0] == images.flip(-1)).all((1, 2, 3)).sum()
    assert 70 < turned < 130
    other = flips.each(images, 8, 1, 0, np.arange(200))
    assert not torch.equal(other, shown[0]) and not torch.equal(other, shown[1])


def test_translation_is_a_crop_of_mirrored_borders():
    images = torch.randint(0, 256, (300, 3, 32, 32), dtype=torch.uint8)
    moved = parse_augment("translate").each(images, 32, 0, 0, np.arange(300))
    seen = set()
    for image, result in zip(images, moved, strict=True):
        padded = T.pad(image, [2] * 4, padding_mode="reflect")
        places = [
            (top, left)
            for top in range(5)
            for left in range(5)
            if torch.equal(padded[:, top : top + 32, left : left + 32], result)
        ]
        assert len(places) == 1
        seen.add(places[0])
    assert len(seen) == 25


def test_views_are_averaged():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 5)).eval()
    images = torch.randn(6, 3, 8, 8)
    moved = [T.pad(images, [1] * 4, padding_mode="reflect")[..., at : at + 8, at : at + 8] for at in (0, 2)]
    with torch.no_grad():
        sides = [(network(view) + network(T.horizontal_flip(view))) / 2 for view in (images, *moved)]
        torch.testing.assert_close(Averaged(network, "flip")(images), sides[0])
        torch.testing.assert_close(Averaged(network, "shift")(images), sides[0] / 2 + (sides[1] + sides[2]) / 4)


def test_the_recipe_trains_and_is_tested_with_and_without_views(pictures, train, run_cli, capsys):
    code, files = train(**FAST, epochs=2)
    assert code == 0
    shown = capsys.readouterr().out
    plain = json.loads((files.results / "test.json").read_text(encoding="utf-8"))
    views = plain["tta"]
    assert views["views"] == "shift" and views["count"] == plain["count"] and views["loss"] != plain["loss"]
    assert "--tta=shift" in (files.results / "report.html").read_text(encoding="utf-8")
    last = torch.load(files.last, weights_only=True)["weights"]
    assert last["whiten.bias"].any() and torch.equal(last["whiten.weight"][:12], -last["whiten.weight"][12:])
    assert run_cli("evaluate")[0] == 0
    again = capsys.readouterr().out.split("Test result")[1]
    assert (
        "--tta=shift" in again and again.strip() == shown.split("Test result")[1].split("Everything is in")[0].strip()
    )

    root = files.results.parents[2]
    assert main(["compare", f"--root_dir={root}", "--runs=default", "--metric=tta/top1"]) == 0
    said = capsys.readouterr().out
    assert f"{100 * views['top1']:.2f}%" in said and "same views" not in said
    assert train(**FAST, epochs=2, seed=1, tta="flip", run_name="second")[0] == 0
    capsys.readouterr()
    assert main(["compare", f"--root_dir={root}", "--metric=tta/top1"]) == 0
    assert (
        "Not all runs were tested with the same views of each image (--tta=flip, --tta=shift)"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param({"lr": "auto", "epochs": 1}, marks=pytest.mark.slow),
        {"freeze": "1", "unfreeze_epoch": 1, "epochs": 2, "tta": "flip"},
        pytest.param({"precision": "fp64", "image_size": 48, "epochs": 1}, marks=pytest.mark.slow),
    ],
)
def test_the_network_takes_the_flags_of_any_other(train, flags):
    code, files = train(**FAST | flags)
    assert code == 0 and "tta" in json.loads((files.results / "test.json").read_text(encoding="utf-8"))


def test_the_filters_of_one_process_are_those_of_all(train, monkeypatch):
    """What the first process made is loaded, whatever this one would have made itself."""
    started = setup.started

    def other(*args):
        made = started(*args)
        return made | {"whiten.weight": torch.full_like(made["whiten.weight"], 0.25)}

    monkeypatch.setattr(setup, "started", other)
    _, files = train(**FAST)
    assert (torch.load(files.last, weights_only=True)["weights"]["whiten.weight"] == 0.25).all()


def test_weights_of_a_file_keep_their_filters(train, tmp_path):
    """They belong to the images that the weights were trained on."""
    _, first = train(**FAST)
    best = torch.load(first.best, weights_only=True)["weights"]
    _, second = train(**FAST | {"weights": first.best, "augment": "none", "run_name": "second", "subset": "0.5"})
    assert torch.equal(torch.load(second.best, weights_only=True)["weights"]["whiten.weight"], best["whiten.weight"])


def test_views_of_scores_and_what_is_said_of_a_run_without_them(train, run_cli, capsys):
    flags = {"data_dir": PERCEPTION / "test_images", "metadata": PERCEPTION / "meta", "study_id": "safety,wealthy"}
    train(**flags)
    capsys.readouterr()
    assert train(**flags, tta="flip")[0] == 0  # the same run: it is finished, and not trained again
    assert "evaluate --run_name=default --tta=flip" in capsys.readouterr().out
    assert run_cli("evaluate", tta="flip")[0] == 0
    plain, views = capsys.readouterr().out.split("--tta=flip")
    assert "safety" in plain and "MAE" in views


def test_views_of_a_network_that_is_trained_on_features(train):
    """The features are of the image as it stands; its views go through the whole network."""
    _, files = train(recipe="probe", tta="flip")
    result = json.loads((files.results / "test.json").read_text(encoding="utf-8"))
    assert result["tta"]["views"] == "flip" and result["tta"]["loss"] != result["loss"]


@pytest.mark.slow
def test_stopped_and_continued_it_is_the_unbroken_run(train, tmp_path, monkeypatch):
    """Stopped in the fifth epoch, when the bias no longer trains: what is frozen is a function of the epoch alone."""
    flags = FAST | {"epochs": 6, "save_every": 1}
    _, whole = train(**flags, root_dir=tmp_path / "whole")
    update = MovingAverage.update

    def then_stop(self, step):
        update(self, step)
        if step == stop_at:
            signal.raise_signal(signal.SIGTERM)

    steps = torch.load(whole.last, weights_only=True)["progress"]["global_step"]
    stop_at = steps * 5 // 6 - 2  # within an epoch
    monkeypatch.setattr(MovingAverage, "update", then_stop)
    assert train(**flags, root_dir=tmp_path / "broken")[0] == 75
    code, files = train(**flags, root_dir=tmp_path / "broken")
    assert code == 0
    one, other = (torch.load(f.last, weights_only=True) for f in (whole, files))
    for part in ("weights", "average"):
        assert all(torch.equal(one[part][name], other[part][name]) for name in one[part])
    assert (whole.results / "test.json").read_text() == (files.results / "test.json").read_text()
