"""Which parts of an image raise or lower one output of a network: Grad-CAM (Selvaraju et al., ICCV 2017), by captum.

Captum, for it is PyTorch's own and kept by its authors. Networks without feature maps of (channels, height, width), such
as Swin (channels last) and ViT (tokens), get gradient times activation, summed over channels (Draelos and Carin's
HiResCAM, 2020), which is Grad-CAM without the averaging of the gradient over places.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deep_cnn.models.build import stages
from deep_cnn.runtime.errors import ConfigError, nearest

FEWEST_CELLS = (
    7  # a side: what the last stage of most networks has at 224 pixels; fewer would show nothing but "middle"
)


@dataclass(frozen=True)
class Layer:
    """Where a map is taken. layout: "channels first", "channels last" or "tokens"; side: of the map, in cells."""

    name: str
    layout: str
    side: int
    skipped: int = 0  # tokens before those of the image


def find_layer(name: str, model: nn.Module, size: int, wanted: str | None = None) -> Layer:
    """The last stage whose map has at least 7 x 7 cells, or the layer of that name.

    Args:
        name: of the network, as --model. size: side of its input in pixels.

    Raises:
        ConfigError: no such layer, or none that has a map.
    """
    modules = dict(model.named_modules())
    if wanted is not None:
        if wanted not in modules:
            ends = ", ".join(names[-1] for _, names in stages(name, model) if names[-1] in modules)
            raise ConfigError(
                f"--layer={wanted}: {name} has no such layer.{nearest(wanted, modules)} Its stages end with {ends}"
            )
        candidates = [wanted]
    else:
        candidates = [names[-1] for _, names in stages(name, model) if names[-1] in modules]
    found = [layer for layer in _seen(model, candidates, size) if layer is not None]
    if not found:
        raise ConfigError(
            f"--layer={wanted or 'auto'}: {wanted or name} has no feature maps with a height and a width; choose another layer"
        )
    large = [layer for layer in found if layer.side >= FEWEST_CELLS]
    return large[-1] if large else max(found, key=lambda layer: layer.side)


def signed_maps(model: nn.Module, layer: Layer, images: Tensor, outputs: list[int]) -> Tensor:
    """What raises (positive) and lowers (negative) output `outputs[i]` of image i.

    Args:
        images: normalised float (B, 3, S, S).

    Returns:
        float32 (B, S, S) on the CPU, as wide as the images.
    """
    from captum.attr import LayerGradCam, LayerGradientXActivation

    module = model.get_submodule(layer.name)
    target = torch.tensor(outputs, device=images.device)
    images = images.detach().requires_grad_(True)  # captum asks for gradients of the input, even where all is frozen
    if layer.layout == "channels first":
        maps = LayerGradCam(model, module).attribute(images, target)  # (B, 1, h, w)
    else:
        product = LayerGradientXActivation(model, module).attribute(images, target)
        if layer.layout == "tokens":
            product = product[:, layer.skipped :].unflatten(1, (layer.side, layer.side))
        maps = product.sum(-1)[:, None]  # (B, h, w, C) -> (B, 1, h, w)
    wide = F.interpolate(maps.detach().float(), size=images.shape[-2:], mode="bilinear", align_corners=False)
    return wide[:, 0].cpu()


def _seen(model: nn.Module, names: list[str], size: int) -> list[Layer | None]:
    """What each of the modules gives for one image, in the order of the names; None where that reaches no output.

    Behind its last block a ViT reads its class token alone, and no other token has a gradient there.
    """
    kept: dict[str, Tensor] = {}

    def keep(name: str):
        def hook(module, inputs, output):
            if isinstance(output, Tensor):
                kept[name] = output

        return hook

    hooks = [model.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    weight = next(model.parameters())
    image = torch.linspace(-1, 1, 3 * size * size, dtype=weight.dtype, device=weight.device).view(1, 3, size, size)
    try:
        with torch.enable_grad():
            outputs = model.eval()(image.requires_grad_(True))
            # squared: a sum of outputs has no gradient behind a softmax or a norm
            gradients = torch.autograd.grad(outputs.square().sum(), list(kept.values()), allow_unused=True)
    finally:
        for hook in hooks:
            hook.remove()
    found = {}
    for (name, output), gradient in zip(kept.items(), gradients, strict=True):
        layer = _kind(name, output)
        if layer is not None and gradient is not None and bool(gradient[:, layer.skipped :].any()):
            found[name] = layer
    return [found.get(name) for name in names]


def _kind(name: str, output: Tensor) -> Layer | None:
    shape = tuple(output.shape)
    if len(shape) == 4 and shape[2] == shape[3] and shape[2] > 1:
        return Layer(name, "channels first", shape[2])
    if len(shape) == 4 and shape[1] == shape[2] and shape[1] > 1:
        return Layer(name, "channels last", shape[1])
    if len(shape) == 3:
        for skipped in (0, 1, 2):  # a class token, a token of distillation
            side = math.isqrt(shape[1] - skipped)
            if side > 1 and side * side == shape[1] - skipped:
                return Layer(name, "tokens", side, skipped)
    return None
