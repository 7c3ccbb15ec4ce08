"""Learning rates against torch's own schedulers and hand-made values; groups, L1 and the moving average."""

import copy

import pytest
import torch
from torch import nn

from deep_cnn.training.optim import optimizers, schedules
from deep_cnn.training.optim.average import MovingAverage


def network():
    # no bias before the norm: its gradient is rounding noise, which Adam blows up to whole steps
    return nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def groups_of(model, **changes):
    flags = {"lr": 1e-3, "backbone_lr": 1e-4, "weight_decay": 0.1} | changes
    return optimizers.parameter_groups(model, ["3"], **flags)


def test_groups_split_backbone_from_head_and_weights_from_norms_and_biases():
    model = network()
    found = {(g["part"], g["weight_decay"]): g for g in groups_of(model)}
    assert set(found) == {("backbone", 0.1), ("backbone", 0.0), ("head", 0.1), ("head", 0.0)}
    assert [p.shape for p in found["backbone", 0.1]["params"]] == [model[0].weight.shape]
    assert len(found["backbone", 0.0]["params"]) == 2 and len(found["head", 0.0]["params"]) == 1
    assert found["backbone", 0.1]["lr"] == 1e-4 and found["head", 0.1]["lr"] == 1e-3
    assert sum(len(g["params"]) for g in found.values()) == len(list(model.parameters()))


def test_cosine_is_torchs():
    schedule = schedules.make_schedule("cosine", 100, 0.0)
    sgd = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, 100)
    for step in range(100):
        assert schedule.factor(step) == pytest.approx(sgd.param_groups[0]["lr"], abs=1e-9)
        sgd.step()
        theirs.step()


@pytest.mark.parametrize("steps", [4, 10, 33, 50, 400])
def test_onecycle_is_torchs(steps):
    schedule = schedules.make_schedule("onecycle", steps, 0.5)  # its rise is its own: the warm-up is not added to it
    sgd = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(sgd, 1.0, total_steps=steps, cycle_momentum=False)
    for step in range(steps):
        assert schedule.factor(step) == pytest.approx(sgd.param_groups[0]["lr"], abs=1e-12)
        sgd.step()
        theirs.step() if step < steps - 1 else None
    assert schedule.factor(steps - 1) == pytest.approx(4e-6)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_onecycle_of_a_few_steps_has_rates_of_a_sensible_size(steps):
    schedule = schedules.make_schedule("onecycle", steps, 0.0)
    assert all(0 < schedule.factor(step) <= 1 for step in range(steps)) and schedule.factor(0) > 0.03


def test_warmup_step_and_constant():
    warm = schedules.make_schedule("constant", 100, 0.05)
    assert [round(warm.factor(s), 3) for s in (0, 1, 4, 5, 99)] == [0.167, 0.333, 0.833, 1.0, 1.0]
    step = schedules.make_schedule("step", 90, 0.0)
    assert [step.factor(s) for s in (0, 29, 30, 60, 89)] == pytest.approx([1, 1, 0.1, 0.01, 0.01])


def test_the_rate_is_not_multiplied_in_twice():
    # LambdaLR multiplies by the initial rate; a lambda that returns the rate trains 1e-3 as 1e-6
    optimizer = optimizers.make_optimizer("adamw", groups_of(network()), momentum=0.9, nesterov=False)
    for _ in range(3):
        optimizers.set_lr(optimizer, 0.5)
    assert sorted({g["lr"] for g in optimizer.param_groups}) == pytest.approx([5e-5, 5e-4])


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_optimizers_are_torchs(name):
    ours = network()
    theirs = copy.deepcopy(ours)
    optimizer = optimizers.make_optimizer(
        name, groups_of(ours, lr=0.01, backbone_lr=0.01), momentum=0.9, nesterov=name == "sgd"
    )
    decay = [
        {"params": [p for p in theirs.parameters() if p.ndim > 1], "weight_decay": 0.1},
        {"params": [p for p in theirs.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    plain = {
        "adamw": lambda: torch.optim.AdamW(decay, lr=0.01),
        "adam": lambda: torch.optim.Adam(decay, lr=0.01),
        "sgd": lambda: torch.optim.SGD(decay, lr=0.01, momentum=0.9, nesterov=True),
    }[name]()
    images = torch.randn(8, 3, 3, 3)
    for _ in range(3):
        for model, opt in ((ours, optimizer), (theirs, plain)):
            opt.zero_grad()
            model(images).pow(2).mean().backward()
            opt.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_l1_is_the_gradient_of_the_sum_of_absolute_weights():
    model = network()
    optimizer = optimizers.make_optimizer("sgd", groups_of(model), momentum=0.0, nesterov=False)
    (0.0 * sum(p.sum() for p in model.parameters())).backward()
    optimizers.add_l1(optimizer, 0.3)
    assert torch.allclose(model[0].weight.grad, 0.3 * model[0].weight.sign())
    assert (model[1].weight.grad == 0).all() and (model[3].bias.grad == 0).all()


def test_moving_average_by_hand():
    model = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
    average = MovingAverage(model, copy.deepcopy(model), decay=0.5)
    value = expected = float(model[0].weight.detach())
    for step in range(12):
        value += 1.0
        with torch.no_grad():
            model[0].weight.fill_(value)
            model[1].running_mean.fill_(value)
            model[1].num_batches_tracked.fill_(step)
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    assert float(average.averaged[0].weight) == pytest.approx(expected, rel=1e-5)
    assert int(average.averaged[1].num_batches_tracked) == 11
    assert not average.averaged.training and not any(p.requires_grad for p in average.averaged.parameters())


@pytest.mark.parametrize(
    ("name", "has_momentum"), [("adamw", False), ("sgd", True), ("muon", True), ("timm/lion", False)]
)
def test_a_momentum_without_effect_is_said(caplog, name, has_momentum):
    if name.startswith("timm/"):
        pytest.importorskip("timm")
    optimizers.make_optimizer(name, groups_of(network()), momentum=0.5, nesterov=False)
    assert (f"--momentum=0.5 has no effect: --optimizer={name} has no momentum" in caplog.text) != has_momentum
    caplog.clear()
    optimizers.make_optimizer(name, groups_of(network()), momentum=0.9, nesterov=False)  # the default
    assert caplog.text == ""
