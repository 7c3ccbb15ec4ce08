"""Faults of the machine become one line that says what to do."""

import errno

import numpy as np
import pytest
import torch

from deep_cnn.data.index import Paths
from deep_cnn.runtime.errors import MachineError, NonFiniteLoss
from deep_cnn.runtime.faults import explained
from deep_cnn.training.loop import Step
from deep_cnn.training.nan_guard import LossWatch


def told(fault: BaseException, pieces: int = 2) -> str:
    with pytest.raises(MachineError) as caught, explained(128, pieces):
        raise fault
    assert caught.value.__cause__ is fault and "\n" not in str(caught.value)
    return str(caught.value)


def test_memory_that_ran_out_names_the_batch_and_the_flag():
    said = told(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee documentation"))
    assert "GPU memory with --batch_size=128 in 2 pieces" in said and "--grad_accumulation=4" in said
    assert "2.00 GiB" in said and "documentation" not in said
    said = told(MemoryError(), pieces=128)
    assert "out of memory with --batch_size=128 in 128 pieces" in said and "--grad_accumulation=128" in said


@pytest.mark.parametrize(
    "said", ["CUDA error: out of memory\nCUDA kernel errors might be...", "CUDA driver error: out of memory"]
)
def test_memory_of_the_gpu_that_ran_out_is_known_in_every_form(said):
    """Pinned memory and the driver say it in an AcceleratorError or a RuntimeError, not in an OutOfMemoryError."""
    for kind in (torch.AcceleratorError, RuntimeError):
        assert "out of GPU memory with --batch_size=128" in told(kind(said))


def test_the_hosts_own_words_for_it_are_known():
    """A real refusal of the CPU's allocator, whatever it says in this version."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 62, dtype=torch.uint8)
    assert "out of memory" in told(caught.value)


def test_a_gpu_that_is_gone():
    said = told(torch.AcceleratorError("CUDA error: unspecified launch failure\nCUDA kernel errors might be..."))
    assert "the GPU failed (CUDA error: unspecified launch failure)" in said and "nvidia-smi" in said


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_names_the_file(code):
    assert "no disk space left to write at /scratch/test.json" in told(OSError(code, "full", "/scratch/test.json"))


@pytest.mark.parametrize("fault", [RuntimeError("shapes do not match"), OSError(errno.EACCES, "no"), KeyError("a")])
def test_our_own_bugs_stay_what_they_are(fault):
    with pytest.raises(type(fault)), explained(128, 1):
        raise fault


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_loss_that_is_no_number_is_told_by_step_and_files(device):
    paths = Paths.from_list([f"{i}.jpg" for i in range(40)])
    watch = LossWatch(paths, torch.device(device))  # any device but the CPU is asked only now and then
    losses = [0.5, float("nan"), 0.1] if device == "meta" else [0.5, float("nan")]
    with pytest.raises(NonFiniteLoss) as caught:
        for number, loss in enumerate(losses, 100):
            watch.add(Step(number, torch.tensor(loss), np.arange(10) + number % 10), epoch=3)
        watch.read()
    said = str(caught.value)
    assert "the loss is nan at step 101 (epoch 3), batch: 1.jpg, 2.jpg," in said and "8.jpg and 2 more" in said
    assert "--lr" in said and "--clip" in said
