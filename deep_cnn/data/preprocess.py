"""What is done to an image before a network sees it, apart from augmentation."""

import dataclasses
import reprlib
from dataclasses import dataclass
from numbers import Real
from typing import Any

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
FITS = ("crop", "squash", "pad")
INTERPOLATIONS = ("bilinear", "bicubic", "nearest")


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
        assert self.interpolation in INTERPOLATIONS and self.fit in FITS and 8 <= self.bits <= 16

    def with_crop(self, crop: int) -> "Preprocessing":
        """The same at another input size: R keeps its proportion to S (256 for 224)."""
        return dataclasses.replace(self, crop=crop, resize=max(crop, round(crop * self.resize / self.crop)))

    def to_dict(self) -> dict[str, Any]:
        """As a checkpoint keeps it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Preprocessing":
        """From `to_dict`, or JSON, whose lists become tuples. ValueError for text in place of a number."""
        for name in ("resize", "crop", "bits", "mean", "std"):
            found = values.get(name, 16)
            channels = isinstance(found, list | tuple)
            numbers = all(isinstance(number, Real) for number in (found if channels else [found]))
            if channels != (name in ("mean", "std")) or not numbers:
                expected = "numbers" if name in ("mean", "std") else "a number"
                raise ValueError(f"{name} of its preprocessing is {reprlib.repr(found)}; expected {expected}")
        values = dict(values)
        values["mean"], values["std"] = tuple(values["mean"]), tuple(values["std"])
        return cls(**values)
