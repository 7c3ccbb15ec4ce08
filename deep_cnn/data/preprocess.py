"""What is done to an image before a network sees it, apart from augmentation."""

import dataclasses
import math
import reprlib
from dataclasses import dataclass
from numbers import Real
from typing import Any

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
FITS = ("crop", "squash", "pad")
INTERPOLATIONS = ("bilinear", "bicubic", "nearest")
LARGEST_SIDE = 10_000  # pixels


@dataclass(frozen=True)
class Preprocessing:
    """Geometry and normalisation of one network's input.

    resize: side R of the canonical image in pixels; crop: side S of the network's input; mean and std: per channel (RGB),
    for values in [0, 1]; fit: how a photograph becomes a square (cut to the centre, squashed, or padded); bits: how many bits of
    16 the values of 16-bit images use, for the whole data set (depth.py).
    """

    resize: int
    crop: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    interpolation: str = "bilinear"
    fit: str = "crop"
    bits: int = 16

    def __post_init__(self) -> None:
        assert 1 <= self.crop <= self.resize, (self.crop, self.resize)
        if self.interpolation not in INTERPOLATIONS or self.fit not in FITS or not 8 <= self.bits <= 16:
            raise ValueError(f"{self.interpolation}, {self.fit} or {self.bits} bits is no preprocessing")

    def with_crop(self, crop: int) -> "Preprocessing":
        """The same at another input size: R keeps its proportion to S (256 for 224)."""
        return dataclasses.replace(self, crop=crop, resize=max(crop, round(crop * self.resize / self.crop)))

    def to_dict(self) -> dict[str, Any]:
        """As a checkpoint keeps it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Preprocessing":
        """From `to_dict`, or JSON, whose lists become tuples; ValueError for what no preprocessing has."""
        for name in ("resize", "crop", "bits", "mean", "std"):
            found = values.get(name, 16)
            channels = isinstance(found, list | tuple)
            real = all(isinstance(number, Real) for number in (found if channels else [found]))
            if channels != (name in ("mean", "std")) or not real:
                expected = "numbers" if name in ("mean", "std") else "a number"
                raise ValueError(f"{name} of its preprocessing is {reprlib.repr(found)}; expected {expected}")
        values = dict(values)
        values["mean"], values["std"] = tuple(values["mean"]), tuple(values["std"])
        crop, resize, numbers = values["crop"], values["resize"], (*values["mean"], *values["std"])
        whole = isinstance(crop, int) and isinstance(resize, int) and 1 <= crop <= resize <= LARGEST_SIDE
        if not whole or len(numbers) != 6 or not all(map(math.isfinite, numbers)) or min(values["std"]) <= 0:
            raise ValueError(f"its preprocessing is {values}")
        return cls(**values)
