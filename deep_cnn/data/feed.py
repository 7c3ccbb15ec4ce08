"""(samples, epoch, first step) -> batches on the device.

Images are read by a pool of threads, not by worker processes: torchvision's decoder and torch's kernels release
Python's lock, so that two threads decode 1,200 photographs a second where one decodes 620; there is nothing to pickle,
no shared memory to run out of, no process for a signal to kill, and start-up is the same on every system.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Protocol

import numpy as np
import torch

from deep_cnn.data.assemble import CopyStream, DeviceAssembler, HostAssembler, Pending, Pixels, Timer, null_timer
from deep_cnn.data.augment.steps import Augmentation
from deep_cnn.runtime.rng import draws, permutation

LOOKAHEAD = 3  # batches being read while one is trained on: enough to ride over a slow file, small in memory


@dataclass(frozen=True)
class BatchShard:
    """How several processes share a batch. local_rows: the rows of this one; parts: in how many the batch is divided; copies: how many
    processes compute the same rows.
    """

    local_rows: slice = field(default_factory=lambda: slice(None))
    parts: int = 1
    copies: int = 1


WHOLE_SHARD = BatchShard()


@dataclass(frozen=True)
class Batch:
    """images: float (B * V, 3, S, S), normalised, the V images of a sample one after the other (V is 1 but for votes);
    targets: (B, ...) encoded; weights: float32 (B,), mean about 1; indices: int64 (n,) the samples' numbers, n < B where the batch is
    padded.

    Of a batch that several processes share, targets, weights and indices are those of the whole of it; images are the rows
    `shard.local_rows`, and behind them those that they are blended with, if any.
    """

    images: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    indices: np.ndarray
    shard: BatchShard = WHOLE_SHARD


@dataclass(frozen=True)
class BatchRequest:
    """A batch before it is read, as sample numbers, int64: the real ones; `rows` of the targets; those whose `images` are to be read."""

    real: np.ndarray
    rows: np.ndarray
    images: np.ndarray
    shard: BatchShard = WHOLE_SHARD


@dataclass(frozen=True)
class ShardSpec:
    """What one of `world_size` processes computes of each batch: the rank-th of `world_size` contiguous parts.

    A batch with fewer than two samples for each process (BatchNorm cannot train on one) is computed whole by every one.

    partners: of mixup: (step of the epoch, B) -> which row each row is blended with, int64 (B,). They come from the whole
    batch, so a process reads its rows' partners as well: one process or several, the blended images are the same.
    """

    rank: int = 0
    world_size: int = 1
    partners: Callable[[int, int], np.ndarray] | None = None

    def of(self, samples: np.ndarray, step: int) -> BatchRequest:
        """samples: of the whole batch of this step of the epoch."""
        size = len(samples)
        if self.world_size == 1 or size < 2 * self.world_size:
            return BatchRequest(samples, samples, samples, BatchShard(copies=self.world_size))
        local_rows = slice(size * self.rank // self.world_size, size * (self.rank + 1) // self.world_size)
        images = samples[local_rows]
        if self.partners is not None:
            images = np.concatenate([images, samples[self.partners(step, size)[local_rows]]])
        return BatchRequest(samples, samples, images, BatchShard(local_rows, parts=self.world_size))


WHOLE_BATCH = ShardSpec()


def steps_per_epoch(samples: int, batch_size: int) -> int:
    """Batches of an epoch; a last batch of one sample joins the one before it (BatchNorm cannot train on it)."""
    steps = math.ceil(samples / batch_size)
    return steps - 1 if steps > 1 and batch_size > 1 and samples % batch_size == 1 else steps


def batch_bounds(step: int, samples: int, batch_size: int) -> tuple[int, int]:
    """First and last + 1 position of a step's batch in the order of the epoch."""
    last = step == steps_per_epoch(samples, batch_size) - 1
    return step * batch_size, samples if last else (step + 1) * batch_size


