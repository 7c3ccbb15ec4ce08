"""python -m deep_cnn prefetch: weights ahead of time, on a machine that has internet."""

from dataclasses import dataclass

from deep_cnn.config import flag


@dataclass(frozen=True)
class Options:
    model: str = flag("resnet101", "name of the pre-trained network", group="verb")


def main(options: Options) -> int:
    from deep_cnn.model_builder import prefetch

    print(f"Weights of {options.model}: {prefetch(options.model)}")
    return 0
