"""Image operations on a whole batch, each sample with its own parameters: what a GPU needs to be kept busy.

Each mirrors the function of the same name in torchvision.transforms.v2.functional, which takes one set of parameters for
all images. All take and return uint8 (B, 3, H, W) on any device, and one parameter (B,) per sample on the same device, so
that no value is ever read back from it.
"""

import math

import numpy as np
import torch
from torch.nn.functional import grid_sample, pad

from deep_cnn.data.picture import PictureBatch

LUMA = (0.2989, 0.587, 0.114)  # ITU-R 601, as torchvision's rgb_to_grayscale


def per_sample(values: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """(B,) numbers -> (B, 1, 1, 1)."""
    return values.to(dtype).view(-1, 1, 1, 1)


def to_uint8(values: torch.Tensor) -> torch.Tensor:
    """Truncates, as torchvision's colour operations do."""
    return values.clamp_(0, 255).to(torch.uint8)


def flip(images: torch.Tensor, chosen: torch.Tensor, dim: int) -> torch.Tensor:
    """Mirror the chosen images, bool (B,). dim: -1 left-right, -2 upside down."""
    return torch.where(per_sample(chosen, torch.bool), images.flip(dim), images)


# ---- geometry --------------------------------------------------------------------------------------------------------


def crop(images: torch.Tensor, top: torch.Tensor, left: torch.Tensor, side: int) -> torch.Tensor:
    """Cut (side, side) from each image at its own corner."""
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    along = torch.arange(side, device=images.device)
    rows, columns = (per_sample(corner, torch.int64).view(-1, 1) + along for corner in (top, left))  # (B, S)
    cut = images.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]]  # (B, S, S, 3)
    return cut.permute(0, 3, 1, 2)


def shifted_crop(
    images: torch.Tensor, top: torch.Tensor, left: torch.Tensor, side: int, margin: int, mode: str = "constant"
) -> torch.Tensor:
    """Pad by `margin` pixels, black or as torch.nn.functional.pad calls it, then crop."""
    if mode != "constant":  # for which torch takes no uint8; float16 holds the numbers to 2,048
        return crop(pad(images.half(), [margin] * 4, mode=mode).to(torch.uint8), top, left, side)
    return crop(pad(images, [margin] * 4), top, left, side)


def _triangle(x: torch.Tensor) -> torch.Tensor:
    return (1 - x.abs()).clamp_(min=0)


