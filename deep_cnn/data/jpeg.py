"""JPEG bytes to pixels, by a library that is installed.

All of them decode with libjpeg-turbo and give the same bits (tests/unit/data/test_jpeg.py), so which one it is belongs to no
run's identity. torchcodec and simplejpeg are there if a user has installed them; torchvision.io is deprecated since torchvision
0.29 and will be removed; Pillow is always there, needs a third more time, and is the judge of what the others refuse.
Measured by `python -m benchmarks.decoders`.
"""

import functools
import io
import logging
import struct
from collections.abc import Callable, Iterator

import numpy as np
import torch

log = logging.getLogger(__name__)

APP1, APP12, START_OF_SCAN = 0xE1, 0xEC, 0xDA  # the second byte of a JPEG's markers
FRAMES = (0xC0, 0xC1, 0xC2)  # what begins a baseline, an extended and a progressive image
PLAIN = (*FRAMES, 0xC4, 0xDB, 0xDD, 0xE0, 0xEE, 0xFE)  # and its tables, JFIF, Adobe and comments: nothing that turns it
FEW_PIXELS = 2**24  # of images above it, Pillow says which are too large

Decoder = Callable[
    [bytearray], torch.Tensor
]  # a grey or colour JPEG -> uint8 (3, H, W), not turned; ValueError, RuntimeError


def _torchcodec() -> Decoder:
    from torchcodec.decoders import decode_jpeg

    # it turns by EXIF, but finds less of it than Pillow does: turning is left to formats.py for all libraries
    return lambda data: decode_jpeg(torch.frombuffer(_without_exif(data), dtype=torch.uint8), mode="RGB")


def _segments(data: bytearray) -> Iterator[tuple[int, int, int]]:
    """Marker, position and length of each segment, up to the one at which the pixels begin."""
    position, marker = 2, 0
    while position + 4 < len(data) and data[position] == 0xFF and marker != START_OF_SCAN:
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4], "big")
        yield marker, position, length
        position += 2 + length


def _without_exif(data: bytearray) -> bytearray:
    """The same, its segments APP1 (EXIF, XMP) called APP12, which decoders pass over."""
    found = [position for marker, position, _ in _segments(data) if marker == APP1]
    changed = bytearray(data) if found else data
    for position in found:
        changed[position + 1] = APP12
    return changed


def is_plain(data: bytearray) -> bool:
    """Whether a JPEG has no metadata and any decoder reads it: grey or colour, 8 bits, at most FEW_PIXELS.

    Of all others Pillow has to tell. It takes 80 microseconds to open an image, and one of 32 x 32 pixels is decoded in 30.
    """
    usual = False
    for marker, position, length in _segments(data):
        if marker == START_OF_SCAN:
            return usual
        if marker not in PLAIN or length < 2:
            return False
        if marker in FRAMES:
            if usual or position + 10 > len(data):
                return False
            bits, height, width, channels = struct.unpack_from(">BHHB", data, position + 4)
            usual = bits == 8 and channels in (1, 3) and 0 < height * width <= FEW_PIXELS
            if not usual:
                return False
    return False


def _simplejpeg() -> Decoder:
    from simplejpeg import decode_jpeg

    return lambda data: torch.from_numpy(decode_jpeg(data)).permute(2, 0, 1)


def _torchvision() -> Decoder:
    from torchvision.io import ImageReadMode, decode_jpeg

    return lambda data: decode_jpeg(torch.frombuffer(data, dtype=torch.uint8), ImageReadMode.RGB)


def _pillow() -> Decoder:
    from PIL import Image

    def decode(data: bytearray) -> torch.Tensor:
        with Image.open(io.BytesIO(data), formats=("JPEG", "MPO")) as image:
            return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)

    return decode


# the first that can be imported is used
DECODERS: dict[str, Callable[[], Decoder]] = {
    "torchcodec": _torchcodec,
    "simplejpeg": _simplejpeg,
    "torchvision": _torchvision,
    "pillow": _pillow,
}


@functools.cache
def jpeg_decoder() -> Decoder:
    """The first of DECODERS that is installed and works."""
    for name, load in DECODERS.items():
        try:
            decoder = load()
        except (ImportError, OSError, RuntimeError, AttributeError) as problem:  # not there, or made for another torch
            log.debug("JPEG: not by %s (%s)", name, problem)
            continue
        log.debug("JPEG: by %s", name)
        return decoder
    raise AssertionError("Pillow is a requirement")
