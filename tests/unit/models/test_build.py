"""Every network: it builds with a new head, takes a batch, and its stages cover it; equal seeds give equal weights."""

import copy
import dataclasses

import network_checks
import pytest
import torch
from torch import nn
from torchvision import models as torchvision_models

from deep_cnn.models.build import (
    ModelSpec,
    build_model,
    check_image_size,
    check_weights_present,
    empty_model,
    head_modules,
    main_and_auxiliary,
    model_names,
    stages,
    weights_preprocessing,
)
from deep_cnn.models.complexity import multiply_adds
from deep_cnn.models.freeze import parts
from deep_cnn.models.zoo.networks import NETWORKS, find
from deep_cnn.runtime.errors import CheckpointError, ConfigError

# Trainable parameters with ten classes, as published: kuangliu/pytorch-cifar; He et al. 2016 (ResNet20 to ResNet110, with
# shortcuts that have none); Zagoruyko and Komodakis 2016 (36.5 and 2.7 million); Jordan 2024 (1.97 million);
# PyTorch's tutorial
SMALL = {
    "net": 62_006,
    "cifar_vgg11": 9_231_114,
    "cifar_vgg13": 9_416_010,
    "cifar_vgg16": 14_728_266,
    "cifar_vgg19": 20_040_522,
    "cifar_resnet18": 11_173_962,
    "cifar_resnet34": 21_282_122,
    "cifar_resnet50": 23_520_842,
    "cifar_resnet101": 42_512_970,
    "cifar_resnet20": 269_722,
    "cifar_resnet32": 464_154,
    "cifar_resnet44": 658_586,
    "cifar_resnet56": 853_018,
    "cifar_resnet110": 1_727_962,
    "cifar_preact_resnet18": 11_171_146,
    "cifar_preact_resnet34": 21_279_306,
    "cifar_preact_resnet50": 23_509_066,
    "cifar_densenet121": 6_956_298,
    "cifar_densenet169": 12_493_322,
    "cifar_densenet_small": 1_000_618,
    "cifar_mobilenet_v2": 2_296_922,
    "cifar_fast": 1_971_640,
    "cifar_wide_resnet16_4": 2_748_890,
    "cifar_wide_resnet28_10": 36_479_194,
}


def test_the_list_of_networks_is_torchvisions_and_ours():
    names = torchvision_models.list_models(module=torchvision_models)
    lite = [f"efficientnet_lite{number}" for number in range(3)]
    assert len(names) >= 80 and sorted([*names, *SMALL, *lite]) == model_names()


# Of torchvision's one with an auxiliary head, one with tokens that are no layer, one with windows; of ours the smallest
@pytest.mark.parametrize(
    "name",
    [
        "inception_v3",
        "vit_b_16",
        "swin_t",
        "squeezenet1_1",
        "net",
        "cifar_densenet_small",
        "efficientnet_lite0",
        "cifar_fast",
        "cifar_mobilenet_v2",
        "cifar_preact_resnet18",
        "cifar_resnet20",
        "cifar_vgg11",
        "cifar_wide_resnet16_4",
    ],
)
def test_a_network_takes_a_batch_and_its_stages_cover_it(name):
    network_checks.a_batch_and_stages(name)


@pytest.mark.parametrize("name", SMALL)
def test_small_networks_have_the_published_number_of_parameters(name):
    model = empty_model(ModelSpec(name, outputs=10))
    assert sum(parameter.numel() for parameter in model.parameters()) == SMALL[name]
    pre = weights_preprocessing(name, "none")
    assert (pre.resize, pre.crop) == (32, 32)  # CIFAR-10's images as they are


# Published multiply-adds of one 32x32 image, in millions: ResNet18 0.56 G and ResNet20 to ResNet110 of He et al.'s table
@pytest.mark.parametrize(
    ("name", "millions"), [("cifar_resnet18", 556), ("cifar_resnet20", 40.6), ("cifar_resnet56", 125.5)]
)
def test_small_networks_keep_their_maps_as_wide_as_published(name, millions):
    """Parameters do not tell an early pooling or a stride at the wrong place; the multiply-adds do."""
    model = empty_model(ModelSpec(name, outputs=10))
    assert multiply_adds(model, 32) / 1e6 == pytest.approx(millions, rel=0.01)


def test_shortcuts_without_parameters_subsample_and_pad():
    """Option A of He et al. 2016: with a block whose convolutions are zero, every second cell and zeros come through."""
    block = build_model(ModelSpec("cifar_resnet20", 10), 0).body.layer2[0].eval()
    with torch.no_grad():
        block.bn2.weight.zero_()
        x = torch.rand(2, 16, 8, 8)
        y = block(x)
    assert torch.equal(y[:, :16], x[:, :, ::2, ::2]) and y.shape == (2, 32, 4, 4) and not y[:, 16:].any()


@pytest.mark.parametrize(
    "name",
    [
        "net",
        "cifar_densenet_small",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("cifar_preact_resnet18", "cifar_wide_resnet16_4")),
    ],
)
def test_small_networks_learn(name):
    """Four images by heart: every part is connected."""
    torch.manual_seed(0)
    model = build_model(ModelSpec(name, 3), seed=0).train()
    images, targets = torch.randn(4, 3, 32, 32), torch.arange(4) % 3
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), targets)
        loss.backward()
        assert all(p.grad is not None and p.grad.any() for p in model.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0]


def test_small_networks_have_no_published_weights_and_say_what_to_do():
    with pytest.raises(CheckpointError, match=r"cifar_resnet18 has no published weights.*--recipe=scratch"):
        check_weights_present("cifar_resnet18", "pretrained")


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "regnet_y_400mf",
        "densenet121",
        "shufflenet_v2_x0_5",
        "squeezenet1_1",
        "mnasnet0_5",
        "mobilenet_v3_small",
    ],
)
def test_the_backbone_is_torchvisions_own_whole(name):
    """With the same weights, head included, the outputs are those of torchvision's network."""
    own = torchvision_models.get_model(name, weights=None).eval()
    model = build_model(ModelSpec(name, outputs=1000), seed=0).eval()
    model.load_state_dict(own.state_dict())
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(model(images), own(images))


@pytest.mark.parametrize("name", ["cifar_resnet20", "squeezenet1_1", "timm/test_vit"])
def test_weights_are_a_pure_function_of_the_seed(name):
    network_checks.weights_are_a_function_of_the_seed(name)


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
        ("timm/test_vit", 161, "its default is 160"),
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
        ("cifar_resnet20", ["stem", "layer1", "layer2", "layer3"]),
        ("cifar_vgg11", ["block1", "block2", "block3", "block4", "block5"]),
        ("cifar_wide_resnet16_4", ["stem", "layer1", "layer2", "layer3", "norm"]),
        ("net", ["conv1", "conv2", "linear1", "linear2"]),
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
    with pytest.raises(ConfigError, match=f"--model={name}: .*Did you mean {hint}"):
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
    assert network_checks.digest(copy.deepcopy(model)) == network_checks.digest(model)
