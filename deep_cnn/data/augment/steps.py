"""Augmentations as functions of (image, draws): the steps that `--augment` names and the registry AUGMENTATIONS lists.

An augmentation is a chain of steps. Each step turns a sample's own uniform draws into parameters and has two forms:
`one` changes an image by torchvision's uint8 functions (fastest on a CPU: 8,000 random resized crops a second on a core),
`batch` changes a batch by the kernels of kernels.py (for a GPU). Same parameters, same pixels within rounding.
No generator is drawn from, so the result depends neither on a sample's neighbours nor on the thread that makes it.
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from deep_cnn.config.fields import wrong
from deep_cnn.config.registries import AUGMENTATION_PRESETS, AUGMENTATIONS, resolve
from deep_cnn.data.augment import kernels
from deep_cnn.data.augment.policies import Policy, affine_mode
from deep_cnn.data.picture import Picture, PictureBatch, frames_of
from deep_cnn.data.preprocess import IMAGENET_MEAN
from deep_cnn.runtime.device import upload
from deep_cnn.runtime.errors import nearest
from deep_cnn.runtime.rng import draws

GREY = tuple(round(255 * m) for m in IMAGENET_MEAN)  # what is erased becomes about 0 after normalisation
SMALL = 3 / 4  # of the side, in the first epochs of --small_epochs: 0.56 of the pixels
TRIES = 10  # as torchvision: draws of a box until one fits into the image
RATIO = (3 / 4, 4 / 3)  # of width to height of a random crop, as torchvision


def _boxes(u: np.ndarray, frames: np.ndarray, area: tuple[float, float], ratio: tuple[float, float]) -> np.ndarray:
    """Boxes of random area and width/height ratio, each the first of TRIES that fits.

    Args:
        u: uniform draws (B, 2 * TRIES + 2); frames: (B, 3), see `Step.parameters`; area: range in shares of the whole
            picture; ratio: range, drawn on a log scale.

    Returns:
        int64 (B, 4): top, left, height, width; height 0 where none fits.
    """
    height, width, whole = np.split(frames, 3, axis=1)  # (B, 1)
    target = whole * (area[0] + u[:, :TRIES] * (area[1] - area[0]))  # (B, TRIES)
    low, high = np.log(ratio)
    aspect = np.exp(low + u[:, TRIES : 2 * TRIES] * (high - low))
    widths, heights = np.round(np.sqrt(target * aspect)), np.round(np.sqrt(target / aspect))
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    rows, first = np.arange(len(u)), fits.argmax(1)
    box = np.stack([heights[rows, first], widths[rows, first]], 1) * fits.any(1, keepdims=True)  # (B, 2)
    corner = np.floor(u[:, 2 * TRIES :] * (frames[:, :2] - box + 1))
    return np.concatenate([corner, box], 1).astype(np.int64)


def _largest_centre(size: np.ndarray) -> np.ndarray:
    """The largest box in the middle whose ratio is in RATIO, for heights and widths int64 (n, 2): int64 (n, 4) as `_boxes`."""
    height, width = size.T
    box = np.stack([np.minimum(height, np.round(width / RATIO[0])), np.minimum(width, np.round(height * RATIO[1]))], 1)
    return np.concatenate([(size - box) // 2, box], 1).astype(np.int64)


class Step(ABC):
    """One random change. draws: uniform numbers that a sample needs; crops: whether the side becomes the crop size."""

    draws: ClassVar[int]
    crops: ClassVar[bool]

    @abstractmethod
    def parameters(self, u: np.ndarray, frames: np.ndarray, crop: int) -> np.ndarray:
        """The parameters (B, k) of a batch, from its draws (B, draws).

        Args:
            frames: height and width of each image in pixels, and the area of the whole picture that it is the middle of,
                int64 (B, 3). crop: the crop size S in pixels.
        """

    @abstractmethod
    def one(self, image: torch.Tensor, row: list[Any], crop: int, interpolation: str) -> torch.Tensor:
        """Change an image, uint8 (3, R, R) -> (3, R, R) or (3, S, S); row: its parameters."""

    def for_batch(self, rows: np.ndarray) -> np.ndarray:
        """The parameters (B, k) as `batch` takes them."""
        return rows

    @abstractmethod
    def batch(self, images: torch.Tensor, rows: torch.Tensor, crop: int, interpolation: str) -> torch.Tensor:
        """Change a batch on its own device, uint8 (B, 3, R, R) -> (B, 3, R, R) or (B, 3, S, S).

        Args:
            rows: the parameters that `for_batch` gives, float64 (B, k) on the same device.
        """


@dataclass(frozen=True)
class ResizedCrop(Step):
    """A random part of the image, resized to the crop size. area: range in shares of the image."""

    area: tuple[float, float]
    draws = 2 * TRIES + 2
    crops = True

    def parameters(self, u: np.ndarray, frames: np.ndarray, crop: int) -> np.ndarray:
        boxes = _boxes(u, frames, self.area, RATIO)
        none_fits = boxes[:, 2] == 0
        boxes[none_fits] = _largest_centre(frames[none_fits, :2])
        return boxes

    def one(self, image: torch.Tensor, row: list[Any], crop: int, interpolation: str) -> torch.Tensor:
        top, left, height, width = row
        # copied to (h, w, 3) memory first: 88 microseconds for 180 x 190 to 224, against 146 for the view
        part = image[:, top : top + height, left : left + width].permute(1, 2, 0).contiguous().permute(2, 0, 1)
        return F.resize(part, [crop, crop], interpolation=InterpolationMode(interpolation), antialias=True)

    def batch(self, images: torch.Tensor, rows: torch.Tensor, crop: int, interpolation: str) -> torch.Tensor:
        top, left, height, width = rows.unbind(1)
        return kernels.resized_crop(images, top, left, height, width, crop, interpolation)


@dataclass(frozen=True)
class ShiftedCrop(Step):
    """Pad all sides, cut at a random place. share: of the crop size, 1/share is padded; mode: what with."""

    share: int
    mode: str
    draws = 2
    crops = True

    def parameters(self, u: np.ndarray, frames: np.ndarray, crop: int) -> np.ndarray:
        return np.floor(u * (frames[:, :2] + 2 * (crop // self.share) - crop + 1)).astype(np.int64)

    def one(self, image: torch.Tensor, row: list[Any], crop: int, interpolation: str) -> torch.Tensor:
        return F.crop(F.pad(image, [crop // self.share] * 4, padding_mode=self.mode), *row, crop, crop)

    def batch(self, images: torch.Tensor, rows: torch.Tensor, crop: int, interpolation: str) -> torch.Tensor:
        top, left = rows.unbind(1)
        return kernels.shifted_crop(images, top, left, crop, crop // self.share, self.mode)


@dataclass(frozen=True)
class Flip(Step):
    """Mirror half of the samples. dim: -1 left-right, -2 upside down."""

    dim: int
    draws = 1
    crops = False

    def parameters(self, u: np.ndarray, frames: np.ndarray, crop: int) -> np.ndarray:
        return u < 0.5

    def one(self, image: torch.Tensor, row: list[Any], crop: int, interpolation: str) -> torch.Tensor:
        return image.flip(self.dim) if row[0] else image

    def batch(self, images: torch.Tensor, rows: torch.Tensor, crop: int, interpolation: str) -> torch.Tensor:
        return kernels.flip(images, rows[:, 0], self.dim)


@dataclass(frozen=True)
class AlternatingFlip(Flip):
    """Mirror half of the samples in even epochs and the others in odd ones, so that two epochs show both sides of each.

    Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024, section 3.6.
    """

    draws = 0  # that change from epoch to epoch

    def plan(self, seed: int, epoch: int, indices: np.ndarray) -> np.ndarray:
        """Whether each sample, by its number (B,), is mirrored in an epoch: bool (B, 1)."""
        first = draws(seed, "alternating flip", 0, indices, 1) < 0.5
        return first ^ (epoch % 2 == 1)


@dataclass(frozen=True)
class Rotation(Step):
    """Turn by up to `degrees` either way; black corners unless a crop follows."""

    degrees: float
    draws = 1
    crops = False

    def parameters(self, u: np.ndarray, frames: np.ndarray, crop: int) -> np.ndarray:
        return (2 * u - 1) * self.degrees

    def one(self, image: torch.Tensor, row: list[Any], crop: int, interpolation: str) -> torch.Tensor:
        return F.rotate(image, row[0], interpolation=affine_mode(interpolation))

    def for_batch(self, rows: np.ndarray) -> np.ndarray:
        """The matrices (B, 6)."""
        return kernels.rotation(rows[:, 0]).reshape(-1, 6)

    def batch(self, images: torch.Tensor, rows: torch.Tensor, crop: int, interpolation: str) -> torch.Tensor:
        return kernels.affine(images, rows.view(-1, 2, 3), interpolation)


COLOUR_CHANGES = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation)
ORDERS = tuple(itertools.permutations(range(3)))


@dataclass(frozen=True)
class Colour(Step):
    """Brightness, contrast and saturation, each by a factor between 1 - amount and 1 + amount, in a random order.

    In a random order as torchvision's ColorJitter: the three do not commute, since values are cut at 0 and 255.
    """

    amount: float
    draws = 4
    crops = False

    def parameters(self, u: np.ndarray, frames: np.ndarray, crop: int) -> np.ndarray:
        """The three factors, and the order as its number in ORDERS."""
        return np.concatenate([1 + (2 * u[:, :3] - 1) * self.amount, np.floor(u[:, 3:] * len(ORDERS))], 1)

    def one(self, image: torch.Tensor, row: list[Any], crop: int, interpolation: str) -> torch.Tensor:
        image = image.contiguous()  # planar: a sixth faster, the copy included
        for which in ORDERS[int(row[3])]:
            image = COLOUR_CHANGES[which](image, row[which])
        return image

    def for_batch(self, rows: np.ndarray) -> np.ndarray:
        """Which change is the first, the second and the third, and the factor of each (B, 6)."""
        order = np.array(ORDERS)[rows[:, 3].astype(int)]  # (B, 3)
        return np.concatenate([order, np.take_along_axis(rows, order, 1)], 1)

    def batch(self, images: torch.Tensor, rows: torch.Tensor, crop: int, interpolation: str) -> torch.Tensor:
        for which, factor in zip(rows[:, :3].unbind(1), rows[:, 3:].unbind(1), strict=True):
            images = kernels.adjust_colour(images, which, factor)
        return images


@dataclass(frozen=True)
class _Erase(Step):
    """Grey boxes. Parameters: top, left, height, width; height 0 for none."""

    crops = False

    def one(self, image: torch.Tensor, row: list[Any], crop: int, interpolation: str) -> torch.Tensor:
        top, left, height, width = row
        if height == 0:
            return image
        fill = torch.tensor(GREY, dtype=torch.uint8).view(3, 1, 1)
        return F.erase(image, top, left, height, width, fill)

    def batch(self, images: torch.Tensor, rows: torch.Tensor, crop: int, interpolation: str) -> torch.Tensor:
        top, left, height, width = rows.unbind(1)
        return kernels.erase(images, top, left, height, width, GREY)


@dataclass(frozen=True)
class Erasing(_Erase):
    """A box of 2% to 33% of the image, in some of the samples (Zhong et al. 2017)."""

    chance: float
    draws = 2 * TRIES + 3

    def parameters(self, u: np.ndarray, frames: np.ndarray, crop: int) -> np.ndarray:
        boxes = _boxes(u[:, 1:], frames, (0.02, 0.33), (0.3, 3.3))
        boxes[u[:, 0] >= self.chance] = 0
        return boxes


@dataclass(frozen=True)
class Cutout(_Erase):
    """A square of half the side (16 pixels at 32, DeVries and Taylor 2017) around any pixel, cut at the border."""

    draws = 2

    def parameters(self, u: np.ndarray, frames: np.ndarray, crop: int) -> np.ndarray:
        size = frames[:, :2]
        start = np.floor(u * size).astype(np.int64) - size // 4
        stop = np.minimum(start + size // 2, size)
        start = np.maximum(start, 0)
        return np.concatenate([start, stop - start], 1)


STEPS: dict[str, Step | Policy] = {name: resolve(row.code)(*row.arguments) for name, row in AUGMENTATIONS.items()}


def augment_names() -> list[str]:
    """Everything `--augment` knows, alone or in a list."""
    return [*AUGMENTATION_PRESETS, *AUGMENTATIONS]


def parse_augment(spec: str, small_epochs: int = 0) -> "Augmentation":
    """`--augment`: a preset, a policy, or a list such as "rotation,flip,crop" (done in this order).

    Args:
        small_epochs: see `Augmentation.side`.

    Raises:
        ConfigError: an unknown name.
    """
    words = [{"color": "colour"}.get(word, word) for word in spec.replace(" ", "").lower().split(",") if word]
    known = augment_names()
    for word in words:
        if word not in known:
            raise wrong("augment", spec, f"unknown {word!r}.{nearest(word, known)} Known: {', '.join(known)}")
    if not words:
        raise wrong("augment", spec, "no step given", "use none, a preset, or a list such as rotation,flip,crop")
    if len(words) == 1 and words[0] in AUGMENTATIONS:
        words = [*AUGMENTATIONS[words[0]].before, *words]
    names = [name for word in words for name in AUGMENTATION_PRESETS.get(word, (word,))]
    return Augmentation(spec, tuple(STEPS[name] for name in names), small_epochs)


def center_crop(images: torch.Tensor, crop: int) -> torch.Tensor:
    """The middle (..., S, S) of (..., R, R), a view; the same pixels as torchvision's center_crop."""
    top, left = (round((side - crop) / 2) for side in images.shape[-2:])
    return images[..., top : top + crop, left : left + crop]


