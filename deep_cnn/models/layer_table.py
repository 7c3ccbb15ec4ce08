"""A network layer by layer: shapes, parameters and memory by torchinfo, multiply-adds by counting.py.

torchinfo's own multiply-adds are wrong for attention and for depthwise convolutions (swin_t: 0.03 G for 4.49 G).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from deep_cnn.models.build import ModelSpec, empty_model
from deep_cnn.models.complexity import multiply_adds_of_modules, shapes_of
from deep_cnn.models.zoo import networks
from deep_cnn.runtime.format import readable

MEGA = 1e6


@dataclass(frozen=True)
class Layer:
    """A row of the table. depth: 0 for the whole network; output: shape for the batch; multiply_adds: of one image."""

    name: str
    kind: str
    depth: int
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class Architecture:
    """A network at a batch size. Bytes in float32: of the images, of the weights, and of what a training step keeps of all layers."""

    layers: tuple[Layer, ...]
    batch_size: int
    input_bytes: int
    weight_bytes: int
    layer_bytes: int

    @property
    def whole(self) -> Layer:
        """The network itself, its first row."""
        return self.layers[0]


def look_at(spec: ModelSpec, batch_size: int, depth: int) -> Architecture:
    """Build the network without giving its weights values, and pass a batch through its shapes: no memory, no time.

    Args:
        depth: modules within modules so far down are rows of their own.

    Raises:
        ConfigError: unknown name, or an image size that the network cannot take.
    """
    import torch
    import torchinfo

    model = shapes_of(empty_model(spec))
    side = spec.image_size or networks.find(spec.name).published(spec.name).preprocessing.crop
    images = torch.empty((batch_size, 3, side, side), device="meta")  # by a size alone torchinfo would make real ones
    info = torchinfo.summary(model, input_data=[images], device="meta", depth=depth, verbose=0, mode="eval")
    counted = multiply_adds_of_modules(model, side)
    layers = tuple(_rows(info.summary_list, depth, counted))
    weight_bytes = 4 * layers[0].parameters  # torchinfo's own figure lacks those of attention
    return Architecture(layers, batch_size, batch_size * 3 * side * side * 4, weight_bytes, info.total_output_bytes)


def _rows(found: list, depth: int, counted: dict[str, int]) -> Iterator[Layer]:
    """torchinfo lists modules in the order they are called, parents first; a module called again adds no row."""
    path: list[str] = []
    for info in found:
        path[info.depth :] = [info.var_name]
        name = ".".join(path[1:])
        if info.depth <= depth and not info.is_recursive:
            parameters = sum(p.numel() for p in info.module.parameters())
            yield Layer(name, info.class_name, info.depth, tuple(info.output_size), parameters, counted.get(name, 0))


def lines(architecture: Architecture) -> Iterator[str]:
    """The table as text."""
    rows = [("layer", "output", "parameters", "multiply-adds")]
    for layer in architecture.layers:
        own = layer.name.rpartition(".")[2]
        title = f"{'  ' * layer.depth}{own} ({layer.kind})" if own else layer.kind
        millions = f"{layer.multiply_adds / MEGA:,.2f} M" if layer.multiply_adds else ""
        output = " x ".join(map(str, layer.output))
        rows.append((title, output, f"{layer.parameters:,}" if layer.parameters else "", millions))
    widths = [max(len(row[k]) for row in rows) for k in range(4)]
    for title, output, parameters, millions in rows:
        yield f"{title:<{widths[0]}}  {output:<{widths[1]}}  {parameters:>{widths[2]}}  {millions:>{widths[3]}}"
    whole = architecture.whole
    total = architecture.input_bytes + architecture.weight_bytes + architecture.layer_bytes
    yield ""
    yield f"parameters     {whole.parameters:,}"
    yield f"multiply-adds  {whole.multiply_adds:,} for one image"
    yield (
        f"memory         {readable(total)} for a batch of {architecture.batch_size} in float32: images "
        f"{readable(architecture.input_bytes)}, weights {readable(architecture.weight_bytes)}, activations and gradients "
        f"{readable(architecture.layer_bytes)}"
    )
