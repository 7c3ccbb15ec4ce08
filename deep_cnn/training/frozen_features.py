"""A frozen backbone gives the same features of an image in every epoch: computed once, kept, and the head trains on them.

The network is cut before its head (and the dropout that feeds it): what comes before is run once per image, in eval mode,
with the run's `eval_batch` rows at a time; what comes after, the tail, is what the epochs train and what is validated. The
outputs are those of the whole network but for the last bits: a training batch went through the backbone in other rows.
"""

import contextlib
import copy
import hashlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from deep_cnn.data.cache import RowCache, cache_key
from deep_cnn.data.contents import UNKNOWN
from deep_cnn.data.feed import WHOLE_BATCH, Batch, BatchRequest, Feed, ShardSpec, eval_requests, train_rows
from deep_cnn.data.index import Index
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.inference import evaluate
from deep_cnn.models import freeze
from deep_cnn.runtime import console, distributed
from deep_cnn.runtime.device import HostCopy, one_behind, upload
from deep_cnn.runtime.format import readable

log = logging.getLogger(__name__)

CENTRE = -1  # the view of evaluation, and of training without augmentation
LARGEST_SHARE = 0.25  # of the memory, for the features of all images
Autocast = Callable[[], contextlib.AbstractContextManager]


@dataclass(frozen=True)
class Cut:
    """Where a network is cut: the names of the tail's modules, in the order they are called, and the width of its input."""

    tail: tuple[str, ...]
    width: int

    def tail_of(self, model: nn.Module) -> nn.Module:
        """Features (B, width) -> outputs (B, K); the very modules of the model."""
        modules = [model.get_submodule(name) for name in self.tail]
        return modules[0] if len(modules) == 1 else nn.Sequential(*modules)


def find_cut(model: nn.Module, head: list[str], frozen: list[str], size: int, autocast: Autocast) -> Cut | str:
    """Where the network can be cut, found by trying: the tail on the captured features gives the bits of the whole network.

    Args:
        head, frozen: names, as of model_builder.head_modules and stages. size: side of the images, pixels.

    Returns:
        The cut, or why there is none. The model is left as it is.
    """
    if len(head) != 1:
        return f"it has {len(head)} heads ({', '.join(head)})"
    trial = copy.deepcopy(model)
    freeze.training_mode(trial, frozen)
    parameter = next(trial.parameters())
    pixels = torch.linspace(-2, 2, 2 * 3 * size * size, dtype=torch.float64).view(2, 3, size, size).sin()
    images = pixels.to(parameter.device, parameter.dtype, memory_format=torch.channels_last)
    dropouts = [
        name
        for name, m in trial.named_modules()
        if isinstance(m, nn.modules.dropout._DropoutNd) and m.training and not name.startswith(f"{head[0]}.")
    ]
    with torch.random.fork_rng(devices=[images.device] if images.device.type == "cuda" else []):
        for tail in ((head[0],), *((name, head[0]) for name in dropouts)):
            if (width := _cuts(trial, tail, images, autocast)) is not None:
                return Cut(tail, width)
    return "its head is not a single last layer on one feature vector per image"


@torch.no_grad()
def _cuts(trial: nn.Module, names: tuple[str, ...], images: torch.Tensor, autocast: Autocast) -> int | None:
    """The width of the features when the tail on them gives the whole network's bits, dropout drawn alike; else None."""
    tail = Cut(names, 0).tail_of(trial)
    with _capture(trial.get_submodule(names[0])) as captured, autocast():
        torch.manual_seed(1)
        trial(images)
        first = captured[:]
        torch.manual_seed(0)
        whole = trial(images)
        if not captured or captured[0].ndim != 2 or not isinstance(whole, torch.Tensor):
            return None
        features = captured[0]
        if not torch.equal(first[0], features):
            return None  # something before the cut is drawn anew in each step
        torch.manual_seed(0)
        parts = tail(features.float() if features.dtype != torch.float64 else features)
    return features.shape[1] if torch.equal(whole, parts) else None


