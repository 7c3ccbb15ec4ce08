"""A run that is finished, to be used: its best network, and the images of its splits with what is known of them."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deep_cnn.data.files import Paths
from deep_cnn.inference.members import Member, load_members
from deep_cnn.inference.predict.inputs import Images
from deep_cnn.inference.predict.job import image_bases
from deep_cnn.inference.predict.stream import stream
from deep_cnn.runtime.errors import DataError
from deep_cnn.runtime.run_files import RunFiles


@dataclass(frozen=True)
class SplitImages:
    """The images of a split, and the target of each, as the index has them."""

    images: Images
    targets: np.ndarray

    def take(self, positions: np.ndarray) -> "SplitImages":
        return SplitImages(Images(self.images.root, self.images.paths.take(positions)), self.targets[positions])


@dataclass(frozen=True)
class FinishedRun:
    files: RunFiles
    member: Member
    bases: list[Path]  # where its images may lie

    def split(self, name: str) -> SplitImages:
        """The images of train, validation or test, as splits.csv has them.

        Raises:
            DataError: no such list, no such images, or the folder of images has moved.
        """
        table = self.files.results / "splits.csv"
        try:
            with open(table, encoding="utf-8", errors="surrogateescape", newline="") as file:
                rows = [row for row in csv.reader(file) if row[-1] == name]
        except OSError as error:
            raise DataError(f"{table}: cannot be read ({error.strerror}); train first, or check --run_name") from None
        if not rows:
            raise DataError(f"--split={name}: run {self.files.name} has no such images")
        paths = Paths.from_list([row[0] for row in rows])
        root = next((folder for folder in self.bases if (folder / rows[0][0]).exists()), None)
        if root is None:
            raise DataError(
                f"{rows[0][0]} of {table} is below none of {', '.join(map(str, self.bases))}; "
                "where are the images now? Give --data_dir"
            )
        return SplitImages(Images(root, paths), self.member.task.parse_targets([row[1:-1] for row in rows]))

    def decoded(self, images: Images, workers: int) -> np.ndarray:
        """Probabilities or scores of images, float64 (N, K); NaN where one cannot be read."""
        parts = []
        for block in stream([self.member], images, 0, len(images.paths), workers=workers):
            rows = block.decoded[0]
            rows[[p in block.failures for p in block.positions.tolist()]] = np.nan
            parts.append(rows)
        return np.concatenate(parts)


def open_run(
    run_name: str, root_dir: str, *, data_dir: str | None = None, device: str = "auto", precision: str = "auto"
) -> FinishedRun:
    root = Path(root_dir).expanduser()
    files = RunFiles(root / "outputs", run_name)
    members = load_members([files.best], device=device, precision=precision)
    return FinishedRun(files, members[0], image_bases(root, data_dir, members))
