"""deep_cnn from Python: `from deep_cnn import train, load_model, predict`, with DataFrames in and out."""

import contextlib
import dataclasses
import hashlib
import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import pandas as pd

from deep_cnn.config.fields import given_text, nearest_flag, wrong
from deep_cnn.config.prediction import Prediction
from deep_cnn.config.recipes import with_recipe
from deep_cnn.config.schema import Config
from deep_cnn.data.match import SAMPLE
from deep_cnn.inference import load
from deep_cnn.inference.load import TrainedNetwork, given_folders, open_networks
from deep_cnn.inference.predict.inputs import Images, Search, images_from_list, read_images
from deep_cnn.inference.predict.inputs import image_column as find_image_column
from deep_cnn.inference.predict.row_maker import RowMaker
from deep_cnn.inference.predict.stream import stream
from deep_cnn.runtime import console
from deep_cnn.runtime.atomic import atomic_path, escaped
from deep_cnn.runtime.device import granted_cores
from deep_cnn.runtime.errors import ConfigError, DeepCNNError
from deep_cnn.runtime.manifest import Manifest
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.training import trainer

__all__ = ["TrainedRun", "load_model", "predict", "train"]

log = logging.getLogger(__name__)

FLAG = re.compile(r"(?<![\w/-])--([a-z]\w*)")


@dataclass(frozen=True)
class TrainedRun:
    """A finished training.

    result: the held-out test, as in test.json (None without a test set); history: a row per epoch; predictions: a row per
    test image; splits: which image was trained, validated and tested on.
    """

    files: RunFiles
    result: dict[str, Any] | None

    @property
    def checkpoint(self) -> Path:
        """The best network, for `predict` and `load_model`."""
        return self.files.best

    @property
    def history(self) -> pd.DataFrame:
        """metrics.csv, a row per epoch."""
        return pd.read_csv(Manifest(self.files).require("metrics.csv"))

    @property
    def predictions(self) -> pd.DataFrame:
        """predictions_test.csv, a row per test image."""
        return _read(Manifest(self.files).require("predictions_test.csv"))

    @property
    def splits(self) -> pd.DataFrame:
        """splits.csv, a row per image."""
        return _read(Manifest(self.files).require("splits.csv"))


def _read(path: Path) -> pd.DataFrame:
    """A table of ours; a class that is called NA is no missing value."""
    return pd.read_csv(path, keep_default_na=False, na_values=[""], encoding_errors="surrogateescape")


def train(data_dir: str | Path, table: pd.DataFrame | None = None, **flags: Any) -> TrainedRun:
    """Train, validate and test a network, as `python -m deep_cnn` does; a run that was stopped resumes.

    Args:
        data_dir: folder of images. table: scores or labels, a row per image (--metadata takes a file).
        flags: as on the command line, `epochs=5, target="safety"`.

    Raises:
        ConfigError, DataError: a mistake, told in one line. MachineError: what the machine cannot do.
    """
    with _naming_arguments():
        return _train(data_dir, table, flags)


def _train(data_dir: str | Path, table: pd.DataFrame | None, flags: dict[str, Any]) -> TrainedRun:
    given = {"data_dir": data_dir} | flags
    fields = {f.name for f in dataclasses.fields(Config)}
    for name in given:
        if name not in fields:
            raise ConfigError(f"{name}: unknown flag.{nearest_flag(name, fields)}")
    config = with_recipe(given)
    if config.folds is not None and config.fold is None:
        raise ConfigError(
            f"folds={config.folds}: train() trains one network; add fold=1, or use the command line for all"
        )
    if config.config is not None:
        raise wrong("config", config.config, "is read on the command line only", "give its flags as arguments")
    files = RunFiles(config.root / "outputs", config.files_name)
    if table is not None:
        if config.metadata:
            raise ConfigError("metadata and table: give only one of them")
        if not isinstance(table, pd.DataFrame):
            raise ConfigError(f"table: expected a DataFrame, not {type(table).__name__}; give a file as metadata")
        config = dataclasses.replace(config, metadata=str(_kept(table, files)))
    return TrainedRun(files, trainer.train(config))