def _keys_cubic(x: torch.Tensor, a: float = -0.5) -> torch.Tensor:
    """Keys' cubic convolution (1981) with the a that Pillow and torch use when antialiasing."""
    x = x.abs()
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def _taps(
    length: torch.Tensor, longest: int, target: int, interpolation: str
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Antialiased resampling of `length` pixels (n,), at most `longest`, to `target`: what each of these is a sum of.

    torch resizes uint8 images with 16-bit fixed-point weights, one dimension at a time. The same integers are used here,
    so both agree to the last bit.

    Returns:
        pixel: (n, target, T), numbers of pixels, counted from the first one; those that do not exist have the weight 0.
        weight: (n, target, T), whole numbers below 2**15. bits: (n, 1, 1); 2**bits stands for a weight of 1.
    """
    exact = torch.float32 if length.device.type == "mps" else torch.float64  # Apple's GPUs have no float64
    size = length.to(exact)[:, None, None]
    out = torch.arange(target, device=length.device, dtype=exact)[:, None]  # (target, 1)
    scale = size / target
    if interpolation == "nearest":
        # float32: torch finds the nearest pixel in it, and the last bit decides between two equally near ones
        pixel = (out.float() * scale.float()).floor().to(exact)
        weights = torch.ones_like(pixel)
    else:
        # the pixels whose middle is within a target's kernel: 2 to 8 of a row, where the row has hundreds
        kernel, radius = (_triangle, 1) if interpolation == "bilinear" else (_keys_cubic, 2)
        taps = math.ceil(2 * radius * max(1.0, longest / target))
        stretch, centre = scale.clamp(min=1), scale * (out + 0.5)
        pixel = (centre - radius * stretch + 0.5).floor() + torch.arange(taps, device=length.device, dtype=exact)
        weights = kernel((pixel + 0.5 - centre) / stretch) * ((pixel >= 0) & (pixel < size))
        weights /= weights.sum(-1, keepdim=True)
    # as many bits as keep the largest weight below 2**15
    powers = 2.0 ** torch.arange(1, 23, device=length.device, dtype=exact)
    largest = weights.amax((1, 2))[:, None]  # (n, 1)
    bits = ((largest * powers + 0.5).floor() < 2**15).sum(1)[:, None, None]
    return pixel, ((weights.abs() * 2.0 ** bits.to(exact)) + 0.5).floor() * weights.sign(), bits


def _matrices(
    start: torch.Tensor, length: torch.Tensor, source: int, target: int, interpolation: str
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The sums of `_taps`, of [start, start + length) in rows of `source` pixels, as matrices of integers.

    Exact while target >= source / 2; beyond, float32 sums are not.

    Returns:
        high, low: float32 (n, target, source) with weight = 256 * high + low, -128 <= high <= 127, 0 <= low <= 255: both
            are exact in the 10 bits that TF32 keeps of a matrix's numbers.
        one: float32 (n, 1, 1), the integer that stands for a weight of 1.
    """
    pixel, weight, bits = _taps(length, source, target, interpolation)
    taps = pixel.shape[-1]
    high = (weight / 256).floor()
    # beside the row there is room for those beyond its ends, whose weight is 0: no two have the same place
    places = (pixel + start.to(pixel.dtype)[:, None, None] + taps).long()
    rows = torch.zeros(2, len(places), target, source + 2 * taps, device=start.device)
    for row, values in zip(rows, (high, weight - 256 * high), strict=True):
        row.scatter_(2, places, values.float())
    return rows[0, :, :, taps : taps + source], rows[1, :, :, taps : taps + source], 2.0 ** bits.float()


def resized_crop(
    images: torch.Tensor,
    top: torch.Tensor,
    left: torch.Tensor,
    height: torch.Tensor,
    width: torch.Tensor,
    side: int,
    interpolation: str = "bilinear",
) -> torch.Tensor:
    """Cut (height, width) at (top, left), (B,) each, from each image and resize it to (side, side), antialiased.

    Two batched matrix products, columns first: 42 GFLOP for 256 images of 256 pixels to 224, on a GPU a few milliseconds.
    """
    batch, channels, rows, columns = images.shape
    with torch.autocast(images.device.type, enabled=False):
        # the matrices of both dimensions at once: half as many kernels on a GPU
        starts, lengths = torch.cat([left, top]), torch.cat([width, height])
        high, low, one = _matrices(starts, lengths, max(rows, columns), side, interpolation)
        pixels = images.to(torch.float32, memory_format=torch.contiguous_format).view(batch, channels * rows, columns)
        across = [matrix[:batch, :, :columns].mT for matrix in (high, low)]  # (B, W, S) each
        sums = torch.baddbmm(torch.bmm(pixels, across[0]), pixels, across[1], beta=256)  # (B, 3 * H, S)
        pixels = (sums / one[:batch] + 0.5).floor_().clamp_(0, 255)
        pixels = pixels.view(batch, channels, rows, side).transpose(1, 2).reshape(batch, rows, channels * side)
        down = [matrix[batch:, :, :rows] for matrix in (high, low)]  # (B, S, H) each
        sums = torch.baddbmm(torch.bmm(down[0], pixels), down[1], pixels, beta=256)  # (B, S, 3 * S)
        resized = to_uint8((sums / one[batch:] + 0.5).floor_())
    return resized.view(batch, side, channels, side).transpose(1, 2)


def resized_window(
    pictures: PictureBatch, boxes: np.ndarray, uploaded: torch.Tensor, side: int, interpolation: str
) -> torch.Tensor:
    """`resized_crop` from pictures of different sizes; boxes: int64 (B, 4) of top, left, height, width, and the same on the device.

    Only the boxes are read: with ratios from 3/4 to 4/3 no more than the square (R, R) of a 4:3 photograph.
    """
    top, left, height, width = boxes.T
    windows = pictures.window(top, left, int(height.max()), int(width.max()))
    zero = torch.zeros_like(uploaded[:, 0])
    return resized_crop(windows, zero, zero, uploaded[:, 2], uploaded[:, 3], side, interpolation)


def taps_of_boxes(
    boxes: torch.Tensor, longest: int, side: int, interpolation: str
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The sums of `_taps` for both sides of boxes, (B, 4) of top, left, height, width; none is longer than `longest`.

    Returns:
        pixel: int32 (T, 2, B, side), of columns and of rows, counted from the box's corner; those outside of the box, whose
            weight is 0, are replaced by the nearest inside. weight: likewise. bits: int32 (2, B).
    """
    lengths = torch.cat([boxes[:, 3], boxes[:, 2]])
    pixel, weight, bits = _taps(lengths, longest, side, interpolation)  # (2 * B, side, T)
    pixel = pixel.minimum(lengths[:, None, None] - 1).clamp(min=0)
    pixel, weight = (
        part.int().view(2, len(boxes), side, -1).permute(3, 0, 1, 2).contiguous() for part in (pixel, weight)
    )
    return pixel, weight, bits.int().view(2, -1)


def resized_picture(
    memory: torch.Tensor,
    places: torch.Tensor,
    widths: torch.Tensor,
    boxes: torch.Tensor,
    taps: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    rows: int,
) -> torch.Tensor:
    """`resized_window` by sums of single pixels: two kernels that read each pixel a few times, where they are compiled; else slow.

    Args:
        memory, places: as `PictureBatch` has them; widths: of the pictures, (B,).
        boxes: (B, 4) of top, left, height, width; none is higher than `rows`. taps: as `taps_of_boxes` gives them. Made in
            the same kernel they would be made anew for each pixel that is read.
    """
    pixel, weight, bits = taps
    top, left, height, _ = boxes.long().unbind(1)
    # columns first; of the rows below a box the last one is read again
    row = top[:, None] + torch.arange(rows, device=boxes.device).minimum((height - 1)[:, None])  # (B, h)
    starts, places = (row * widths.long()[:, None] + left[:, None])[:, :, None], places[:, None, None]
    sums = zero = torch.zeros((), dtype=torch.int32, device=boxes.device)
    for column, factor in zip(pixel[:, 0], weight[:, 0], strict=True):  # (B, S) each
        sums = sums + memory[places, starts + column[:, None]].int() * factor[:, None, :, None]  # (B, h, S, 3)
    across = _grey_levels(sums, bits[0])
    # then rows
    image, sums = torch.arange(len(boxes), device=boxes.device)[:, None], zero
    for line, factor in zip(pixel[:, 1], weight[:, 1], strict=True):
        sums = sums + across[image, line.long()].int() * factor[:, :, None, None]  # (B, S, S, 3)
    return _grey_levels(sums, bits[1]).permute(0, 3, 1, 2)


def _grey_levels(sums: torch.Tensor, bits: torch.Tensor) -> torch.Tensor:
    """Sums of weights times pixels, int32 (B, ., ., .), divided by 2**bits, (B,), and rounded.

    They are below 400 * 2**22: room in 31 bits.
    """
    bits = bits[:, None, None, None]
    half = 1 << (bits - 1)
    return ((sums + half) >> bits).clamp(0, 255).to(torch.uint8)


def affine(images: torch.Tensor, matrices: torch.Tensor, interpolation: str = "bilinear") -> torch.Tensor:
    """Sample each image at matrix @ (x, y, 1), in pixels from its centre; black outside.

    Args:
        matrices: (B, 2, 3), from output to input coordinates.
    """
    height, width = images.shape[-2:]
    m = matrices.float()[:, :, :, None, None]  # (B, 2, 3, 1, 1)
    x = torch.arange(width, device=images.device, dtype=torch.float32) - (width - 1) / 2
    y = (torch.arange(height, device=images.device, dtype=torch.float32) - (height - 1) / 2)[:, None]
    # sums, not a matrix product: in TF32 a coordinate would be off by up to 0.06 pixels
    grid = torch.stack(
        [
            (m[:, 0, 0] * x + m[:, 0, 1] * y + m[:, 0, 2]) / (0.5 * width),
            (m[:, 1, 0] * x + m[:, 1, 1] * y + m[:, 1, 2]) / (0.5 * height),
        ],
        dim=-1,
    )  # (B, H, W, 2)
    mode = "nearest" if interpolation == "nearest" else "bilinear"
    return grid_sample(images.float(), grid, mode=mode, align_corners=False).round_().to(torch.uint8)


def rotation(degrees: np.ndarray) -> np.ndarray:
    """Matrices (B, 2, 3) for `affine`: counter-clockwise by `degrees`."""
    t = np.radians(degrees)
    zero = np.zeros_like(t)
    return np.stack([np.cos(t), -np.sin(t), zero, np.sin(t), np.cos(t), zero], axis=-1).reshape(-1, 2, 3)


def shear_and_shift(
    shear_x: np.ndarray | float = 0.0,
    shear_y: np.ndarray | float = 0.0,
    shift_x: np.ndarray | float = 0.0,
    shift_y: np.ndarray | float = 0.0,
) -> np.ndarray:
    """Matrices (B, 2, 3) for `affine`; shears are tangents, shifts are pixels."""
    parts = np.broadcast_arrays(1.0, np.asarray(shear_x), -np.asarray(shift_x), shear_y, 1.0, -np.asarray(shift_y))
    return np.stack(parts, axis=-1).astype(np.float64).reshape(-1, 2, 3)


# ---- colour ----------------------------------------------------------------------------------------------------------


def grey(images: torch.Tensor) -> torch.Tensor:
    """Brightness in whole grey levels, float32 (B, 1, H, W)."""
    r, g, b = images.unbind(1)
    return r.mul(LUMA[0]).add_(g, alpha=LUMA[1]).add_(b, alpha=LUMA[2]).unsqueeze(1).floor_()


def _blend(images: torch.Tensor, other: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """other + factor * (images - other)."""
    return to_uint8(images * per_sample(factor) + other * per_sample(1 - factor))


def adjust_colour(images: torch.Tensor, which: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Brightness, contrast or saturation of each image, int (B,) of 0, 1 and 2, by a factor (B,): one pass for all three."""
    bright, contrast = (per_sample(which == number, torch.bool) for number in (0, 1))
    other = grey(images)  # (B, 1, H, W)
    # row by row first: enough sums for all of a GPU, and exact, since grey levels are whole numbers
    mean = other.sum(3, keepdim=True).sum(2, keepdim=True) / other[0].numel()
    other = torch.where(contrast, mean, other)
    return _blend(images, other.masked_fill_(bright, 0), factor)


def adjust_sharpness(images: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Blend with a 3 x 3 mean whose middle counts five times; the outermost pixels stay."""
    pixels = images.float()
    if min(images.shape[-2:]) <= 2:
        return images
    columns = pixels[..., :-2] + pixels[..., 1:-1] + pixels[..., 2:]
    sums = columns[..., :-2, :] + columns[..., 1:-1, :] + columns[..., 2:, :]  # whole numbers: exact
    inner = pixels[..., 1:-1, 1:-1]  # a view
    blurred = (sums + 4 * inner).div_(13).round_()
    inner.add_((blurred - inner) * per_sample(1 - factor))
    return to_uint8(pixels)


def posterize(images: torch.Tensor, bits: torch.Tensor) -> torch.Tensor:
    """Keep the highest `bits` (0 to 8) of each value."""
    return images & (256 - (256 >> per_sample(bits, torch.int64))).to(torch.uint8)


def solarize(images: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
    """Invert the values from the threshold on."""
    return torch.where(images >= per_sample(threshold), 255 - images, images)


def erase(
    images: torch.Tensor,
    top: torch.Tensor,
    left: torch.Tensor,
    height: torch.Tensor,
    width: torch.Tensor,
    colour: tuple[int, ...],
) -> torch.Tensor:
    """Fill a box of each image, (B,) each, with one colour; a box of height 0 changes nothing."""
    rows = torch.arange(images.shape[-2], device=images.device)[:, None]
    columns = torch.arange(images.shape[-1], device=images.device)
    y, x, h, w = (per_sample(v, torch.int64) for v in (top, left, height, width))
    inside = (rows >= y) & (rows < y + h) & (columns >= x) & (columns < x + w)  # (B, 1, H, W)
    fill = torch.cat([images.new_full((1, 1, 1), level) for level in colour])
    return torch.where(inside, fill, images)
