"""The GPU's way to a batch, with its streams and pinned memory left out: the same pixels as the CPU's way.

tests/integration/test_cuda.py has the same comparison on a GPU.
"""

import contextlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from conftest import PLACES

from deep_cnn.data import assemble
from deep_cnn.data.assemble import DeviceAssembler, HostAssembler, Pixels, Residents
from deep_cnn.data.augment.steps import parse_augment
from deep_cnn.data.index import build_index
from deep_cnn.data.preprocess import Preprocessing

PRE, CPU = Preprocessing(37, 32), torch.device("cpu")  # an odd difference: the centre has to be torchvision's


class NoStream:
    """A CopyStream of a machine without a GPU."""

    def __init__(self, residents):
        self.device, self.residents, self.stream = CPU, residents, None

    def upload(self, values):
        return torch.from_numpy(np.ascontiguousarray(values))

    def wait_for_steps(self):
        pass


class WithoutStreams(DeviceAssembler):
    def _hand_over(self, tensor):
        return tensor


@pytest.fixture
def no_gpu(monkeypatch):
    empty = torch.empty
    monkeypatch.setattr(assemble.torch, "empty", lambda *size, pin_memory=False, **options: empty(*size, **options))
    monkeypatch.setattr(assemble.torch.cuda, "stream", lambda stream: contextlib.nullcontext())


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("augment", ["none", "flip", "basic", "rotation,flip,crop"])
def test_both_ways_give_the_same_pixels(augment, resident, no_gpu):
    index = build_index(PLACES)
    pixels = Pixels(index, PRE, None)
    everything, augmentation = np.arange(len(index)), parse_augment(augment)
    # all samples have a place, in another order than theirs
    residents = Residents(everything[::-1].copy(), len(index), PRE, CPU) if resident else None
    device = WithoutStreams(pixels, augmentation, 3, torch.float32, NoStream(residents))
    host = HostAssembler(pixels, augmentation, 3, CPU, torch.float32)
    with ThreadPoolExecutor(2) as pool:
        for samples in (np.array([5, 2, 9, 2]), np.array([9, 1, 5])):  # a repeated one, and two that are there already
            found, expected = (
                way.finish(way.start(pool, samples, 1), samples, 1).double() * torch.tensor(PRE.std).view(3, 1, 1) * 255
                for way in (device, host)
            )
            assert found.shape == (len(samples), 3, 32, 32)
            difference = (found - expected).abs()
            assert difference.mean() < 0.1 and difference.max() < (4 if augmentation.changes_pixels else 1e-3)
    if residents is not None:
        assert residents.present.sum() == 4 and (residents.frames.any(1)).sum() == 4
