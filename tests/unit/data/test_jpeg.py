"""Every installed JPEG library gives the same bits, so a run does not depend on which one there is."""

import io
import logging

import numpy as np
import pytest
import torch
from PIL import Image

from deep_cnn.data import formats, jpeg
from deep_cnn.runtime.errors import DataError


def encoded(mode: str = "RGB", width: int = 133, height: int = 97, **options) -> bytearray:
    colours = np.random.default_rng(3).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(colours).resize((width, height), Image.Resampling.BICUBIC).convert(mode).save(
        buffer, "JPEG", **options
    )
    return bytearray(buffer.getvalue())


KINDS = {
    "plain": encoded(),
    "coarse": encoded(quality=5),
    "fine": encoded(quality=100, subsampling=0),
    "4:2:2": encoded(subsampling=1),
    "4:1:1": encoded(subsampling="4:1:1"),
    "progressive": encoded(progressive=True, quality=10),
    "grey": encoded("L"),
    "progressive grey": encoded("L", progressive=True),
    "stored as RGB": encoded(keep_rgb=True),
    "restart markers": encoded(restart_marker_blocks=1),
    "one pixel": encoded(width=1, height=1),
    "a line": encoded(width=17, height=1),
    "more behind the end": encoded() + b"\0" * 500,
    "turned by EXIF": encoded(exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06" + bytes(7)),
    "a photograph's size": encoded(width=640, height=427),
}


@pytest.mark.parametrize("library", jpeg.DECODERS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_bits_are_pillow_s(library, kind):
    try:
        decoder = jpeg.DECODERS[library]()
    except (ImportError, OSError, RuntimeError) as problem:
        pytest.skip(f"{library} is not installed: {problem}")
    image = decoder(bytearray(KINDS[kind]))
    expected = np.asarray(Image.open(io.BytesIO(KINDS[kind])).convert("RGB"))
    assert image.dtype == torch.uint8 and np.array_equal(image.permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("library", jpeg.DECODERS)
def test_a_truncated_file_is_an_error_that_is_expected(library):
    try:
        decoder = jpeg.DECODERS[library]()
    except (ImportError, OSError, RuntimeError) as problem:
        pytest.skip(f"{library} is not installed: {problem}")
    with pytest.raises((RuntimeError, ValueError, OSError)):
        decoder(encoded()[:-200])


def test_the_first_that_works_is_chosen(monkeypatch, caplog):
    def broken():
        raise OSError("libtorch.so: undefined symbol")  # made for another torch

    monkeypatch.setattr(jpeg, "DECODERS", {"broken": broken, "pillow": jpeg.DECODERS["pillow"]})
    with caplog.at_level(logging.DEBUG, jpeg.__name__):
        decoder = jpeg.jpeg_decoder.__wrapped__()
    assert decoder(encoded()).shape == (3, 97, 133)
    assert "not by broken" in caplog.text and "by pillow" in caplog.text


def test_what_is_plain_needs_no_pillow():
    """Whatever is changed in a header: Pillow would read the same pixels, unturned, or the decoder refuses them as well."""
    assert [kind for kind, data in KINDS.items() if not jpeg.is_plain(data)] == ["turned by EXIF"]
    assert (
        not jpeg.is_plain(encoded("CMYK"))
        and not jpeg.is_plain(bytearray(b"\xff\xd8\xff"))
        and not jpeg.is_plain(bytearray())
    )
    rng, files, plain = np.random.default_rng(0), list(KINDS.values()), 0
    for i in range(3000):
        data = bytearray(files[i % len(files)])
        for place in rng.integers(2, data.find(b"\xff\xda") + 10, 2):
            data[place] = rng.integers(0, 256)
        if not jpeg.is_plain(data):
            continue
        plain += 1
        try:
            image = formats._open(io.BytesIO(data), "x.jpg")
        except DataError:
            with pytest.raises((RuntimeError, ValueError)):
                jpeg.jpeg_decoder()(data)
            continue
        assert image.mode in ("L", "RGB") and formats._orientation(image) == 1
    assert plain > 1000


def test_a_header_of_too_many_pixels_is_not_plain():
    data = encoded()
    at = data.find(b"\xff\xc0")
    data[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    assert not jpeg.is_plain(data)
    with pytest.raises(DataError, match="pixels"):
        formats.read_jpeg(data, "x.jpg", 8)
