"""The step and the loop, against calculations of their own."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from deep_cnn.data.feed import Batch
from deep_cnn.inference.evaluate import evaluate
from deep_cnn.models.freeze import training_mode
from deep_cnn.runtime.device import autocast_for
from deep_cnn.tasks.make import new_task
from deep_cnn.training.loop import StepSettings, train_one_epoch
from deep_cnn.training.mixup import Mixer
from deep_cnn.training.optim import optimizers
from deep_cnn.training.state import Progress, TrainingState

TASK = new_task("classification", ("a", "b", "c"))


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(144, 3)
    )


def batches(count=4, rows=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        Batch(
            torch.randn(rows, 3, 8, 8, generator=generator),
            torch.randint(0, 3, (rows,), generator=generator),
            torch.rand(rows, generator=generator) + 0.5,
            np.arange(rows) + rows * k,
        )
        for k in range(count)
    ]


def run(model, some, first_step=0, settings=None, lr=0.1):
    groups = optimizers.parameter_groups(model, ["5"], lr=lr, backbone_lr=lr, weight_decay=0.0)
    optimizer = optimizers.make_optimizer("sgd", groups, momentum=0.0, nesterov=False)
    sums = torch.zeros(2, dtype=torch.float64)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    state = TrainingState(model, optimizer, scaler, None, sums, Progress(global_step=first_step))
    return list(train_one_epoch(model, some, TASK, state, settings or StepSettings())), sums


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_a_step_is_the_one_of_the_text_book():
    model, (batch,) = network().eval(), batches(1)
    reference = copy.deepcopy(model)
    losses = nn.functional.cross_entropy(reference(batch.images), batch.targets, reduction="none")
    loss = (losses * batch.weights).sum() / batch.weights.sum()
    loss.backward()
    expected = [p - 0.1 * 0.5 * p.grad for p in reference.parameters()]
    steps, sums = run(model, [batch], settings=StepSettings(lr_multiplier=lambda step: 0.5))
    for found, wanted in zip(model.parameters(), expected, strict=True):
        assert torch.allclose(found, wanted, atol=1e-7)
    assert steps[0].loss.item() == pytest.approx(loss.item(), rel=1e-6)
    assert sums.tolist() == pytest.approx(
        [loss.item() * batch.weights.sum().item(), batch.weights.sum().item()], rel=1e-6
    )


def test_steps_draw_from_the_seed_and_their_number_alone():
    """Two of four steps, then the others in another process, are the four steps; what was drawn before does not matter."""
    whole, parts = network(), network()
    some = batches()
    run(whole.train(), some)
    run(parts.train(), some[:2])
    torch.rand(1000)
    run(parts, some[2:], first_step=2)
    assert same(whole, parts)
    other = network()
    run(other.train(), some, settings=StepSettings(seed=1))
    assert not same(whole, other)


def test_pieces_add_up_to_the_batch():
    whole, pieces = (
        network().eval(),
        network().eval(),
    )  # eval(): BatchNorm and dropout look at a piece, not at the batch
    run(whole, batches())
    run(pieces, batches(), settings=StepSettings(micro_batches=3))
    for a, b in zip(whole.parameters(), pieces.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_clipping_bounds_the_step():
    model, before = network().train(), network()
    run(model, batches(1), settings=StepSettings(clip=1e-3), lr=1.0)
    moved = sum(((a - b) ** 2).sum() for a, b in zip(model.parameters(), before.parameters(), strict=True)).sqrt()
    assert moved.item() == pytest.approx(1e-3, rel=1e-3)


def test_gradients_are_let_go_and_nothing_is_kept_of_a_step():
    model = network().train()
    steps, _ = run(model, batches())
    assert all(p.grad is None for p in model.parameters())
    assert not any(step.loss.requires_grad for step in steps)


def test_a_mixed_batch_is_another_step():
    plain, mixed = network().train(), network().train()
    run(plain, batches(1))
    run(mixed, batches(1), settings=StepSettings(mixer=Mixer(mixup=1.0)))
    assert not same(plain, mixed)


def test_frozen_modules_stay_as_they_are():
    model = network()
    before = copy.deepcopy(model.state_dict())
    training_mode(model, ["0", "1"])
    assert [m.training for m in model] == [False, False, True, True, True, True]
    run(model, batches())
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith(("0.", "1.")))
    assert not torch.equal(before["5.weight"], after["5.weight"])
    training_mode(model, [])
    assert all(m.training for m in model) and all(p.requires_grad for p in model.parameters())


def test_statistics_that_are_kept_stay_as_they_are():
    """The scales and shifts of the same layers learn."""
    model = network()
    norms = [name for name, module in model.named_modules() if isinstance(module, torch.nn.BatchNorm2d)]
    before = copy.deepcopy(model.state_dict())
    training_mode(model, [], keep_statistics=True)
    assert norms and model.training and not any(model.get_submodule(name).training for name in norms)
    run(model, batches())
    after = model.state_dict()
    for name in norms:
        assert torch.equal(before[f"{name}.running_mean"], after[f"{name}.running_mean"])
        assert torch.equal(before[f"{name}.running_var"], after[f"{name}.running_var"])
        assert not torch.equal(before[f"{name}.weight"], after[f"{name}.weight"])
    training_mode(model, [])
    assert all(module.training for module in model.modules())


def test_evaluation_counts_padded_rows_once_and_moves_nothing():
    model = network().train()
    before = copy.deepcopy(model.state_dict())
    some = batches(2)
    padded = Batch(some[1].images, some[1].targets, some[1].weights, some[1].indices[:4])
    found = list(evaluate(model, [some[0], padded]))
    assert [len(outputs) for _, outputs in found] == [6, 4]
    reference = copy.deepcopy(model).eval()
    with torch.no_grad():
        assert torch.equal(found[1][1], reference(some[1].images)[:4])
    assert all(torch.equal(a, b) for a, b in zip(before.values(), model.state_dict().values(), strict=True))
    assert not found[0][1].requires_grad


def test_reduced_precision_is_opened_for_the_forward_pass():
    seen = []
    model = network().eval()
    model[5].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    list(evaluate(model, batches(1), autocast_for(torch.device("cpu"), "bf16")))
    assert seen == [torch.bfloat16]
    assert next(iter(evaluate(model, batches(1), autocast_for(torch.device("cpu"), "bf16"))))[1].dtype == torch.float32


def test_optimizers_work_on_all_parameters_at_once():
    for name in ("adamw", "adam", "sgd"):
        groups = [{"params": list(network().parameters()), "base_lr": 0.1, "lr": 0.1}]
        assert optimizers.make_optimizer(name, groups, momentum=0.9, nesterov=False).defaults["fused"] is True


def test_a_batch_weighs_what_is_known_of_it():
    scores = new_task("regression", ("x", "y")).fitted(np.array([[0.0, 1.0], [2.0, 3.0]]))
    targets = torch.tensor([[0.0, float("nan")], [1.0, 2.0]])
    assert scores.batch_weight(targets, torch.ones(2)).item() == 3
    assert TASK.batch_weight(torch.tensor([0, 1]), torch.tensor([0.5, 2.0])).item() == 2.5
