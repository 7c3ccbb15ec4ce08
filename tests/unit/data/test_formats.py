"""More than 200 files of every mode, format and place of metadata that Pillow writes: the reference's pixels, or refused by name."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps, features

from deep_cnn.config.registries import IMAGE_ENDINGS
from deep_cnn.data import formats
from deep_cnn.data.decode import decode, image_size
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.runtime.errors import DataError

R = 24
HAS_AVIF = features.check("avif")
try:
    import pillow_heif

    pillow_heif.register_heif_opener()
    HAS_HEIF = True
except ImportError:
    HAS_HEIF = False


def reference(data: bytes, bits: int = 16) -> np.ndarray:
    """Canonical pixels by Pillow alone, float (H, W, 3): turned, white under transparency, the high byte of the used bits."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(int) >> (bits - 8)
        return np.stack([grey] * 3, axis=2)
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB")).astype(float)
    pixels = np.asarray(image.convert("RGBA")).astype(float)
    alpha = pixels[..., 3:] / 255
    return pixels[..., :3] * alpha + 255 * (1 - alpha)


# --- the files -------------------------------------------------------------------------------------------------------


def picture(mode: str = "RGB", width: int = R, height: int = R) -> Image.Image:
    """Smooth colours, different in all corners; transparency from left to right."""
    colours = np.random.default_rng(7).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    image = Image.fromarray(colours).resize((width, height), Image.Resampling.BICUBIC)
    if mode in ("I;16", "I;16B", "I"):
        grey = (np.asarray(image.convert("L")).astype(np.uint16) * 257).astype(
            {"I;16": "<u2", "I;16B": ">u2", "I": "i4"}[mode]
        )
        return Image.fromarray(grey)
    if mode == "F":
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.float32) / 255)
    if mode in ("LA", "RGBA"):
        image = image.convert(mode)
        image.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1))))
        return image
    return image.convert(mode)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation: int, order: str = "<", kind: int = 3) -> bytes:
    """EXIF with one tag; order: < or >; kind: 3 SHORT, 4 LONG."""
    value = struct.pack(order + "HH", orientation, 0) if kind == 3 else struct.pack(order + "I", orientation)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, 1)
    return b"Exif\0\0" + head + struct.pack(order + "HHI", 0x0112, kind, 1) + value + bytes(4)


def xmp(orientation: int, element: bool = False) -> bytes:
    inner = f">{orientation}</tiff:Orientation" if element else f'="{orientation}"'
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation{inner}/></x:xmpmeta>'.encode()


