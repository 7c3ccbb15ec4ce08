"""From sample numbers to normalised images on the device: two ways, one interface.

`start` begins to read a batch in the pool's threads, `finish` waits for it and hands it over; between the two, the
network trains on the batches before it.
"""

import contextlib
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deep_cnn.data.augment.steps import Augmentation, center_crop
from deep_cnn.data.cache import RowCache
from deep_cnn.data.contents import UNKNOWN, Contents, digest_of
from deep_cnn.data.decode import decode, read_file
from deep_cnn.data.index import Paths
from deep_cnn.data.normalise import Normaliser
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.runtime import signals
from deep_cnn.runtime.device import free_memory, upload
from deep_cnn.runtime.format import readable

log = logging.getLogger(__name__)

CHUNK = 8  # images per task of a thread: the pool's own cost (20 us a task) stays below 1% of decoding
RUN_AHEAD = (
    2  # steps that are queued on a GPU behind the one it computes: more would only hold more batches in its memory
)
RESIDENT_SHARE = (
    0.4  # of the GPU's free memory; the network's need, known beforehand only roughly, is kept free besides
)

Timer = Callable[[str], contextlib.AbstractContextManager[Any]]  # takes note of the time spent on something, by name


def null_timer(name: str) -> contextlib.AbstractContextManager[None]:
    """A `Timer` that takes note of nothing."""
    return contextlib.nullcontext()


class Pixels:
    """Sample number -> canonical image, from the cache or decoded and then kept there.

    rows: row of the cache that each sample has, int64 (N,), where samples were left out of the index it was made for.
    contents: takes note of what is read, and refuses a sample whose file has changed; None to read whatever is there.
    """

    def __init__(
        self,
        root: Path,
        paths: Paths,
        pre: Preprocessing,
        cache: RowCache | None,
        rows: np.ndarray | None = None,
        contents: Contents | None = None,
    ):
        self.root, self.paths, self.pre, self.cache, self.rows, self.contents = root, paths, pre, cache, rows, contents

    def __getitem__(self, index: int) -> torch.Tensor:
        """uint8 (3, R, R), a view of (R, R, 3) memory. DataError names a file that cannot be read."""
        return self.read(np.array([index]))[0]

    def read(self, samples: np.ndarray) -> list[torch.Tensor]:
        """Several images, by their sample numbers int64 (n,)."""
        images, rows = [], samples if self.rows is None else self.rows[samples]
        for sample, path, row in zip(samples.tolist(), list(self.paths.take(samples)), rows.tolist(), strict=True):
            stored = self.cache.read(row) if self.cache else None
            if stored is not None:
                assert self.cache is not None
                self.note(sample, int(self.cache.contents[row]))
                images.append(torch.from_numpy(stored).permute(2, 0, 1))
                continue
            data = read_file(self.root / path)
            content = UNKNOWN if self.contents is None else digest_of(data)
            self.note(sample, content)
            images.append(decode(self.root / path, self.pre, data))
            if self.cache:
                self.cache.write(row, images[-1].permute(1, 2, 0).contiguous().numpy(), content)
        return images

    def note(self, sample: int, content: int) -> None:
        """Take note of the digest of a sample's file; DataError where the file has changed since the run began."""
        if self.contents is not None:
            self.contents.note(sample, content, lambda: self.root / self.paths[sample])

    def fill(self, buffer: torch.Tensor, samples: np.ndarray, start: int) -> None:
        """Read samples[start : start + CHUNK] into the same rows of a buffer, uint8 (B, R, R, 3)."""
        for position, image in enumerate(self.read(samples[start : start + CHUNK]), start):
            buffer[position] = image.permute(1, 2, 0)


@dataclass
class Pending:
    """A batch that is being read: its memory, the tasks that fill it, and which samples they read (int64)."""

    buffer: torch.Tensor
    tasks: list[Future[None]]
    samples: np.ndarray

    def wait(self) -> torch.Tensor:
        """The filled buffer; raises what a thread raised, and Interrupted on a signal."""
        for task in self.tasks:
            signals.result_of(task)  # a DataError names the file
        return self.buffer

    def cancel(self) -> None:
        """Drop the tasks that no thread has begun."""
        for task in self.tasks:
            task.cancel()


