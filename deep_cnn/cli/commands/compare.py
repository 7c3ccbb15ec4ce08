"""python -m deep_cnn compare: finished runs side by side, as a table, and their metric against their size, as a figure."""

from dataclasses import dataclass

from deep_cnn.config.fields import flag


@dataclass(frozen=True)
class Options:
    runs: tuple[str, ...] = flag(
        (), "which runs: names or patterns ('scenes_*,first'); by default all", group="verb", kind=str, many="comma"
    )
    metric: str | None = flag(
        None,
        "what is compared: top1, macro_f1, r2, mae, safety/mae...; by default the task's own (top1, map or r2)",
        group="verb",
        kind=str,
    )
    baseline: str | None = flag(
        None, "name of a run: a paired bootstrap of every other run's difference to it", group="verb", kind=str
    )
    reference: bool = flag(False, "draw published CIFAR-10 accuracies beside the runs", group="verb")
    output: str | None = flag(
        None, "folder of the table and the figure; by default outputs/compare", group="verb", kind=str
    )
    root_dir: str = flag(".", "root directory of the project, as in training", group="verb")


def main(options: Options) -> int:
    from pathlib import Path

    from deep_cnn.reporting.compare.job import Asked, compare
    from deep_cnn.runtime import console

    console.console_only()
    outputs = Path(options.root_dir).expanduser() / "outputs"
    folder = Path(options.output).expanduser() if options.output else outputs / "compare"
    compare(outputs, folder, Asked(options.runs or ("*",), options.metric, options.baseline, options.reference))
    return 0