def with_segments(jpeg: bytes, *bodies: bytes) -> bytes:
    """A JPEG with more APP1 segments at its beginning, in this order."""
    return jpeg[:2] + b"".join(b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body for body in bodies) + jpeg[2:]


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png16(values: np.ndarray, colour: int) -> bytes:
    """A 16-bit PNG of uint16 (H, W, C); Pillow itself writes none with colours. colour: 2 RGB, 4 grey and alpha, 6 RGBA."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


JPEG = {"quality": 95}
JPEG_OPTIONS = (
    {},
    {"quality": 20},
    {"quality": 95, "subsampling": 0},
    {"subsampling": 1},
    {"progressive": True},
    {"optimize": True},
    {"restart_marker_blocks": 1},
    {"icc_profile": b"none"},
    {"comment": b"x" * 300},
)
XMP = b"http://ns.adobe.com/xap/1.0/\0"


def files():
    """(name, bytes)"""
    for mode in ("L", "RGB", "CMYK"):
        for n, options in enumerate(JPEG_OPTIONS):
            yield f"{mode}-{n}.jpg", encoded(picture(mode), "JPEG", **options)
    yield "stored-rgb.jpe", encoded(picture(), "JPEG", keep_rgb=True)
    for mode in ("1", "L", "LA", "I;16", "P", "RGB", "RGBA"):
        for level in (0, 9):
            yield f"{mode.replace(';', '')}-{level}.png", encoded(picture(mode), "PNG", compress_level=level)
    yield "see-through-palette.png", encoded(picture("P"), "PNG", transparency=bytes(range(256)))
    yield "see-through-colour.png", encoded(picture("P"), "PNG", transparency=3)
    yield "see-through-grey.png", encoded(picture("L"), "PNG", transparency=int(np.asarray(picture("L"))[0, 0]))
    for bits in (1, 2, 4):
        yield f"palette-{bits}.png", encoded(picture().quantize(2**bits), "PNG", bits=bits)
    for mode in ("L", "RGB", "RGBA", "P"):
        for options in ({"lossless": True}, {"quality": 80}, {"quality": 80, "method": 0}):
            yield f"{mode}-{len(options)}-{'lossless' in options}.webp", encoded(picture(mode), "WEBP", **options)
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        yield f"{mode}.bmp", encoded(picture(mode), "BMP")
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        yield f"{mode}.gif", encoded(picture(mode), "GIF")
    yield "animated.gif", encoded(picture(), "GIF", save_all=True, append_images=[picture("L")])
    yield "animated.webp", encoded(picture(), "WEBP", save_all=True, append_images=[picture("L")])
    yield "animated.png", encoded(picture(), "PNG", save_all=True, append_images=[picture("L").convert("RGB")])
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I;16B", "I"):
        for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
            if mode != "I;16B" or compression == "raw":
                yield (
                    f"{mode.replace(';', '')}-{compression}.tif",
                    encoded(picture(mode), "TIFF", compression=compression),
                )
    yield "jpeg.tiff", encoded(picture(), "TIFF", compression="jpeg")
    yield "fax.tiff", encoded(picture("1"), "TIFF", compression="group4")
    yield "pages.tiff", encoded(picture(), "TIFF", save_all=True, append_images=[picture("L"), picture("1")])
    yield "two.jpg", encoded(picture(), "MPO", save_all=True, append_images=[picture("L").convert("RGB")])
    for turn in range(1, 9):
        yield f"exif-{turn}.jpg", encoded(picture(), "JPEG", exif=exif(turn), **JPEG)
        yield f"exif-{turn}.png", encoded(picture(), "PNG", exif=exif(turn))
        yield f"exif-{turn}.webp", encoded(picture(), "WEBP", exif=exif(turn), lossless=True)
        yield f"exif-{turn}.tif", encoded(picture(), "TIFF", tiffinfo={0x0112: turn})
        yield f"exif-deep-{turn}.png", encoded(picture("I;16"), "PNG", exif=exif(turn))
        yield f"exif-alpha-{turn}.png", encoded(picture("RGBA"), "PNG", exif=exif(turn))
        yield f"exif-cmyk-{turn}.jpg", encoded(picture("CMYK"), "JPEG", exif=exif(turn))
        yield (
            f"exif-two-{turn}.jpg",
            encoded(picture(), "MPO", save_all=True, append_images=[picture()], exif=exif(turn)),
        )
        plain = encoded(picture(), "JPEG", **JPEG)
        yield f"xmp-exif-{turn}.jfif", with_segments(plain, XMP + xmp(1), exif(turn))
        yield f"exif-xmp-{turn}.jfi", with_segments(plain, exif(turn), XMP + xmp(3))
        yield f"xmp-{turn}.jpg", with_segments(plain, XMP + xmp(turn))
        yield f"xmp-element-{turn}.jpg", with_segments(plain, XMP + xmp(turn, element=True))
        for order, kind in ((">", 3), ("<", 4), (">", 4)):
            yield f"exif-{'LB'[order == '>']}{kind}-{turn}.jpg", with_segments(plain, exif(turn, order, kind))
        if HAS_AVIF:
            yield f"exif-{turn}.avif", encoded(picture(), "AVIF", exif=exif(turn))
        if HAS_HEIF:
            yield f"exif-{turn}.heic", encoded(picture(), "HEIF", exif=exif(turn))
    late = encoded(picture(), "PNG")
    yield "exif-late.png", late[:-12] + chunk(b"eXIf", exif(6)[6:]) + late[-12:]
    yield "xmp.png", late[:33] + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(6)) + late[33:]
    yield "xmp.webp", encoded(picture(), "WEBP", xmp=xmp(6), lossless=True)
    for turn in (0, 9, 300):
        yield f"exif-no-{turn}.jpg", encoded(picture(), "JPEG", exif=exif(turn))
    yield "exif-short.jpg", with_segments(encoded(picture(), "JPEG"), exif(6)[:17])
    if HAS_AVIF:
        for mode in ("L", "RGBA"):
            yield f"{mode}.avif", encoded(picture(mode), "AVIF")


FILES = dict(files())


def written(folder, name: str, data: bytes):
    path = folder / name
    path.write_bytes(data)
    return path


def pixels(path, bits: int = 16) -> np.ndarray:
    return (
        decode(path, Preprocessing(R, R, bits=bits)).permute(1, 2, 0).numpy().astype(int)
    )  # R x R: nothing is resized


@pytest.mark.parametrize("name", FILES)
def test_pixels_are_the_reference_s(name, tmp_path):
    path = written(tmp_path, name, FILES[name])
    assert path.suffix in IMAGE_ENDINGS
    assert np.abs(pixels(path) - reference(FILES[name])).max() <= 1
    assert image_size(path) == (R, R)


def test_there_are_200_and_their_turns_are_seen():
    assert len(FILES) >= 200
    upright = reference(encoded(picture(), "PNG"))
    turned = [name for name, data in FILES.items() if "-6." in name and np.abs(reference(data) - upright).max() > 20]
    assert len(turned) >= 14  # a reference that turned nothing would agree with a decoder that turns nothing


@pytest.mark.parametrize("turn", [3, 6])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_the_size_is_that_of_the_upright_image(kind, turn, tmp_path):
    if (kind == "AVIF" and not HAS_AVIF) or (kind == "HEIF" and not HAS_HEIF):
        pytest.skip("no library reads this format here")
    image = picture("RGB", 40, 20)
    options = {"tiffinfo": {0x0112: turn}} if kind == "TIFF" else {"exif": exif(turn)}
    path = written(tmp_path, "a.jpg", encoded(image, kind, **options))
    assert image_size(path) == ((20, 40) if turn == 6 else (40, 20))
    height, width = formats.reader(path.read_bytes())(bytearray(path.read_bytes()), path, 16).shape[1:]
    assert (width, height) == image_size(path)


# --- 16 bits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "RGB", "RGBA"])
def test_values_count_from_the_highest_used_bit(kind, bits, tmp_path):
    highest = (1 << bits) - 1
    ramp = np.tile(np.linspace(0, highest, R).astype(np.uint16), (R, 1))
    expected = np.stack([ramp.astype(int) >> (bits - 8)] * 3, axis=2)
    if kind in ("PNG", "TIFF"):
        path = written(tmp_path, "a.png", encoded(Image.fromarray(ramp), kind))
    else:
        channels = [ramp] * 3
        if kind == "RGB":
            channels[1] = ramp.T
            expected[..., 1] = expected[..., 1].T
        else:
            channels += [np.full_like(ramp, 65535)]
        path = written(tmp_path, "a.png", png16(np.dstack(channels), {"RGB": 2, "RGBA": 6}[kind]))
    assert np.abs(pixels(path, bits) - expected).max() == 0
    assert formats.peak(bytearray(path.read_bytes()), path) == highest


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_grey_with_transparency_has_16_bits_too(bits, tmp_path):
    highest = (1 << bits) - 1
    grey = np.tile(np.linspace(0, highest, R).astype(np.uint16), (R, 1))
    alpha = np.tile(np.linspace(0, 65535, R).astype(np.uint16), (R, 1)).T
    path = written(tmp_path, "a.png", png16(np.dstack([grey, alpha]), 4))
    share = (alpha >> 8)[..., None] / 255
    expected = (grey.astype(int) >> (bits - 8))[..., None] * share + 255 * (1 - share)
    assert np.abs(pixels(path, bits) - expected).max() <= 1
    assert formats.peak(bytearray(path.read_bytes()), path) == highest


def tiff16(
    planes: list[np.ndarray], photometric: int, *, order: str = "<", extra: int = 0, planar: bool = False
) -> bytes:
    """A TIFF of uint16 values as Pillow writes none. planes: (H, W) each; photometric: 0 white is zero, 1 grey, 2 colours."""
    count = len(planes)
    values = [plane.astype(order + "u2") for plane in planes]
    strips = [plane.tobytes() for plane in values] if planar else [np.dstack(values).astype(order + "u2").tobytes()]
    tags = {
        256: [R],
        257: [R],
        258: [16] * count,
        259: [1],
        262: [photometric],
        277: [count],
        278: [R],
        284: [1 + planar],
    }
    tags |= {338: [0] * extra} if extra else {}
    tags |= {273: [0] * len(strips), 279: [len(strip) for strip in strips]}
    place = 8 + 2 + 12 * len(tags) + 4
    body, entries, places = b"", b"", []
    for strip in strips:
        places.append(place + len(body))
        body += strip
    for tag, numbers in sorted((tags | {273: places}).items()):
        raw = struct.pack(f"{order}{len(numbers)}I", *numbers)
        if len(numbers) > 1:
            raw, body = struct.pack(order + "I", place + len(body)), body + raw
        entries += struct.pack(order + "HHI", tag, 4, len(numbers)) + raw
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(tags))
    return head + entries + bytes(4) + body


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["grey", "white is zero", "colours", "planes", "colours and infrared"])
def test_tiff_of_16_bits_in_every_arrangement(kind, order, bits, tmp_path):
    highest = (1 << bits) - 1
    planes = [np.random.default_rng(k).integers(0, highest + 1, (R, R)) for k in range(4)]
    planes[0][0, 0] = highest
    several = {"colours": planes[:3], "planes": planes[:3], "colours and infrared": planes}.get(kind, planes[:1])
    data = tiff16(
        several,
        {"grey": 1, "white is zero": 0}.get(kind, 2),
        order=order,
        extra=int(len(several) == 4),
        planar=kind == "planes",
    )
    path = written(tmp_path, "a.tif", data)
    if (kind, order) == ("white is zero", ">"):  # no library here reads it
        with pytest.raises(DataError, match=r"a\.tif"):
            pixels(path, bits)
        return
    expected = np.dstack([plane >> (bits - 8) for plane in (several * 3)[:3]])
    assert np.abs(pixels(path, bits) - (255 - expected if kind == "white is zero" else expected)).max() == 0
    assert formats.peak(bytearray(data), path) == highest


def test_values_beyond_the_bits_of_the_set_are_refused(tmp_path):
    path = written(tmp_path, "bright.png", encoded(Image.fromarray(np.full((R, R), 4096, np.uint16)), "PNG"))
    with pytest.raises(
        DataError, match=r"bright\.png.*values up to 4,096, but the 16-bit images of this data set use 12 bits"
    ):
        pixels(path, 12)
    assert pixels(path, 14).max() == 4096 >> 6


@pytest.mark.parametrize("values", [[-1000, 3000], [0, 70_000]])
def test_values_without_a_white_level_are_refused(values, tmp_path):
    path = written(tmp_path, "scan.tif", encoded(Image.fromarray(np.array([values] * 2, np.int32)), "TIFF"))
    with pytest.raises(
        DataError, match=rf"scan\.tif.*values from {values[0]:,} to {values[1]:,} have no defined white level"
    ):
        pixels(path)


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["PPM", "EPS", "ICO", "TGA", "JPEG2000", "PCX", "PDF", "SGI", "DDS", "ICNS", "IM", "QOI"]
)
def test_other_formats_are_not_opened_whatever_their_name(kind, tmp_path):
    try:
        data = encoded(picture(width=32, height=32), kind)
    except (KeyError, ValueError, OSError):
        pytest.skip("this Pillow does not write it")
    path = written(tmp_path, "renamed.png", data)
    for read in (pixels, image_size):
        with pytest.raises(DataError, match=r"renamed\.png.*the format is none of JPEG, PNG"):
            read(path)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html><body>404</body></html>", "a web page, perhaps of a failed download"),
    ],
)
def test_what_is_often_there_instead_of_an_image_is_named(data, said, tmp_path):
    with pytest.raises(DataError, match=said):
        pixels(written(tmp_path, "a.jpg", data))


def test_postscript_starts_no_program(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *arguments, **options: started.append(arguments))
    data = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\nshowpage\n%%EOF\n"
    with pytest.raises(DataError, match=r"a\.png"):
        pixels(written(tmp_path, "a.png", data))
    assert not started


@pytest.mark.parametrize(
    "name", ["RGB-0.jpg", "RGB-0.png", "RGB-1-True.webp", "RGB.bmp", "RGB.gif", "RGB-tiff_lzw.tif", "two.jpg"]
)
def test_damaged_files_are_refused_or_read_as_pillow_reads_them(name, tmp_path):
    data, random = FILES[name], np.random.default_rng(0)
    outcomes = []
    for n in range(12):
        damaged = bytearray(data)
        if n % 2:
            damaged = damaged[: random.integers(1, len(data))]
        else:
            start = random.integers(0, len(data) - 4)
            damaged[start : start + 4] = random.integers(0, 256, 4, dtype=np.uint8).tobytes()
        path = written(tmp_path, name, bytes(damaged))
        try:
            found = decode(path, Preprocessing(R, R))
        except DataError as error:
            assert name in str(error) and "\n" not in str(error)
            outcomes.append("refused")
            continue
        outcomes.append("read")
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(damaged)))
        if image.size == (R, R) and not image.has_transparency_data:
            expected = np.asarray(image.convert("RGB")).astype(int)
            assert np.abs(found.permute(1, 2, 0).numpy() - expected).max() <= 1
    assert "refused" in outcomes


def test_damaged_metadata_are_no_reason_to_refuse_pixels(tmp_path, monkeypatch):
    def damaged(image):
        raise SyntaxError("not a TIFF file")

    path = written(tmp_path, "a.jpg", FILES["RGB-0.jpg"])
    expected = pixels(path)
    monkeypatch.setattr(Image.Image, "getexif", damaged)
    assert (pixels(path) == expected).all()


# --- formats that need a library -------------------------------------------------------------------------------------

HEIC = b"\0\0\0\x1cftypheic\0\0\0\0mif1heic" + bytes(50)


def without(monkeypatch, *modules: str) -> None:
    for name in modules:
        monkeypatch.setitem(__import__("sys").modules, name, None)  # as if it were not installed
    monkeypatch.setattr(formats, "_register_heif", lambda: False)


def test_heic_without_a_library_names_the_remedy(tmp_path, monkeypatch):
    without(monkeypatch, "pillow_heif", "torchcodec")
    path = written(tmp_path, "IMG_0001.HEIC", HEIC)
    for read in (pixels, image_size):
        with pytest.raises(DataError, match=r"IMG_0001\.HEIC.*to read HEIC files, `pip install pillow-heif`"):
            read(path)
    assert formats.missing_decoder("HEIC") and formats.missing_decoder("JPEG") is None


def test_avif_without_a_library_names_the_remedy(tmp_path, monkeypatch):
    without(monkeypatch, "torchcodec")
    monkeypatch.setattr(formats, "_pillow_formats", lambda: ("JPEG", "PNG"))
    path = written(tmp_path, "a.avif", b"\0\0\0\x1cftypavif" + bytes(50))
    with pytest.raises(DataError, match=r"a\.avif.*to read AVIF files, `pip install 'pillow>=11\.3'`"):
        pixels(path)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_torchcodec_reads_the_same_picture(kind, turn, tmp_path, monkeypatch):
    decoders = pytest.importorskip("torchcodec.decoders")
    if (kind == "AVIF" and not HAS_AVIF) or (kind == "HEIF" and not HAS_HEIF):
        pytest.skip("no library reads this format here")
    data = encoded(picture("RGBA"), kind, exif=exif(turn))
    try:
        decoders.decode_heic(data) if kind == "HEIF" else decoders.decode_avif(data)
    except RuntimeError as problem:
        pytest.skip(f"torchcodec lacks a library here: {problem}")
    path = written(tmp_path, "a.heic", data)
    expected = decode(path, Preprocessing(R, R))
    monkeypatch.setattr(formats, "_register_heif", lambda: False)
    monkeypatch.setattr(formats, "_pillow_formats", lambda: ("JPEG", "PNG"))
    difference = (decode(path, Preprocessing(R, R)).int() - expected.int()).abs()
    assert (
        difference.max() == 0 if kind == "AVIF" else difference.float().mean() < 2
    )  # libheif may be of another version
