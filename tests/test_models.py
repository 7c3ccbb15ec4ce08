"""Every network: it builds with a new head, takes a batch, and its stages cover it; equal seeds give equal weights."""

import copy
import dataclasses
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models as torchvision_models

from deep_cnn.errors import ConfigError
from deep_cnn.model_builder import (
    ModelSpec,
    build_model,
    check_image_size,
    empty_model,
    head_modules,
    main_and_auxiliary,
    model_names,
    parts,
    stages,
    weights_preprocessing,
)
from deep_cnn.models import NETWORKS, find

FOLDER = Path(__file__).parent


def digest(model: nn.Module) -> str:
    content = b"".join(name.encode() + t.numpy().tobytes() for name, t in sorted(model.state_dict().items()))
    return hashlib.sha256(content).hexdigest()


def all_stage_parameters(name: str, model: nn.Module) -> list[int]:
    return [id(p) for _, names in stages(name, model) for p in parts(model, names)[1]]


def test_every_network_of_torchvision_takes_a_batch_and_its_stages_cover_it():
    """On the meta device, which computes shapes only: 80 networks of up to 644 million weights in 20 seconds."""
    names = torchvision_models.list_models(module=torchvision_models)
    assert len(names) >= 80 and sorted(names) == model_names()
    for name in names:
        spec = ModelSpec(name, outputs=7, dropout=0.25)
        model = empty_model(spec).to("meta")
        heads = head_modules(name, model)
        in_heads = [id(p) for head in heads for p in model.get_submodule(head).parameters()]
        everything = in_heads + all_stage_parameters(name, model)
        assert sorted(everything) == sorted(id(p) for p in model.parameters()), name
        side = weights_preprocessing(name, "none").crop
        images = torch.empty(2, 3, side, side, device="meta")
        assert model.eval()(images).shape == (2, 7), name
        main, auxiliary = main_and_auxiliary(model.train()(images))
        assert main.shape == (2, 7) and len(auxiliary) == len(heads) - 1, name
        assert all(outputs.shape == (2, 7) for _, outputs in auxiliary), name


@pytest.mark.parametrize(
    "name", ["resnet18", "regnet_y_400mf", "densenet121", "shufflenet_v2_x0_5", "squeezenet1_1", "mnasnet0_5", "mobilenet_v3_small"]
)  # fmt: skip
def test_the_backbone_is_torchvisions_own_whole(name):
    """With the same weights, head included, the outputs are those of torchvision's network."""
    own = torchvision_models.get_model(name, weights=None).eval()
    model = build_model(ModelSpec(name, outputs=1000), seed=0).eval()
    model.load_state_dict(own.state_dict())
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(model(images), own(images))


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "maxvit_t", "timm/test_vit"])
def test_weights_are_a_pure_function_of_the_seed(name):
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


def test_weights_are_the_same_in_another_process():
    program = (
        "import test_models as t; from deep_cnn.model_builder import ModelSpec, build_model;"
        "print(t.digest(build_model(ModelSpec('resnet18', 3), seed=1)))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(FOLDER.parent), str(FOLDER)))}
    command = [sys.executable, "-c", program]
    other = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert other.stdout.strip() == digest(build_model(ModelSpec("resnet18", 3), seed=1))


def test_new_heads_start_near_zero():
    model = build_model(ModelSpec("googlenet", 50), seed=0)
    for head in head_modules("googlenet", model):
        layer = model.get_submodule(head)
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.02) and not layer.bias.any()
    weights = [model.get_submodule(head).weight for head in ("aux1.fc2", "aux2.fc2")]
    assert not torch.equal(*weights)


def test_empty_model_equals_the_built_one_in_names_shapes_and_buffers():
    spec = ModelSpec("swin_t", 3)
    full, empty = build_model(spec, 0), empty_model(spec)
    assert {k: v.shape for k, v in full.state_dict().items()} == {k: v.shape for k, v in empty.state_dict().items()}
    buffers = dict(empty.named_buffers())
    assert any("relative_position_index" in name for name in buffers)
    assert all(torch.equal(value, buffers[name]) for name, value in full.named_buffers())


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "mobilenet_v3_small", "timm/test_convnext"])
def test_dropout_sits_before_the_head_and_keeps_the_names(name):
    plain, dropped = (build_model(ModelSpec(name, 3, dropout), 0) for dropout in (0.0, 0.9))
    assert plain.state_dict().keys() == dropped.state_dict().keys()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(plain.eval()(images), dropped.eval()(images))
        for head in head_modules(name, dropped):  # the head alone trains; two passes differ by its dropout only
            dropped.get_submodule(head).train()
        for module in dropped.modules():
            module.training |= isinstance(module, nn.Dropout)
        assert not torch.equal(dropped(images), dropped(images)) or name == "timm/test_convnext"
    if name == "timm/test_convnext":
        assert dropped.head.drop.p == 0.9


def test_squeezenets_new_head_can_go_below_zero():
    """Its ReLU behind the head would keep any regression from predicting below the mean."""
    model = build_model(ModelSpec("squeezenet1_1", 200), 0).eval()
    with torch.no_grad():
        outputs = model(torch.randn(2, 3, 64, 64))
    assert (outputs < 0).any() and (outputs > 0).any()


