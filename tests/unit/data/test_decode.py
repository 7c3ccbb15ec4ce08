"""Every kind of image file becomes the canonical image, or is refused by name."""

import errno
import io
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torchvision.transforms.v2 import functional as F

from deep_cnn.data import decode as module
from deep_cnn.data.decode import decode, image_size
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.runtime.errors import DataError

R = 64
PRE = Preprocessing(resize=R, crop=56)


def picture(width=120, height=90, seed=0) -> Image.Image:
    """Smooth colours, different in all four corners."""
    corners = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(corners).resize((width, height), Image.BICUBIC)


def canonical(image: Image.Image) -> np.ndarray:
    """Pillow's own resize and crop: an independent calculation, int (R, R, 3)."""
    width, height = image.size
    scale = R / min(width, height)
    image = image.convert("RGB").resize((max(R, int(width * scale)), max(R, int(height * scale))), Image.BILINEAR)
    left, top = round((image.width - R) / 2), round((image.height - R) / 2)
    return np.asarray(image.crop((left, top, left + R, top + R))).astype(int)


def decoded(path, pre=PRE) -> np.ndarray:
    image = decode(path, pre)
    assert image.shape == (3, pre.resize, pre.resize) and image.dtype == torch.uint8
    assert image.permute(1, 2, 0).is_contiguous()
    return image.permute(1, 2, 0).numpy().astype(int)


def saved(path, image, **options):
    image.save(path, **options)
    return path


def close(result, expected, most=2):
    return np.abs(result - expected).max() <= most


KINDS = {
    "rgb.jpg": (lambda im: im, {"quality": 95}),
    "progressive.jpg": (lambda im: im, {"progressive": True}),
    "grey.jpg": (lambda im: im.convert("L"), {}),
    "cmyk.jpg": (lambda im: im.convert("CMYK"), {}),
    "rgb.png": (lambda im: im, {}),
    "grey.png": (lambda im: im.convert("L"), {}),
    "palette.png": (lambda im: im.convert("P"), {}),
    "bits.png": (lambda im: im.convert("1"), {}),
    "rgb.webp": (lambda im: im, {}),
    "rgb.bmp": (lambda im: im, {}),
    "rgb.gif": (lambda im: im, {}),
    "rgb.tiff": (lambda im: im, {}),
    "packed.tif": (lambda im: im, {"compression": "tiff_lzw"}),
    "jpeg.tif": (lambda im: im, {"compression": "jpeg"}),
    "fax.tif": (lambda im: im.convert("1"), {"compression": "group4"}),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_format_matches_pillow(name, tmp_path):
    convert, options = KINDS[name]
    path = saved(tmp_path / name, convert(picture()), **options)
    assert close(decoded(path), canonical(Image.open(path)))
    assert image_size(path) == (120, 90)


def test_cmyk_colours_are_not_inverted(tmp_path):
    red = decoded(saved(tmp_path / "red.jpg", Image.new("RGB", (80, 80), (220, 30, 40)).convert("CMYK")))
    assert close(red.mean((0, 1)), (220, 30, 40), 5)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_exif_orientation(suffix, orientation, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / f"turned.{suffix}", picture(), exif=exif)
    upright = ImageOps.exif_transpose(Image.open(path))
    assert close(decoded(path), canonical(upright)) and image_size(path) == upright.size


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_keeps_its_range(suffix, tmp_path):
    ramp = np.tile(np.linspace(0, 65535, R).astype(np.uint16), (R, 1))
    result = decoded(saved(tmp_path / f"deep.{suffix}", Image.fromarray(ramp)))
    assert close(result, (ramp >> 8)[:, :, None], 0)  # R x R already: nothing is resized


def test_16_bit_grey_is_turned(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3
    ramp = np.tile(np.linspace(0, 65535, R).astype(np.uint16), (R, 1))
    result = decoded(saved(tmp_path / "deep.png", Image.fromarray(ramp), exif=exif))
    assert close(result, (ramp >> 8)[:, ::-1, None], 0)


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_transparency_is_laid_on_white(suffix, tmp_path):
    image = Image.new("RGBA", (R, R), (200, 40, 10, 255))
    image.paste((0, 0, 0, 0), (0, 0, 32, R))  # the left half: black and wholly transparent
    result = decoded(saved(tmp_path / f"cut.{suffix}", image, **({"lossless": True} if suffix == "webp" else {})))
    assert close(result[:, :32], 255, 0) and close(result[:, 32:], (200, 40, 10), 0)


def test_transparent_palette_and_grey_alpha(tmp_path):
    palette = Image.new("P", (R, R), 1)
    palette.putpalette([0, 0, 0, 9, 8, 7])
    assert close(decoded(saved(tmp_path / "p.png", palette, transparency=1)), 255, 0)
    assert close(decoded(saved(tmp_path / "la.png", Image.new("LA", (R, R), (50, 255)))), 50, 0)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_first_frame_of_an_animation(suffix, tmp_path):
    frames = [Image.new("RGB", (80, 80), colour) for colour in ((250, 0, 0), (0, 250, 0))]
    path = saved(tmp_path / f"moving.{suffix}", frames[0], save_all=True, append_images=frames[1:])
    assert Image.open(path).n_frames == 2
    assert close(decoded(path), (250, 0, 0), 3)


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (3000, 2), (65, 64), (64, 64)])
def test_odd_sizes(size, tmp_path):
    result = decoded(saved(tmp_path / "odd.png", Image.new("RGB", size, (10, 200, 30))))
    assert close(result, (10, 200, 30), 0)


