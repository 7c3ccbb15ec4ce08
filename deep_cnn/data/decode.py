"""File -> canonical image: the pixels that the cache stores and that training and evaluation start from.

JPEG goes through torchvision.io (0.4 ms for 500x375, without the GIL; Pillow needs 0.6 ms), every other format through
Pillow: torchvision's PNG decoder ends the whole process with a segmentation fault on a file with damaged bytes, its WebP
decoder ignores EXIF, and it returns all frames of an animation and 16-bit values as they are.

Conventions: EXIF orientation applied; transparency laid on white, as a browser shows it; the high byte of 16-bit values;
the first frame of an animation, the first page of a TIFF; colour profiles ignored, as by every peer.
"""

import errno
import io
import time
import warnings
from pathlib import Path
from typing import IO

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from deep_cnn.config.registries import IMAGE_FORMATS, resolve
from deep_cnn.data.preprocess import IMAGENET_MEAN, Preprocessing
from deep_cnn.runtime.errors import DataError

# Pillow warns from 89 megapixels on and refuses from 179 on. Between the two an image is large, not suspicious.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

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
ADVICE = (
    "Replace or remove the file, or skip unreadable files with --on_bad_image=skip; "
    "`python -m deep_cnn check` lists all of them."
)


def decode(path: str | Path, pre: Preprocessing) -> torch.Tensor:
    """The canonical image of a file: a function of its bytes and of `pre` alone, safe to call from several threads.

    Returns:
        uint8 (3, R, R), RGB, R = pre.resize; a view of (R, R, 3) memory, so `.permute(1, 2, 0)` is contiguous.

    Raises:
        DataError: the file is missing, empty, truncated, no image, or above Pillow's limit of 179 megapixels.
    """
    data = _read(path)
    read = next((read for magic, read in READERS if data.startswith(magic)), read_by_pillow)
    return _rows_first(_fit(_rows_first(read(data, path)), pre))


def image_size(path: str | Path) -> tuple[int, int]:
    """(width, height) in pixels as the image is shown (EXIF orientation applied), read from its header."""
    try:
        with open(path, "rb") as file, _open(file, path) as image:
            # orientations 5 to 8 swap width and height; of a TIFF Pillow has done it
            turned = image.getexif().get(0x0112, 1) >= 5 and image.format != "TIFF"
            return (image.height, image.width) if turned else image.size
    except OSError as error:
        raise _unreadable(path, error) from error


def _read(path: str | Path) -> bytearray:
    """All bytes of a file, tried again where a network file system drops out for a moment."""
    for pause in (*PAUSES, None):
        try:
            with open(path, "rb") as file:
                data = bytearray(file.read())  # bytearray: torch.frombuffer warns about memory it could not write to
            break
        except OSError as error:
            if pause is None or error.errno not in TRANSIENT:
                raise _unreadable(path, error) from error
            time.sleep(pause)  # opened again by its name: a stale handle never comes back
    if not data:
        raise DataError(f"{path}: the file is empty (0 bytes). {ADVICE}")
    return data


def _unreadable(path: str | Path, error: Exception | str) -> DataError:
    reason = (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
    return DataError(f"{path}: unreadable image ({reason}). {ADVICE}")


def _open(file: IO[bytes], path: str | Path) -> Image.Image:
    """Read an image's header (17 microseconds for a JPEG)."""
    try:
        return Image.open(file)
    except UnidentifiedImageError as error:
        raise _unreadable(path, f"the format is none of {', '.join(IMAGE_FORMATS)}") from error
    except Exception as error:  # damaged headers raise whatever the parser stumbles over: SyntaxError, struct.error...
        raise _unreadable(path, error) from error


def read_jpeg(data: bytearray, path: str | Path) -> torch.Tensor:
    """JPEG bytes -> uint8 (3, H, W)."""
    _open(io.BytesIO(data), path)  # refuses a header of 65,500 x 65,500 pixels before 13 GB are reserved for them
    try:
        return decode_image(torch.frombuffer(data, dtype=torch.uint8), ImageReadMode.RGB, apply_exif_orientation=True)
    except RuntimeError:
        return read_by_pillow(data, path)  # Pillow reads the rarer kinds, and says better what is wrong with the others


def read_by_pillow(data: bytearray, path: str | Path) -> torch.Tensor:
    """Bytes of any format that Pillow knows -> uint8 (3, H, W)."""
    with _open(io.BytesIO(data), path) as image:
        try:
            pixels = np.array(_to_rgb(ImageOps.exif_transpose(image)))  # (H, W, 3)
        except Exception as error:  # as in _open: the decoders' own kinds of error are many
            raise _unreadable(path, error) from error
    return torch.from_numpy(pixels).permute(2, 0, 1)


READERS = [(row.magic, resolve(row.code)) for row in IMAGE_FORMATS.values()]


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("floating-point pixels have no defined white level")
    if image.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion would clip everything above 255 to white
        high_byte = np.clip(np.asarray(image), 0, 65535).astype(np.uint16) >> 8
        return Image.fromarray(high_byte.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        return white.convert("RGB")
    return image.convert("RGB")


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
