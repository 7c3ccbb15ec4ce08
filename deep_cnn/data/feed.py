"""(samples, epoch, first step) -> batches on the device.

Images are read by a pool of threads, not by worker processes: torchvision's decoder and torch's kernels release
Python's lock, so that two threads decode 1,200 photographs a second where one decodes 620; there is nothing to pickle,
no shared memory to run out of, no process for a signal to kill, and start-up is the same on every system.
"""

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from deep_cnn.data.augment import Augmentation, center_crop
from deep_cnn.data.cache import PixelCache
from deep_cnn.data.decode import decode
from deep_cnn.data.index import Paths
from deep_cnn.data.normalise import Normaliser
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.draws import draws, permutation

LOOKAHEAD = 3  # batches being read while one is trained on: enough to ride over a slow file, small in memory
CHUNK = 8  # images per task of a thread: the pool's own cost (20 us a task) stays below 1% of decoding


@dataclass(frozen=True)
class Batch:
    """images: float (B, 3, S, S), normalised; targets: (B, ...) encoded; weights: float32 (B,), mean about 1;
    indices: int64 (n,) the samples' numbers in the index, n < B where the batch is padded."""

    images: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    indices: np.ndarray


class Pixels:
    """Sample number -> canonical image, from the cache or decoded and then kept there.

    rows: row of the cache that each sample has, int64 (N,), where samples were left out of the index it was made for.
    """

    def __init__(
        self, root: Path, paths: Paths, pre: Preprocessing, cache: PixelCache | None, rows: np.ndarray | None = None
    ):
        self.root, self.paths, self.pre, self.cache, self.rows = root, paths, pre, cache, rows

    def __getitem__(self, index: int) -> torch.Tensor:
        """uint8 (3, R, R), a view of (R, R, 3) memory. DataError names a file that cannot be read."""
        row = index if self.rows is None else int(self.rows[index])
        stored = self.cache.read(row) if self.cache else None
        if stored is not None:
            return torch.from_numpy(stored).permute(2, 0, 1)
        image = decode(self.root / self.paths[index], self.pre)
        if self.cache:
            self.cache.write(row, image.permute(1, 2, 0).contiguous().numpy())
        return image


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


class Feed:
    """The batches of one split."""

    def __init__(
        self,
        pixels: Pixels,
        indices: np.ndarray,
        targets: torch.Tensor,
        *,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        workers: int = 1,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        weights: np.ndarray | None = None,
        rarity: np.ndarray | None = None,
    ):
        """
        Args:
            indices: int64 (n,), the samples of the split.
            targets: encoded, a row per sample of the *index*.
            augmentation: None, or "none": the centre crop.
            weights: float32 per sample of the index, for the loss; rarity: likewise, for --oversample.
        """
        self.indices, self.seed, self.rarity = indices, seed, rarity
        self.targets, self.device = targets, device
        self.weights = (torch.ones(len(targets)) if weights is None else torch.from_numpy(weights)).to(dtype)
        assembler = DeviceAssembler if device.type == "cuda" else HostAssembler
        self._assembler = assembler(pixels, augmentation, seed, device, dtype)
        torch.get_num_threads()  # marks this thread as set up, so that the pool's set_num_threads(1) does not reach it
        self._pool = ThreadPoolExecutor(max(1, workers), "read", _one_thread_each)

    def __len__(self) -> int:
        return len(self.indices)

    def train_batches(self, epoch: int, first_step: int, batch_size: int) -> Iterator[Batch]:
        """The batches of an epoch from `first_step` on; those before it cost nothing."""
        rarity = None if self.rarity is None else self.rarity[self.indices]
        order = self.indices[epoch_order(len(self.indices), self.seed, epoch, rarity)]
        steps = range(first_step, steps_per_epoch(len(order), batch_size))
        samples = (order[slice(*batch_bounds(step, len(order), batch_size))] for step in steps)
        return self._batches(((rows, rows) for rows in samples), epoch)

    def eval_batches(self, rows: int) -> Iterator[Batch]:
        """Every sample once, in order, in batches of exactly `rows`, the last one padded with its own last sample."""

        def padded() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            for start in range(0, len(self.indices), rows):
                real = self.indices[start : start + rows]
                yield real, np.pad(real, (0, rows - len(real)), mode="edge")

        return self._batches(padded(), epoch=0)

    def _batches(self, wanted: Iterator[tuple[np.ndarray, np.ndarray]], epoch: int) -> Iterator[Batch]:
        """Read ahead in the pool; hand over in order. `wanted`: the real samples and the padded ones, batch by batch."""
        ahead: deque[tuple[np.ndarray, np.ndarray, object]] = deque()
        try:
            while True:
                while len(ahead) < LOOKAHEAD and (pair := next(wanted, None)) is not None:
                    ahead.append((*pair, self._assembler.start(self._pool, pair[1], epoch)))
                if not ahead:
                    return
                real, padded, pending = ahead.popleft()
                images = self._assembler.finish(pending, padded, epoch)
                rows = torch.from_numpy(padded)
                targets, weights = self.targets[rows], self.weights[rows]
                yield Batch(images, targets.to(self.device), weights.to(self.device), real)
        finally:
            for _, _, pending in ahead:
                pending.cancel()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


