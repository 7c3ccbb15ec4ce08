"""Muon against the singular value decomposition, and what it leaves to SGD."""

import copy

import pytest
import torch
from torch import nn

from deep_cnn.training.optim import optimizers
from deep_cnn.training.optim.muon import Muon, orthogonal


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 9, 4))


def muon_of(model: nn.Module, **rates) -> Muon:
    rates = {"lr": 0.1, "backbone_lr": 0.2, "weight_decay": 0.0} | rates
    return optimizers.make_optimizer(
        "muon", optimizers.parameter_groups(model, ["3"], **rates, muon=True), momentum=0.9, nesterov=True
    )


def backward(model: nn.Module, seed: int, size: float = 1.0) -> None:
    torch.manual_seed(seed)
    (size * model(torch.randn(16, 3, 5, 5)).pow(2).mean()).backward()


@pytest.mark.parametrize("shape", [(16, 40), (40, 16), (20, 20)])
def test_directions_come_to_about_one_size_and_stay_where_they_are(shape):
    torch.manual_seed(0)
    u, s, vh = torch.linalg.svd(torch.randn(shape, dtype=torch.float64), full_matrices=False)
    matrix = u * torch.linspace(5, 1, len(s), dtype=torch.float64) @ vh
    found = u.T @ orthogonal(matrix) @ vh.T  # diagonal, where the singular vectors are the same
    assert (found - torch.diag(found.diagonal())).abs().max() < 1e-12
    assert found.diagonal().min() > 0.5 and found.diagonal().max() < 1.3


def test_a_layer_turns_by_the_rate_whatever_the_size_of_the_gradient():
    ends = []
    for size in (1.0, 1e-4):
        model = network()
        optimizer, before = muon_of(model), model[0].weight.detach().clone()
        backward(model, 1, size)
        optimizer.step()
        after = model[0].weight.detach()
        assert float(after.norm()) == pytest.approx(float(before.norm()), rel=1e-5)  # its size is kept
        cosine = float(torch.nn.functional.cosine_similarity(after.flatten(), before.flatten(), dim=0))
        assert (1 - cosine**2) ** 0.5 / cosine == pytest.approx(0.2, rel=0.15)  # a step nearly at right angles to it
        ends.append(after)
    torch.testing.assert_close(*ends)


def test_all_else_is_sgd():
    ours = network()
    optimizer, theirs = muon_of(ours, weight_decay=0.1), copy.deepcopy(ours)
    others = [p for name, p in theirs.named_parameters() if name != "0.weight"]
    plain = torch.optim.SGD(
        [
            {"params": [p for p in others if p.ndim > 1], "weight_decay": 0.1},
            {"params": [p for p in others if p.ndim == 1]},
        ],
        lr=0.1,
        momentum=0.9,
        nesterov=True,
    )
    for step in range(3):
        backward(ours, step)
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            b.grad = a.grad.clone()
        optimizer.step()
        plain.step()
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b) == (name != "0.weight")


def test_a_layer_without_a_gradient_stays_as_it_is():
    """Frozen, or dead: no step of undefined direction is made of nothing."""
    model = network()
    optimizer, before = muon_of(model), copy.deepcopy(model.state_dict())
    optimizer.step()
    (0.0 * sum(p.sum() for p in model.parameters())).backward()
    optimizer.step()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_step_that_overflowed_is_left_out():
    model = network()
    optimizer, scaler = muon_of(model), torch.amp.GradScaler("cpu")
    before = model[0].weight.detach().clone()
    scaler.scale(model(torch.randn(4, 3, 5, 5)).sum()).backward()
    model[0].weight.grad[0, 0, 0, 0] = float("inf")
    scaler.step(optimizer)
    assert torch.equal(model[0].weight, before)


def test_going_on_is_never_having_stopped():
    whole, broken = network(), network()
    first, second = muon_of(whole), muon_of(broken)
    for step in range(4):
        if step == 2:
            saved = copy.deepcopy(second.state_dict())
            second = muon_of(broken)
            second.load_state_dict(saved)
        for model, optimizer in ((whole, first), (broken, second)):
            optimizer.zero_grad()
            backward(model, step)
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), broken.parameters(), strict=True))


def test_only_what_has_directions_is_turned():
    """ConvNeXt's scales (C, 1, 1) and a token that begins as zeros would keep their size for ever."""

    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.filters, self.scale = nn.Parameter(torch.ones(4, 3, 2, 2)), nn.Parameter(torch.ones(4, 1, 1))
            self.token, self.bias = nn.Parameter(torch.zeros(1, 1, 8)), nn.Parameter(torch.ones(4))

    model = Odd()
    groups = optimizers.parameter_groups(
        model, [], lr=1.0, backbone_lr=0.2, weight_decay=0.1, pace=lambda name: 2.0, muon=True
    )
    turned = [parameter for group in groups if group["orthogonal"] for parameter in group["params"]]
    assert len(turned) == 1 and turned[0] is model.filters
    assert {group["base_lr"] for group in groups if not group["orthogonal"]} == {2.0}