def test_a_long_strip_is_its_middle(tmp_path, monkeypatch):
    resized, resize = [], F.resize
    monkeypatch.setattr(F, "resize", lambda image, *a, **k: resized.append(image.shape) or resize(image, *a, **k))
    strip = Image.new("RGB", (50_000, 2), (255, 0, 0))
    strip.paste((0, 0, 255), (24_900, 0, 25_100, 2))
    assert close(decoded(saved(tmp_path / "strip.png", strip)), (0, 0, 255), 0)
    assert resized == [(3, 2, 32)]  # whole, it would have become 64 x 1,600,000


def test_absurd_headers_are_refused_before_memory_is_reserved(tmp_path):
    data = bytearray(jpeg_bytes())
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = b"\xff\xdc\xff\xdc"  # height and width: 65,500
    with pytest.raises(DataError, match=r"bomb\.jpg.*pixels"):
        decode(written(tmp_path / "bomb.jpg", data), PRE)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
def test_is_torchvisions_resize_and_centre_crop(interpolation, tmp_path):
    path = saved(tmp_path / "a.png", picture(150, 101))
    image = torch.from_numpy(np.array(picture(150, 101))).permute(2, 0, 1)
    mode = getattr(F.InterpolationMode, interpolation.upper())
    expected = F.center_crop(F.resize(image, [R], interpolation=mode, antialias=True), [R, R])
    pre = Preprocessing(resize=R, crop=56, interpolation=interpolation)
    assert torch.equal(decode(path, pre), expected)


def test_squash_and_pad(tmp_path):
    path = saved(tmp_path / "wide.png", picture(128, 64))
    squashed = decoded(path, Preprocessing(R, 56, fit="squash"))
    assert close(squashed, np.asarray(picture(128, 64).resize((R, R), Image.BILINEAR)).astype(int))
    padded = decoded(path, Preprocessing(R, 56, fit="pad"))
    assert close(padded[16:48], np.asarray(picture(128, 64).resize((R, 32), Image.BILINEAR)).astype(int))
    assert close(padded[:16], (124, 116, 104), 0) and close(padded[48:], (124, 116, 104), 0)