def predict(
    images: str | Path | Iterable[str | Path] | pd.DataFrame,
    checkpoint: str | Path | Iterable[str | Path],
    *,
    image_column: str | None = None,
    data_dir: str | Path | None = None,
    top: int | None = None,
    tta: str | bool = "none",
    coverage: float | None = None,
    device: str = "auto",
) -> pd.DataFrame:
    """Predictions, a row per image, as `python -m deep_cnn predict` writes them; unreadable images are in `.attrs["failed"]`.

    Args:
        images: a folder, a table's or list's file, a list of paths, or a DataFrame with a column of paths: its rows come
            back with the predictions beside them (empty where an image cannot be read).
        checkpoint: best.pt, or several for an ensemble. data_dir: where relative paths start.
        top: so many most probable classes instead of all probabilities. tta: as --tta: none,
            flip (or True) or shift.
        coverage: also intervals or sets that contain the truth of this share of new images, 0.9 for example.
    """
    with _naming_arguments():
        flags: dict[str, Any] = {
            "images": "-" if _several(images) else images,
            "checkpoint": [*checkpoint] if _several(checkpoint) else [checkpoint],
            "image_column": image_column,
            "data_dir": data_dir,
            "top": "all" if top is None else top,
            "tta": tta,
            "coverage": coverage,
            "device": device,
        }
        asked = Prediction(**flags)
        if not asked.checkpoint:
            raise ConfigError("checkpoint: missing; give the best.pt of a run, or several")
        files = None
        if _several(images) and not isinstance(images, pd.DataFrame):
            files = [given_text("images", file) for file in images]
            if asked.image_column is not None:
                raise wrong("image_column", asked.image_column, "the images are a list, not a table", "omit it")
        console.console_only()
        folders = given_folders(Path(), asked.data_dir)
        networks = open_networks([Path(path).expanduser() for path in asked.checkpoint], device=asked.device)
        if isinstance(images, pd.DataFrame):
            return _beside(images, networks, asked, folders)
        if files is not None:
            found = images_from_list(files, folders, folders)
        else:
            found = read_images(str(asked.images), asked.image_column, folders, folders)
        return _predicted(networks, found, asked)[0]


def _several(given: Any) -> TypeGuard[Iterable[Any]]:
    """Whether an argument is a list, a DataFrame and the like; not one path."""
    return isinstance(given, Iterable) and not isinstance(given, str | bytes)


def _beside(
    table: pd.DataFrame, networks: list[TrainedNetwork], asked: Prediction, folders: list[Path]
) -> pd.DataFrame:
    """The table with all its rows and columns, and the predictions beside them."""
    texts = table.astype(object).where(table.notna(), "")
    some = texts.iloc[:: max(len(table) // SAMPLE, 1)].astype(str).to_numpy().tolist()
    columns = [str(name) for name in table.columns]
    column, note = find_image_column(columns, some, asked.image_column, "the DataFrame", Search([Path()], folders))
    if note:
        log.info(note)
    files = texts.iloc[:, column].astype(str).str.strip()
    named = (files != "").to_numpy()
    images = images_from_list(files[named], folders, folders)
    predicted, positions = _predicted(networks, images, asked)
    image_of = np.full(len(table), -1)
    image_of[named] = images.rows
    answers = predicted.drop(columns="file").set_axis(positions).reindex(image_of).set_axis(table.index)
    joined = pd.concat([table, answers.rename(columns=lambda name: _free_name(name, columns))], axis=1)
    joined.attrs = table.attrs | {"failed": predicted.attrs["failed"]}
    return joined


def _free_name(name: str, taken: list[str]) -> str:
    while name in taken:
        name += "_predicted"
    return name


@contextlib.contextmanager
def _naming_arguments() -> Iterator[None]:
    """Mistakes name arguments, target=x, not flags of the command line; a command that is advised keeps its flags."""
    try:
        yield
    except DeepCNNError as mistake:
        text, command, rest = str(mistake).partition("python -m")
        mistake.args = (FLAG.sub(r"\1", text) + command + rest,)
        raise


load_model = _naming_arguments()(load.load_model)


def _predicted(networks: list[TrainedNetwork], images: Images, asked: Prediction) -> tuple[pd.DataFrame, list[int]]:
    """A row per image that can be read, and the image's position in `images`."""
    for note in images.notes:
        log.info(note)
    places = images.places is not None
    maker = RowMaker(networks, top=asked.classes, tta=asked.tta, places=places, coverage=asked.coverage)
    rows, positions = [], []
    failed: dict[str, str] = {}
    blocks = stream(networks, images, 0, len(images.paths), workers=granted_cores(), tta=asked.tta)
    for block in blocks:
        made, failures = maker.rows(block, images, 0)
        rows += [[escaped(cell) if isinstance(cell, str) else cell for cell in row] for row in made]  # as in files
        positions += [p for p in block.positions.tolist() if p not in block.failures]
        failed |= dict(failures)
    table = pd.DataFrame(rows, columns=[escaped(name) for name in maker.columns()])
    table.attrs["failed"] = failed
    return table, positions


def _kept(table: pd.DataFrame, files: RunFiles) -> Path:
    """The table as a file, by which a stopped run knows it again; another table of this name stays, for it is another run's."""
    text = table.to_csv(index=False).encode("utf-8", "surrogateescape")
    path = files.outputs / "tables" / f"{files.name}-{hashlib.sha256(text).hexdigest()[:8]}.csv"
    with atomic_path(path) as temporary:
        temporary.write_bytes(text)
    return path
