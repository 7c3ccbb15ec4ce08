"""The canonical picture: what the cache keeps of an image, and what training and evaluation are cut from.

With --fit=crop it is the whole picture, its shorter side resized to R pixels; of one more than twice as long as wide only
the middle is kept, so that rows of the cache have a limit. Evaluation cuts the centre (S, S) out of it: the pixels of
torchvision's Resize(R), CenterCrop(S). A random resized crop is drawn from all of it, as torchvision's RandomResizedCrop
draws it from the photograph: the same shares of the picture's area, the same ratios, and up to 2:1 the same places.

A square of R x R, as it was kept before, is cut to the centre of a 4:3 photograph already: a crop of 35% to 100% of that
square shows 46% of a 500x375 photograph on average, and torchvision's 58%. Two other geometries were considered. The
whole picture squashed to a square would need no more memory, but loses a quarter of the resolution of a 4:3 photograph,
and evaluation would need another file of pixels. The whole picture at a constant area has the same second disadvantage.
The price of this one: a 4:3 photograph takes a third more of the disk and of the time to copy, and on a GPU each image
has the place of the longest, 2 R x R.

With --fit=squash and --fit=pad the network sees whole pictures as a square (R, R), and that is kept.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from deep_cnn.data.preprocess import IMAGENET_MEAN, Preprocessing
from deep_cnn.runtime.device import upload

MAX_ASPECT = (
    16  # a 1 x 100,000 strip would first grow to 256 x 25,600,000: beyond 16:1 its middle is cut out beforehand
)
KEPT_ASPECT = 2  # of the longer to the shorter side, kept of a resized picture: 16:9 is the longest of usual cameras
PADDING = tuple(round(255 * m) for m in IMAGENET_MEAN)  # about 0 after normalisation; the cache knows no network's mean
HEADER = 3  # integers before the pixels of a row: height, width, area
HEADER_BYTES = HEADER * 4


@dataclass(frozen=True)
class Picture:
    """pixels: uint8 (3, h, w), best a view of (h, w, 3) memory. area: of the whole picture, where pixels are its middle only."""

    pixels: torch.Tensor
    area: int = 0

    @property
    def frame(self) -> tuple[int, int, int]:
        """Height and width of the pixels, and the area of the whole picture."""
        height, width = self.pixels.shape[-2:]
        return height, width, self.area or height * width


def most_pixels(pre: Preprocessing) -> int:
    """The most pixels that a canonical picture has."""
    return pre.resize**2 * (KEPT_ASPECT if pre.fit == "crop" else 1)


def row_bytes(pre: Preprocessing) -> int:
    """The longest row of the cache."""
    return HEADER_BYTES + 3 * most_pixels(pre)


def frames_of(images: Iterable[torch.Tensor | Picture]) -> np.ndarray:
    """Height, width and area of each, int64 (B, 3)."""
    return np.array([(i if isinstance(i, Picture) else Picture(i)).frame for i in images], np.int64).reshape(-1, HEADER)


def fitted(image: torch.Tensor, pre: Preprocessing) -> Picture:
    """A decoded image, uint8 (3, H, W), as pre.fit and pre.resize say; fastest with a view of (H, W, 3) memory."""
    side, mode = pre.resize, InterpolationMode(pre.interpolation)
    height, width = image.shape[-2:]
    if pre.fit == "squash":
        return Picture(rows_first(F.resize(image, [side, side], interpolation=mode, antialias=True)))
    if pre.fit == "pad":
        scale = side / max(height, width)
        size = [max(1, round(height * scale)), max(1, round(width * scale))]
        canvas = torch.tensor(PADDING, dtype=torch.uint8).view(3, 1, 1).repeat(1, side, side)
        top, left = (side - size[0]) // 2, (side - size[1]) // 2
        resized = F.resize(image, size, interpolation=mode, antialias=True)
        canvas[:, top : top + size[0], left : left + size[1]] = resized
        return Picture(rows_first(canvas))
    longest = MAX_ASPECT * min(height, width)
    if max(height, width) > longest:
        image = F.center_crop(image, [min(height, longest), min(width, longest)])
    whole = F.resize(image, [side], interpolation=mode, antialias=True)
    height, width = whole.shape[-2:]
    (top, kept_height), (left, kept_width) = _middle(height, side), _middle(width, side)
    return Picture(rows_first(whole[:, top : top + kept_height, left : left + kept_width]), height * width)


def _middle(length: int, side: int) -> tuple[int, int]:
    """First pixel and number of the pixels that are kept of a side.

    The number differs from the whole length by a multiple of 4: only then does a centre crop, which rounds halves to even,
    find the same pixels in the middle as in the whole.
    """
    most = KEPT_ASPECT * side
    dropped = -(-max(0, length - most) // 4) * 4
    return dropped // 2, length - dropped


def rows_first(image: torch.Tensor) -> torch.Tensor:
    """The same (3, H, W) in (H, W, 3) memory: how the cache stores it, and 2.7 times as fast to resize."""
    return image.permute(1, 2, 0).contiguous().permute(2, 0, 1)


def corner(length: int, crop: int) -> int:
    """Where torchvision's centre crop begins in a side of so many pixels: half of what is left, rounded to even."""
    return round((length - crop) / 2)


