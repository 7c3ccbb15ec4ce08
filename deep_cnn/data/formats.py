"""Bytes of a file -> pixels, uint8 (3, H, W), RGB, upright: what each format means.

JPEG goes through the fastest library that is installed (jpeg.py), every other format through Pillow: torchvision's PNG decoder
ends the whole process with a segmentation fault on a file with damaged bytes, its WebP decoder ignores EXIF, and it returns all
frames of an animation and 16-bit values as they are. Only the formats of config/registries.py are opened: of others Pillow
would start programs (PostScript).

Conventions: turned as the metadata say, wherever Pillow finds it (EXIF, else XMP); transparency laid on white, as a browser
shows it; the high byte of 16-bit values, counted from the highest bit that the data set uses (depth.py); the first frame of an animation, the first page of a TIFF; colour profiles ignored, as by every peer.
"""

import functools
import io
import sys
import warnings
from collections.abc import Callable
from typing import IO, Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from deep_cnn.config.registries import IMAGE_FORMATS, resolve
from deep_cnn.data.archives import Source
from deep_cnn.data.jpeg import is_plain, jpeg_decoder
from deep_cnn.data.mistaken import what_else
from deep_cnn.runtime.errors import DataError

# Pillow warns from 89 megapixels on and refuses from 179 on. Between the two an image is large, not suspicious.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# Cameras and phones write damaged metadata; only the orientation is read of them.
warnings.filterwarnings("ignore", message="(Possibly c|C)orrupt EXIF data|Truncated File Read", category=UserWarning)

ORIENTATION = 0x0112  # the tag of EXIF and TIFF
# tag -> (axes of (3, H, W) to mirror, after rows and columns were exchanged)
TURNS = {
    2: ((2,), False),
    3: ((1, 2), False),
    4: ((1,), False),
    5: ((), True),
    6: ((2,), True),
    7: ((1, 2), True),
    8: ((1,), True),
}
BITS_PER_SAMPLE, PHOTOMETRIC, PLANAR = 258, 262, 284  # tags of TIFF
WHITE_IS_ZERO, SEPARATE_PLANES = 0, 2  # values of the last two
ADVICE = (
    "Replace or remove the file, or skip unreadable files with --on_bad_image=skip; "
    "`python -m deep_cnn check` lists all of them."
)


def header_size(file: IO[bytes], path: str | Source) -> tuple[int, int]:
    """(width, height) in pixels of the upright image. Reads the header alone where it can."""
    start = bytearray(file.read(16))
    file.seek(0)
    if reader(start) in (read_avif, read_heic):  # not every library that reads these reads a header alone
        height, width = reader(start)(bytearray(file.read()), path, 16).shape[1:]
        return width, height
    with _open(file, path) as image:
        # orientations 5 to 8 exchange width and height; of a TIFF Pillow has done it
        turned = image.format != "TIFF" and _orientation(image) >= 5
        return (image.height, image.width) if turned else image.size


