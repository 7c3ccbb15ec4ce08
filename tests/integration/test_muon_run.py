"""Whole runs with Muon: which rate its filters get."""

import pytest
import torch

from deep_cnn.training.optim.muon import Muon


@pytest.mark.parametrize(("flags", "turn"), [({}, 0.2), ({"backbone_lr": 0.05}, 0.05)])
def test_an_automatic_rate_is_that_of_all_but_the_filters(train, monkeypatch, flags, turn):
    """In the range test, too, they turn as they will in the run."""
    turns, step = set(), Muon.step
    monkeypatch.setattr(
        Muon,
        "step",
        lambda self, closure=None: (
            turns.update(g["lr"] for g in self.param_groups if g["orthogonal"]) or step(self, closure)
        ),
    )
    code, files = train(optimizer="muon", lr="auto", schedule="constant", warmup=0, **flags)
    assert code == 0
    saved = torch.load(files.last, weights_only=True)
    rates = {(group["orthogonal"], group["base_lr"]) for group in saved["optimizer"]["param_groups"]}
    assert rates == {(True, turn), (False, saved["decisions"]["lr"])}
    assert all(each == pytest.approx(turn) for each in turns)


def test_pretrained_filters_turn_a_tenth_as_far(train):
    code, files = train(optimizer="muon", model="cifar_resnet20", weights="pretrained")
    assert code == 0
    groups = torch.load(files.last, weights_only=True)["optimizer"]["param_groups"]
    assert [group["base_lr"] for group in groups if group["orthogonal"]] == [pytest.approx(0.02)]
