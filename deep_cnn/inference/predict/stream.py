"""Images in, predictions out, block by block: memory does not grow with the number of images."""

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch

from deep_cnn.data.contents import UNKNOWN, digest_of, status_of
from deep_cnn.data.decode import ADVICE, decode_picture, read_file
from deep_cnn.data.feed import Feed, FeedSettings, Pixels
from deep_cnn.data.picture import Picture
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.inference.load import TrainedNetwork
from deep_cnn.inference.predict.inputs import Images
from deep_cnn.inference.tta import COUNTS, views
from deep_cnn.runtime.device import HostCopy, one_behind
from deep_cnn.runtime.errors import DataError


@dataclass(frozen=True)
class Predicted:
    """Predictions for a block of images.

    Attributes:
        positions: int64 (n,) in the list of images, unreadable ones included.
        decoded: float64 (M, n, K), of each network and view, as often as `tta.COUNTS` says.
        distances: float64 (n,) from the training set, above 1 unusual; or None.
        failures: position -> reason.
        contents: int64 (n, 3), size in bytes, modification time in ns and digest of each image's file, -1 and UNKNOWN without one.
    """

    positions: np.ndarray
    decoded: np.ndarray
    distances: np.ndarray | None
    failures: dict[int, str]
    contents: np.ndarray


class TolerantPixels(Pixels):
    """An unreadable image becomes a black one, and its reason is noted; its row is never shown to anyone."""

    def __init__(self, images: Images, pre: Preprocessing):
        super().__init__(images, pre, cache=None)
        self.failures: dict[int, str] = {}
        self.seen: dict[int, tuple[int, int, int]] = {}  # of each image that was read: as in `Predicted.contents`

    def pictures(self, samples: np.ndarray) -> list[Picture]:
        """As `Pixels.pictures`, without DataError."""
        with self.turns.reading(len(samples)):
            return [self._read_or_note(index) for index in samples.tolist()]

    def _read_or_note(self, index: int) -> Picture:
        path, content = self.images.source(index), UNKNOWN
        status = status_of(path)  # before it is read: what is written meanwhile has a later time
        try:
            data = read_file(path)
            content = digest_of(data)
            return decode_picture(path, self.pre, data)
        except DataError as error:
            self.failures[index] = str(error).removeprefix(f"{path}: ").removesuffix(ADVICE).rstrip(" .")
            side = self.pre.resize
            return Picture(torch.zeros((side, side, 3), dtype=torch.uint8).permute(2, 0, 1))
        finally:
            self.seen[index] = (*status, content)


class _SameBatches:
    """Networks that are given the very same batches, which are decoded once for all of them."""

    def __init__(
        self, networks: Sequence[TrainedNetwork], images: Images, positions: np.ndarray, workers: int, tta: str
    ):
        first = networks[0]
        self.networks, self.tta = networks, tta
        self.rows = first.settings.eval_batch
        self.pixels = TolerantPixels(images, first.pre)
        weight = next(first.model.parameters())
        unused = torch.zeros(len(images.paths), dtype=torch.uint8)
        self.feed = Feed(self.pixels, positions, unused, FeedSettings(first.device, weight.dtype, workers))

    def results(self) -> Generator[tuple[np.ndarray, list[np.ndarray], list[np.ndarray]], None, None]:
        """Of each batch: positions (n,), decoded (n, K) of each network and view, distances (n,) of each network."""
        for indices, outputs, distances in one_behind(self._outputs(), self.feed.device):
            decoded: list[np.ndarray] = []
            for network, of_network in zip(self.networks, outputs, strict=True):
                for raw, count in zip(of_network, COUNTS[self.tta], strict=True):
                    decoded += count * [network.task.decode(raw.numpy())]
            yield indices, decoded, [distance.numpy().astype(np.float64) for distance in distances]

    def _outputs(self) -> Iterator[tuple[np.ndarray, list[list[HostCopy]], list[HostCopy]]]:
        """Of each batch: positions (n,), raw outputs (n, K) of each network and view, distances (n,) of each network."""
        for batch in self.feed.eval_batches(self.rows):
            outputs: list[list[HostCopy]] = []
            distances = []
            for network in self.networks:
                scored = [network.outputs(replace(batch, images=view)) for view in views(batch.images, self.tta)]
                outputs.append([HostCopy(raw) for raw, _ in scored])
                if scored[0][1] is not None:
                    distances.append(HostCopy(scored[0][1]))
            yield batch.indices, outputs, distances


def stream(
    networks: Sequence[TrainedNetwork], images: Images, first: int, last: int, *, workers: int, tta: str = "none"
) -> Iterator[Predicted]:
    """Predict images first ... last - 1, in order, in blocks of `block_size` images (the last one shorter).

    `first` should be a multiple of that block: then every image is in the same batch, at the same place, however often
    the work was stopped and in however many shards it is done, and the numbers are the same to the last bit.
    """
    block = block_size(networks)
    positions = np.arange(first, last)
    same_batches: dict[tuple, list[TrainedNetwork]] = {}
    for network in networks:
        same_batches.setdefault(
            (network.pre, network.settings.eval_batch, network.settings.precision == "fp64"), []
        ).append(network)
    groups = [_SameBatches(some, images, positions, workers, tta) for some in same_batches.values()]
    results = [group.results() for group in groups]
    try:
        while True:
            parts = [list(islice(batches, block // g.rows)) for batches, g in zip(results, groups, strict=True)]
            if not parts[0]:
                return
            yield _joined(parts, groups)
    finally:
        for batches, group in zip(results, groups, strict=True):
            batches.close()
            group.feed.close()


def block_size(networks: Sequence[TrainedNetwork]) -> int:
    """How many images make a block in which every network's batches are whole."""
    return math.lcm(*(network.settings.eval_batch for network in networks))


def _joined(parts: list[list], groups: list[_SameBatches]) -> Predicted:
    positions = np.concatenate([indices for indices, _, _ in parts[0]])
    decoded = [np.concatenate(view) for part in parts for view in zip(*(d for _, d, _ in part), strict=True)]
    distances = [np.concatenate(ds) for part in parts for ds in zip(*(d for _, _, d in part), strict=True)]
    failures = {}
    for group in groups:
        seen = [group.pixels.seen.pop(position) for position in positions.tolist()]
        for position in positions.tolist():
            if position in group.pixels.failures:
                failures[position] = group.pixels.failures.pop(position)
    distance = np.mean(distances, axis=0) if distances else None
    return Predicted(positions, np.stack(decoded), distance, failures, np.array(seen, np.int64))