@dataclass(frozen=True)
class Augmentation:
    """A chain of steps from the canonical image (R, R) to the network's input (S, S); a centre crop where none crops."""

    spec: str
    steps: tuple[Step | Policy, ...]
    small_epochs: int = 0

    @property
    def changes_pixels(self) -> bool:
        """False where every epoch sees the same pixels, so that features may be computed once."""
        return bool(self.steps) or self.small_epochs > 0

    def side(self, crop: int, epoch: int) -> int:
        """The side S of an epoch's images: `crop`, but about three quarters of it, a multiple of 8, in the first `small_epochs`.

        Small images first: as Tan and Le, "EfficientNetV2", 2021, section 4.
        """
        return crop if epoch >= self.small_epochs else min(crop, max(8, round(SMALL * crop / 8) * 8))

    @property
    def sees_all(self) -> bool:
        """Whether crops are drawn from whole pictures; else the steps change the middle square."""
        return isinstance(next((step for step in self.steps if step.crops), None), ResizedCrop)

    def plan(self, frames: np.ndarray, crop: int, seed: int, epoch: int, indices: np.ndarray) -> list[np.ndarray]:
        """Each step's parameters (B, k) for these samples: row b depends on frames[b] and indices[b] alone.

        Args:
            frames: int64 (B, 3), see `Step.parameters`.
        """
        u = draws(seed, "augment", epoch, np.asarray(indices), sum(step.draws for step in self.steps))
        plan = []
        for step in self.steps:
            if isinstance(step, AlternatingFlip):
                plan.append(step.plan(seed, epoch, np.asarray(indices)))
            else:
                plan.append(step.parameters(u[:, : step.draws], frames, crop))
            u = u[:, step.draws :]
            if step.crops:
                frames = np.tile([crop, crop, crop * crop], (len(frames), 1))
        return plan

    def each(
        self,
        images: Sequence[torch.Tensor | Picture] | torch.Tensor,
        crop: int,
        seed: int,
        epoch: int,
        indices: np.ndarray,
        interpolation: str = "bilinear",
        out: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Augment image by image on the CPU; safe to call from several threads on parts of a batch.

        Args:
            images: whole pictures or uint8 (3, R, R) each, fastest as views of (R, R, 3) memory.
            indices: the samples' numbers in the data set (B,).
            out: uint8 (B, 3, S, S), any layout, to be overwritten; by default a new one in channels_last memory.
        """
        side = self.side(crop, epoch)
        if out is None:
            out = torch.empty((len(images), 3, side, side), dtype=torch.uint8, memory_format=torch.channels_last)
        plan = [rows.tolist() for rows in self.plan(frames_of(images), crop, seed, epoch, indices)]
        for b, given in enumerate(images):
            image = given.pixels if isinstance(given, Picture) else given
            for step, rows in zip(self.steps, plan, strict=True):
                image = step.one(image, rows[b], crop, interpolation)
            out[b].copy_(shrunk(center_crop(image, crop), side))
        return out

    def one(
        self,
        image: torch.Tensor | Picture,
        crop: int,
        seed: int,
        epoch: int,
        index: int,
        interpolation: str = "bilinear",
    ) -> torch.Tensor:
        """One image, whole or uint8 (3, R, R) -> (3, S, S): `each` for a single sample."""
        return self.each([image], crop, seed, epoch, np.array([index]), interpolation)[0]

    @torch.no_grad()
    def batch(
        self,
        images: torch.Tensor,
        crop: int,
        seed: int,
        epoch: int,
        indices: np.ndarray,
        interpolation: str = "bilinear",
    ) -> torch.Tensor:
        """Augment a batch at once on its own device: uint8 (B, 3, R, R) -> (B, 3, S, S), as `each` within rounding."""
        batch, _, height, width = images.shape
        frames = np.tile([height, width, height * width], (batch, 1))
        plan = self.plan(frames, crop, seed, epoch, indices)
        for step, rows in zip(self.steps, self._uploaded(plan, images.device), strict=True):
            images = step.batch(images, rows, crop, interpolation)
        return shrunk(center_crop(images, crop), self.side(crop, epoch))

    @torch.no_grad()
    def batch_of_pictures(
        self,
        pictures: PictureBatch,
        crop: int,
        seed: int,
        epoch: int,
        indices: np.ndarray,
        interpolation: str = "bilinear",
    ) -> torch.Tensor:
        """`batch` for whole pictures of different sizes, where the chain `sees_all` of them: uint8 (B, 3, S, S)."""
        plan = self.plan(pictures.frames, crop, seed, epoch, indices)
        rows = self._uploaded(plan, pictures.memory.device)
        cut = next(number for number, step in enumerate(self.steps) if step.crops)
        if cut == 0:
            images = kernels.resized_window(pictures, plan[0], rows[0], crop, interpolation)
        else:  # a rotation, for example, needs all of a picture: those of one size together
            images = pictures.memory.new_empty((len(pictures), 3, crop, crop))
            for size in np.unique(pictures.frames[:, :2], axis=0):
                members = np.flatnonzero((pictures.frames[:, :2] == size).all(1))
                zero, where = np.zeros(len(members), np.int64), upload(members, images.device)
                part = pictures.take(members).window(zero, zero, *size.tolist())
                for step, given in zip(self.steps[: cut + 1], rows, strict=False):
                    of_members = given[members] if isinstance(given, np.ndarray) else given[where]
                    part = step.batch(part, of_members, crop, interpolation)  # type: ignore[arg-type]
                images[where] = part
        for step, given in zip(self.steps[cut + 1 :], rows[cut + 1 :], strict=True):
            images = step.batch(images, given, crop, interpolation)
        return shrunk(images, self.side(crop, epoch))

    def _uploaded(self, plan: list[np.ndarray], device: torch.device) -> list[Any]:
        """The parameters of each step on the device, by one copy; a policy's on the host: it sorts the images by them."""
        numbers, widths = self.for_batch(plan)
        parts = iter(upload(numbers, device).split(widths, 1)) if widths else iter(())
        return [next(parts) if isinstance(step, Step) else rows for step, rows in zip(self.steps, plan, strict=True)]

    def for_batch(self, plan: list[np.ndarray]) -> tuple[np.ndarray, list[int]]:
        """The parameters of all steps but the policies', as `Step.batch` takes them, and how many each of these steps has.

        Returns:
            float64 (B, K), the steps' columns side by side; the numbers of columns.
        """
        steps = [(step, rows) for step, rows in zip(self.steps, plan, strict=True) if isinstance(step, Step)]
        columns = [step.for_batch(rows).astype(np.float64) for step, rows in steps]
        return np.concatenate(columns, 1) if columns else np.empty(0), [part.shape[1] for part in columns]


def shrunk(images: torch.Tensor, side: int) -> torch.Tensor:
    """uint8 (..., 3, S, S) -> (..., 3, side, side), antialiased."""
    return images if images.shape[-1] == side else F.resize(images, [side, side], antialias=True)
