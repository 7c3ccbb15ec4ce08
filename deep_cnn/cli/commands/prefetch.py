"""python -m deep_cnn prefetch: weights, or a public data set, ahead of time, on a machine that has internet."""

from dataclasses import dataclass

from deep_cnn.config.fields import check_flags, flag, names_weights, wrong


@dataclass(frozen=True)
class Options:
    model: str = flag("resnet101", "name of the network whose weights are downloaded", group="command")
    weights: str = flag(
        "pretrained", "which of its weights: pretrained, or a name such as IMAGENET1K_V1", group="command"
    )
    dataset: str | None = flag(
        None,
        "public data set to download instead of weights",
        group="command",
        kind=str,
        choices=("cifar10", "cifar100"),
    )
    data_dir: str = flag("input", "folder for the data set", group="command")

    def __post_init__(self):
        check_flags(self)


def main(options: Options) -> int:
    from pathlib import Path

    if options.dataset:
        from deep_cnn.data.public import fetch

        folder = Path(options.data_dir).expanduser()
        fetch(options.dataset, folder)
        print(f"{options.dataset} is in {folder}")
        return 0
    from deep_cnn.models.build import prefetch, shipped

    if options.weights == "none" or not names_weights(options.weights):
        raise wrong("weights", options.weights, "expected pretrained or a name such as IMAGENET1K_V1")
    path, there = prefetch(options.model, options.weights), shipped(options.model)
    print(f"Weights of {options.model}{' (included in the program)' if there else ''}: {path}")
    return 0
