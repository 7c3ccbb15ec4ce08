"""Images in, predictions out, block by block: memory does not grow with the number of images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch

from deep_cnn.data.decode import ADVICE
from deep_cnn.data.feed import Batch, Feed, Pixels
from deep_cnn.inference.members import Member, rows_together
from deep_cnn.inference.predict.inputs import Images
from deep_cnn.runtime.errors import DataError


@dataclass(frozen=True)
class Predicted:
    """What the networks say of a block of images.

    positions: int64 (n,) in the list of images, unreadable ones included; decoded: float64 (M, n, K), of each member and
    flip; distances: float64 (n,) from the training set, above 1 unlike it, or None; failures: position -> reason.
    """

    positions: np.ndarray
    decoded: np.ndarray
    distances: np.ndarray | None
    failures: dict[int, str]


class TolerantPixels(Pixels):
    """An unreadable image becomes a black one, and its reason is noted; its row is never shown to anyone."""

    def __init__(self, images: Images, pre):
        super().__init__(images.root, images.paths, pre, cache=None)
        self.failures: dict[int, str] = {}

    def __getitem__(self, index: int) -> torch.Tensor:
        try:
            return super().__getitem__(index)
        except DataError as error:
            path = self.root / self.paths[index]
            self.failures[index] = str(error).removeprefix(f"{path}: ").removesuffix(ADVICE).rstrip(" .")
            side = self.pre.resize
            return torch.zeros((side, side, 3), dtype=torch.uint8).permute(2, 0, 1)


class _Group:
    """Members that see the very same batches, which are decoded once for all of them."""

    def __init__(self, members: Sequence[Member], images: Images, positions: np.ndarray, workers: int, flips: bool):
        first = members[0]
        self.members, self.flips = members, flips
        self.rows = first.decisions.eval_batch
        self.pixels = TolerantPixels(images, first.pre)
        weight = next(first.model.parameters())
        unused = torch.zeros(len(images.paths), dtype=torch.uint8)
        self.feed = Feed(self.pixels, positions, unused, device=first.device, dtype=weight.dtype, workers=workers)

    def results(self) -> Iterator[tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]]:
        """Of each batch: positions (n,), decoded (n, K) of each member and flip, distances (n,) of each member."""
        for batch in self.feed.eval_batches(self.rows):
            decoded, distances = [], []
            for member in self.members:
                for view in (batch, flipped(batch)) if self.flips else (batch,):
                    outputs, distance = member.outputs(view)
                    decoded.append(member.task.decode(outputs.cpu().numpy()))
                    if distance is not None and view is batch:
                        distances.append(distance.cpu().double().numpy())
            yield batch.indices, decoded, distances


def flipped(batch: Batch) -> Batch:
    """The same images, left and right exchanged."""
    return replace(batch, images=batch.images.flip(3))


def stream(
    members: Sequence[Member], images: Images, first: int, last: int, *, workers: int, flips: bool = False
) -> Iterator[Predicted]:
    """Predict images first ... last - 1, in order, in blocks of `rows_together` images (the last one shorter).

    `first` should be a multiple of that block: then every image is in the same batch, at the same place, however often
    the work was stopped and in however many shards it is done, and the numbers are the same to the last bit.
    """
    block = rows_together(members)
    positions = np.arange(first, last)
    alike: dict[tuple, list[Member]] = {}
    for member in members:
        alike.setdefault((member.pre, member.decisions.eval_batch, member.decisions.precision == "fp64"), []).append(
            member
        )
    groups = [_Group(some, images, positions, workers, flips) for some in alike.values()]
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


def _joined(parts: list[list], groups: list[_Group]) -> Predicted:
    positions = np.concatenate([indices for indices, _, _ in parts[0]])
    decoded = [np.concatenate(views) for part in parts for views in zip(*(d for _, d, _ in part), strict=True)]
    distances = [np.concatenate(ds) for part in parts for ds in zip(*(d for _, _, d in part), strict=True)]
    failures = {}
    for group in groups:
        for position in positions.tolist():
            if position in group.pixels.failures:
                failures[position] = group.pixels.failures.pop(position)
    return Predicted(positions, np.stack(decoded), np.mean(distances, axis=0) if distances else None, failures)
