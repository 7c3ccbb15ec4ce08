"""Photographs and pictures as text inside a page."""

import base64
import dataclasses
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torchvision.io import encode_jpeg

from deep_cnn.data.decode import decode
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.data.sources import Place, is_source
from deep_cnn.reporting.report.record import Record, names_in
from deep_cnn.runtime.errors import DataError
from deep_cnn.runtime.format import number

SIDE = 144  # pixels of a photograph: sharp at 96 on a phone's screen, 5 kB each
EXAMPLE_CLASSES, EXAMPLES_EACH = 12, 4
EXAMPLE_SCORES, EXAMPLES_OF_A_SCORE = 6, 8  # of several scores half as many
GALLERY = 12
LARGEST_PICTURE = 300_000  # bytes of a picture inside the page, and
LARGEST_PICTURES = 900_000  # of all pictures of `explain`: a page is below 2 MB


@dataclasses.dataclass(frozen=True)
class Shown:
    """A photograph in the page. source: a data: address; alt: for readers who do not see it; caption and note below it."""

    source: str
    alt: str
    caption: str = ""
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Photographs with a title."""

    title: str
    images: list[Shown]


class Photographs:
    """Photographs of a data folder or archive; those that are gone or broken are left out and counted."""

    def __init__(self, folder: Path | None, pre: Preprocessing):
        found = folder is not None and is_source(folder)
        self.place, self.missing = Place(folder) if found and folder is not None else None, 0
        self.pre = dataclasses.replace(pre, resize=SIDE, crop=SIDE)

    def __call__(self, file: str, alt: str, caption: str = "", note: str = "") -> Shown | None:
        """The photograph of a file below the folder, small enough for the page; None, counted, where it is gone or broken."""
        if self.place is None:
            return None
        try:
            image = decode(self.place.source(file), self.pre)
        except (DataError, OSError, KeyError):
            self.missing += 1
            return None
        return Shown(jpeg(image), alt, caption, note)


def examples(record: Record, photographs: Photographs) -> list[Gallery]:
    """Training images of each class, or from the lowest to the highest score."""
    files = names_in(record.splits["file"][record.splits["split"] == "train"])
    targets = record.targets("train")
    found = []
    for name, has in islice(record.task.members(targets), EXAMPLE_CLASSES):
        chosen = _evenly(np.flatnonzero(has), EXAMPLES_EACH)
        found.append(gallery(name, (photographs(files[i], f"training image of {name}") for i in chosen)))
    for k, (name, values) in enumerate(islice(record.task.measured(targets), EXAMPLE_SCORES)):
        known = np.flatnonzero(~np.isnan(values))
        most = EXAMPLES_OF_A_SCORE // (1 if len(record.task.names) == 1 else 2)
        chosen = _evenly(known[np.argsort(values[known], kind="stable")], most)
        texts = {i: f"{number(values[i])} {record.task.unit(k)}".strip() for i in chosen}
        images = (photographs(files[i], f"training image, {name} {texts[i]}", texts[i]) for i in chosen)
        found.append(gallery(f"{name}, lowest to highest", images))
    return [each for each in found if each.images]


def _evenly(rows: np.ndarray, count: int) -> list[int]:
    """At most so many of these, from the first to the last."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int))].tolist()


def mistakes(record: Record, photographs: Photographs) -> list[Gallery]:
    """The most confident mistakes, or each score's largest errors, the worst first."""
    if record.tested is None or record.predictions is None:
        return []
    files = names_in(record.predictions["file"])
    galleries = record.task.mistakes(*record.tested, most=GALLERY)[:EXAMPLE_SCORES]
    most = GALLERY if len(galleries) < 3 else GALLERY // 2
    found = []
    for title, wrong in galleries:
        images = (
            photographs(
                files[m.row],
                f"predicted {m.predicted}, {m.truth}",
                m.predicted,
                f"{m.truth}; {Path(files[m.row]).name}",
            )
            for m in wrong[:most]
        )
        found.append(gallery(title, images))
    return [each for each in found if each.images]


def gallery(title: str, images: Iterable[Shown | None]) -> Gallery:
    """Those of the images that are there."""
    return Gallery(title, [image for image in images if image is not None])


def jpeg(image: torch.Tensor) -> str:
    """uint8 (3, H, W) -> a data: address."""
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(image.contiguous(), 80).numpy().tobytes()).decode()


def pictures(paths: Iterable[tuple[str, Path]]) -> tuple[list[Shown], list[str]]:
    """Picture files with their captions, and the names of those that are too large for a page."""
    shown, left_out, total = [], [], 0
    for caption, path in paths:
        content = path.read_bytes()
        if len(content) > LARGEST_PICTURE or total + len(content) > LARGEST_PICTURES:
            left_out.append(path.name)
            continue
        total += len(content)
        shown.append(Shown("data:image/png;base64," + base64.b64encode(content).decode(), caption, caption))
    return shown, left_out
