"""What a training step asks of a GPU, counted without one: no copy for which the host waits, and a budget of kernels.

A change that needs more kernels than its budget has to say why here.
"""

import contextlib
from concurrent.futures import Future
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from device_operations import GPU, fake_gpu
from torch import nn
from torchvision.models import resnet18

from deep_cnn.data.assemble import CopyStream, Pixels, Residents
from deep_cnn.data.augment.steps import parse_augment
from deep_cnn.data.feed import Batch, Feed, FeedSettings, Sampling
from deep_cnn.data.index import Paths
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.inference.predict.inputs import Images
from deep_cnn.models.zoo.cifar_fast import CifarFast
from deep_cnn.runtime.device import HostCopy, one_behind
from deep_cnn.tasks.make import new_task
from deep_cnn.training import loop
from deep_cnn.training.mixup import Mixer
from deep_cnn.training.optim import optimizers
from deep_cnn.training.optim.average import MovingAverage
from deep_cnn.training.state import TrainingState

PRE, SAMPLES, BATCH = Preprocessing(72, 64), 32, 8
TASK = new_task("classification", ("a", "b", "c"))


class NoPixels(Pixels):
    """Images of which nothing is read."""

    def __init__(self):
        super().__init__(Images(Path(), Paths.from_list([f"{k}.jpg" for k in range(SAMPLES)])), PRE, None)

    def fill(self, buffer, frames, samples, start):
        frames[:] = PRE.resize, PRE.resize, PRE.resize**2


class InThisThread:
    """A pool whose tasks are done at once: fake tensors belong to one thread."""

    def submit(self, function, *args):
        future = Future()
        future.set_result(function(*args))
        return future

    def shutdown(self, **_options):
        pass


@contextlib.contextmanager
def feed_of(augment: str, *, resident: bool):
    copy_stream = CopyStream(GPU)
    if resident:
        copy_stream.residents = Residents(np.arange(SAMPLES), SAMPLES, PRE, GPU)
        copy_stream.residents.present[:] = True
        copy_stream.residents.frames[:] = PRE.resize, PRE.resize, PRE.resize**2
    settings = FeedSettings(GPU, copy_stream=copy_stream)
    targets = torch.zeros(SAMPLES, dtype=torch.int64)
    feed = Feed(NoPixels(), np.arange(SAMPLES), targets, settings, Sampling(parse_augment(augment)))
    feed.close()
    feed._pool = InThisThread()
    yield feed


# what `none` needs is the gather of resident images, the crop and the normalisation; what the others add is their own. One copy
# has the parameters of all steps, one those of each operation of a policy, and four have pixels, places, targets and weights.
@pytest.mark.parametrize(
    ("augment", "budget", "copies"),
    [("none", 14, 5), ("basic", 145, 6), ("cifar", 25, 6), ("strong", 171, 7), ("randaugment", 226, 8)],
)
@pytest.mark.parametrize("resident", [False, True])
def test_a_batch_is_made_without_waiting_for_the_gpu(augment, budget, copies, resident):
    with fake_gpu() as gpu, feed_of(augment, resident=resident) as feed:
        batches = feed.train_batches(0, 0, BATCH)
        next(batches)
        with gpu.counted() as counts:
            batch = next(batches)
    assert batch.images.shape == (BATCH, 3, 64, 64) and batch.images.is_cuda
    assert not counts.blocking and counts.copies <= copies
    assert counts.operations <= budget, counts.kernels.most_common()


def batches_of(steps: int, side: int):
    for step in range(steps):
        images = torch.empty(BATCH, 3, side, side, device=GPU).to(memory_format=torch.channels_last)
        targets = torch.zeros(BATCH, dtype=torch.int64, device=GPU)
        yield Batch(images, targets, torch.ones(BATCH, device=GPU), np.arange(BATCH) + BATCH * step)


def counted_step(gpu, network, side: int, *, optimizer: str = "adamw", ema: float = 0.0, mixup: float = 0.0):
    """What the third step of a network that is made by `network` asks of the GPU, its backward pass aside."""
    with (
        torch.device(GPU),
        mock.patch.object(nn.init, "dirac_"),
    ):  # it sets its numbers one by one, which takes seconds here
        model, averaged = network(), network()

    def backward(loss: torch.Tensor) -> None:
        for parameter in model.parameters():
            parameter.grad = torch.empty_like(parameter) if parameter.requires_grad else None

    groups = optimizers.parameter_groups(
        model, ["fc"], lr=0.1, backbone_lr=0.1, weight_decay=0.01, muon=optimizer == "muon"
    )
    made = optimizers.make_optimizer(optimizer, groups, momentum=0.9, nesterov=True)
    average = MovingAverage(model, averaged, ema) if ema else None
    scaler, sums = torch.amp.GradScaler("cuda", enabled=False), torch.zeros(2, dtype=torch.float64, device=GPU)
    state = TrainingState(model, made, scaler, average, sums)
    settings = loop.StepSettings(mixer=Mixer(mixup))
    model.train()
    with mock.patch.object(torch.Tensor, "backward", backward):
        steps = loop.train_one_epoch(model, batches_of(3, side), TASK, state, settings)
        next(steps), next(steps)
        with gpu.counted() as counts:
            next(steps)
    return counts


# forward pass, loss, optimizer and bookkeeping; resnet18 has 21 convolutions and 20 norms, cifar_fast 7 and 6
@pytest.mark.parametrize(
    ("network", "side", "flags", "budget"),
    [
        (lambda: resnet18(num_classes=3), 64, {}, 117),
        (lambda: resnet18(num_classes=3), 64, {"mixup": 0.2}, 131),
        (lambda: resnet18(num_classes=3), 64, {"ema": 0.99}, 119),
        (lambda: CifarFast(3), 32, {"optimizer": "muon", "ema": 0.99}, 317),
    ],
    ids=["plain", "mixup", "average", "cifar_fast"],
)
def test_a_step_does_not_wait_for_the_gpu(network, side, flags, budget):
    with fake_gpu() as gpu:
        counts = counted_step(gpu, network, side, **flags)
    assert not counts.blocking
    assert counts.operations <= budget, counts.kernels.most_common()


def test_outputs_come_to_the_host_behind_the_next_batch():
    """predict and cached features: the copy of a batch is begun at once, and read when the next one has been queued."""
    with fake_gpu() as gpu, gpu.counted() as counts:
        asked: list[int] = []

        def outputs():
            for number in range(3):
                asked.append(number)
                yield number, HostCopy(torch.zeros(BATCH, 5, device=GPU))

        for number, copied in one_behind(outputs(), GPU):
            assert asked[-1] == min(number + 1, 2)
            assert copied._tensor.device.type == "cpu"
    assert counts.copies == 3 and not counts.blocking


def test_norms_without_a_scale_have_a_constant_one():
    """CUDA's backward pass gives the bias of a norm without weight an empty gradient where images are channels_last."""
    norms = [module for module in CifarFast().modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 6
    for norm in norms:
        assert torch.equal(norm.weight, torch.ones(norm.num_features)) and not norm.weight.requires_grad
        assert "weight" not in norm.state_dict() and [name for name, _ in norm.named_parameters()] == ["bias"]
