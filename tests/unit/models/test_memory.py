"""Counting what a training step keeps."""

import gc

from torch import nn

from deep_cnn.models.memory import saved_bytes_per_image


def test_counting_leaves_no_network_behind():
    """The saved tensors of a graph must not hold the graph: each training of a notebook would add one."""
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Softmax(1)
    )

    def networks() -> int:
        gc.collect()
        return sum(isinstance(found, nn.Parameter) and found.is_meta for found in gc.get_objects())

    before = networks()
    for _ in range(3):
        assert saved_bytes_per_image(model, 16, "fp32") > 0
    assert networks() == before