def epoch_order(samples: int, seed: int, epoch: int, rarity: np.ndarray | None = None) -> np.ndarray:
    """Which sample each position of an epoch holds, int64 (samples,): a permutation of range(samples).

    With `rarity` (--oversample), samples are drawn in proportion to it, by one uniform number for all positions and
    even spacing ("systematic sampling"): a sample of weight 2 appears twice, not twice on average.
    """
    order = permutation(seed, epoch, samples)
    if rarity is None:
        return order
    start = draws(seed, "oversample", epoch, np.zeros(1, np.int64), 1)[0, 0]
    shuffled = np.cumsum(rarity[order] / rarity.sum())
    positions = np.minimum(np.searchsorted(shuffled, (np.arange(samples) + start) / samples), samples - 1)
    return order[positions][permutation(seed, epoch, samples, "oversample order")]


def train_rows(
    indices: np.ndarray, seed: int, epoch: int, first_step: int, batch_size: int, rarity: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """The samples of each batch of an epoch, from `first_step` on; those before it cost nothing."""
    order = indices[epoch_order(len(indices), seed, epoch, rarity)]
    for step in range(first_step, steps_per_epoch(len(order), batch_size)):
        yield order[slice(*batch_bounds(step, len(order), batch_size))]


def eval_rows(indices: np.ndarray, rows: int) -> Iterator[np.ndarray]:
    """The samples in order, `rows` at a time, fewer in the last batch."""
    for start in range(0, len(indices), rows):
        yield indices[start : start + rows]


def padded(samples: np.ndarray, rows: int) -> np.ndarray:
    """Filled up to `rows` by repeating the last one: the rows of another batch size differ in the last bits."""
    return np.pad(samples, (0, rows - len(samples)), mode="edge")


def eval_requests(samples: np.ndarray, rows: int, shard: ShardSpec) -> Iterator[BatchRequest]:
    """Each sample once, in order, in batches of exactly `rows`, the last one padded; of several processes every world_size-th."""
    for real in islice(eval_rows(samples, rows), shard.rank, None, shard.world_size):
        full = padded(real, rows)
        yield BatchRequest(real, full, full)


class BatchSource(Protocol):
    """The batches of one split, made of images (`Feed`) or of a frozen backbone's features."""

    def __len__(self) -> int: ...

    def train_batches(
        self, epoch: int, first_step: int, batch_size: int, shard: ShardSpec = WHOLE_BATCH
    ) -> Iterator[Batch]:
        """The batches of an epoch from `first_step` on, and of each the part that this process computes."""

    def eval_batches(self, rows: int, shard: ShardSpec = WHOLE_BATCH) -> Iterator[Batch]:
        """Every sample once, in order, in batches of exactly `rows`."""

    def close(self) -> None:
        """Let go of what it reads with."""


@dataclass(frozen=True)
class FeedSettings:
    """Where and with what batches are made.

    workers: threads that read; copy_stream: on a GPU, the one that the run's feeds share; timer: takes note of the time spent
    on "copying"; reserve: bytes of a GPU that images must leave free, for the training step.
    """

    device: torch.device
    dtype: torch.dtype = torch.float32
    workers: int = 1
    copy_stream: CopyStream | None = None
    timer: Timer = null_timer
    reserve: int = 0


@dataclass(frozen=True)
class Sampling:
    """How a training set is drawn from. Without: each sample's centre crop, all weights 1.

    augmentation: None, or "none": the centre crop. members: int64 (total, V), the images of each sample, where a sample is no single
    image but, for example, a vote between two. weights: float32 per sample, for the loss; rarity: likewise,
    for --oversample.
    """

    augmentation: Augmentation | None = None
    seed: int = 0
    weights: np.ndarray | None = None
    rarity: np.ndarray | None = None
    members: np.ndarray | None = None


class Feed:
    """The batches of one split, made of images."""

    def __init__(
        self,
        pixels: Pixels,
        indices: np.ndarray,
        targets: torch.Tensor,
        settings: FeedSettings,
        sampling: Sampling = Sampling(),
    ):
        """Start the threads that read; `close` lets them go.

        Args:
            indices: int64 (n,), the samples of the split.
            targets: encoded, a row per sample, of all splits.
        """
        device, dtype, seed = settings.device, settings.dtype, sampling.seed
        augmentation, weights, rarity = sampling.augmentation, sampling.weights, sampling.rarity
        self.pixels, self.indices, self.seed, self.device = pixels, indices, seed, device
        self.members = sampling.members
        self.rarity = None if rarity is None else rarity[indices]
        of_samples = torch.ones(len(targets)) if weights is None else torch.from_numpy(weights)
        # whole, on the device: a copy of each batch's few bytes would make the host wait for the GPU at every step
        self.targets, self.weights = targets.to(device), of_samples.to(device, dtype)
        self._assembler: DeviceAssembler | HostAssembler
        if device.type == "cuda":
            copy_stream = settings.copy_stream or CopyStream(device)
            self._assembler = DeviceAssembler(pixels, augmentation, seed, dtype, copy_stream, settings.timer)
        else:
            self._assembler = HostAssembler(pixels, augmentation, seed, device, dtype)
        torch.get_num_threads()  # marks this thread as set up, so that the pool's set_num_threads(1) does not reach it
        self._pool = ThreadPoolExecutor(max(1, settings.workers), "read", _one_thread_each)

    def __len__(self) -> int:
        return len(self.indices)

    @cached_property
    def images(self) -> np.ndarray:
        """The images that any of the samples has, each once, ascending."""
        return self.indices if self.members is None else np.unique(self.members[self.indices])

    def images_of(self, samples: np.ndarray) -> np.ndarray:
        """The images of some samples, int64 (n * V,), sample by sample."""
        return samples if self.members is None else self.members[samples].ravel()

    def train_batches(
        self, epoch: int, first_step: int, batch_size: int, shard: ShardSpec = WHOLE_BATCH
    ) -> Iterator[Batch]:
        """The batches of an epoch from `first_step` on, and of each the part that this process computes."""
        batches = train_rows(self.indices, self.seed, epoch, first_step, batch_size, self.rarity)
        return self._batches((shard.of(rows, step) for step, rows in enumerate(batches, first_step)), epoch)

    def eval_batches(self, rows: int, shard: ShardSpec = WHOLE_BATCH) -> Iterator[Batch]:
        """Every sample once, in order, in batches of exactly `rows`, the last one padded with its own last sample.

        With a shard: every world_size-th of these batches.
        """
        return self.view_batches(self.indices, rows, 0, shard)

    def view_batches(
        self, images: np.ndarray, rows: int, epoch: int, shard: ShardSpec = WHOLE_BATCH
    ) -> Iterator[Batch]:
        """Some images, in the given order, as `eval_batches` gives them, augmented as in `epoch`.

        Where a sample is several images, the batches' targets mean nothing: a single image has none.
        """
        return self._batches(eval_requests(images, rows, shard), epoch, single=True)

    def _batches(self, requests: Iterator[BatchRequest], epoch: int, single: bool = False) -> Iterator[Batch]:
        """Read ahead in the pool; hand over in order. single: the requests are for images, not for samples of several."""

        def images_of(samples: np.ndarray) -> np.ndarray:
            return samples if single else self.images_of(samples)

        def rows_of(samples: np.ndarray) -> np.ndarray:
            return np.zeros_like(samples) if single and self.members is not None else samples

        ahead: deque[tuple[BatchRequest, Pending]] = deque()
        try:
            while True:
                while len(ahead) < LOOKAHEAD and (batch := next(requests, None)) is not None:
                    pending = self._assembler.start(self._pool, images_of(batch.images), epoch)
                    ahead.append((batch, pending))
                if not ahead:
                    return
                batch, pending = ahead.popleft()
                images = self._assembler.finish(pending, images_of(batch.images), epoch)
                rows = rows_of(batch.rows)
                targets, weights = (self._assembler.rows(table, rows) for table in (self.targets, self.weights))
                yield Batch(images, targets, weights, batch.real, batch.shard)
        finally:
            for _, pending in ahead:
                pending.cancel()

    def compile(self) -> None:
        """On a GPU: augment by compiled functions from now on. About half a minute for the first batch."""
        self._assembler.compile()

    def close(self) -> None:
        """Let the reading threads go, without waiting for one that hangs on a file server."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _one_thread_each() -> None:
    torch.set_num_threads(1)  # of this thread's own kernels: the pool as a whole has the cores
