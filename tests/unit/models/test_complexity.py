import pytest
import torch
from torch import nn
from torchvision import models as torchvision_models

from deep_cnn.models.build import ModelSpec, build_model
from deep_cnn.models.complexity import count, multiply_adds, parameters
from deep_cnn.runtime.errors import ConfigError


# plain, depthwise, grouped with squeeze-and-excitation, attention with torch's own layer, attention within shifted windows
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "regnet_y_400mf", "vit_b_16", "swin_t", "inception_v3"])
def test_counts_are_those_that_torchvision_publishes(name):
    published = torchvision_models.get_model_weights(name).DEFAULT.meta
    size = count(ModelSpec(name, outputs=1000))
    assert size.parameters == published["num_params"]
    assert size.multiply_adds / 1e9 == pytest.approx(published["_ops"], abs=6e-4)  # published to three decimals


def test_classes_and_image_size_are_counted():
    ten, thousand = (count(ModelSpec("resnet18", outputs=k, image_size=64)) for k in (10, 1000))
    assert thousand.parameters - ten.parameters == 990 * (512 + 1)
    assert thousand.multiply_adds - ten.multiply_adds == 990 * 512
    large = count(ModelSpec("resnet18", outputs=10, image_size=128))
    assert large.multiply_adds - 5120 == 4 * (ten.multiply_adds - 5120)  # all but the head works at each place of a map


def test_a_convolution_by_hand():
    grouped = nn.Conv2d(
        3, 12, 3, stride=2, padding=1, groups=3
    )  # 12 maps of 5 x 5, each from 3 x 3 pixels of one channel
    assert multiply_adds(grouped, 10) == 12 * 5 * 5 * 3 * 3
    assert parameters(grouped) == 12 * 3 * 3 + 12


class Patches(nn.Module):
    """torch's own transformer layer on 16 patches: in eval mode it has a fast path, one operation that no counter knows."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, stride=4)
        self.layer = nn.TransformerEncoderLayer(8, nhead=2, dim_feedforward=32, batch_first=True)

    def forward(self, images):  # (B, 3, 16, 16) -> (B, 16, 8)
        return self.layer(self.patch(images).flatten(2).transpose(1, 2))


def test_attention_by_hand():
    tokens, width = 16, 8
    patch = tokens * width * 3 * 4 * 4
    projections = tokens * 4 * width * width  # queries, keys, values, and the way out
    attention = 2 * tokens * tokens * width  # queries times keys, weights times values
    feed_forward = 2 * tokens * width * 32
    assert multiply_adds(Patches(), 16) == patch + projections + attention + feed_forward


def test_shared_weights_are_counted_once_and_used_twice():
    layer = nn.Conv2d(3, 3, 1, bias=False)
    assert parameters(nn.Sequential(layer, layer)) == 9
    assert multiply_adds(nn.Sequential(layer, layer), 4) == 2 * 9 * 16


def test_the_network_is_left_as_it_is():
    model = build_model(ModelSpec("resnet18", 3), seed=0).to(torch.bfloat16).train()
    model.layer1.eval()  # as with --freeze
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert multiply_adds(model, 64) == count(ModelSpec("resnet18", 3, image_size=64)).multiply_adds
    assert model.training and not model.layer1.training
    assert all(
        tensor.device.type == "cpu" and torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items()
    )


def test_an_impossible_size_is_named():
    with pytest.raises(ConfigError, match="--image_size=33: vit_b_16"):
        count(ModelSpec("vit_b_16", 10, image_size=33))
