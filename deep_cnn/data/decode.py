"""File -> canonical image: the pixels that the cache stores and that training and evaluation start from (formats.py: their conventions)."""

import errno
import time
from pathlib import Path

import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from deep_cnn.data.formats import ADVICE, header_size, reader, unreadable
from deep_cnn.data.preprocess import IMAGENET_MEAN, Preprocessing
from deep_cnn.runtime.errors import DataError

MAX_ASPECT = (
    16  # a 1 x 100,000 strip would first grow to 256 x 25,600,000: beyond 16:1 its middle is cut out beforehand
)
PADDING = tuple(
    round(255 * m) for m in IMAGENET_MEAN
)  # about 0 after normalisation; the cache knows no network's own mean
TRANSIENT = (
    errno.EIO,
    getattr(errno, "ESTALE", errno.EIO),
)  # what a network file system says while its server restarts
PAUSES = (0.5, 2.0, 5.0)  # seconds before the second, third and fourth try


def decode(path: str | Path, pre: Preprocessing, data: bytearray | None = None) -> torch.Tensor:
    """The canonical image of a file: a function of its bytes and of `pre` alone, safe to call from several threads.

    Args:
        data: the file's bytes (`read_file`), where they have been read.

    Returns:
        uint8 (3, R, R), RGB, R = pre.resize; a view of (R, R, 3) memory, so `.permute(1, 2, 0)` is contiguous.

    Raises:
        DataError: the file is missing, empty, truncated, no image, or above Pillow's limit of 179 megapixels.
    """
    data = read_file(path) if data is None else data
    return _rows_first(_fit(_rows_first(reader(data)(data, path, pre.bits)), pre))


def image_size(path: str | Path) -> tuple[int, int]:
    """(width, height) in pixels as the image is shown (turned by its metadata), read from its header."""
    try:
        with open(path, "rb") as file:
            return header_size(file, path)
    except OSError as error:
        raise unreadable(path, error) from error


def read_file(path: str | Path) -> bytearray:
    """All bytes of a file, tried again where a network file system drops out for a moment."""
    for pause in (*PAUSES, None):
        try:
            with open(path, "rb") as file:
                data = bytearray(file.read())  # bytearray: torch.frombuffer warns about memory it could not write to
            break
        except OSError as error:
            if pause is None or error.errno not in TRANSIENT:
                raise unreadable(path, error) from error
            time.sleep(pause)  # opened again by its name: a stale handle never comes back
    if not data:
        raise DataError(f"{path}: the file is empty (0 bytes). {ADVICE}")
    return data


def _rows_first(image: torch.Tensor) -> torch.Tensor:
    """The same (3, H, W) in (H, W, 3) memory: how the cache stores it, and 2.7 times as fast to resize."""
    return image.permute(1, 2, 0).contiguous().permute(2, 0, 1)


def _fit(image: torch.Tensor, pre: Preprocessing) -> torch.Tensor:
    """uint8 (3, H, W) -> (3, R, R) as pre.fit says."""
    side, mode = pre.resize, InterpolationMode(pre.interpolation)
    height, width = image.shape[-2:]
    if pre.fit == "squash":
        return F.resize(image, [side, side], interpolation=mode, antialias=True)
    if pre.fit == "pad":
        scale = side / max(height, width)
        size = [max(1, round(height * scale)), max(1, round(width * scale))]
        canvas = torch.tensor(PADDING, dtype=torch.uint8).view(3, 1, 1).repeat(1, side, side)
        top, left = (side - size[0]) // 2, (side - size[1]) // 2
        canvas[:, top : top + size[0], left : left + size[1]] = F.resize(
            image, size, interpolation=mode, antialias=True
        )
        return canvas
    longest = MAX_ASPECT * min(height, width)
    if max(height, width) > longest:
        image = F.center_crop(image, [min(height, longest), min(width, longest)])
    return F.center_crop(F.resize(image, [side], interpolation=mode, antialias=True), [side, side])
