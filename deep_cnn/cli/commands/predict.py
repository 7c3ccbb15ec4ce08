"""python -m deep_cnn predict: a table of predictions for images that nobody has rated."""

from pathlib import Path
from typing import TYPE_CHECKING

from deep_cnn.config.prediction import Prediction as Options
from deep_cnn.runtime import signals
from deep_cnn.runtime.format import plural
from deep_cnn.runtime.launch import tell, this_rank

if TYPE_CHECKING:
    from deep_cnn.tasks.base import Task

SOME_FAILED = 3  # exit code: everything is done, but some images could not be read


def main(options: Options) -> int:
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
    written, notes = aggregate(
        table, options.aggregate, options.images, options.image_column, task, None if options.checkpoint else run
    )
    for note in notes:
        log.info(note)
    log.info("Means of areas: %s", ", ".join(map(str, written)))