def jpeg_bytes(**options) -> bytes:
    buffer = io.BytesIO()
    picture(320, 240).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def written(path, data):
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "gif"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_truncated_files_are_named(suffix, share, tmp_path):
    path = saved(tmp_path / f"torn.{suffix}", picture(320, 240))
    data = path.read_bytes()
    with pytest.raises(DataError, match=rf"torn\.{suffix}: unreadable.*check") as caught:
        decode(written(path, data[: int(len(data) * share)]), PRE)
    assert "\n" not in str(caught.value)


def test_damaged_png_does_not_kill_the_process(tmp_path):
    # torchvision's decoder dies of a segmentation fault on some of these
    path = saved(tmp_path / "damaged.png", picture(320, 240))
    data, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(40):
        damaged, start = bytearray(data), rng.integers(60, len(data) - 40)
        damaged[start : start + 16] = rng.integers(0, 256, 16, dtype=np.uint8).tobytes()
        try:
            decode(written(path, damaged), PRE)
        except DataError:
            refused += 1
    assert refused >= 35  # checksums find nearly all


@pytest.mark.parametrize(
    "content", [b"", b"<!DOCTYPE html>", b"\xff\xd8\xff", b"GIF89a", b"\x89PNG\r\n\x1a\n" + bytes(20)]
)
def test_what_is_no_image_is_named(content, tmp_path):
    path = written(tmp_path / "page.jpg", content)
    for read in (lambda: decode(path, PRE), lambda: image_size(path)):
        with pytest.raises(DataError, match=r"page\.jpg"):
            read()


def test_the_content_decides_on_the_reader(tmp_path):
    path = saved(tmp_path / "a.png", picture())
    renamed = path.rename(tmp_path / "a.jpg")
    assert close(decoded(renamed), canonical(picture()))


def test_missing_file_and_floating_point(tmp_path):
    with pytest.raises(DataError, match=r"gone\.jpg"):
        decode(tmp_path / "gone.jpg", PRE)
    with pytest.raises(DataError, match=r"gone\.jpg"):
        image_size(tmp_path / "gone.jpg")
    path = saved(tmp_path / "f.tiff", Image.fromarray(np.zeros((8, 8), np.float32)))
    with pytest.raises(DataError, match=r"f\.tiff.*floating"):
        decode(path, PRE)


@pytest.mark.parametrize("failures, works", [(3, True), (4, False)])
def test_a_network_file_system_gets_three_more_chances(failures, works, tmp_path, monkeypatch):
    path = saved(tmp_path / "remote.jpg", picture())
    left = [failures]

    def flaky(*args):
        if left[0]:
            left[0] -= 1
            raise OSError(errno.EIO, "Input/output error")
        return read(*args)

    read = module._read
    monkeypatch.setattr(module, "_read", flaky)
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    if works:
        assert decoded(path).shape == (R, R, 3)
    else:
        with pytest.raises(DataError, match=r"remote\.jpg.*Input/output error"):
            decode(path, PRE)


@pytest.mark.parametrize("size", [1, 1 << 16, (1 << 16) + 1, 300_000])
def test_a_file_is_read_whole(size, tmp_path, monkeypatch):
    content = np.random.default_rng(size).bytes(size)
    (tmp_path / "image.jpg").write_bytes(content)
    assert module.read_dated(str(tmp_path / "image.jpg")) == (content, (tmp_path / "image.jpg").stat().st_mtime_ns)
    read = os.read
    monkeypatch.setattr(
        module.os, "read", lambda file, count: read(file, min(count, 50_000))
    )  # as a file server may answer
    assert module.read_dated(str(tmp_path / "image.jpg"))[0] == content


def test_threads_agree(tmp_path):
    paths = [saved(tmp_path / f"{i}.{s}", picture(200 + i, 150, i)) for i in range(6) for s in ("jpg", "png", "webp")]
    alone = [decode(path, PRE) for path in paths]
    with ThreadPoolExecutor(4) as pool:
        for image, expected in zip(pool.map(lambda path: decode(path, PRE), paths * 3), alone * 3, strict=True):
            assert torch.equal(image, expected)
