"""python -m deep_cnn predict: a table of predictions for images that nobody has rated."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deep_cnn.config.fields import (
    check_flags,
    flag,
    parse_duration,
    positive_integer,
    run_name,
    tta_level,
    worker_count,
    wrong,
)
from deep_cnn.config.schema import TTA
from deep_cnn.runtime import signals
from deep_cnn.runtime.errors import ConfigError
from deep_cnn.runtime.format import plural
from deep_cnn.runtime.launch import tell, this_rank

if TYPE_CHECKING:
    from deep_cnn.tasks.base import Task

SOME_FAILED = 3  # exit code: everything is done, but some images could not be read


@dataclass(frozen=True)
class Options:
    run_name: str = flag("default", "name of the run; its best network predicts", group="command", kind=run_name)
    checkpoint: tuple[str, ...] = flag(
        (), "checkpoint file to use instead; several (A,B) are averaged", group="command", kind=str, many="comma"
    )
    images: str | None = flag(
        None,
        "images to predict: a folder, an archive (.tar, .zip), a table (.csv), a list of paths (.txt), or - for a list on standard input",
        group="command",
        kind=str,
    )
    output: str = flag("predictions.csv", "table to write (.csv, .parquet or .geojson)", group="command")
    image_column: str | None = flag(None, "column of the table with the paths of the images", group="command", kind=str)
    top: str = flag(
        "all", "all: the probabilities of all classes; N: only the N most probable classes", group="command"
    )
    tta: str = flag(
        "none",
        "test-time augmentation: flip gives the mean and the spread of the predictions for an image and its mirror image; "
        "shift also moves both by one pixel",
        group="command",
        kind=tta_level,
        choices=TTA,
        bare="flip",
    )
    aggregate: str | None = flag(
        None,
        "also write the mean score of each area, with its interval: a column of the table of images (district), or grid:1km; columns "
        "named as the targets are local ratings",
        group="command",
        kind=str,
    )
    coverage: float | None = flag(
        None,
        "also write, for each score, an interval that contains the truth of this share of new images (0.9: columns lower_ and upper_), or "
        "the set of classes that does (column set)",
        group="command",
        kind=float,
    )
    shard: str | None = flag(
        None,
        "predict only part i/n of the images; by default the part of this job in its job array",
        group="command",
        kind=str,
    )
    csv_safe: bool = flag(
        False,
        "write an apostrophe before cells that begin with = + - @, which a spreadsheet would take for formulas",
        group="command",
    )
    merge: bool = flag(False, "merge the finished shards of --output", group="command")
    root_dir: str = flag(".", "root directory of the project", group="command")
    data_dir: str | None = flag(None, "folder to which the paths in the table are relative", group="command", kind=str)
    device: str = flag("auto", "device: auto, cpu, cuda, cuda:N or mps", group="command")
    precision: str = flag(
        "auto",
        "floating-point precision; auto: that of the training",
        group="command",
        choices=("auto", "fp32", "bf16", "fp16", "fp64"),
    )
    workers: str = flag(
        "auto", "threads that read images; auto: the cores available to this job", group="command", kind=worker_count
    )
    max_time: str | None = flag(
        None, "save everything and stop before this time (HH:MM:SS) is over", group="command", kind=str
    )

    def __post_init__(self):
        check_flags(self)
        parse_duration("max_time", self.max_time)
        if self.csv_safe and not self.output.lower().endswith(".csv"):
            raise wrong("csv_safe", self.csv_safe, "is for tables that a spreadsheet opens", "use --output=FILE.csv")
        if self.coverage is not None and not 0.5 <= self.coverage < 1:
            raise wrong("coverage", f"{self.coverage:g}", "expected a share from 0.5 to below 1", "for example 0.9")
        if self.images is None and not self.merge:
            raise ConfigError(
                "--images: missing; give a folder, a table (.csv), a list of paths (.txt), or - for a list on standard input"
            )
        if self.top != "all" and not (positive_integer(self.top)):
            raise wrong("top", self.top, "expected all, or a number of classes from 1 on")


def main(options: Options) -> int:
    signals.catch_signals()  # before torch is imported, which takes seconds
    try:
        return predicted(options)
    except signals.Stopped as stop:
        tell(stop, heard=True)
        return 0 if signals.under_torchrun() else stop.exit_code
    except KeyboardInterrupt:
        tell("stopped at once; the same command continues after the rows so far", heard=True)
        return signals.INTERRUPTED


def predicted(options: Options) -> int:
    import logging

    from deep_cnn.inference.predict import convert, job, shards
    from deep_cnn.inference.predict.areas import check_aggregate
    from deep_cnn.inference.predict.output_table import TableFiles
    from deep_cnn.runtime import console, distributed
    from deep_cnn.runtime.errors import check_place

    console.console_only()
    log = logging.getLogger("deep_cnn")
    output = Path(options.output).expanduser()
    convert.check_output(output)
    check_place("output", options.output, output)
    table = output.with_suffix(".csv")
    task = None
    if options.aggregate is not None:
        task = job.task_of(options)
        check_aggregate(options.aggregate, options.images, task)
    if options.merge:
        about = shards.merge(table)
    else:
        with distributed.process_group(options.device), signals.agreed(this_rank().world_size):
            about = job.run(options, table)
            if not distributed.is_main():
                return 0
    files = TableFiles(shards.shard_file(table, shards.parse_shard(about["shard"])))
    whole = files.rows == table
    if whole:
        convert.convert(table, output)
        if task is not None:
            write_areas(options, table, task)
    log.info("%s predicted: %s", plural(about["rows"], "image"), output if whole else files.rows)
    if about["failed"]:
        log.warning(
            "%s could not be read; %s lists them with the reasons (exit code %d)",
            plural(about["failed"], "image"),
            files.failed,
            SOME_FAILED,
        )
        return 0 if signals.under_torchrun() else SOME_FAILED
    return 0


def write_areas(options: Options, table: Path, task: "Task") -> None:
    """--aggregate: the means of areas, beside the table of predictions."""
    import logging

    from deep_cnn.inference.predict.areas import aggregate
    from deep_cnn.runtime.run_files import RunFiles

    log = logging.getLogger("deep_cnn")
    assert options.aggregate is not None
    run = RunFiles(Path(options.root_dir).expanduser() / "outputs", options.run_name)
    written, notes = aggregate(table, options.aggregate, options.images, task, None if options.checkpoint else run)
    for note in notes:
        log.info(note)
    log.info("Means of areas: %s", ", ".join(map(str, written)))
