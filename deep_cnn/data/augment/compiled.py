"""On a GPU: pictures to normalised images by compiled functions, which read each pixel and write each image a few times.

Step by step the same takes some 100 kernels, most of which pass over all images of the batch: on an H200 7 of the 45 ms
of a step of resnet50 with 256 images.
"""

import functools
import math

import numpy as np
import torch

from deep_cnn.data.augment import kernels
from deep_cnn.data.augment.steps import RATIO, Augmentation, Step, center_crop, shrunk
from deep_cnn.data.normalise import Normaliser
from deep_cnn.data.picture import PictureBatch, corner, window
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.runtime.device import allow_compilations, upload

ROWS = 64  # the height of the highest crop of a batch is rounded up to a multiple of it: few shapes are compiled


def can_be_compiled(augmentation: Augmentation) -> bool:
    """Whether each image goes through the same operations (those of a policy differ), and crops of whole pictures come first."""
    steps = augmentation.steps
    return all(isinstance(step, Step) for step in steps) and (not augmentation.sees_all or steps[0].crops)


class CompiledAugmentation:
    """What `Augmentation.batch`, `Augmentation.batch_of_pictures` and a `Normaliser` do, within rounding of the last step."""

    def __init__(self, augmentation: Augmentation, pre: Preprocessing, dtype: torch.dtype):
        """augmentation: one that `can_be_compiled`. dtype: of the images."""
        assert can_be_compiled(augmentation), augmentation.spec
        self.augmentation, self.pre, self.dtype = augmentation, pre, dtype
        self.normalise = Normaliser(pre.mean, pre.std)
        # of a side of a crop: the shorter side of a picture is R, the longer side of a crop at most 4/3 of that, both rounded
        self.longest = math.ceil(RATIO[1] * (pre.resize + 0.5)) + 1
        allow_compilations()
        # the positions of pixels are trusted: to check each of them on the GPU takes longer than to read it
        self.make = torch.compile(self.images, options={"assert_indirect_indexing": False})
        self.find_taps = torch.compile(kernels.taps_of_boxes)

    @torch.no_grad()
    def __call__(self, pictures: PictureBatch, seed: int, epoch: int, samples: np.ndarray) -> torch.Tensor:
        """The images of a batch as in `epoch`, normalised: (B, 3, S, S) in channels_last memory; samples: their numbers (B,)."""
        augmentation, crop, side = self.augmentation, self.pre.crop, self.pre.resize
        if augmentation.sees_all:
            frames = pictures.frames
            plan = augmentation.plan(frames, crop, seed, epoch, samples)
            boxes = plan[0]
            assert boxes[:, 2:].max() <= self.longest, boxes
            corners, rows = boxes[:, :2], -(-int(boxes[:, 2].max()) // ROWS) * ROWS
        else:
            frames = np.tile([side, side, side * side], (len(samples), 1))
            plan = augmentation.plan(frames, crop, seed, epoch, samples)
            corners, rows = (pictures.corners(crop) - corner(side, crop)).T, side
        numbers, widths = augmentation.for_batch(plan)
        where = np.concatenate([pictures.frames[:, 1:2], corners], 1).astype(np.float64)
        packed = upload(np.concatenate([where, numbers], 1) if widths else where, pictures.memory.device)
        taps = None
        if augmentation.sees_all:
            taps = self.find_taps(packed[:, 3:7], self.longest, crop, self.pre.interpolation)
        scale, shift = self.normalise.on(pictures.memory.device)
        return self.make(
            pictures.memory, pictures.places, packed, widths, taps, rows, augmentation.side(crop, epoch), scale, shift
        )

    def images(
        self,
        memory: torch.Tensor,
        places: torch.Tensor,
        numbers: torch.Tensor,
        widths: list[int],
        taps: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None,
        rows: int,
        side: int,
        scale: torch.Tensor,
        shift: torch.Tensor,
    ) -> torch.Tensor:
        """Tensors in, a tensor out.

        numbers: float64 (B, 3 + K): width of the picture, top, left, and the steps' parameters. taps: of the boxes, where the
        first step crops whole pictures.
        """
        crop, interpolation = self.pre.crop, self.pre.interpolation
        where, steps = numbers[:, :3], list(zip(self.augmentation.steps, numbers[:, 3:].split(widths, 1), strict=True))
        if taps is not None:
            (_, boxes), *steps = steps
            images = kernels.resized_picture(memory, places, where[:, 0], boxes, taps, rows)
        else:
            images = window(memory, places, where[:, [1, 2, 0]].long().T, rows, rows)
        for step, given in steps:
            images = step.batch(images, given, crop, interpolation)
        images = shrunk(center_crop(images, crop), side).float() * scale + shift
        return images.to(self.dtype).contiguous(memory_format=torch.channels_last)


@functools.cache
def compiled_augmentation(augmentation: Augmentation, pre: Preprocessing, dtype: torch.dtype) -> CompiledAugmentation:
    """One for all runs of a process that need the same: the trials of a search compile once."""
    return CompiledAugmentation(augmentation, pre, dtype)
