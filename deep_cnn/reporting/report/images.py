"""Pictures and photographs as text inside a page."""

import base64
import dataclasses
from pathlib import Path

import torch
from torchvision.io import encode_jpeg

from deep_cnn.data.decode import decode
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.data.sources import Place
from deep_cnn.runtime.errors import DataError

SIDE = 144  # pixels of a photograph: sharp at 96 on a phone's screen, 5 kB each


@dataclasses.dataclass(frozen=True)
class Shown:
    """A photograph in the page. source: a data: address; caption and note below it."""

    source: str
    caption: str
    note: str = ""


class Photographs:
    """Photographs of a data folder or archive; those that are gone or broken are left out and counted."""

    def __init__(self, folder: Path | None, pre: Preprocessing):
        self.place, self.missing = None if folder is None else Place(folder), 0
        self.pre = dataclasses.replace(pre, resize=SIDE, crop=SIDE)

    def __call__(self, file: str, caption: str, note: str = "") -> Shown | None:
        """The photograph of a file below the folder, small enough for the page; None, counted, where it is gone or broken."""
        if self.place is None:
            return None
        try:
            image = decode(self.place.source(file), self.pre)
        except (DataError, OSError, KeyError):
            self.missing += 1
            return None
        return Shown(jpeg(image), caption, note)


def jpeg(image: torch.Tensor) -> str:
    """uint8 (3, H, W) -> a data: address."""
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(image.contiguous(), 80).numpy().tobytes()).decode()


def png(path: Path) -> str:
    """A PNG file -> a data: address."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
