"""python -m deep_cnn summary: a network before it is trained, or the names of all of them."""

from dataclasses import dataclass

from deep_cnn.config.fields import check_flags, flag


@dataclass(frozen=True)
class Options:
    model: str = flag("resnet101", "name of the network", group="command")
    classes: int = flag(10, "number of outputs", group="command", low=1, high=10**6)
    image_size: int | None = flag(
        None,
        "side of the input in pixels; by default that of the network's weights",
        group="command",
        kind=int,
        low=8,
        high=4096,
    )
    batch_size: int = flag(
        1, "number of images in a batch, for the shapes and the memory", group="command", low=1, high=10**9
    )
    depth: int = flag(3, "number of levels of nested modules to show", group="command", low=0)
    list: bool = flag(False, "list the names of all networks instead", group="command")

    def __post_init__(self):
        check_flags(self)


def main(options: Options) -> int:
    from deep_cnn.models import layer_table
    from deep_cnn.models.build import ModelSpec, weights_on_offer

    if options.list:
        rows = weights_on_offer()
        width = max(len(name) for name, _ in rows)
        for name, offer in rows:
            print(f"{name:<{width}}  {offer}".rstrip())
        return 0
    spec = ModelSpec(options.model, options.classes, image_size=options.image_size)
    for line in layer_table.lines(layer_table.look_at(spec, options.batch_size, options.depth)):
        print(line)
    return 0
