"""TrivialAugment, RandAugment and AutoAugment: which of fourteen operations changes a sample, and how strongly.

The operations and the ranges of their strength are torchvision's. A policy turns uniform draws into (operation,
strength) pairs. An image is changed by torchvision's own functions, a batch by ours.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from deep_cnn.data.augment import kernels
from deep_cnn.runtime.device import upload

Ranges = dict[str, tuple[float, float]]  # of strength, by operation


def affine_mode(interpolation: str) -> InterpolationMode:
    """Rotations and shears know no bicubic."""
    return InterpolationMode.NEAREST if interpolation == "nearest" else InterpolationMode.BILINEAR


def _affine(
    image: torch.Tensor,
    interpolation: str,
    shear: tuple[float, float] = (0.0, 0.0),
    shift: tuple[int, int] = (0, 0),
    center: list[float] | None = None,
) -> torch.Tensor:
    degrees = [math.degrees(math.atan(s)) for s in shear]
    return F.affine(image, 0.0, list(shift), 1.0, degrees, interpolation=affine_mode(interpolation), center=center)


# name: (image, strength m: float, mode) -> image
OPERATIONS: dict[str, Callable[[torch.Tensor, float, str], torch.Tensor]] = {
    "Identity": lambda image, m, mode: image,
    "ShearX": lambda image, m, mode: _affine(image, mode, shear=(m, 0.0), center=[0, 0]),
    "ShearY": lambda image, m, mode: _affine(image, mode, shear=(0.0, m), center=[0, 0]),
    "TranslateX": lambda image, m, mode: _affine(image, mode, shift=(int(m), 0)),
    "TranslateY": lambda image, m, mode: _affine(image, mode, shift=(0, int(m))),
    "Rotate": lambda image, m, mode: F.rotate(image, m, interpolation=affine_mode(mode)),
    "Brightness": lambda image, m, mode: F.adjust_brightness(image, 1 + m),
    "Color": lambda image, m, mode: F.adjust_saturation(image, 1 + m),
    "Contrast": lambda image, m, mode: F.adjust_contrast(image, 1 + m),
    "Sharpness": lambda image, m, mode: F.adjust_sharpness(image, 1 + m),
    "Posterize": lambda image, m, mode: F.posterize(image, int(m)),
    "Solarize": lambda image, m, mode: F.solarize(image, 255 * m),
    "AutoContrast": lambda image, m, mode: F.autocontrast(image),
    "Equalize": lambda image, m, mode: F.equalize(image),
    "Invert": lambda image, m, mode: F.invert(image),
}
# Of a batch, five operations are one, with a matrix for each image: (strengths m: (b,), height, width) -> matrices (b, 2, 3)
GEOMETRY: dict[str, Callable[[np.ndarray, int, int], np.ndarray]] = {
    # about the upper left corner, as in the papers' code
    "ShearX": lambda m, height, width: kernels.shear_and_shift(shear_x=m, shift_x=-m * height / 2),
    "ShearY": lambda m, height, width: kernels.shear_and_shift(shear_y=m, shift_y=-m * width / 2),
    "TranslateX": lambda m, height, width: kernels.shear_and_shift(shift_x=np.trunc(m)),
    "TranslateY": lambda m, height, width: kernels.shear_and_shift(shift_y=np.trunc(m)),
    "Rotate": lambda m, height, width: kernels.rotation(m),
}
COLOUR = ("Brightness", "Contrast", "Color")  # likewise, in the order of `kernels.adjust_colour`
KINDS = dict.fromkeys(GEOMETRY, "geometry") | dict.fromkeys(COLOUR, "colour")  # of kernels; the others have their own
# the others: (images, strengths m: float64 (b,)) -> images
OTHERS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "Sharpness": lambda images, m: kernels.adjust_sharpness(images, 1 + m),
    "Posterize": kernels.posterize,
    "Solarize": lambda images, m: kernels.solarize(images, 255 * m),
    "AutoContrast": lambda images, m: F.autocontrast(images),
    "Equalize": lambda images, m: F.equalize(images),
    "Invert": lambda images, m: F.invert(images),
}
NAMES = tuple(OPERATIONS)
SIGNED = {"ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast", "Sharpness"}

# strength at the lowest and the highest setting; translations in pixels here, in shares of the side in the other two tables
WIDE: Ranges = {  # TrivialAugment, Müller and Hutter 2021, "wide"
    "Identity": (0, 0),
    "ShearX": (0, 0.99),
    "ShearY": (0, 0.99),
    "TranslateX": (0, 32),
    "TranslateY": (0, 32),
    "Rotate": (0, 135),
    "Brightness": (0, 0.99),
    "Color": (0, 0.99),
    "Contrast": (0, 0.99),
    "Sharpness": (0, 0.99),
    "Posterize": (8, 2),
    "Solarize": (1, 0),
    "AutoContrast": (0, 0),
    "Equalize": (0, 0),
}
NARROW: Ranges = {  # AutoAugment, Cubuk et al. 2018, and RandAugment, Cubuk et al. 2019
    "Identity": (0, 0),
    "ShearX": (0, 0.3),
    "ShearY": (0, 0.3),
    "TranslateX": (0, 150 / 331),
    "TranslateY": (0, 150 / 331),
    "Rotate": (0, 30),
    "Brightness": (0, 0.9),
    "Color": (0, 0.9),
    "Contrast": (0, 0.9),
    "Sharpness": (0, 0.9),
    "Posterize": (8, 4),
    "Solarize": (1, 0),
    "AutoContrast": (0, 0),
    "Equalize": (0, 0),
    "Invert": (0, 0),
}
RANDOM: Ranges = {name: NARROW[name] for name in NARROW if name != "Invert"}  # RandAugment leaves it out

# AutoAugment's policy for ImageNet: 25 pairs of "operation setting probability" (setting out of 0 to 9)
AUTO = """
Posterize 8 .4, Rotate 9 .6     | Solarize 5 .6, AutoContrast 0 .6 | Equalize 0 .8, Equalize 0 .6
Posterize 7 .6, Posterize 6 .6  | Equalize 0 .4, Solarize 4 .2     | Equalize 0 .4, Rotate 8 .8
Solarize 3 .6, Equalize 0 .6    | Posterize 5 .8, Equalize 0 1     | Rotate 3 .2, Solarize 8 .6
Equalize 0 .6, Posterize 6 .4   | Rotate 8 .8, Color 0 .4          | Rotate 9 .4, Equalize 0 .6
Equalize 0 0, Equalize 0 .8     | Invert 0 .6, Equalize 0 1        | Color 4 .6, Contrast 8 1
Rotate 8 .8, Color 2 1          | Color 8 .8, Solarize 7 .8        | Sharpness 7 .4, Invert 0 .6
ShearX 5 .6, Equalize 0 1       | Color 0 .4, Equalize 0 .6        | Equalize 0 .4, Solarize 4 .2
Solarize 5 .6, AutoContrast 0 .6 | Invert 0 .6, Equalize 0 1       | Color 4 .6, Contrast 8 1
Equalize 0 .8, Equalize 0 .6
"""


AUTO_PAIRS = [
    [(name, int(setting), float(chance)) for name, setting, chance in (part.split() for part in pair.split(","))]
    for pair in AUTO.strip().replace("\n", "|").split("|")
]


def strength(name: str, setting: np.ndarray, bins: int, ranges: Ranges, size: np.ndarray) -> np.ndarray:
    """Strength of an operation at one of `bins` settings, without its sign.

    Args:
        setting: integers (n,). size: height and width of each image in pixels, (n, 2 or more).
    """
    low, high = ranges[name]
    value = low + (high - low) * np.asarray(setting) / (bins - 1)
    if name in ("TranslateX", "TranslateY") and high <= 1:  # a share of the side that it moves along
        value = value * size[:, 1 if name == "TranslateX" else 0]
    # rounded: 29.999999999999996 pixels must not become 29
    return np.round(value) if name == "Posterize" else np.round(value, 9)


@dataclass(frozen=True)
class Policy:
    """`slots` operations in a row, a `Step` otherwise. Parameters of a sample: (operation, strength) for each of them."""

    name: str  # "trivialaugment", "randaugment", "autoaugment"
    crops = False

    @property
    def slots(self) -> int:
        """How many operations change a sample."""
        return 1 if self.name == "trivialaugment" else 2

    @property
    def draws(self) -> int:
        """Uniform numbers that a sample needs: which pair, and for each slot which operation, its sign and its strength."""
        return 1 + 3 * self.slots

    def parameters(self, u: np.ndarray, frames: np.ndarray, crop: int) -> np.ndarray:
        """Uniform draws (B, draws) and frames (B, 3) -> float64 (B, 2 * slots)."""
        columns = []
        for slot in range(self.slots):
            which, sign, level = u[:, 1 + 3 * slot : 4 + 3 * slot].T
            if self.name == "autoaugment":
                pair = np.floor(u[:, 0] * len(AUTO_PAIRS)).astype(int)
                names, settings, chances = zip(*(pair[slot] for pair in AUTO_PAIRS), strict=True)
                codes = np.where(which < np.array(chances)[pair], _codes(names)[pair], NAMES.index("Identity"))
                columns += [codes, _signed(codes, np.array(settings)[pair], sign, 10, NARROW, frames)]
            else:
                ranges = WIDE if self.name == "trivialaugment" else RANDOM
                codes = _codes(ranges)[np.floor(which * len(ranges)).astype(int)]
                setting = np.floor(level * 31) if self.name == "trivialaugment" else np.full(len(u), 9)
                columns += [codes, _signed(codes, setting, sign, 31, ranges, frames)]
        return np.stack(columns, axis=1).astype(np.float64)

    def one(self, image: torch.Tensor, row: list[Any], crop: int, interpolation: str) -> torch.Tensor:
        """Change an image, uint8 (3, R, R); row: its parameters."""
        image = image.contiguous()  # planar: AutoContrast takes 0.15 ms instead of 1.1, no operation takes longer
        for code, m in zip(row[0::2], row[1::2], strict=True):
            image = OPERATIONS[NAMES[int(code)]](image, m, interpolation)
        return image

    def batch(self, images: torch.Tensor, rows: np.ndarray, crop: int, interpolation: str) -> torch.Tensor:
        """Change a batch on its own device, uint8 (B, 3, R, R); rows: the parameters (B, 2 * slots)."""
        for slot in range(self.slots):
            codes, m = rows[:, 2 * slot].astype(int), rows[:, 2 * slot + 1]
            images = changed(images, np.array(NAMES)[codes], m, interpolation)
        return images


def changed(images: torch.Tensor, names: np.ndarray, m: np.ndarray, interpolation: str) -> torch.Tensor:
    """Change each image of a batch, uint8 (B, 3, R, R), by the operation of its name (B,), with its strength m (B,).

    Images with the same kernels side by side, and all that the kernels need in one copy to the device.
    """
    kinds = np.array([KINDS.get(name, name) for name in names])
    which, matrices = np.zeros(len(names)), np.zeros((len(names), 2, 3))
    for name in np.unique(names):
        members = names == name
        if name in GEOMETRY:
            matrices[members] = GEOMETRY[name](m[members], *images.shape[-2:])
        elif name in COLOUR:
            which[members] = COLOUR.index(name)
    order = np.argsort(kinds, kind="stable")
    packed = upload(np.column_stack([order, m[order], which[order], matrices[order].reshape(-1, 6)]), images.device)
    present, counts = np.unique(kinds, return_counts=True)
    images = images.clone()
    for group, numbers in zip(present.tolist(), packed.split(counts.tolist()), strict=True):
        where, strength, given = numbers[:, 0].long(), numbers[:, 1], numbers[:, 3:].view(-1, 2, 3)
        if group == "geometry":
            images[where] = kernels.affine(images[where], given, interpolation)
        elif group == "colour":
            images[where] = kernels.adjust_colour(images[where], numbers[:, 2], 1 + strength)
        elif group in OTHERS:
            images[where] = OTHERS[group](images[where], strength)
    return images


def _codes(names: Iterable[str]) -> np.ndarray:
    return np.array([NAMES.index(name) for name in names])


def _signed(
    codes: np.ndarray, setting: np.ndarray, sign: np.ndarray, bins: int, ranges: Ranges, size: np.ndarray
) -> np.ndarray:
    result = np.zeros(len(codes))
    for code in np.unique(codes):
        name, members = NAMES[code], codes == code
        value = strength(name, setting[members], bins, ranges, size[members])
        result[members] = np.where(sign[members] < 0.5, -value, value) if name in SIGNED else value
    return result
