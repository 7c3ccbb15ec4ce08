"""JPEG bytes to pixels, by a library that is installed.

All of them decode with libjpeg-turbo and give the same bits (tests/unit/data/test_jpeg.py), so which one it is belongs to no
run's identity. torchcodec and simplejpeg are there if a user has installed them; torchvision.io is deprecated since torchvision
0.29 and will be removed; Pillow is always there, needs a third more time, and is the judge of what the others refuse.
Measured by `python -m benchmarks.decoders`.
"""

import functools
import io
import logging
from collections.abc import Callable

import numpy as np
import torch

log = logging.getLogger(__name__)

Decoder = Callable[
    [bytearray], torch.Tensor
]  # a grey or colour JPEG -> uint8 (3, H, W), not turned; ValueError, RuntimeError


def _torchcodec() -> Decoder:
    from torchcodec.decoders import decode_jpeg

    # it turns by EXIF, but finds less of it than Pillow does: turning is left to formats.py for all libraries
    return lambda data: decode_jpeg(torch.frombuffer(_without_exif(data), dtype=torch.uint8), mode="RGB")


def _without_exif(data: bytearray) -> bytearray:
    """The same with the names of its EXIF segments overwritten."""
    position, hidden = 2, data
    while data[position : position + 1] == b"\xff" and data[position + 1] != 0xDA and position + 10 < len(data):
        if data[position + 1] == 0xE1 and data[position + 4 : position + 10] == b"Exif\0\0":
            hidden = bytearray(data) if hidden is data else hidden
            hidden[position + 4 : position + 8] = b"none"
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return hidden


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