@contextlib.contextmanager
def _capture(module: nn.Module) -> Iterator[list[torch.Tensor]]:
    """What the module is given, call by call (the last one alone is kept)."""
    captured: list[torch.Tensor] = []

    def keep(_, inputs: tuple) -> None:
        captured[:] = [inputs[0].clone()]  # a dropout may work in place

    hook = module.register_forward_pre_hook(keep)
    try:
        yield captured
    finally:
        hook.remove()


def features_key(
    index: Index, pre: Preprocessing, model: nn.Module, cut: Cut, views: str, facts: dict[str, Any]
) -> str:
    """Names the features: the pixels, what is done to them, the backbone's weights, and how it is computed.

    Args:
        views: the augmentation and its seed, or "". facts: whatever else changes a bit of a forward pass.
    """
    digest = hashlib.sha256(f"features 1 {cache_key(index, pre)} {pre} {views} {sorted(facts.items())}".encode())
    for name, tensor in model.state_dict().items():
        if not name.startswith(tuple(f"{module}." for module in cut.tail)):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class FeatureSettings:
    """How features are computed, and where they are kept.

    views: of an augmented training set, 0 where it is not augmented. folder: of the cache, or None; key: its name; rows: how
    many it has, one per sample of the index.
    """

    eval_batch: int
    autocast: Autocast
    views: int
    folder: Path | None
    key: str
    rows: int


