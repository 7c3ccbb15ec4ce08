"""The views of --tta, and that they count in predict as they do in evaluate."""

import pytest
import torch

from deep_cnn.inference.tta import COUNTS, Averaged, views


@pytest.mark.parametrize("level", COUNTS)
def test_the_mean_over_the_views_is_that_of_evaluate(level):
    images = torch.rand(3, 3, 8, 8, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 2)
    )
    network = network.double()
    shown = [view for view, count in zip(views(images, level), COUNTS[level], strict=True) for _ in range(count)]
    mean = torch.stack([network(view) for view in shown]).mean(0)
    expected = network(images) if level == "none" else Averaged(network, level)(images)
    torch.testing.assert_close(mean.float(), expected.float())
    assert torch.equal(shown[0], images) and len({tuple(view.flatten().tolist()) for view in shown}) == len(
        COUNTS[level]
    )


def test_the_views_move_by_a_pixel():
    image = torch.zeros(1, 3, 7, 7)
    image[..., 3, 2] = 1
    found = [tuple(view[0, 0].nonzero()[0].tolist()) for view in views(image, "shift")]
    assert found == [(3, 2), (3, 4), (4, 3), (4, 3), (2, 1), (2, 5)]
