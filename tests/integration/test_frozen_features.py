"""A frozen backbone's features: computed once, the same bits whoever computes them, the same decisions as the whole network."""

import logging

import numpy as np
import pytest
import torch
from torch import nn

from deep_cnn.models import checkpoint, freeze
from deep_cnn.models.build import ModelSpec, build_model, head_modules, stages
from deep_cnn.runtime import signals
from deep_cnn.training import frozen_features
from deep_cnn.training.frozen_features import find_cut

PROBE = {"recipe": "probe", "epochs": 3, "cache": "auto"}


def cut_of(name: str, dropout: float = 0.0, size: int = 64):
    spec = ModelSpec(name, 3, dropout, size)
    model = build_model(spec, 0)
    frozen = [module for _, names in stages(name, model) for module in names]
    return model, frozen, find_cut(model, head_modules(name, model), frozen, size, torch.no_grad)


@pytest.mark.parametrize(
    ("name", "tail"),
    [("resnet18", ("fc",)), ("mobilenet_v3_small", ("classifier.2", "classifier.3")), ("densenet121", ("classifier",))],
)
def test_the_cut_is_before_the_head_and_its_dropout(name, tail):
    model, _, cut = cut_of(name)
    assert cut.tail == tail
    captured = []
    model.get_submodule(tail[0]).register_forward_pre_hook(lambda m, x: captured.append(x[0]))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model.eval()(images), cut.tail_of(model)(captured[0]))
    assert captured[0].shape == (2, cut.width)


def test_dropout_before_the_head_stays_in_the_tail():
    model, frozen, cut = cut_of("resnet18", dropout=0.5)
    freeze.training_mode(model, frozen)
    x = torch.ones(4, cut.width)
    assert not torch.equal(cut.tail_of(model)(x), cut.tail_of(model)(x))


@pytest.mark.parametrize(("name", "size"), [("squeezenet1_1", 64), ("googlenet", 64)])
def test_networks_that_cannot_be_cut_say_why(name, size):
    reason = cut_of(name, size=size)[2]
    assert isinstance(reason, str) and "head" in reason


def test_dropout_within_the_backbone_is_no_part_of_the_tail():
    """VGG has one between two frozen layers: frozen with them, so the features are the same in every epoch."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.Dropout(), nn.Linear(8, 8), nn.Dropout(), nn.Linear(8, 3))
    freeze.training_mode(model, ["1", "3"])
    assert [m.training for m in model] == [False, False, False, False, True, True]
    cut = find_cut(model, ["5"], ["1", "3"], 2, torch.no_grad)
    assert cut.tail == ("4", "5")


def test_looking_for_the_cut_changes_nothing():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    assert find_cut(model, ["4"], ["0", "1"], 8, torch.no_grad).tail == ("4",)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def weights(files):
    return checkpoint.load(files.last)["weights"]


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def counted(monkeypatch):
    """How many batches have gone through the whole network to become features."""
    count = []
    original = frozen_features.Features._compute

    def compute(self, split, view, missing, *rest):
        count.append((split, view, len(missing)))
        return original(self, split, view, missing, *rest)

    monkeypatch.setattr(frozen_features.Features, "_compute", compute)
    return count


def test_each_image_goes_through_the_backbone_once(train, counted):
    _, files = train(**PROBE)
    assert counted == [("train", -1, 40), ("validation", -1, 15), ("test", -1, 15)]
    _, again = train(**PROBE, run_name="again")
    assert len(counted) == 3 and same(weights(files), weights(again))
    _, other_head = train(**PROBE, run_name="other_head", lr=0.1)
    assert len(counted) == 3 and not same(weights(files), weights(other_head))
    train(**PROBE, run_name="other_backbone", seed=5)
    assert len(counted) == 6


def test_features_train_as_the_whole_network_does(train, monkeypatch):
    flags = PROBE | {"precision": "fp32", "lr": 0.01}
    _, files = train(**flags, run_name="features")
    monkeypatch.setattr("deep_cnn.training.setup.find_cut", lambda *_: "not asked for")
    _, whole = train(**flags, run_name="whole")
    ours, theirs = weights(files), weights(whole)
    backbone = [name for name in ours if not name.startswith("fc.")]
    assert all(torch.equal(ours[name], theirs[name]) for name in backbone)
    # the training batches went through the backbone in other rows: the last bits of float32
    assert torch.allclose(ours["fc.weight"], theirs["fc.weight"], rtol=1e-4, atol=1e-6)
    assert not torch.equal(ours["fc.weight"], build_model(ModelSpec("resnet18", 5), 0).fc.weight)
    rows = [[row["val_loss"] for row in checkpoint.load(f.last)["history"]] for f in (files, whole)]
    assert rows[0] == pytest.approx(rows[1], rel=1e-5)


def test_stopped_anywhere_it_goes_on_to_the_same_bits(train, monkeypatch, counted):
    _, whole = train(**PROBE, run_name="whole", root_dir="whole")
    for at in (1, 4):  # while features are computed, between epochs
        asked = []

        def requested(asked=asked, at=at):
            asked.append(1)
            return "SIGTERM" if len(asked) == at else None

        with monkeypatch.context() as patch:
            patch.setattr(signals, "requested", requested)
            code, _ = train(**PROBE, run_name="parts", root_dir=f"parts{at}")
            assert code == 75
        code, parts = train(**PROBE, run_name="parts", root_dir=f"parts{at}")
        assert code == 0 and same(weights(whole), weights(parts))
        assert (whole.results / "metrics.csv").read_bytes() == (parts.results / "metrics.csv").read_bytes()
    # stopped after the first batch of 15 rows: 25 of the 40 were left to compute
    assert ("train", -1, 25) in counted


def test_views_are_the_epochs_of_an_augmented_run(train, counted, monkeypatch):
    flags = PROBE | {"augment": "basic", "precision": "fp32", "epochs": 3}
    _, views = train(**flags, views=2, run_name="views")
    assert [row for row in counted if row[0] == "train"] == [("train", 0, 40), ("train", 1, 40), ("train", 0, 0)][:2]
    _, three = train(**flags, views=3, run_name="three")
    _, whole = train(**flags, run_name="whole")  # augmented anew in every epoch: the whole network each time
    ours, theirs = weights(three), weights(whole)
    assert torch.allclose(ours["fc.weight"], theirs["fc.weight"], rtol=1e-3, atol=1e-5)
    assert not torch.allclose(weights(views)["fc.weight"], theirs["fc.weight"], rtol=1e-5, atol=1e-7)


def test_augmentation_without_views_says_what_to_do(train, caplog):
    with caplog.at_level(logging.INFO, "deep_cnn"):
        code, _ = train(**PROBE | {"augment": "flip", "epochs": 1})
    assert code == 0 and "--views=10" in caplog.text


def test_a_damaged_row_is_computed_again(train, counted, tmp_path):
    _, files = train(**PROBE)
    (path,) = (tmp_path / "outputs" / "cache").glob("*.features")
    data = np.memmap(path, np.uint8, "r+")
    data[512 * 4 * 3 + 100] ^= 255
    data.flush()
    counted.clear()
    _, again = train(**PROBE, run_name="again")
    assert [row[2] for row in counted] == [1] and same(weights(files), weights(again))
