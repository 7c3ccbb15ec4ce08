"""Normalisation: the right numbers, and the same bits however a batch is cut."""

import pickle

import numpy as np
import pytest
import torch

from deep_cnn.data.normalise import Normaliser
from deep_cnn.data.preprocess import IMAGENET_MEAN, IMAGENET_STD


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (5, 37, 41, 3), dtype=torch.uint8, generator=generator).permute(0, 3, 1, 2)


def reference(images):
    mean, std = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return (images.double() / 255 - mean) / std


def test_values_against_float64(images):
    result = Normaliser(IMAGENET_MEAN, IMAGENET_STD)(images)
    assert result.dtype == torch.float32 and result.is_contiguous(memory_format=torch.channels_last)
    assert (result - reference(images)).abs().max() < 1e-6


def test_rounds_twice(images):
    # numpy knows no fused multiply-add: equal bits show that there is none here either
    normalise, pixels = Normaliser(IMAGENET_MEAN, IMAGENET_STD), images.permute(0, 2, 3, 1).numpy().astype(np.float32)
    expected = pixels * normalise.scale.numpy() + normalise.shift.numpy()
    assert np.array_equal(normalise(images).permute(0, 2, 3, 1).numpy(), expected)


def test_planar_images_give_the_same(images):
    normalise = Normaliser(IMAGENET_MEAN, IMAGENET_STD)
    assert torch.equal(normalise(images.contiguous()), normalise(images))


@pytest.mark.parametrize("size", [1, 7, 31, 224])
def test_bits_do_not_depend_on_cuts_or_threads(size):
    images = torch.randint(0, 256, (6, size, size, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    normalise, before = Normaliser(IMAGENET_MEAN, IMAGENET_STD), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        whole = normalise(images)
        for cut in (1, 4):
            assert torch.equal(torch.cat([normalise(part) for part in images.split(cut)]), whole)
        torch.set_num_threads(3)
        assert torch.equal(normalise(images), whole)
    finally:
        torch.set_num_threads(before)


def test_writes_into_the_given_buffer(images):
    normalise = Normaliser(IMAGENET_MEAN, IMAGENET_STD)
    buffer = torch.full((8, 3, 37, 41), 9.0).contiguous(memory_format=torch.channels_last)
    result = normalise(images, out=buffer[:5])
    assert result.data_ptr() == buffer.data_ptr()
    assert torch.equal(buffer[:5], normalise(images)) and (buffer[5:] == 9).all()
    with pytest.raises(AssertionError):
        normalise(images, out=torch.empty(5, 3, 37, 41))  # planar memory would be filled in the wrong order


def test_pickles(images):
    normalise = Normaliser(IMAGENET_MEAN, IMAGENET_STD)
    assert torch.equal(pickle.loads(pickle.dumps(normalise))(images), normalise(images))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_gives_the_same_bits(images):
    normalise = Normaliser(IMAGENET_MEAN, IMAGENET_STD)
    assert torch.equal(normalise(images.cuda()).cpu(), normalise(images))