@dataclass
class Pending:
    """A batch that is being read: its memory and the tasks that fill it."""

    buffer: torch.Tensor
    tasks: list[Future]

    def wait(self) -> torch.Tensor:
        for task in self.tasks:
            task.result()  # raises what the thread raised: a DataError that names the file
        return self.buffer

    def cancel(self) -> None:
        for task in self.tasks:
            task.cancel()


class HostAssembler:
    """Augments image by image in the reading threads (torchvision's uint8 kernels), normalises the batch in one pass."""

    def __init__(self, pixels: Pixels, augmentation: Augmentation | None, seed: int, device, dtype: torch.dtype):
        self.pixels, self.augmentation, self.seed = pixels, augmentation, seed
        self.device, self.dtype = device, dtype
        self.normalise = Normaliser(pixels.pre.mean, pixels.pre.std)

    def start(self, pool: ThreadPoolExecutor, rows: np.ndarray, epoch: int) -> Pending:
        side = self.pixels.pre.crop
        buffer = torch.empty((len(rows), side, side, 3), dtype=torch.uint8)
        chunks = range(0, len(rows), CHUNK)
        return Pending(buffer, [pool.submit(self._fill, buffer, rows, start, epoch) for start in chunks])

    def finish(self, pending: Pending, rows: np.ndarray, epoch: int) -> torch.Tensor:
        images = self.normalise(pending.wait().permute(0, 3, 1, 2))  # (B, 3, S, S)
        return images.to(self.device, self.dtype)

    def _fill(self, buffer: torch.Tensor, rows: np.ndarray, start: int, epoch: int) -> None:
        side, interpolation = self.pixels.pre.crop, self.pixels.pre.interpolation
        for position in range(start, min(start + CHUNK, len(rows))):
            index = int(rows[position])
            image = self.pixels[index]  # (3, R, R)
            if self.augmentation is None or not self.augmentation.changes_pixels:
                image = center_crop(image, side)
            else:
                image = self.augmentation.one(image, side, self.seed, epoch, index, interpolation)
            buffer[position] = image.permute(1, 2, 0)


class DeviceAssembler:
    """Copies canonical images to the GPU and augments them there, all at once."""

    def __init__(self, pixels: Pixels, augmentation: Augmentation | None, seed: int, device, dtype: torch.dtype):
        self.pixels, self.augmentation, self.seed = pixels, augmentation, seed
        self.device, self.dtype = device, dtype
        self.normalise = Normaliser(pixels.pre.mean, pixels.pre.std)

    def start(self, pool: ThreadPoolExecutor, rows: np.ndarray, epoch: int) -> Pending:
        side = self.pixels.pre.resize
        buffer = torch.empty((len(rows), side, side, 3), dtype=torch.uint8, pin_memory=True)
        chunks = range(0, len(rows), CHUNK)
        return Pending(buffer, [pool.submit(self._fill, buffer, rows, start) for start in chunks])

    def finish(self, pending: Pending, rows: np.ndarray, epoch: int) -> torch.Tensor:
        images = pending.wait().to(self.device, non_blocking=True).permute(0, 3, 1, 2)  # (B, 3, R, R)
        pre = self.pixels.pre
        if self.augmentation is None or not self.augmentation.changes_pixels:
            images = center_crop(images, pre.crop)
        else:
            images = self.augmentation.batch(images, pre.crop, self.seed, epoch, rows, pre.interpolation)
        return self.normalise(images).to(self.dtype)

    def _fill(self, buffer: torch.Tensor, rows: np.ndarray, start: int) -> None:
        for position in range(start, min(start + CHUNK, len(rows))):
            buffer[position] = self.pixels[int(rows[position])].permute(1, 2, 0)


def _one_thread_each() -> None:
    torch.set_num_threads(1)  # of this thread's own kernels: the pool as a whole has the cores