class Features:
    """The features of a run's splits, by view: computed when first asked for, kept in memory and in the cache folder.

    Killed while it computes, the rows that were written are there at the next start.
    """

    def __init__(
        self,
        model: nn.Module,
        cut: Cut,
        feeds: dict[str, Feed],
        settings: FeatureSettings,
    ):
        """Nothing is computed yet. feeds: of images."""
        self.model, self.cut, self.images = model, cut, feeds
        self.eval_batch, self.autocast, self.views = settings.eval_batch, settings.autocast, settings.views
        self.folder, self.key, self.rows = settings.folder, settings.key, settings.rows
        self._tables: dict[str, tuple[int, torch.Tensor]] = {}  # split -> its view and the features (n, D)
        self.feeds = {split: FeatureFeed(self, split, feed) for split, feed in feeds.items()}

    def view_of(self, split: str, epoch: int) -> int:
        """Augmented view v is what epoch v of the whole network would see; then they come round again."""
        return epoch % self.views if self.views and split == "train" else CENTRE

    def table(self, split: str, view: int) -> torch.Tensor:
        """Float32 (n, D), on the device, of the images that the split has, ascending."""
        there, table = self._tables[split]
        assert there == view, (split, there, view)
        return table

    def fill(self, split: str, epoch: int, between: Callable[[], None]) -> None:
        """Make sure that the features are there; `between` is called after each batch and may end the work by raising.

        The batches are dealt out among the ranks; rank 0 reads and writes the cache.
        """
        view = self.view_of(split, epoch)
        if self._tables.get(split, (None,))[0] == view:
            return
        feed = self.images[split]
        cache = self._cache(view) if distributed.is_main() else None
        table = np.zeros((len(feed.images), self.cut.width), np.float32)
        missing = []
        for position, sample in enumerate(feed.images.tolist()):
            stored = cache.read(sample) if cache else None
            if cache is None or stored is None:
                missing.append(position)
            else:
                feed.pixels.note(sample, int(cache.contents[sample]))
                table[position] = stored
        missing = distributed.broadcast(np.array(missing, np.int64))
        if len(missing):
            self._compute(split, view, missing, table, cache, between)
        if cache:
            cache.close()
        distributed.broadcast_tensor(torch.from_numpy(table))
        self._tables[split] = (view, torch.from_numpy(table).to(feed.device))

    def _compute(
        self,
        split: str,
        view: int,
        missing: np.ndarray,
        table: np.ndarray,
        cache: RowCache | None,
        between: Callable[[], None],
    ) -> None:
        feed = self.images[split]
        ranks = distributed.world_size()
        rounds = -(-len(missing) // (self.eval_batch * ranks))
        bar = console.Bar(f"Features {split}", rounds)
        batches = feed.view_batches(
            feed.images[missing], self.eval_batch, max(view, 0), ShardSpec(distributed.rank(), ranks)
        )
        try:
            with _capture(self.model.get_submodule(self.cut.tail[0])) as captured:
                scored = evaluate.evaluate(self.model, batches, self.autocast)

                def computed() -> Iterator[HostCopy | None]:
                    for _ in range(rounds):
                        batch = next(scored, None)  # in the last round there may be none for this rank
                        yield None if batch is None else HostCopy(captured[0][: len(batch[0])].float())  # (n, D)

                start = 0
                for mine in one_behind(computed(), feed.device):
                    for rows in distributed.gather(mine and mine.numpy()) or ():
                        if rows is None:
                            continue
                        positions, start = missing[start : start + len(rows)], start + len(rows)
                        table[positions] = rows
                        if cache:
                            known = feed.pixels.contents
                            for sample, row in zip(feed.images[positions].tolist(), rows, strict=True):
                                cache.write(sample, row, UNKNOWN if known is None else int(known.digests[sample]))
                    bar.step()
                    between()
        finally:
            bar.close()

    def _cache(self, view: int) -> RowCache | None:
        if self.folder is None:
            return None
        key = self.key if view == CENTRE else f"{self.key}-{view}"
        try:
            return RowCache(self.folder, key, self.rows, self.cut.width, np.float32)
        except OSError as error:
            log.warning("Not caching features in %s: %s", self.folder, error.strerror or error)
            self.folder = None
            return None

    def has(self, split: str, samples: np.ndarray) -> bool:
        """Whether some samples, int64 (m,), are all of a split's images."""
        return bool(np.isin(samples, self.images[split].images).all())

    def of(self, split: str, samples: np.ndarray, between: Callable[[], None]) -> torch.Tensor:
        """Features float32 (m, D) of some samples of a split, as evaluation sees them."""
        assert self.has(split, samples) and (not self.views or split != "train")
        self.fill(split, 0, between)
        positions = np.searchsorted(self.images[split].images, samples)
        return self.table(split, CENTRE)[upload(positions, self.images[split].device)]

    def describe(self) -> str:
        """A line for the log."""
        samples = sum(len(feed.images) for feed in self.images.values())
        views = f", for {self.views} augmented views of each training image" if self.views else ""
        where = f", cached in {self.folder}" if self.folder else ""
        size = readable(4 * samples * self.cut.width)
        return (
            f"The backbone is frozen; computing its {self.cut.width} features of each image once{views} ({size}{where})"
        )


class FeatureFeed:
    """The batches of one split, made of features instead of images; the same samples in the same order as `Feed`."""

    def __init__(self, features: Features, split: str, images: Feed):
        self.features, self.split, self.source = features, split, images
        self.indices, self.device = images.indices, images.device

    def __len__(self) -> int:
        return len(self.indices)

    def train_batches(
        self, epoch: int, first_step: int, batch_size: int, shard: ShardSpec = WHOLE_BATCH
    ) -> Iterator[Batch]:
        """As `Feed.train_batches`: `images` of a batch are features (B * V, D)."""
        source = self.source
        positions = train_rows(np.arange(len(self)), source.seed, epoch, first_step, batch_size, source.rarity)
        wanted = (shard.of(rows, step) for step, rows in enumerate(positions, first_step))
        return self._batches(wanted, self.features.view_of(self.split, epoch))

    def eval_batches(self, rows: int, shard: ShardSpec = WHOLE_BATCH) -> Iterator[Batch]:
        """As `Feed.eval_batches`: `images` of a batch are features (B, D)."""
        return self._batches(eval_requests(np.arange(len(self)), rows, shard), CENTRE)

    def _batches(self, wanted: Iterator[BatchRequest], view: int) -> Iterator[Batch]:
        """`wanted`: by positions in the split."""
        table = self.features.table(self.split, view)
        for batch in wanted:
            samples = upload(self.indices[batch.rows], self.device)
            images = np.searchsorted(self.source.images, self.source.images_of(self.indices[batch.images]))
            features = table.index_select(0, upload(images, self.device))  # (b * V, D)
            targets, weights = (
                column.index_select(0, samples) for column in (self.source.targets, self.source.weights)
            )
            yield Batch(features, targets, weights, self.indices[batch.real], batch.shard)

    def close(self) -> None:
        """Close the feed of the images."""
        self.source.close()
