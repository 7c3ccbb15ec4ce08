"""Every image of an index, read once: what cannot be read, how large the others are, and what they look like."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F

from deep_cnn.data.decode import decode, image_size
from deep_cnn.data.index import Index
from deep_cnn.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from deep_cnn.runtime import console
from deep_cnn.runtime.errors import DataError

SIDE = 72  # 9 x 9 pixels for each of the 8 x 8: noise averages out
SMALL = Preprocessing(SIDE, SIDE, IMAGENET_MEAN, IMAGENET_STD, fit="squash")


@dataclass(frozen=True)
class Look:
    """What was seen. Rows belong to the index's samples; of an unreadable one they are 0."""

    errors: dict[int, str]  # sample -> one line that names its file
    sizes: np.ndarray  # int64 (N, 2) width, height
    thumbs: np.ndarray  # uint8 (N, 8, 8, 3)


def look(index: Index, workers: int, bits: int = 16) -> Look:
    """Decode all images of the index, several at a time; bits: as Preprocessing has it."""
    count = len(index.paths)
    found = Look({}, np.zeros((count, 2), np.int64), np.zeros((count, 8, 8, 3), np.uint8))
    small = replace(SMALL, bits=bits)
    bar = console.Bar("Reading", count, unit="image")

    def read(sample: int) -> None:
        path = index.source(sample)
        try:
            image = decode(path, small)
            found.sizes[sample] = image_size(path)
        except DataError as error:
            found.errors[sample] = str(error)
            return
        found.thumbs[sample] = thumb(image)

    try:
        with ThreadPoolExecutor(max(1, workers)) as pool:
            for _ in pool.map(read, range(count), chunksize=64):
                bar.step()
    finally:
        bar.close()
    return found


def thumb(image: torch.Tensor) -> np.ndarray:
    """A canonical image, uint8 (3, 72, 72), in 8 x 8 pixels: uint8 (8, 8, 3)."""
    return F.adaptive_avg_pool2d(image.float(), (8, 8)).round().byte().permute(1, 2, 0).numpy()
