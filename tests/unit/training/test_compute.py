"""Whether compiled steps become CUDA graphs."""

from dataclasses import replace

import pytest
import torch

from deep_cnn.runtime.device import GIB, ComputeSettings
from deep_cnn.training import compute

GPU, ALONE = torch.device("cuda"), ComputeSettings("cuda", "bf16", True, 4, 1, 256)


@pytest.mark.parametrize(
    ("settings", "device", "step", "expected"),
    [
        (ALONE, GPU, 10 * GIB, True),
        (ALONE, GPU, 20 * GIB, False),  # kept from step to step, it would leave too little for the evaluation
        (ALONE, torch.device("cpu"), 0, False),
        (replace(ALONE, pieces=2), GPU, 0, False),  # gradients of one piece lie where the next one's are computed
        (replace(ALONE, processes=2), GPU, 0, False),
    ],
    ids=["small", "large", "cpu", "pieces", "processes"],
)
def test_small_steps_of_one_gpu_are_replayed(monkeypatch, settings, device, step, expected):
    monkeypatch.setattr(compute, "memory_for_training", lambda device: 80 * GIB)
    assert compute.replays(settings, device, step) is expected
