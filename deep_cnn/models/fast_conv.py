"""Training in bf16 on a CPU: where a convolution's output is small, the gradient of its weights as one matrix product.

oneDNN's own kernel for that gradient has little to share out where there are few output positions. Measured on one core (torch
2.15, AVX512 with AMX), kernel against matrix product: 512 channels at 7x7, batch 32: 29 against 15 ms, a twentieth of the whole step of
resnet18; 512 channels at 4x4, batch 128: 97 against 19 ms; at 2x2: 60 against 3 ms. From 8x8 on the kernel is the faster
one, and in float32 both take as long. Where AVX512 has to do without AMX (torch 2.14, AMD), a product costs more, and the patches of a 3x3
kernel are worth copying only on smaller maps: 256 channels, batch 1024: at 7x7 619 against 671 ms, at 3x3 147 against 127 ms, at 1x1 with
512 channels 164 against 52 ms; a 1x1 kernel has no patches, and at 7x7 1285 against 1090 ms (512 to 2048 channels).
"""

import torch
from torch import nn
from torch.autograd.function import once_differentiable

LARGEST = 7 * 7  # output positions up to which the product is faster
LARGEST_OF_PATCHES = 3 * 3  # the same for kernels above 1x1 on processors without AMX


class SmallMapConv2d(nn.Conv2d):
    """A Conv2d like any other, also in its state, whose weights' gradient is computed here where that is faster."""

    largest = LARGEST
    padding: tuple[int, int]  # none by name: see `use_matrix_products`

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, K, H', W')."""
        if (
            images.dtype != torch.bfloat16
            or not (torch.is_grad_enabled() and self.weight.requires_grad)
            or self._positions(images) > self.largest
        ):
            return super().forward(images)
        bias = None if self.bias is None else self.bias.to(images.dtype)
        return _Convolution.apply(images, self.weight.to(images.dtype), bias, self.stride, self.padding)

    def _positions(self, images: torch.Tensor) -> int:
        geometry = zip(images.shape[2:], self.kernel_size, self.stride, self.padding, strict=True)
        height, width = ((side + 2 * padding - kernel) // stride + 1 for side, kernel, stride, padding in geometry)
        return height * width


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, images, weight, bias, stride, padding):
        ctx.save_for_backward(images, weight)
        ctx.stride, ctx.padding = stride, padding
        return nn.functional.conv2d(images, weight, bias, stride, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        images, weight = ctx.saved_tensors
        of_images = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            geometry = (
                ctx.stride,
                ctx.padding,
                (1, 1),
                False,
                (0, 0),
                1,
            )  # ..., dilation, transposed, output padding, groups
            of_images = torch.ops.aten.convolution_backward(
                gradient, images, weight, None, *geometry, (True, False, False)
            )[0]
        if ctx.needs_input_grad[1]:
            of_weight = weight_gradient(images, gradient, weight.shape[2:], ctx.stride, ctx.padding)
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum((0, 2, 3))
        return of_images, of_weight, of_bias, None, None


def weight_gradient(
    images: torch.Tensor,
    gradient: torch.Tensor,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
) -> torch.Tensor:
    """The gradient (K, C, h, w) of a convolution's weights, for images (B, C, H, W) and the gradient (B, K, H', W') of its output."""
    (h, w), channels, outputs = kernel, images.shape[1], gradient.shape[1]
    rows = images.permute(0, 2, 3, 1)  # (B, H, W, C)
    if any(padding):
        rows = nn.functional.pad(rows, (0, 0, padding[1], padding[1], padding[0], padding[0]))
    patches = rows.unfold(1, h, stride[0]).unfold(2, w, stride[1])  # (B, H', W', C, h, w), a view
    patches = patches.permute(0, 1, 2, 4, 5, 3).reshape(-1, h * w * channels)  # (B H' W', h w C)
    of_outputs = gradient.permute(0, 2, 3, 1).reshape(-1, outputs)  # (B H' W', K)
    return (of_outputs.t() @ patches).view(outputs, h, w, channels).permute(0, 3, 1, 2)


def use_matrix_products(model: nn.Module, *, amx: bool) -> None:
    """Make every plain convolution of the network a SmallMapConv2d, in place. amx: whether the processor has it."""
    for module in model.modules():
        if (
            type(module) is nn.Conv2d
            and module.groups == 1
            and module.dilation == (1, 1)
            and module.padding_mode == "zeros"
            and not isinstance(module.padding, str)
        ):
            module.__class__ = SmallMapConv2d
            assert isinstance(module, SmallMapConv2d)
            module.largest = LARGEST if amx or module.kernel_size == (1, 1) else LARGEST_OF_PATCHES
