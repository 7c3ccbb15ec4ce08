"""One table of predictions from start to end: load, look where an earlier start came to, predict, append."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deep_cnn.config.fields import parse_duration
from deep_cnn.inference.load import TrainedNetwork, given_folders, image_folders, open_networks
from deep_cnn.inference.predict import redo
from deep_cnn.inference.predict.convert import check_places
from deep_cnn.inference.predict.inputs import Images, check_there, read_images
from deep_cnn.inference.predict.output_table import OutputTable, TableFiles, known_of
from deep_cnn.inference.predict.row_maker import RowMaker
from deep_cnn.inference.predict.shards import merge, parse_shard, part_of, remove, shard_bounds, shard_file
from deep_cnn.inference.predict.stream import Predicted, block_size, stream
from deep_cnn.models import checkpoint
from deep_cnn.runtime import console, distributed, signals
from deep_cnn.runtime.atomic import read_json
from deep_cnn.runtime.device import workers_of
from deep_cnn.runtime.errors import ConfigError
from deep_cnn.runtime.manifest import Manifest, understood
from deep_cnn.runtime.run_files import RunFiles, fold_name
from deep_cnn.runtime.signals import Stopped
from deep_cnn.runtime.walltime import Deadline, time_limit
from deep_cnn.tasks.base import Task
from deep_cnn.tasks.make import task_from_dict

log = logging.getLogger(__name__)


def run(asked: Any, output: Path) -> dict[str, Any]:
    """Predict the images of this shard into `output` (or its shard's file), from where an earlier start came to.

    Several processes each predict a part of the shard; of the whole list, the first one puts the parts together.

    Args:
        asked: the flags of `cli/commands/predict.py`; `images` is given.

    Returns:
        what the table's .json says: rows, failed, shard...

    Raises:
        Stopped: by a signal or the time limit, with every row so far on the disk.
    """
    check_there(asked.images)
    whole = parse_shard(asked.shard)
    shard = part_of(whole, distributed.rank(), distributed.world_size())
    if distributed.world_size() > 1 and asked.images == "-":
        raise ConfigError(
            "--images=-: several processes cannot share one standard input; write the list to a file (.txt)"
        )
    root = Path(asked.root_dir).expanduser()
    named = given_folders(root, asked.data_dir)
    networks = open_networks(checkpoints_of(asked), device=asked.device, precision=asked.precision)
    images = read_images(
        asked.images,
        asked.image_column,
        image_folders(root, asked.data_dir, networks[0]),
        named,
    )
    for note in images.notes:
        log.info(note)
    check_places(Path(asked.output), images)
    maker = RowMaker(
        networks,
        top=asked.classes,
        tta=asked.tta,
        places=images.places is not None,
        coverage=asked.coverage,
    )
    files = TableFiles(shard_file(output, shard))
    files.rows.parent.mkdir(parents=True, exist_ok=True)
    first, last = shard_bounds(shard, len(images.paths), block_size(networks))
    say_what_comes(networks, maker, last - first, shard, files)
    about = what_makes(asked, networks, images, shard)
    table = OutputTable(files, maker.columns(), about)
    if distributed.world_size() == 1 or whole != (1, 1):
        return predict_shard(asked, images, maker, table, (first, last))
    making = {key: value for key, value in about.items() if key != "shard"} | {"columns": maker.columns()}
    if (known := known_of(TableFiles(output), making)) is not None and known.get("complete"):
        stale = count_changed(TableFiles(output), images)
        if not stale:
            log.info("The table is already complete")
            return known
        log.info("Images that have changed since they were predicted: %d; predicting all images again", stale)
    predict_shard(asked, images, maker, table, (first, last))
    return put_together(output, distributed.world_size())


def what_makes(asked: Any, networks: list[TrainedNetwork], images: Images, shard: tuple[int, int]) -> dict[str, Any]:
    """What a table is made with, for its .json: a table of anything else is another one."""
    about = {
        "checkpoints": [network.digest for network in networks],
        "precision": [network.settings.precision for network in networks],
        "flips": {"none": False, "flip": True}.get(asked.tta, asked.tta),  # as tables of before --tta=shift say it
        "list": images.digest(),
        "images": len(images.paths),
        "shard": f"{shard[0]}/{shard[1]}",
    }
    about |= {"csv_safe": True} if asked.csv_safe else {}
    about |= {"places": images.digest_of_places()} if images.places is not None else {}
    return about | ({"coverage": asked.coverage} if asked.coverage is not None else {})


def predict_shard(
    asked: Any, images: Images, maker: RowMaker, output: OutputTable, bounds: tuple[int, int]
) -> dict[str, Any]:
    """Fill the table of the images from the first of `bounds` to before the second; returns what its .json says."""
    (first, last), files, block = bounds, output.files, block_size(maker.networks)
    with distributed.stopped_together(), output as table:
        known = table.finished()
        if not redo.previous(files).rows.exists() and redo.changed(files, images, first, last).any():
            redo.put_aside(files)
            table.restart()
            known = None
        if known is not None:
            log.info("The table is already complete")
            return known
        old = redo.OldRows(files, images, first, last)
        position = table.resume(images.names, first, last)
        if position > first:
            log.info("Resuming after %d of %d images", position - first, last - first)
        workers = workers_of(asked.workers)
        deadline = time_limit(parse_duration("max_time", asked.max_time))
        with signals.between_steps():
            # from the start of the block, so that each image is in the same batch as without a stop
            start = position // block * block
            for left, right, copied in old.parts(start, last, block):
                if copied:
                    old.copy_to(table, max(left, position), right)
                    continue
                blocks = stream(maker.networks, images, left, right, workers=workers, tta=maker.tta)
                append(table, maker, images, range(max(left, position), right), blocks, deadline)
        about_table = table.finish(last - first)
        redo.remove_previous(files)
        return about_table


def checkpoints_of(asked: Any) -> list[Path]:
    """The networks that predict: those of --checkpoint, else the best of --run_name."""
    given = [Path(path).expanduser() for path in asked.checkpoint]
    return given or best_of(RunFiles(Path(asked.root_dir).expanduser() / "outputs", asked.run_name))


def task_of(asked: Any) -> Task:
    """What these networks predict, read from the first one's file. Raises CheckpointError where it cannot be used."""
    path = checkpoints_of(asked)[0]
    state = checkpoint.load(path)
    with checkpoint.understood(path):
        return task_from_dict(state["task"])


def best_of(files: RunFiles) -> list[Path]:
    """The best network of a run; those of all folds where the name is that of a cross-validation."""
    plan = read_json(files.fold_plan)
    if plan is None or files.best.exists():
        return [files.best]
    with understood(Manifest(files).require("plan.json")):
        return [RunFiles(files.outputs, fold_name(files.name, k)).best for k in range(1, int(plan["folds"]) + 1)]


@distributed.main_process
def count_changed(files: TableFiles, images: Images) -> int:
    """How many images are not what they were when a complete table of all images was made."""
    return int(redo.changed(files, images, 0, len(images.paths)).sum())


@distributed.main_process
def put_together(output: Path, count: int) -> dict[str, Any]:
    """Merge the tables of the processes, and remove them; returns what the table's .json says."""
    about = merge(output, count)
    remove(output, count)
    return about


def append(
    table: OutputTable,
    maker: RowMaker,
    images: Images,
    wanted: range,
    blocks: Iterable[Predicted],
    deadline: Deadline,
) -> None:
    """Append the rows of the wanted images, by their positions in the list; the first block may begin before them."""
    position = wanted.start
    bar = console.Bar("Predict", len(wanted), unit="image")
    try:
        for predicted in blocks:
            fresh = predicted.contents[predicted.positions >= position]
            table.add(*maker.rows(predicted, images, position), fresh)
            bar.step(count=len(predicted.positions) - max(0, position - int(predicted.positions[0])))
            position = int(predicted.positions[-1]) + 1
            if (signal := signals.requested()) or deadline.near():
                why = f"by {signal}" if signal else "before the time limit"
                raise Stopped(
                    f"stopped {why} after {position} images; all of them are saved; run the same command to resume"
                )
    except signals.Interrupted:  # by a signal, while an image was waited for
        raise Stopped(
            f"stopped by {signals.requested()} after {position} images; all of them are saved; run the same command to resume"
        ) from None
    finally:
        bar.close()


def say_what_comes(
    networks: list[TrainedNetwork], maker: RowMaker, count: int, shard: tuple[int, int], files: TableFiles
) -> None:
    """Log how many images are predicted by what, and whether an earlier start is continued."""
    first = networks[0]
    log.info(
        "Predicting %d images%s with %s on %s in %s",
        count,
        f" (shard {shard[0]} of {shard[1]})" if shard[1] > 1 else "",
        f"{len(networks)} networks" if len(networks) > 1 else "one network",
        first.device,
        first.settings.precision,
    )
    if not maker.has_ood:
        log.info("No column unlike_training: the checkpoint has no features of training images")
    if not maker.task.uncertainty_columns(maker.several):
        log.info(
            "No column of uncertainty: scores have one only with several checkpoints (--checkpoint=A,B) or with --tta"
        )
    log.info("Rows are appended to %s", files.rows.absolute())
