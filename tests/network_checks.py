"""Checks of one network or command: the default suite runs them with a few, tests/slow/test_every_network.py with all."""

import hashlib
import os
import subprocess
import sys

import pytest
import torch
import torchinfo
from torch import nn
from torchvision import models as torchvision_models

from deep_cnn.models import layer_table
from deep_cnn.models.build import (
    ModelSpec,
    build_model,
    empty_model,
    head_modules,
    main_and_auxiliary,
    stages,
    weights_preprocessing,
)
from deep_cnn.models.freeze import parts


def digest(model: nn.Module) -> str:
    content = b"".join(name.encode() + t.numpy().tobytes() for name, t in sorted(model.state_dict().items()))
    return hashlib.sha256(content).hexdigest()


def all_stage_parameters(name: str, model: nn.Module) -> list[int]:
    return [id(p) for _, names in stages(name, model) for p in parts(model, names)[1]]


def a_batch_and_stages(name: str) -> None:
    """On the meta device, which computes shapes only: the outputs, and that the stages and heads have each weight once."""
    model = empty_model(ModelSpec(name, outputs=7, dropout=0.25)).to("meta")
    heads = head_modules(name, model)
    in_heads = [id(p) for head in heads for p in model.get_submodule(head).parameters()]
    everything = in_heads + all_stage_parameters(name, model)
    assert sorted(everything) == sorted(id(p) for p in model.parameters())
    side = weights_preprocessing(name, "none").crop
    images = torch.empty(2, 3, side, side, device="meta")
    assert model.eval()(images).shape == (2, 7)
    main, auxiliary = main_and_auxiliary(model.train()(images))
    assert main.shape == (2, 7) and len(auxiliary) == len(heads) - 1
    assert all(outputs.shape == (2, 7) for _, outputs in auxiliary)


def weights_are_a_function_of_the_seed(name: str) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = build_model(ModelSpec(name, 3), seed=1)
    assert torch.equal(torch.get_rng_state(), before)  # nobody else's numbers were used up
    torch.rand(11)
    assert digest(build_model(ModelSpec(name, 3), seed=1)) == digest(first)
    assert digest(build_model(ModelSpec(name, 3), seed=2)) != digest(first)
    head = head_modules(name, first)[0]
    wider = build_model(ModelSpec(name, 4), seed=1).state_dict()
    for key, value in first.state_dict().items():  # one class more leaves the backbone as it was
        assert key.startswith(head) or torch.equal(value, wider[key]) or name.startswith("timm/"), key


def totals(name: str) -> None:
    """Against torchinfo on torchvision's own network, and against the figures that torchvision publishes."""
    published = torchvision_models.get_model_weights(name).DEFAULT
    side = published.transforms().crop_size[0]
    found = layer_table.look_at(ModelSpec(name, 1000, image_size=side), batch_size=1, depth=1)
    options: dict[str, object] = (
        {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    )  # slow to draw
    if name.startswith("vit_"):
        options |= {"image_size": side}
    own = torchvision_models.get_model(name, weights=None, **options).to("meta")
    total = torchinfo.summary(own, (1, 3, side, side), device="meta", verbose=0).total_params
    uncounted = (own.aux1, own.aux2) if name == "googlenet" else ()  # torchvision publishes it without auxiliary heads
    published_total = published.meta["num_params"] + sum(p.numel() for part in uncounted for p in part.parameters())
    assert found.whole.parameters == total == published_total
    assert found.whole.multiply_adds / 1e9 == pytest.approx(published.meta["_ops"], abs=6e-4)  # to three decimals


def a_reader_that_leaves(words: list[str]) -> None:
    """`python -m deep_cnn -h | head -1`: no traceback, and the exit code of other programs."""
    read, write = os.pipe()
    os.close(read)  # before anything is written
    done = subprocess.run([sys.executable, "-m", "deep_cnn", *words], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert done.returncode == 141 and done.stderr == ""
