"""--deterministic on a GPU: poolings whose gradients have a fixed order, and networks that are refused before they begin."""

import pytest
import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d

from deep_cnn.models.build import ModelSpec, empty_model
from deep_cnn.models.determinism import MatrixPool, check_deterministic, operations, with_matrix_pools
from deep_cnn.runtime.errors import ConfigError


@pytest.mark.parametrize(("height", "width"), [(14, 14), (13, 9), (7, 7), (5, 8), (3, 20)])
@pytest.mark.parametrize("target", [(4, 4), (7, 7), (6, 2)])
def test_a_matrix_pool_is_torchs_adaptive_pooling(height, width, target):
    ours = torch.randn(2, 3, height, width, requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()
    found, expected = MatrixPool(*target)(ours), adaptive_avg_pool2d(theirs, target)
    torch.testing.assert_close(found, expected)
    weights = torch.randn_like(found)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("name", ["alexnet", "vgg11"])
def test_poolings_without_a_deterministic_form_are_replaced(name):
    model = empty_model(ModelSpec(name, 5))
    assert "_adaptive_avg_pool2d_backward" in operations(model, 64)
    names = list(model.state_dict())
    check_deterministic(with_matrix_pools(model), name, 64)
    assert list(model.state_dict()) == names


def test_poolings_to_one_pixel_stay():
    model = with_matrix_pools(
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.AdaptiveAvgPool2d((1, 1)), nn.AdaptiveAvgPool2d(2))
    )
    assert [type(layer) for layer in model] == [nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool2d, MatrixPool]


def test_a_network_that_cannot_be_deterministic_is_refused_in_one_line():
    """GoogLeNet pools inside a function of its auxiliary heads."""
    model = with_matrix_pools(empty_model(ModelSpec("googlenet", 5)))
    with pytest.raises(
        ConfigError, match="--deterministic: googlenet at 224 pixels uses _adaptive_avg_pool2d_backward"
    ):
        check_deterministic(model, "googlenet", 224)
