"""python -m deep_cnn prefetch: weights, or a public data set, ahead of time, on a machine that has internet."""

from dataclasses import dataclass

from deep_cnn.config.fields import check_ranges, flag


@dataclass(frozen=True)
class Options:
    model: str = flag("resnet101", "name of the pre-trained network", group="verb")
    dataset: str | None = flag(
        None, "instead of weights, a public data set", group="verb", kind=str, choices=("cifar10", "cifar100")
    )
    data_dir: str = flag("input", "folder that the data set is put in", group="verb")

    def __post_init__(self):
        check_ranges(self)


def main(options: Options) -> int:
    from pathlib import Path

    if options.dataset:
        from deep_cnn.data.public import fetch

        folder = Path(options.data_dir).expanduser()
        fetch(options.dataset, folder)
        print(f"{options.dataset} is in {folder}")
        return 0
    from deep_cnn.models.build import prefetch, shipped

    path, there = prefetch(options.model), shipped(options.model)
    print(f"Weights of {options.model}{', which come with the program' if there else ''}: {path}")
    return 0
