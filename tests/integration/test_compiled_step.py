"""The function that takes a network's place in compiled steps on a GPU, here on the processor, where it has no CUDA graphs."""

import pytest
import torch
from conftest import PLACES

from deep_cnn.models import checkpoint
from deep_cnn.runtime.device import compiler_works, replayed
from deep_cnn.training import compute, trainer

pytestmark = pytest.mark.skipif(not compiler_works(torch.device("cpu")), reason="no C compiler")
SMALL = {"model": "cifar_fast", "weights": "none", "image_size": 32, "augment": "basic", "batch_size": 20}


def test_its_steps_are_the_plain_ones_within_rounding(run_cli, tmp_path, monkeypatch):
    """In training only, for each shape, and with the statistics of BatchNorm: evaluation calls the network itself."""
    calls = []

    def counting(model):
        forward = replayed(model)
        return lambda images: calls.append(tuple(images.shape)) or forward(images)

    monkeypatch.setattr(trainer, "replayed", counting)
    monkeypatch.setattr(torch.compiler, "reset", lambda: calls.append("memory of the graphs"))
    monkeypatch.setattr(trainer, "compile_shapes", lambda model: None)  # the evaluation's: another minute
    losses = {}
    for replays in (False, True):
        monkeypatch.setattr(compute, "replays", lambda *_, replays=replays: replays)
        compile = "on" if replays else "off"
        run = {"data_dir": PLACES, "root_dir": tmp_path, "run_name": compile, "epochs": 2, "compile": compile}
        code, files = run_cli(**SMALL, **run)
        assert code == 0
        losses[replays] = [
            row[name] for row in checkpoint.load(files.last)["history"] for name in ("train_loss", "val_loss")
        ]
    assert losses[True] == pytest.approx(losses[False], rel=1e-3)
    assert calls == [(20, 3, 32, 32)] * 4 + ["memory of the graphs"]


def test_it_follows_the_networks_weights_and_mode():
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Dropout(0.5))
    forward, x = replayed(model), torch.ones(2, 4)
    model.eval()
    first = forward(x)
    assert torch.allclose(first, model(x))
    with torch.no_grad():
        model[0].bias += 1
    assert torch.allclose(forward(x), first + 1)
    model.train()
    torch.manual_seed(0)
    assert (forward(x) == 0).any()
    forward(x).sum().backward()
    assert model[0].weight.grad is not None
