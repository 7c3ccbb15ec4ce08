"""The gradient of a convolution's weights as a matrix product, against autograd's own."""

import copy

import pytest
import torch
from torch import nn

from deep_cnn.models import fast_conv
from deep_cnn.models.fast_conv import SmallMapConv2d, use_matrix_products, weight_gradient


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "size"),
    [
        ((3, 3), (1, 1), (1, 1), (7, 7)),
        ((3, 3), (2, 2), (1, 1), (14, 14)),
        ((1, 1), (1, 1), (0, 0), (4, 4)),
        ((1, 1), (2, 2), (0, 0), (8, 8)),
        ((5, 3), (2, 1), (2, 0), (9, 7)),
        ((3, 3), (1, 1), (1, 1), (1, 1)),
    ],
)
def test_the_gradient_is_autograds(kernel, stride, padding, size):
    torch.manual_seed(0)
    images = torch.randn(3, 6, *size, dtype=torch.float64)
    weight = torch.randn(5, 6, *kernel, dtype=torch.float64, requires_grad=True)
    outputs = nn.functional.conv2d(images, weight, None, stride, padding)
    gradient = torch.randn_like(outputs)
    outputs.backward(gradient)
    torch.testing.assert_close(weight_gradient(images, gradient, kernel, stride, padding), weight.grad)


@pytest.mark.parametrize(
    ("bias", "amx", "kernel", "largest"),
    [(True, True, 3, 7), (False, True, 3, 7), (True, False, 3, 3), (False, False, 1, 7)],
)
def test_a_layer_gives_what_an_ordinary_one_gives(bias, amx, kernel, largest, monkeypatch):
    torch.manual_seed(0)
    ordinary = nn.Conv2d(16, 24, kernel, padding=kernel // 2, bias=bias)
    other = nn.Sequential(copy.deepcopy(ordinary))
    use_matrix_products(other, amx=amx)
    other = other[0]
    assert list(other.state_dict()) == list(ordinary.state_dict()) and isinstance(copy.deepcopy(other), SmallMapConv2d)
    calls = []
    monkeypatch.setattr(fast_conv, "weight_gradient", lambda *given: calls.append(1) or weight_gradient(*given))
    for side, by_product in ((largest, 1), (largest + 1, 0)):
        calls.clear()
        found = []
        for layer in (ordinary, other):
            images = torch.linspace(-1, 1, 2 * 16 * side * side).sin().view(2, 16, side, side).requires_grad_()
            with torch.autocast("cpu", torch.bfloat16):
                outputs = layer(images.bfloat16())
            assert outputs.dtype == torch.bfloat16
            outputs.float().square().sum().backward()
            found.append([outputs, images.grad, *(p.grad for p in layer.parameters())])
            layer.zero_grad()
        assert len(calls) == by_product
        for mine, theirs in zip(*found, strict=True):
            assert mine.dtype == theirs.dtype
            torch.testing.assert_close(mine, theirs, rtol=0.02, atol=0.02 * theirs.detach().abs().max().item())


def test_what_is_no_plain_convolution_is_left_alone():
    layers = nn.Sequential(
        nn.Conv2d(8, 8, 3, groups=8),
        nn.Conv2d(8, 8, 3, dilation=2),
        nn.Conv2d(8, 8, 3, padding="same"),
        nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"),
        nn.ConvTranspose2d(8, 8, 3),
        nn.Conv2d(8, 8, 3),
    )
    use_matrix_products(layers, amx=True)
    assert [isinstance(layer, SmallMapConv2d) for layer in layers] == [False] * 5 + [True]


def test_a_frozen_layer_and_evaluation_take_the_ordinary_way(monkeypatch):
    layer = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1))
    use_matrix_products(layer, amx=True)
    monkeypatch.setattr(fast_conv._Convolution, "apply", lambda *given: pytest.fail("not in training"))
    images = torch.randn(2, 4, 4, 4).bfloat16().requires_grad_()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        layer(images.detach())
    layer.requires_grad_(False)
    with torch.autocast("cpu", torch.bfloat16):
        layer(images).sum().backward()
    assert images.grad is not None
