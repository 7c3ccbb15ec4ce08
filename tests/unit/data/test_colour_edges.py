"""The numbers of an image, computed by hand."""

import numpy as np
import pytest
import torch

from deep_cnn.data.colour_edges import NAMES, colour_and_edges


class Images:
    """Stands in for Pixels."""

    def __init__(self, images):
        self.images = images

    def read(self, samples):
        return [torch.from_numpy(self.images[i]) for i in samples.tolist()]


def test_numbers_of_images_are_those_of_numpy():
    images = np.random.default_rng(0).integers(0, 256, size=(70, 3, 40, 40), dtype=np.uint8)
    found = colour_and_edges(Images(images), np.arange(70)[::-1].copy(), workers=2)
    assert found.shape == (70, len(NAMES))
    for row, image in zip(found, images[::-1].astype(float), strict=True):
        grey = image.sum(0)
        across, down = np.abs(np.diff(grey, axis=1)).sum() / 4800, np.abs(np.diff(grey, axis=0)).sum() / 4800
        assert row == pytest.approx([*image.mean((1, 2)), *image.std((1, 2)), across, down])


def test_large_images_are_looked_at_in_steps_and_edges_have_a_direction():
    stripes = np.zeros((3, 256, 256), np.uint8)
    stripes[:, :, 128:] = 255
    found = colour_and_edges(Images(stripes[None]), np.zeros(1, np.int64), workers=1)[0]
    assert found == pytest.approx([127.5] * 6 + [255 / 64, 0])
    assert colour_and_edges(Images(stripes[None]), np.zeros(0, np.int64), workers=1).shape == (0, 8)


def test_between_may_end_the_work():
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        colour_and_edges(Images(np.zeros((200, 3, 8, 8), np.uint8)), np.arange(200), 1, stop)
