"""timm's optimizers with our parameter groups: rates and decay of each group hold, and a saved state goes on bit for bit."""

import copy
import io

import pytest
import torch
from torch import nn

from deep_cnn.config.schema import Config
from deep_cnn.runtime.errors import ConfigError
from deep_cnn.training.optim import optimizers, timm_optimizers

timm_optim = pytest.importorskip("timm.optim")

# apex and bitsandbytes are no part of timm; adahessian needs second derivatives
NAMES = timm_optim.list_optimizers(exclude_filters=["fused*", "bnb*", "adahessian"])


@pytest.fixture(autouse=True)
def uncompiled(monkeypatch):
    """Kron compiles its parts, which takes 20 seconds."""
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AvgPool2d(3), nn.Flatten(), nn.Linear(4, 2)
    )


def optimizer_of(model, name, **changes):
    rates = {"lr": 1e-3, "backbone_lr": 1e-4, "weight_decay": 0.1} | changes
    groups = optimizers.parameter_groups(model, ["5"], **rates)
    return optimizers.make_optimizer(f"timm/{name}", groups, momentum=0.8, nesterov=False)


def steps(model, optimizer, numbers) -> None:
    for number in numbers:
        images = torch.randn(6, 3, 5, 5, generator=torch.Generator().manual_seed(number))
        model(images).pow(2).mean().backward()
        optimizers.set_lr(optimizer, 1 / (1 + number))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


@pytest.mark.parametrize("name", [*NAMES, "lookahead_adamw"])
def test_a_saved_state_goes_on_bit_for_bit(name):
    whole = network()
    optimizer = optimizer_of(whole, name)
    steps(whole, optimizer, range(4))
    file = io.BytesIO()
    torch.save({"optimizer": optimizer.state_dict(), "weights": whole.state_dict()}, file)
    steps(whole, optimizer, range(4, 12))
    file.seek(0)
    saved = torch.load(file, weights_only=True)  # as models/checkpoint.py reads it
    resumed = network()
    resumed.load_state_dict(saved["weights"])
    again = optimizer_of(resumed, name)
    again.load_state_dict(saved["optimizer"])
    steps(resumed, again, range(4, 12))
    for ours, theirs in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert torch.equal(ours, theirs) and torch.isfinite(ours).all()


@pytest.mark.parametrize("name", NAMES)
def test_each_group_keeps_its_rate_and_decay(name):
    found = optimizer_of(network(), name).param_groups
    assert sorted({g["lr"] for g in found}) == pytest.approx([1e-4, 1e-3])
    assert {(g["part"], g["weight_decay"]) for g in found} == {
        (part, decay) for part in ("backbone", "head") for decay in (0.0, 0.1)
    }
    if name.startswith("madgrad"):
        return  # whose eps is added to its rate
    still = network()
    before = copy.deepcopy(list(still.parameters()))
    steps(still, optimizer_of(still, name, lr=1e-3, backbone_lr=0.0), range(2))
    moved = [not torch.equal(a, b) for a, b in zip(before, still.parameters(), strict=True)]
    assert moved == [False] * 4 + [True] * 2, "a backbone with a rate of 0 stays"


def test_momentum_is_the_flags():
    assert {g["momentum"] for g in optimizer_of(network(), "sgd").param_groups} == {0.8}


def test_lion_is_timms():
    ours, theirs = network(), network()
    optimizer = optimizer_of(ours, "lion", lr=1e-3, backbone_lr=1e-3)
    decayed = [p for p in theirs.parameters() if p.ndim > 1]
    others = [p for p in theirs.parameters() if p.ndim <= 1]
    plain = timm_optim.Lion(
        [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}], lr=1e-3
    )
    images = torch.randn(6, 3, 5, 5)
    for _ in range(3):
        for model, opt in ((ours, optimizer), (theirs, plain)):
            opt.zero_grad()
            model(images).pow(2).mean().backward()
            opt.step()
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("timm/lionn", "--optimizer=timm/lionn: timm .* has no such optimizer. Did you mean timm/lion"),
        ("timm/adahessian", "second derivatives"),
    ],
)
def test_names_are_checked(name, said):
    Config(optimizer=name)  # a question for timm, which the command line does not import
    with pytest.raises(ConfigError, match=said):
        optimizers.optimizer_row(name)


def test_without_timm_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(ConfigError, match="timm is not installed; pip install timm"):
        timm_optimizers.check_name("timm/lion")


@pytest.mark.parametrize(
    "name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "beit_base_patch16_224", "resnet18"]
)
def test_what_timm_does_not_decay_is_not_decayed(name):
    """Position embeddings, class tokens and position biases; timm's own groups are the reference."""
    import timm
    from timm.optim import param_groups_weight_decay

    with torch.device("meta"):
        model = timm.create_model(name)
    decayed, theirs = [{p: n for n, p in model.named_parameters()} for _ in range(2)]
    head = [n for n, module in model.named_modules() if module is model.get_classifier()]
    for group in optimizers.parameter_groups(model, head, lr=1.0, backbone_lr=1.0, weight_decay=0.1):
        for parameter in group["params"]:
            decayed[parameter] = group["weight_decay"] > 0
            assert group["decayed"] == decayed[parameter]
    for group in param_groups_weight_decay(
        model, 0.1, no_weight_decay_list=model.no_weight_decay() if name != "resnet18" else ()
    ):
        for parameter in group["params"]:
            theirs[parameter] = group["weight_decay"] > 0
    assert {n: decayed[p] for n, p in model.named_parameters()} == {n: theirs[p] for n, p in model.named_parameters()}