class HostAssembler:
    """Augments image by image in the reading threads (torchvision's uint8 kernels), normalises the batch in one pass."""

    def __init__(
        self, pixels: Pixels, augmentation: Augmentation | None, seed: int, device: torch.device, dtype: torch.dtype
    ):
        self.pixels, self.augmentation, self.seed = pixels, augmentation, seed
        self.device, self.dtype = device, dtype
        self.normalise = Normaliser(pixels.pre.mean, pixels.pre.std)

    def start(self, pool: ThreadPoolExecutor, samples: np.ndarray, epoch: int) -> Pending:
        """Have the pool read the samples, int64 (B,), each augmented as in `epoch`."""
        side = self.pixels.pre.crop
        if self.augmentation is not None:
            side = self.augmentation.side(side, epoch)
        buffer = torch.empty((len(samples), side, side, 3), dtype=torch.uint8)
        chunks = range(0, len(samples), CHUNK)
        return Pending(buffer, [pool.submit(self._fill, buffer, samples, at, epoch) for at in chunks], samples)

    def finish(self, pending: Pending, samples: np.ndarray, epoch: int) -> torch.Tensor:
        """The images of a batch that `start` began: (B, 3, S, S) on the device, normalised."""
        images = self.normalise(pending.wait().permute(0, 3, 1, 2))  # (B, 3, S, S)
        return images.to(self.device, self.dtype)

    def rows(self, table: torch.Tensor, samples: np.ndarray) -> torch.Tensor:
        """The rows of a table on the device, e.g. the batch's targets."""
        return table.index_select(0, upload(samples, self.device))

    def _fill(self, buffer: torch.Tensor, samples: np.ndarray, start: int, epoch: int) -> None:
        """Crop or augment samples[start : start + CHUNK] into the buffer, uint8 (B, S, S, 3)."""
        chunk, pre = samples[start : start + CHUNK], self.pixels.pre
        target = buffer[start : start + CHUNK].permute(0, 3, 1, 2)  # (b, 3, S, S)
        if self.augmentation is None or not self.augmentation.changes_pixels:
            for row, image in zip(target, self.pixels.read(chunk), strict=True):
                row.copy_(center_crop(image, pre.crop))
            return
        canonical = torch.empty((len(chunk), pre.resize, pre.resize, 3), dtype=torch.uint8)
        self.pixels.fill(canonical, chunk, 0)
        # a chunk at a time: drawing its parameters costs as much as for one image
        self.augmentation.each(
            canonical.permute(0, 3, 1, 2), pre.crop, self.seed, epoch, chunk, pre.interpolation, out=target
        )


class Residents:
    """Canonical images in the GPU's own memory, each put there when it is first read."""

    def __init__(self, samples: np.ndarray, total: int, side: int, device: torch.device):
        """samples: the sample numbers that get a place, int64 (n,); total: how many the index has."""
        self.slots = np.full(total, -1, np.int64)
        self.slots[samples] = np.arange(len(samples))
        self.present = np.zeros(
            total, bool
        )  # by sample number; true once its copy is queued on the copy_stream's stream
        self.images = torch.empty((len(samples), side, side, 3), dtype=torch.uint8, device=device)


@dataclass
class CopyStream:
    """A GPU's second stream, on which batches are copied and augmented beside the step, and the images that live there.

    All feeds of a run share one: its order is what makes an image that one batch brought usable by the next.
    """

    device: torch.device
    residents: Residents | None = None
    queued: deque[torch.cuda.Event] = field(default_factory=deque)  # an event behind each of the last steps

    def __post_init__(self) -> None:
        self.stream = torch.cuda.Stream(self.device)

    def wait_for_steps(self) -> None:
        """Call once per batch: waits until at most RUN_AHEAD steps are queued (not for the one that is computed)."""
        event = torch.cuda.Event(blocking=True)  # the waiting thread sleeps; else it spins on one of the few cores
        event.record(torch.cuda.current_stream(self.device))
        self.queued.append(event)
        if len(self.queued) > RUN_AHEAD:
            self.queued.popleft().synchronize()


