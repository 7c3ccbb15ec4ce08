"""Gradients summed over all ranks: DistributedDataParallel, with the order of its sums fixed."""

import warnings
from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from deep_cnn.models.build import main_and_auxiliary
from deep_cnn.runtime import distributed


class GradientSync:
    """Wraps the training network for DistributedDataParallel, once for each set of frozen parts."""

    def __init__(self) -> None:
        self._frozen: list[str] = []
        self._wrapped: nn.Module | None = None

    def wrapped(self, network: nn.Module, frozen: list[str], example: torch.Tensor, autocast: Callable) -> nn.Module:
        """The network, whose backward pass now sums the gradients over all ranks; it is called in its place.

        Args:
            network: in its training mode, on its device, the same bits on all ranks.
            frozen: what is frozen in it: when parts thaw, there are more gradients to sum, and it is wrapped anew.
            example: an input of a few rows.
        """
        if self._wrapped is None or self._frozen != frozen:
            self._wrapped = None  # lets go of the parameters
            self._frozen, self._wrapped = frozen, self._wrap(network, example, autocast)
        return self._wrapped

    @staticmethod
    def _wrap(network: nn.Module, example: torch.Tensor, autocast: Callable) -> nn.Module:
        before = [buffer.clone() for buffer in network.buffers()]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # newer versions of torch have another name for the first
            wrapped = DistributedDataParallel(
                network,
                # no broadcast of buffers: BatchNorm's statistics are each rank's own until a network scores (`broadcast_buffers`)
                broadcast_buffers=False,
                init_sync=False,
                gradient_as_bucket_view=True,
                find_unused_parameters=False,
            )
        wrapped.register_comm_hook(None, _sum)  # its own would divide: the loss is divided by the whole batch's weight
        # After its first backward pass it sorts gradients into buckets anew, by when they are ready, and the order of a
        # sum over more than two ranks depends on the place in a bucket: done here, so that a run that goes on at any
        # step adds in the order of one that was never stopped
        with autocast():
            main, auxiliary = main_and_auxiliary(wrapped(example))
        parts = (part.float().sum() for part in (main, *(part for _, part in auxiliary)))
        sum(parts, start=torch.zeros(())).backward()
        network.zero_grad(set_to_none=True)
        with torch.no_grad():
            for buffer, value in zip(network.buffers(), before, strict=True):
                buffer.copy_(value)
        return wrapped


def broadcast_buffers(network: nn.Module) -> None:
    """BatchNorm's statistics of rank 0, which are the ones that are saved, to all ranks: before a network scores."""
    if distributed.world_size() > 1:
        for buffer in network.buffers():
            distributed.broadcast_tensor(buffer)


def _sum(_, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
    return dist.all_reduce(bucket.buffer(), async_op=True).get_future().then(lambda future: future.value()[0])
