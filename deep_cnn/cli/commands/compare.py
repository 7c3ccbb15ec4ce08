"""python -m deep_cnn compare: finished runs side by side, as a table, and their metric against their size, as a figure."""

from dataclasses import dataclass

from deep_cnn.config.fields import check_flags, flag


@dataclass(frozen=True)
class Options:
    runs: tuple[str, ...] = flag(
        (),
        "runs to compare: names or patterns ('scenes_*,first'); by default all",
        group="command",
        kind=str,
        many="comma",
    )
    metric: str | None = flag(
        None,
        "metric to compare by: top1, macro_f1, r2, mae, safety/mae...; by default top1, map or r2, depending on the task",
        group="command",
        kind=str,
    )
    baseline: str | None = flag(
        None,
        "run to which all others are compared on the same test images; or what is reached without a network: majority_class, mean_predictor, "
        "linear_baseline (mean colours and edges)",
        group="command",
        kind=str,
    )
    reference: bool = flag(False, "also draw published accuracies on CIFAR-10", group="command")
    output: str | None = flag(
        None, "folder for the table and the figure; by default outputs/compare", group="command", kind=str
    )
    root_dir: str = flag(".", "root directory of the project", group="command")

    def __post_init__(self):
        check_flags(self)


def main(options: Options) -> int:
    from pathlib import Path

    from deep_cnn.reporting.compare.folds import compare_folds, divided, read_sets
    from deep_cnn.reporting.compare.job import Asked, compare
    from deep_cnn.reporting.compare.page import Block, write_comparison
    from deep_cnn.runtime import console
    from deep_cnn.runtime.errors import ConfigError, DataError, check_place

    console.console_only()
    outputs = Path(options.root_dir).expanduser() / "outputs"
    folder = Path(options.output).expanduser() if options.output else outputs / "compare"
    check_place("output", str(folder), folder / "table.csv")
    if any((folder / name).exists() for name in ("config.json", "plan.json", "status.json")):
        raise ConfigError(
            f"--output={folder}: is the folder of a run, whose report would be overwritten; choose another folder"
        )
    if (folder / "report.html").exists() and not any((folder / name).exists() for name in ("table.csv", "folds.csv")):
        raise ConfigError(f"--output={folder}: its report.html is not one of compare; choose another folder")
    folds, runs = divided(outputs, options.runs or ("*",))
    of_folds = options.baseline in folds
    blocks: list[Block] = []
    records, left_out = read_sets(outputs, folds)
    if left_out and not records and not runs:
        raise DataError(f"no cross-validation to compare: {'; '.join(left_out)}")
    if records:
        baseline = options.baseline if of_folds or not runs else None
        blocks.append(compare_folds(folder, records, options.metric, baseline, left_out))
    else:
        for note in left_out:
            print(f"Note: {note}")
    if runs or not folds:
        baseline = None if of_folds else options.baseline
        blocks += compare(outputs, folder, Asked(tuple(runs), options.metric, baseline, options.reference))
    console.log.info("Report: %s", write_comparison(folder, blocks))
    return 0
