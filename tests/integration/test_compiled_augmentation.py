"""Augmentation that is compiled, on this machine's processor, against the plain way; tests/unit has its arithmetic."""

import numpy as np
import pytest
import torch

from deep_cnn.data.augment.compiled import compiled_augmentation
from deep_cnn.data.augment.steps import parse_augment
from deep_cnn.data.normalise import Normaliser
from deep_cnn.data.picture import PictureBatch, most_pixels
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.runtime.device import compiler_works


def test_it_is_the_plain_way_within_a_grey_level():
    if not compiler_works(torch.device("cpu")):
        pytest.skip("no C compiler")
    pre, augmentation = Preprocessing(48, 40), parse_augment("basic")
    rng, batch = np.random.default_rng(0), 12
    memory = torch.from_numpy(rng.integers(0, 256, (batch, most_pixels(pre), 3)).astype(np.uint8))
    frames = np.array([(48, 48 + 4 * i, 48 * (48 + 4 * i)) for i in range(batch)], np.int64)
    samples = np.arange(batch)
    pictures = PictureBatch(memory, torch.from_numpy(samples), frames)
    found = compiled_augmentation(augmentation, pre, torch.float32)(pictures, 3, 1, samples)
    images = augmentation.batch_of_pictures(pictures, pre.crop, 3, 1, samples, pre.interpolation)
    levels = (found - Normaliser(pre.mean, pre.std)(images)).abs() * 255 * torch.tensor(pre.std).view(3, 1, 1)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert levels.mean() < 0.01 and levels.max() < 1.01
