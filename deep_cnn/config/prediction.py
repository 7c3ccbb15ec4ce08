"""Every flag of `predict`, whose values Python gives as arguments."""

from dataclasses import dataclass

from deep_cnn.config.fields import (
    check_flags,
    class_count,
    flag,
    parse_duration,
    run_name,
    tta_level,
    worker_count,
    wrong,
)
from deep_cnn.config.schema import TTA
from deep_cnn.runtime.errors import ConfigError


@dataclass(frozen=True)
class Prediction:
    """A table of predictions: its flags."""

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
        "all",
        "all: the probabilities of all classes; N: only the N most probable classes",
        group="command",
        kind=class_count,
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

    def __post_init__(self) -> None:
        check_flags(self)
        parse_duration("max_time", self.max_time)
        if self.csv_safe and not self.output.lower().endswith(".csv"):
            raise wrong("csv_safe", self.csv_safe, "is for tables that a spreadsheet opens", "use --output=FILE.csv")
        if self.coverage is not None and not 0.5 <= self.coverage < 1:
            raise wrong("coverage", f"{self.coverage:g}", "expected a share from 0.5 to below 1", "for example 0.9")
        if self.checkpoint and self.run_name != Prediction.run_name:
            raise wrong("run_name", self.run_name, "--checkpoint gives the networks already", "omit one of the two")
        if self.images is None and not self.merge:
            raise ConfigError(
                "--images: missing; give a folder, a table (.csv), a list of paths (.txt), or - for a list on standard input"
            )

    @property
    def classes(self) -> int | None:
        """How many classes of --top; None: all."""
        return None if self.top == "all" else int(self.top)
