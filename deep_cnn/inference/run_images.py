"""The images of a finished run's splits: where they lie, their targets, and what the network predicts."""

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deep_cnn.data.files import Paths
from deep_cnn.data.sources import Place
from deep_cnn.inference.load import FinishedRun
from deep_cnn.inference.predict.inputs import Images
from deep_cnn.inference.predict.stream import stream
from deep_cnn.runtime.atomic import read_csv
from deep_cnn.runtime.errors import DataError
from deep_cnn.runtime.manifest import Manifest, understood


@dataclass(frozen=True)
class SplitImages:
    """The images of a split, and the target of each, as the index has them."""

    images: Images
    targets: np.ndarray

    def take(self, positions: np.ndarray) -> "SplitImages":
        """Those at some positions, int64 (n,), in that order."""
        members = None if self.images.members is None else self.images.members.take(positions)
        images = Images(self.images.root, self.images.paths.take(positions), members=members)
        return SplitImages(images, self.targets[positions])


def split_images(run: FinishedRun, split: str) -> SplitImages:
    """The images of train, validation or test, as splits.csv has them.

    Raises:
        DataError: no such list, no such images, or the folder of images has moved.
    """
    table = Manifest(run.files).require("splits.csv")
    try:
        with understood(table):
            rows = [row for row in read_csv(table) if row[-1] == split]
    except OSError as error:
        raise DataError(f"{table}: cannot be read ({error.strerror}); train first, or check --run_name") from None
    if not rows:
        raise DataError(f"--split={split}: run {run.files.name} has no such images")
    root = folder_of(run, rows[0][0])
    if root is None:
        raise DataError(
            f"{table}: {rows[0][0]} is not below {', '.join(map(str, run.image_folders))}; "
            "give the folder of images as --data_dir"
        )
    names = [row[0] for row in rows]
    images = Images(root, Paths.from_list(names), members=Place(root).locate(names))
    with understood(table):
        return SplitImages(images, run.network.task.parse_targets([row[1:-1] for row in rows]))


def folder_of(run: FinishedRun, name: str) -> Path | None:
    """Where the run's images lie, by the name of one of them; None where it is not found."""
    return next((folder for folder in run.image_folders if Place(folder).has(name)), None)


def own_folder(run: FinishedRun) -> Path | None:
    """Where the images that the run was trained with lie; None where that is not known."""
    rows = itertools.islice(read_csv(Manifest(run.files).require("splits.csv")), 1, 2)  # below the header
    return next((folder_of(run, row[0]) for row in rows), None)


def predicted(run: FinishedRun, images: Images, workers: int) -> np.ndarray:
    """Probabilities or scores of images, float64 (N, K); NaN where one cannot be read."""
    parts = []
    for block in stream([run.network], images, 0, len(images.paths), workers=workers):
        rows = block.decoded[0]
        rows[[p in block.failures for p in block.positions.tolist()]] = np.nan
        parts.append(rows)
    return np.concatenate(parts)