def test_inception_has_its_auxiliary_head_from_299_pixels_on_and_in_training_only():
    whole = empty_model(ModelSpec("inception_v3", 4))
    assert head_modules("inception_v3", whole) == ["fc", "AuxLogits.fc"]
    small = build_model(ModelSpec("inception_v3", 4, image_size=128), 0)
    assert head_modules("inception_v3", small) == ["fc"]
    main, auxiliary = main_and_auxiliary(small(torch.randn(2, 3, 128, 128)))
    assert main.shape == (2, 4) and auxiliary == []
    outputs = whole.to("meta").train()(torch.empty(2, 3, 299, 299, device="meta"))
    assert [weight for weight, _ in main_and_auxiliary(outputs)[1]] == [0.4]


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("vit_b_16", 250, "240 or 256"),
        ("vit_h_14", 224, None),
        ("maxvit_t", 256, "224 or 448"),
        ("maxvit_t", 100, "example 224"),
        ("inception_v3", 74, "at least 75"),
        ("inception_v3", 75, None),
        ("resnet18", 32, None),
        ("timm/test_vit", 161, "its own is 160"),
        ("timm/test_vit", 128, None),
    ],
)
def test_image_sizes_are_checked_before_building(name, size, expected):
    if expected is None:
        check_image_size(name, size)
        model = empty_model(ModelSpec(name, 2, image_size=size)).eval().to("meta")
        assert model(torch.empty(2, 3, size, size, device="meta")).shape == (2, 2)
    else:
        with pytest.raises(ConfigError, match=expected):
            check_image_size(name, size)


@pytest.mark.parametrize("source", NETWORKS[:-1], ids=lambda source: source.names()[0])
def test_the_smallest_size_of_the_table_is_taken(source):
    name, size = source.names()[0], max(source.smallest, source.multiple)
    model = empty_model(ModelSpec(name, 2, image_size=size)).eval().to("meta")
    assert model(torch.empty(2, 3, size, size, device="meta")).shape == (2, 2)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet18", ["stem", "layer1", "layer2", "layer3", "layer4"]),
        ("vgg11_bn", ["block1", "block2", "block3", "block4", "block5", "linear1", "linear2"]),
        ("swin_t", ["stem", "stage1", "stage2", "stage3", "stage4"]),
        ("inception_v3", ["stem", "mixed5", "mixed6", "mixed7"]),
        ("timm/test_convnext", [f"stage{number}" for number in range(6)]),
    ],
)
def test_stages_run_from_the_input_to_the_head(name, expected):
    model = empty_model(ModelSpec(name, 2))
    assert [stage for stage, _ in stages(name, model)] == expected


def test_stage_names_are_as_few_as_cover_it():
    vit = empty_model(ModelSpec("vit_b_16", 2))
    assert stages("vit_b_16", vit)[0][1] == ["class_token", "conv_proj", "encoder.pos_embedding"]
    modules, parameters = parts(vit, ["class_token", "conv_proj"])
    assert modules == [vit.conv_proj] and len(parameters) == 3
    assert stages("resnet18", empty_model(ModelSpec("resnet18", 2)))[:2] == [
        ("stem", ["conv1", "bn1"]),
        ("layer1", ["layer1"]),
    ]


def test_a_pattern_that_misses_a_layer_is_noticed():
    holey = dataclasses.replace(find("resnet18"), stages=(("stem", "conv1|bn1"), ("layer{}", r"layer([123])")))
    with pytest.raises(AssertionError, match=r"no stage for layer4"):
        holey.stages_of("resnet18", empty_model(ModelSpec("resnet18", 2)))


@pytest.mark.parametrize(("name", "hint"), [("resnet110", "resnet101"), ("timm/resnet181", "timm/resnet18")])
def test_an_unknown_name_names_the_nearest(name, hint):
    with pytest.raises(ConfigError, match=f"--model {name}: .*Did you mean {hint}"):
        build_model(ModelSpec(name, 2), 0)


def test_spec_survives_a_checkpoint():
    spec = ModelSpec("vit_b_16", 3, 0.1, 256)
    assert ModelSpec.from_dict(spec.to_dict()) == spec


@pytest.mark.parametrize(
    ("name", "resize", "crop", "interpolation"),
    [
        ("resnet101", 232, 224, "bilinear"),
        ("inception_v3", 342, 299, "bilinear"),
        ("efficientnet_b0", 256, 224, "bicubic"),
        ("vit_h_14", 518, 518, "bicubic"),
        ("timm/test_vit", 168, 160, "bicubic"),
    ],
)
def test_preprocessing_is_the_weights_own(name, resize, crop, interpolation):
    own = weights_preprocessing(name, "pretrained")
    assert (own.resize, own.crop, own.interpolation) == (resize, crop, interpolation)


def test_without_weights_the_mean_is_imagenets():
    assert weights_preprocessing("efficientnet_v2_l", "pretrained").mean == (0.5, 0.5, 0.5)
    assert weights_preprocessing("efficientnet_v2_l", "none").mean == (0.485, 0.456, 0.406)


def test_main_and_auxiliary_of_googlenet_train_the_branches():
    model = build_model(ModelSpec("googlenet", 3), 0)
    main, auxiliary = main_and_auxiliary(model(torch.randn(2, 3, 64, 64)))
    assert [weight for weight, _ in auxiliary] == [0.3, 0.3]
    (main.sum() + sum(weight * each.sum() for weight, each in auxiliary)).backward()
    assert all(model.get_submodule(head).weight.grad.abs().sum() > 0 for head in head_modules("googlenet", model))


def test_networks_can_be_copied_and_moved():
    model = build_model(ModelSpec("resnet18", 2, dropout=0.5), 0)  # EMA keeps a deep copy
    assert digest(copy.deepcopy(model)) == digest(model)