def square_corner(length: int, pre: Preprocessing) -> int:
    """Where the middle R of a side begins, such that the centre S of it is the centre S of the whole side.

    Two centre crops, to R and then to S, would be a pixel off in every second picture where R - S is odd (Inception's 342
    and 299) or twice an odd number.
    """
    return corner(length, pre.crop) - corner(pre.resize, pre.crop)


def square(picture: Picture, pre: Preprocessing) -> torch.Tensor:
    """The middle (3, R, R), a view; its centre crop of S x S is that of the whole picture."""
    top, left = (square_corner(length, pre) for length in picture.pixels.shape[-2:])
    return picture.pixels[:, top : top + pre.resize, left : left + pre.resize]


def to_row(picture: Picture) -> np.ndarray:
    """As the cache keeps it: height, width and area as int32, then the pixels, uint8 (12 + h * w * 3,)."""
    pixels = picture.pixels.permute(1, 2, 0).contiguous().numpy()
    return np.concatenate([np.array(picture.frame, "<i4").view(np.uint8), pixels.reshape(-1)])


def from_row(row: np.ndarray) -> Picture:
    """The inverse of `to_row`; a view of the row."""
    height, width, area = row[:HEADER_BYTES].view("<i4").tolist()
    return Picture(torch.from_numpy(row[HEADER_BYTES:].reshape(height, width, 3)).permute(2, 0, 1), area)


def window(memory: torch.Tensor, places: torch.Tensor, corners: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Cut (height, width) from each picture of a batch: (B, 3, height, width).

    Args:
        memory, places: as `PictureBatch` has them. corners: int64 (3, B), top and left of each window, and its picture's width.
    """
    top, left, widths = corners[:, :, None]  # (B, 1) each
    rows = (top + torch.arange(height, device=memory.device)) * widths  # (B, h)
    columns = left + torch.arange(width, device=memory.device)  # (B, w)
    pixels = (rows[:, :, None] + columns[:, None, :]).clamp(max=memory.shape[1] - 1)  # (B, h, w)
    return memory[places[:, None, None], pixels].permute(0, 3, 1, 2)


@dataclass(frozen=True)
class PictureBatch:
    """Pictures of different sizes on one device.

    memory: uint8 (n, most pixels, 3), in each row a picture's pixels from the first on.
    places: the rows of memory that the batch consists of, int64 (B,) on the device. frames: int64 (B, 3), as `frames_of`.
    """

    memory: torch.Tensor
    places: torch.Tensor
    frames: np.ndarray

    def __len__(self) -> int:
        return len(self.frames)

    def take(self, members: np.ndarray) -> "PictureBatch":
        """Some of them, by their number in the batch, int64 (m,)."""
        return PictureBatch(self.memory, self.places[upload(members, self.places.device)], self.frames[members])

    def window(self, top: np.ndarray, left: np.ndarray, height: int, width: int) -> torch.Tensor:
        """Cut (height, width) from each at its own corner, int64 (B,): (B, 3, height, width).

        Beyond the right or lower edge of a picture there is nothing meaningful.
        """
        numbers = upload(np.stack([top, left, self.frames[:, 1]]).astype(np.int64), self.places.device)  # (3, B)
        return window(self.memory, self.places, numbers, height, width)

    def corners(self, crop: int) -> np.ndarray:
        """`corner` of each, its top and its left: int64 (2, B)."""
        return np.round((self.frames[:, :2] - crop) / 2).astype(np.int64).T

    def centres(self, crop: int) -> torch.Tensor:
        """The centre crop of each, (B, 3, S, S)."""
        top, left = self.corners(crop)
        return self.window(top, left, crop, crop)

    def squares(self, pre: Preprocessing) -> torch.Tensor:
        """`square` of each, (B, 3, R, R)."""
        top, left = self.corners(pre.crop) - corner(pre.resize, pre.crop)
        return self.window(top, left, pre.resize, pre.resize)