def unreadable(path: str | Source, error: Exception | str) -> DataError:
    """The error of a file that cannot be read: a line with its name, the reason, and what to do."""
    reason = (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
    return DataError(f"{path}: unreadable image ({reason}). {ADVICE}")


@functools.cache
def _pillow_formats() -> tuple[str, ...]:
    Image.init()  # 20 ms once: open() asks all plugins that it knows, and knows only five of its own accord
    names = [name for row in IMAGE_FORMATS.values() for name in row.pillow]
    return tuple(name for name in names if name in Image.OPEN)


def _open(file: IO[bytes], path: str | Source, formats: tuple[str, ...] | None = None) -> Image.Image:
    """Read an image's header (17 microseconds for a JPEG)."""
    try:
        return _with_deep_planes(Image.open(file, formats=formats or _pillow_formats()))
    except UnidentifiedImageError as error:
        raise unreadable(path, _what_else(file) or f"the format is none of {', '.join(IMAGE_FORMATS)}") from error
    except Exception as error:  # damaged headers raise whatever the parser stumbles over: SyntaxError, struct.error...
        raise unreadable(path, error) from error


def _what_else(file: IO[bytes]) -> str:
    """What lies in a file that is no image, where that tells the remedy; "" for anything else."""
    file.seek(0)
    return what_else(file.read(200))


def _orientation(image: Image.Image) -> int:
    """The orientation that EXIF, or else XMP, gives: 1 (upright) to 8."""
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except Exception:  # damaged metadata, with the parser's own kinds of error, are no reason to refuse good pixels
        return 1
    return found if found in TURNS else 1


def _upright(pixels: torch.Tensor, orientation: int) -> torch.Tensor:
    """(3, H, W) turned: (3, H, W) or (3, W, H)."""
    mirrored, exchanged = TURNS.get(orientation, ((), False))
    return (pixels.transpose(1, 2) if exchanged else pixels).flip(mirrored)


def read_jpeg(data: bytearray, path: str | Source, bits: int) -> torch.Tensor:
    """JPEG bytes -> uint8 (3, H, W)."""
    usual, orientation = is_plain(data), 1
    if not usual:
        # a header of 65,500 x 65,500 pixels is refused here, before 13 GB are reserved
        with _open(io.BytesIO(data), path) as image:
            usual = image.mode in ("L", "RGB")  # of CMYK each library has its own idea
            orientation = _orientation(image)
    if usual:
        try:
            return _upright(jpeg_decoder()(data), orientation)
        except (RuntimeError, ValueError):
            pass  # Pillow reads the rarer kinds, and says better what is wrong with the others
    return read_by_pillow(data, path, bits)


def read_by_pillow(data: bytearray, path: str | Source, bits: int) -> torch.Tensor:
    """Bytes of a format of IMAGE_FORMATS that Pillow reads -> uint8 (3, H, W); bits: of 16-bit values, how many are used."""
    with _open(io.BytesIO(data), path) as image:
        try:
            deep = _deep_values(image, data, path) if _is_deep(image, bits) else None
            pixels = np.array(_to_rgb(image if deep is None else _shallow(image, deep, bits)))  # (H, W, 3)
        except Exception as error:  # as in _open: the decoders' own kinds of error are many
            raise unreadable(path, error) from error
        # PNG may have its metadata behind the pixels. TIFF is turned by now, and says so
        return _upright(torch.from_numpy(pixels).permute(2, 0, 1), _orientation(image))


def read_avif(data: bytearray, path: str | Source, bits: int) -> torch.Tensor:
    """AVIF bytes -> uint8 (3, H, W), by Pillow from 11.3 on, or by torchcodec."""
    if "AVIF" in _pillow_formats():
        return read_by_pillow(data, path, bits)
    return _read_by_torchcodec("AVIF", data, path)


def read_heic(data: bytearray, path: str | Source, bits: int) -> torch.Tensor:
    """HEIC bytes -> uint8 (3, H, W), by pillow-heif, or by torchcodec where the system has libheif.

    Both use libheif; of another version of it some pixels differ by a few levels.
    """
    if data[8:12] in (b"mif1", b"msf1") and b"avif" in data[16:64]:  # a brand that both formats may have
        return read_avif(data, path, bits)
    if _register_heif():
        return read_by_pillow(data, path, bits)
    return _read_by_torchcodec("HEIC", data, path)


@functools.cache
def _register_heif() -> bool:
    """Make Pillow read HEIC, where pillow-heif is installed."""
    try:
        from pillow_heif import register_heif_opener
    except (ImportError, OSError):
        return False
    register_heif_opener()
    _pillow_formats.cache_clear()
    return True


def _torchcodec_decoder(name: str) -> Callable[..., torch.Tensor] | None:
    """torchcodec's decoder of AVIF or HEIC, None where it is not installed."""
    try:
        from torchcodec import decoders
    except (ImportError, OSError, RuntimeError):
        return None
    return getattr(decoders, f"decode_{name.lower()}", None)


def _read_by_torchcodec(name: str, data: bytearray, path: str | Source) -> torch.Tensor:
    """torchcodec turns these two formats itself."""
    decoder = _torchcodec_decoder(name)
    if decoder is None:
        raise unreadable(path, missing_decoder(name) or name)
    try:
        pixels = decoder(
            torch.frombuffer(data, dtype=torch.uint8), mode="RGB_ALPHA"
        )  # (4, H, W); of several (N, 4, H, W)
        if pixels.dim() != 3:
            raise ValueError(f"contains several images; to read the main one, {_install(name)}")
    except (RuntimeError, ValueError) as error:
        raise unreadable(path, error) from error
    image = Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
    return torch.from_numpy(np.array(_to_rgb(image))).permute(2, 0, 1)


def _install(name: str) -> str:
    return f"`pip install {IMAGE_FORMATS[name].needs}`"


def missing_decoder(name: str) -> str | None:
    """Why files of a format cannot be read here, and what to do; None if they can."""
    readable = _register_heif() if name == "HEIC" else bool(set(IMAGE_FORMATS[name].pillow) & set(_pillow_formats()))
    if readable or _torchcodec_decoder(name) is not None:
        return None
    return f"to read {name} files, {_install(name)}"


READERS = [(row.magic, row.at, resolve(row.code)) for row in IMAGE_FORMATS.values()]


def reader(data: bytearray) -> Callable[[bytearray, str | Source, int], torch.Tensor]:
    """Which function reads these bytes."""
    return next((read for magic, at, read in READERS if data.startswith(magic, at)), read_by_pillow)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("floating-point pixels have no defined white level")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        return white.convert("RGB")
    return image.convert("RGB")


# --- 16-bit values ---------------------------------------------------------------------------------------------------


def peak(data: bytearray, path: str | Source) -> int | None:
    """The largest value of a 16-bit image, transparency apart; None for other images.

    Raises:
        DataError: it cannot be read.
    """
    with _open(io.BytesIO(data), path) as image:
        if not _is_deep(image, 8) or _own_bits(image) < 16:
            return None
        try:
            values = _deep_values(image, data, path)
        except DataError:
            raise
        except Exception as error:  # as in read_by_pillow
            raise unreadable(path, error) from error
        return int(_without_alpha(image, values).max())


def _without_alpha(image: Image.Image, values: np.ndarray) -> np.ndarray:
    """(H, W) of grey, (H, W, C) of colours."""
    return values[..., :-1] if values.ndim == 3 and image.mode.endswith("A") else values


def _own_bits(image: Image.Image) -> int:
    """How many bits the file itself says that a value has: of a TIFF, 12 are possible."""
    bits = getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE, 16)
    return max(bits) if isinstance(bits, tuple) else bits