def open_copy_stream(pixels: Pixels, samples: np.ndarray, device: torch.device, reserve: int = 0) -> CopyStream | None:
    """The copy_stream of a run on a GPU, with its images resident where they fit; None on other devices.

    reserve: bytes that a training step will need.
    """
    if device.type != "cuda":
        return None
    copy_stream, side = CopyStream(device), pixels.pre.resize
    size, free = len(samples) * side * side * 3, free_memory(device)
    fits = size < min(RESIDENT_SHARE * free, free - reserve)
    if fits:
        with torch.cuda.stream(copy_stream.stream):  # the memory belongs to the stream that writes it
            copy_stream.residents = Residents(samples, len(pixels.paths), side, device)
    log.info(
        "%s the %d images (%s) in the GPU's memory, of which %s are free",
        "Keeping" if fits else "Copying each batch to the GPU: it cannot keep",
        len(samples),
        readable(size),
        readable(free),
    )
    return copy_stream


class DeviceAssembler:
    """Copies canonical images to the GPU, or finds them there, and augments them all at once, beside the step."""

    def __init__(
        self,
        pixels: Pixels,
        augmentation: Augmentation | None,
        seed: int,
        dtype: torch.dtype,
        copy_stream: CopyStream,
        timer: Timer = null_timer,
    ):
        self.pixels, self.augmentation, self.seed = pixels, augmentation, seed
        self.dtype, self.copy_stream, self.timer = dtype, copy_stream, timer
        self.normalise = Normaliser(pixels.pre.mean, pixels.pre.std)

    def start(self, pool: ThreadPoolExecutor, samples: np.ndarray, epoch: int) -> Pending:
        """Have the pool read the samples, int64 (B,), those that are not resident."""
        residents, side = self.copy_stream.residents, self.pixels.pre.resize
        if residents is not None:
            samples = np.unique(samples[~residents.present[samples]])  # a padded batch repeats its last one
        # pinned, from torch's pool of such memory, which gives a piece out again only after the copy from it is done
        buffer = torch.empty((len(samples), side, side, 3), dtype=torch.uint8, pin_memory=len(samples) > 0)
        chunks = range(0, len(samples), CHUNK)
        return Pending(buffer, [pool.submit(self.pixels.fill, buffer, samples, at) for at in chunks], samples)

    def finish(self, pending: Pending, samples: np.ndarray, epoch: int) -> torch.Tensor:
        """The images of a batch that `start` began: (B, 3, S, S) on the device, normalised."""
        copy_stream, pre = self.copy_stream, self.pixels.pre
        copy_stream.wait_for_steps()
        fresh = pending.wait()
        with torch.cuda.stream(copy_stream.stream):
            with self.timer("copying"):
                images = fresh.to(copy_stream.device, non_blocking=True) if len(fresh) else fresh  # (n, R, R, 3)
            if copy_stream.residents is not None:
                images = self._settle(copy_stream.residents, images, pending.samples, samples)
            images = images.permute(0, 3, 1, 2)  # (B, 3, R, R)
            if self.augmentation is None or not self.augmentation.changes_pixels:
                images = center_crop(images, pre.crop)
            else:
                images = self.augmentation.batch(images, pre.crop, self.seed, epoch, samples, pre.interpolation)
            images = self.normalise(images).to(self.dtype)
        return self._hand_over(images)

    def rows(self, table: torch.Tensor, samples: np.ndarray) -> torch.Tensor:
        """The rows of a table on the device, e.g. the batch's targets."""
        with torch.cuda.stream(self.copy_stream.stream):
            found = table.index_select(0, upload(samples, self.copy_stream.device))
        return self._hand_over(found)

    def _settle(self, home: Residents, fresh: torch.Tensor, arrived: np.ndarray, samples: np.ndarray) -> torch.Tensor:
        """Give the images that arrived their places; returns the batch's, gathered on the device."""
        device = self.copy_stream.device
        if len(arrived):
            home.images.index_copy_(0, upload(home.slots[arrived], device), fresh)
            home.present[arrived] = True
        return home.images.index_select(0, upload(home.slots[samples], device))  # (B, R, R, 3)

    def _hand_over(self, tensor: torch.Tensor) -> torch.Tensor:
        """To the stream that trains: it waits for the copy_stream, and the memory is not given out again before it is done."""
        main = torch.cuda.current_stream(self.copy_stream.device)
        main.wait_stream(self.copy_stream.stream)
        tensor.record_stream(main)
        return tensor
