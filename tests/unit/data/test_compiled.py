"""The compiled way from pictures to images against the plain one, here not compiled: the same numbers, to the bit."""

import numpy as np
import pytest
import torch
from test_picture import SIZES, batch_of, photograph

from deep_cnn.data.augment import kernels
from deep_cnn.data.augment.compiled import CompiledAugmentation, can_be_compiled, compiled_augmentation
from deep_cnn.data.augment.steps import parse_augment
from deep_cnn.data.normalise import Normaliser
from deep_cnn.data.picture import fitted
from deep_cnn.data.preprocess import Preprocessing

CHAINS = ("none", "crop", "basic", "zoom,flip,erasing", "cifar", "cifar_fast", "colour", "cutout,rotation")


def plain(augmentation, pictures, pre, epoch, samples) -> torch.Tensor:
    given = (pre.crop, 3, epoch, samples, pre.interpolation)
    if augmentation.sees_all:
        images = augmentation.batch_of_pictures(pictures, *given)
    else:
        images = augmentation.batch(pictures.squares(pre), *given)
    return Normaliser(pre.mean, pre.std)(images)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize("sides", [(48, 40), (90, 40)], ids=str)
@pytest.mark.parametrize("chain", CHAINS)
def test_pixel_by_pixel_is_the_plain_way(chain, sides, interpolation):
    resize, crop = sides
    pre = Preprocessing(resize, crop, interpolation=interpolation)
    augmentation, samples = parse_augment(chain, small_epochs=1), np.arange(7, 27)
    pictures = batch_of([fitted(photograph(*SIZES[i % len(SIZES)], seed=i), pre) for i in range(20)], pre)
    compiled = CompiledAugmentation(augmentation, pre, torch.float32)
    compiled.make, compiled.find_taps = compiled.images, kernels.taps_of_boxes
    for epoch in (0, 1):  # small images, and whole ones
        found = compiled(pictures, 3, epoch, samples)
        assert found.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(found, plain(augmentation, pictures, pre, epoch, samples))


def test_policies_and_rotated_pictures_are_not_compiled():
    assert all(can_be_compiled(parse_augment(chain)) for chain in CHAINS)
    for chain in ("strong", "randaugment", "flip,trivialaugment", "rotation,flip,crop"):
        assert not can_be_compiled(parse_augment(chain))


def test_runs_of_one_process_compile_once():
    pre = Preprocessing(48, 40)
    first, second = (compiled_augmentation(parse_augment("basic"), pre, torch.float32) for _ in range(2))
    assert first is second
    assert compiled_augmentation(parse_augment("basic", small_epochs=1), pre, torch.float32) is not first