def _is_deep(image: Image.Image, bits: int) -> bool:
    """Whether _deep_values has to look: 16-bit grey always, others where their high byte is not what is wanted."""
    return image.mode.startswith("I") or (bits < 16 and (_is_deep_grey_alpha(image) or _swapped(image) is not None))


def _raw_modes(image: Image.Image) -> list[str]:
    """How the values of an image's parts lie in its file: RGB;16B, L..."""
    tiles = getattr(image, "tile", [])
    return [
        str(arguments[0] if arguments else "") for tile in tiles if isinstance(arguments := _arguments(tile), tuple)
    ]


def _arguments(tile: Any) -> tuple:
    return tile.args if isinstance(tile.args, tuple) else (tile.args,)


def _with_raw_modes(image: Image.Image, raw_modes: list[str]) -> list:
    """The parts of an image, to be read as if their values lay otherwise."""
    tiles = []
    for tile, raw_mode in zip(image.tile, raw_modes, strict=True):  # type: ignore[attr-defined]  # of files, not of other images
        arguments = (raw_mode, *_arguments(tile)[1:])
        tiles.append(tile._replace(args=arguments if isinstance(tile.args, tuple) else raw_mode))
    return tiles


def _with_deep_planes(image: Image.Image) -> Image.Image:
    """The same image; of a TIFF whose colours lie one after the other, Pillow takes 16-bit planes for planes of 8 bits."""
    tags = getattr(image, "tag_v2", {})
    raw_modes = _raw_modes(image)
    if tags.get(PLANAR) == SEPARATE_PLANES and _own_bits(image) == 16 and set(raw_modes) <= {*"RGBA"} and raw_modes:
        order = "L" if getattr(tags, "prefix", b"II") == b"II" else "B"
        image.tile = _with_raw_modes(image, [f"{plane};16{order}" for plane in raw_modes])  # type: ignore[attr-defined]
    return image


def _is_deep_grey_alpha(image: Image.Image) -> bool:
    return set(_raw_modes(image)) == {"LA;16B"}


def _swapped(image: Image.Image) -> list | None:
    """The parts of a 16-bit colour image, to be read with their bytes in the other order; None for other images.

    Of 16 bits of a colour Pillow keeps the high byte alone. Read in the other order, the low one is what it keeps.
    """
    other = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
    swapped = []
    for raw_mode in _raw_modes(image):
        mode, _, order = raw_mode.partition(";16")
        if mode not in ("RGB", "RGBA", "RGBX", *"RGBA") or order not in other:
            return None
        swapped.append(f"{mode};16{other[order]}")
    return _with_raw_modes(image, swapped) if swapped else None


def _deep_values(image: Image.Image, data: bytearray, path: str | Source) -> np.ndarray:
    """All 16 bits: int32 (H, W) of grey, (H, W, C) of others, transparency last."""
    if _is_deep_grey_alpha(image):
        with _open(io.BytesIO(data), path) as second:  # the four bytes of a pixel as if they were four colours
            second._mode, second.tile = "RGBA", _with_raw_modes(second, ["RGBA"] * len(_raw_modes(second)))  # type: ignore[attr-defined]
            parts = np.asarray(second).astype(np.int32)
        return parts[..., 0::2] << 8 | parts[..., 1::2]
    tiles = _swapped(image)
    if tiles is None:
        return np.asarray(image).astype(np.int32)
    with _open(io.BytesIO(data), path) as second:
        second.tile = tiles  # type: ignore[attr-defined]  # of files, not of other images
        low = np.asarray(second).astype(np.int32)
    return np.asarray(image).astype(np.int32) << 8 | low


def _shallow(image: Image.Image, values: np.ndarray, bits: int) -> Image.Image:
    """8 bits of each value, the highest that are used; transparency always has 16."""
    bits = min(bits, _own_bits(image)) if image.mode.startswith("I") else bits
    colours = _without_alpha(image, values)
    lowest, highest = int(colours.min()), int(colours.max())
    if lowest < 0 or highest > 0xFFFF:
        raise ValueError(f"values from {lowest:,} to {highest:,} have no defined white level; expected 0 to 65,535")
    if highest >> bits:
        raise ValueError(f"values up to {highest:,}, but the 16-bit images of this data set use {bits} bits")
    pixels = (colours >> (bits - 8)).astype(np.uint8)
    if values.ndim == 2 and getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO:
        pixels = 255 - pixels  # Pillow inverts those of 8 bits itself
    if values.ndim == 3 and image.mode.endswith("A"):
        alpha = (values[..., -1] >> 8).astype(np.uint8)
        pixels = np.dstack([pixels, alpha])
    return Image.fromarray(pixels)
