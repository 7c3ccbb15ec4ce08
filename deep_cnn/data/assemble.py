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
from typing import Any, Protocol

import numpy as np
import torch

from deep_cnn.data.archives import Source
from deep_cnn.data.augment.compiled import CompiledAugmentation, can_be_compiled, compiled_augmentation
from deep_cnn.data.augment.steps import Augmentation, center_crop
from deep_cnn.data.cache import RowCache
from deep_cnn.data.contents import UNKNOWN, Contents, digest_of
from deep_cnn.data.decode import decode_picture, read_dated
from deep_cnn.data.index import Paths
from deep_cnn.data.normalise import Normaliser
from deep_cnn.data.picture import Picture, PictureBatch, from_row, most_pixels, square, to_row
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.data.turns import Turns
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


class Located(Protocol):
    """Images that can be found: an index, or the images of a prediction."""

    @property
    def paths(self) -> Paths:
        """Their names."""

    def source(self, i: int) -> Source:
        """Where the bytes of the i-th image are."""


class Pixels:
    """Sample number -> canonical picture, from the cache or decoded and then kept there.

    rows: row of the cache that each sample has, int64 (N,), where samples were left out of the index it was made for.
    contents: takes note of what is read, and refuses a sample whose file has changed; None to read whatever is there.
    """

    def __init__(
        self,
        images: Located,
        pre: Preprocessing,
        cache: RowCache | None,
        rows: np.ndarray | None = None,
        contents: Contents | None = None,
    ):
        self.images, self.pre, self.cache, self.rows, self.contents = images, pre, cache, rows, contents
        self.turns = Turns(most_pixels(pre))

    def __len__(self) -> int:
        return len(self.images.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        """Its middle square, as `decode`: uint8 (3, R, R), a view of (h, w, 3) memory. DataError names an unreadable file."""
        return self.read(np.array([index]))[0]

    def read(self, samples: np.ndarray) -> list[torch.Tensor]:
        """The middle squares of several, by their sample numbers int64 (n,)."""
        return [square(picture, self.pre) for picture in self.pictures(samples)]

    def pictures(self, samples: np.ndarray) -> list[Picture]:
        """Several whole pictures, by their sample numbers int64 (n,)."""
        with self.turns.reading(len(samples)):
            return self._pictures(samples)

    def _pictures(self, samples: np.ndarray) -> list[Picture]:
        pictures, rows = [], samples if self.rows is None else self.rows[samples]
        for sample, row in zip(samples.tolist(), rows.tolist(), strict=True):
            stored = self.cache.read(row) if self.cache else None
            if stored is not None:
                assert self.cache is not None
                self.note(sample, int(self.cache.contents[row]))
                pictures.append(from_row(stored))
                continue
            source = self.images.source(sample)
            data, time = read_dated(source)
            content, as_found = UNKNOWN, True
            if self.contents is not None:
                content, as_found = digest_of(data), self.contents.is_as_found(sample, len(data), time)
                self.note(sample, content, as_found)
            pictures.append(decode_picture(source, self.pre, data))
            if self.cache and as_found:  # the cache is that of the files that were found
                self.cache.write(row, to_row(pictures[-1]), content)
        return pictures

    def note(self, sample: int, content: int, as_found: bool = True) -> None:
        """Take note of the digest of a sample's file; ImageChanged where the file has changed since the run began."""
        if self.contents is not None:
            self.contents.note(sample, content, lambda: self.images.source(sample), as_found)

    def fill(self, buffer: torch.Tensor, frames: np.ndarray, samples: np.ndarray, start: int) -> None:
        """Read samples[start : start + CHUNK] into the same rows of a buffer, uint8 (B, most pixels * 3), and of frames (B, 3)."""
        with self.turns.taking():
            for position, picture in enumerate(self.pictures(samples[start : start + CHUNK]), start):
                pixels = picture.pixels.permute(1, 2, 0).reshape(-1)
                buffer[position, : len(pixels)] = pixels
                frames[position] = picture.frame


@dataclass
class Pending:
    """A batch that is being read: its memory, the tasks that fill it, which samples they read (int64), and of pictures their frames."""

    buffer: torch.Tensor
    tasks: list[Future[None]]
    samples: np.ndarray
    frames: np.ndarray = field(default_factory=lambda: np.empty((0, 3), np.int64))

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

    def compile(self) -> None:
        """Nothing to compile: torchvision's kernels are."""

    def rows(self, table: torch.Tensor, samples: np.ndarray) -> torch.Tensor:
        """The rows of a table on the device, e.g. the batch's targets."""
        return table.index_select(0, upload(samples, self.device))

    def _fill(self, buffer: torch.Tensor, samples: np.ndarray, start: int, epoch: int) -> None:
        """Crop or augment samples[start : start + CHUNK] into the buffer, uint8 (B, S, S, 3)."""
        chunk, pre = samples[start : start + CHUNK], self.pixels.pre
        target = buffer[start : start + CHUNK].permute(0, 3, 1, 2)  # (b, 3, S, S)
        with self.pixels.turns.taking():
            if self.augmentation is None or not self.augmentation.changes_pixels:
                for row, image in zip(target, self.pixels.read(chunk), strict=True):
                    row.copy_(center_crop(image, pre.crop))
                return
            pictures = self.pixels.pictures(chunk)
            images = pictures if self.augmentation.sees_all else [square(picture, pre) for picture in pictures]
            # a chunk at a time: drawing its parameters costs as much as for one image
            self.augmentation.each(images, pre.crop, self.seed, epoch, chunk, pre.interpolation, out=target)


class Residents:
    """Canonical pictures in the GPU's own memory, each put there when it is first read.

    images: uint8 (n, most pixels * 3); frames: int64 (n, 3), see `frames_of`.
    """

    def __init__(self, samples: np.ndarray, total: int, pre: Preprocessing, device: torch.device):
        """samples: the sample numbers that get a place, int64 (n,); total: how many the index has."""
        self.slots = np.full(total, -1, np.int64)
        self.slots[samples] = np.arange(len(samples))
        self.present = np.zeros(
            total, bool
        )  # by sample number; true once its copy is queued on the copy_stream's stream
        self.images = torch.empty((len(samples), 3 * most_pixels(pre)), dtype=torch.uint8, device=device)
        self.frames = np.zeros((len(samples), 3), np.int64)


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
    copy_stream, pre = CopyStream(device), pixels.pre
    size, free = len(samples) * 3 * most_pixels(pre), free_memory(device)
    fits = size < min(RESIDENT_SHARE * free, free - reserve)
    if fits:
        with torch.cuda.stream(copy_stream.stream):  # the memory belongs to the stream that writes it
            copy_stream.residents = Residents(samples, len(pixels), pre, device)
    log.info(
        "%s the %d images (%s) in the GPU's memory, of which %s are free",
        "Keeping" if fits else "Copying each batch to the GPU: it cannot keep",
        len(samples),
        readable(size),
        readable(free),
    )
    return copy_stream


class DeviceAssembler:
    """Copies canonical pictures to the GPU, or finds them there, and augments them all at once, beside the step."""

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
        self.compiled: CompiledAugmentation | None = None

    def compile(self) -> None:
        """Augment by compiled functions from now on, where the augmentation allows it."""
        if self.augmentation is not None and can_be_compiled(self.augmentation):
            self.compiled = compiled_augmentation(self.augmentation, self.pixels.pre, self.dtype)

    def start(self, pool: ThreadPoolExecutor, samples: np.ndarray, epoch: int) -> Pending:
        """Have the pool read the samples, int64 (B,), those that are not resident."""
        residents, length = self.copy_stream.residents, 3 * most_pixels(self.pixels.pre)
        if residents is not None:
            samples = np.unique(samples[~residents.present[samples]])  # a padded batch repeats its last one
        # pinned, from torch's pool of such memory, which gives a piece out again only after the copy from it is done
        buffer = torch.empty((len(samples), length), dtype=torch.uint8, pin_memory=len(samples) > 0)
        frames, chunks = np.zeros((len(samples), 3), np.int64), range(0, len(samples), CHUNK)
        tasks = [pool.submit(self.pixels.fill, buffer, frames, samples, at) for at in chunks]
        return Pending(buffer, tasks, samples, frames)

    def finish(self, pending: Pending, samples: np.ndarray, epoch: int) -> torch.Tensor:
        """The images of a batch that `start` began: (B, 3, S, S) on the device, normalised."""
        copy_stream = self.copy_stream
        copy_stream.wait_for_steps()
        fresh = pending.wait()
        with torch.cuda.stream(copy_stream.stream):
            with self.timer("copying"):
                memory = (
                    fresh.to(copy_stream.device, non_blocking=True) if len(fresh) else fresh
                )  # (n, most pixels * 3)
            pictures = self._pictures(memory, pending, samples)
            if self.compiled is not None:
                images = self.compiled(pictures, self.seed, epoch, samples)
            else:
                images = self.normalise(self._augmented(pictures, epoch, samples)).to(self.dtype)
        return self._hand_over(images)

    def _augmented(self, pictures: PictureBatch, epoch: int, samples: np.ndarray) -> torch.Tensor:
        """The images of a batch, step by step: uint8 (B, 3, S, S)."""
        pre = self.pixels.pre
        if self.augmentation is None or not self.augmentation.changes_pixels:
            return pictures.centres(pre.crop)
        given = (pre.crop, self.seed, epoch, samples, pre.interpolation)
        if self.augmentation.sees_all:
            return self.augmentation.batch_of_pictures(pictures, *given)
        return self.augmentation.batch(pictures.squares(pre), *given)

    def rows(self, table: torch.Tensor, samples: np.ndarray) -> torch.Tensor:
        """The rows of a table on the device, e.g. the batch's targets."""
        with torch.cuda.stream(self.copy_stream.stream):
            found = table.index_select(0, upload(samples, self.copy_stream.device))
        return self._hand_over(found)

    def _pictures(self, fresh: torch.Tensor, pending: Pending, samples: np.ndarray) -> PictureBatch:
        """The batch's pictures where they are on the device; those that arrived get their places."""
        device, home, arrived = self.copy_stream.device, self.copy_stream.residents, pending.samples
        if home is None:
            places = torch.arange(len(fresh), device=fresh.device)
            return PictureBatch(fresh.view(len(fresh), -1, 3), places, pending.frames)
        if len(arrived):
            home.images.index_copy_(0, upload(home.slots[arrived], device), fresh)
            home.frames[home.slots[arrived]] = pending.frames
            home.present[arrived] = True
        slots = home.slots[samples]
        return PictureBatch(home.images.view(len(home.images), -1, 3), upload(slots, device), home.frames[slots])

    def _hand_over(self, tensor: torch.Tensor) -> torch.Tensor:
        """To the stream that trains: it waits for the copy_stream, and the memory is not given out again before it is done."""
        main = torch.cuda.current_stream(self.copy_stream.device)
        main.wait_stream(self.copy_stream.stream)
        tensor.record_stream(main)
        return tensor
