"""`summary`: the table of layers against torchinfo, torchvision's published figures, and calculations by hand."""

import random

import pytest
import torchinfo
from torchvision import models as torchvision_models

from deep_cnn.models import layer_table
from deep_cnn.models.build import ModelSpec, build_model, model_names

NAMES = sorted(torchvision_models.list_models(module=torchvision_models))


@pytest.mark.parametrize("name", random.Random(5).sample(NAMES, 5))
def test_totals_are_torchinfos_and_torchvisions(name):
    published = torchvision_models.get_model_weights(name).DEFAULT
    side = published.transforms().crop_size[0]
    found = layer_table.look_at(ModelSpec(name, 1000, image_size=side), batch_size=1, depth=1)
    own = torchinfo.summary(
        torchvision_models.get_model(name, weights=None, **options(name)).to("meta"),
        (1, 3, side, side),
        device="meta",
        verbose=0,
    )
    assert found.whole.parameters == own.total_params == published.meta["num_params"]
    assert found.whole.multiply_adds / 1e9 == pytest.approx(published.meta["_ops"], abs=6e-4)  # to three decimals


def options(name: str) -> dict:
    """Networks that start with auxiliary heads or slow random weights."""
    return {"init_weights": False} if name in ("googlenet", "inception_v3") else {}


def test_layers_of_a_small_network_by_hand():
    found = layer_table.look_at(ModelSpec("net", 10), batch_size=4, depth=1)
    rows = {layer.name: layer for layer in found.layers}
    assert list(rows) == ["", "conv1", "conv2", "fc1", "fc2", "fc3"]
    assert rows["conv2"].output == (4, 16, 10, 10) and rows["conv2"].parameters == 16 * (6 * 25 + 1)
    assert rows["conv1"].multiply_adds == 6 * 28 * 28 * 75  # of one image, whatever the batch
    assert rows["conv2"].multiply_adds == 16 * 10 * 10 * 150
    assert rows["fc1"].multiply_adds == 400 * 120
    assert found.whole.multiply_adds == sum(row.multiply_adds for name, row in rows.items() if name)
    assert (found.input_bytes, found.weight_bytes) == (4 * 3 * 32 * 32 * 4, 62_006 * 4)
    outputs = 6 * 28 * 28 + 16 * 10 * 10 + 120 + 84 + 10
    assert found.layer_bytes == 4 * 4 * 2 * outputs  # four images, float32, forward and backward


@pytest.mark.parametrize("name", ["vit_b_16", "inception_v3", "cifar_densenet_small", "timm/test_vit"])
def test_any_network_has_a_table(name):
    text = list(layer_table.lines(layer_table.look_at(ModelSpec(name, 7), batch_size=2, depth=2)))
    parameters = sum(p.numel() for p in build_model(ModelSpec(name, 7), seed=0).parameters())
    assert f"parameters     {parameters:,}" in text
    assert "2 x 7" in text[1] and f"{parameters:,}" in text[1]


def test_the_command(run_cli, capsys):
    from deep_cnn.cli.main import main

    assert (
        main(["summary", "--model=cifar_resnet20", "--image_size=64", "--batch_size=8", "--classes=100", "--depth=1"])
        == 0
    )
    said = capsys.readouterr().out
    assert "8 x 16 x 64 x 64" in said and "8 x 100" in said and "275,572" in said  # 90 classes more of 64 + 1
    assert "for a batch of 8 in float32" in said
    assert main(["summary", "--list"]) == 0
    assert capsys.readouterr().out.split("\n")[:-2] == model_names()
    assert main(["summary", "--model=resnet81"]) == 2
    assert "resnet18" in capsys.readouterr().err
