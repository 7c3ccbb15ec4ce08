"""The data of one run: index, splits, canonical pixels and feeds."""

import dataclasses
import hashlib
import json
import logging
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from deep_cnn.config.schema import Config
from deep_cnn.data.assemble import Pixels, open_copy_stream
from deep_cnn.data.augment.steps import center_crop, parse_augment
from deep_cnn.data.feed import Feed, FeedSettings, Sampling
from deep_cnn.data.index import Index, Paths
from deep_cnn.data.normalise import Normaliser
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.data.sources import is_source
from deep_cnn.data.split import Splits, Strata
from deep_cnn.data.split_names import SPLITS
from deep_cnn.data.statistics import pixel_statistics
from deep_cnn.data.subset import apply_subset
from deep_cnn.data.votes import UNUSED, VoteSplit, split_votes
from deep_cnn.runtime import signals
from deep_cnn.runtime.errors import DataError

log = logging.getLogger(__name__)


BLOCK = 64  # images that are looked at together


@dataclass(frozen=True)
class SampleNames:
    """The file of each sample, or the files of its images."""

    paths: Paths
    members: np.ndarray | None

    def __getitem__(self, sample: int) -> str:
        images = [sample] if self.members is None else self.members[sample].tolist()
        return " and ".join(self.paths[i] for i in images)


@dataclass(frozen=True)
class Dataset:
    """What a run learns from and is measured on. bad_files: left out by --on_bad_image=skip."""

    index: Index
    splits: Splits
    pixels: Pixels
    bad_files: tuple[str, ...] = ()

    def samples(self, split: str) -> np.ndarray:
        """int64 (n,): the sample numbers of train, validation or test."""
        return getattr(self.splits, split)

    def at_most(self, count: int, strata: Strata, seed: int) -> "Dataset":
        """With so many images of each split, stratified."""
        cut: dict[str, Any] = {
            name: apply_subset(strata, rows, min(count, len(rows)), seed)
            for name in SPLITS
            if len(rows := self.samples(name))
        }
        return dataclasses.replace(self, splits=dataclasses.replace(self.splits, **cut))

    @cached_property
    def vote_split(self) -> VoteSplit:
        """--task=pairwise: which votes train, validate and test, by the splits of their images."""
        assert self.index.votes is not None, "only of votes"
        split = np.full(len(self.index), UNUSED)
        for number, name in enumerate(SPLITS):
            split[self.samples(name)] = number
        return split_votes(self.index.votes, split)

    @cached_property
    def references(self) -> dict[str, np.ndarray]:
        """Scores of a split's images by its votes, as far as they were asked for; see tasks/pairwise.py."""
        return {}

    @property
    def training(self) -> np.ndarray:
        """The samples that are trained on, int64 (n,): numbers of images, or of votes between training images."""
        return self.splits.train if self.index.votes is None else self.vote_split.train

    @property
    def members(self) -> np.ndarray | None:
        """The images of each sample, int64 (M, V), where a sample is no single image: the two of each vote."""
        return None if self.index.votes is None else self.index.votes.images

    @property
    def views(self) -> int:
        """V: images of a sample."""
        return 1 if self.members is None else int(self.members.shape[1])

    def images_of(self, samples: np.ndarray) -> np.ndarray:
        """The images of some samples, each once, int64 (n,)."""
        return samples if self.members is None else np.unique(self.members[samples])

    def sample_names(self) -> SampleNames:
        """What each sample is called in messages."""
        return SampleNames(self.index.paths, self.members)

    def scored(self, split: str) -> np.ndarray:
        """The images that are looked at to score a split, int64 (n,): its own, and those that share a vote with them."""
        own = self.samples(split)
        if self.index.votes is None or split == "train":
            return own
        found = self.vote_split
        votes = found.validation if split == "validation" else np.concatenate([found.test, found.marked])
        return np.union1d(own, self.index.votes.images[votes])

    def own_rows(self, split: str) -> np.ndarray | slice:
        """Where the split's own images are among those of `scored`."""
        return slice(None) if self.index.votes is None else np.searchsorted(self.scored(split), self.samples(split))

    def read_digest(self) -> str:
        """Names what was read of the data: file, target, group and split of each sample."""
        index = self.index
        digest = hashlib.sha256(index.paths.blob)
        split = np.full(len(index), -1, np.int64)
        for number, name in enumerate(SPLITS):
            split[self.samples(name)] = number
        groups = np.zeros(0, np.int64) if index.groups is None else index.groups
        for column in (index.paths.offsets, np.asarray(index.targets, np.float64), groups, split):
            digest.update(np.ascontiguousarray(column).tobytes())
        digest.update(b"" if index.votes is None else index.votes.digest())
        names = [list(index.classes), list(index.target_names), list(index.group_names)]
        digest.update(json.dumps(names).encode())
        return digest.hexdigest()

    def close(self) -> None:
        """Close the cache of decoded images: a search or a notebook makes many data sets in one process."""
        if self.pixels.cache is not None:
            self.pixels.cache.close()

    def digest(self) -> str:
        """Names the data by relative paths, sizes and the table's bytes: staged to another folder, it is the same data."""
        return digest_of(self.index)


def digest_of(index: Index) -> str:
    """See `Dataset.digest`."""
    digest = hashlib.sha256(index.table_digest.encode())
    digest.update(index.paths.blob)
    for column in (index.paths.offsets, index.sizes):
        digest.update(np.ascontiguousarray(column, dtype=np.int64).tobytes())
    return digest.hexdigest()


def find(
    flag: str,
    given: str,
    config: Config,
    *others: Path,
    advice: str = "check the path",
    there: Callable[[Path], bool] = Path.exists,
) -> Path:
    """A file or folder of the user's: as it stands, or below ROOT_DIR, the data folder, or the current folder.

    there: whether a path is what is looked for.
    """
    path = Path(given).expanduser()
    places = [path] if path.is_absolute() else [folder / path for folder in (config.root, *others, Path())]
    for place in places:
        try:
            if there(place):
                return place
        except OSError as error:  # a name that is too long, a folder that may not be searched
            raise DataError(f"--{flag}={given}: cannot be read ({error.strerror})") from None
    looked = ", ".join(dict.fromkeys(str(place.absolute()) for place in places))
    raise DataError(f"--{flag}={given}: no such file or folder (looked for {looked}); {advice}")


def data_dir(config: Config) -> Path:
    """The folder of --data_dir; DataError, with what to do, where there is none."""
    advice = "give the folder of your images"
    if config.data_dir == Config.data_dir:
        advice = f"--data_dir was not given; {advice}"
        # of the recipes and networks for CIFAR-10, nobody wants the 21 GB of Places365
        small = (
            config.recipe in ("tutorial", "cifar_fast") or config.model == "net" or config.model.startswith("cifar_")
        )
        advice += ", or --dataset=cifar10" if small else ", or download Places365 with `sh data_download.sh`"
    return find(
        "data_dir",
        config.data_dir,
        config,
        advice=advice,
        there=lambda place: place.exists() or is_source(place),  # photos.tar/train
    )


def own_normalisation(dataset: Dataset, workers: int) -> Preprocessing:
    """The geometry of the data's preprocessing with mean and spread of its own training images."""
    mean, std, count = pixel_statistics(dataset.pixels, dataset.splits.train, workers)
    log.info(
        "Normalising with mean %s and standard deviation %s of %d training images",
        *(", ".join(f"{value:.4f}" for value in values) for values in (mean, std)),
        count,
    )
    return dataclasses.replace(dataset.pixels.pre, mean=mean, std=std)


def renormalised(dataset: Dataset, pre: Preprocessing) -> Dataset:
    """The same images with the mean and spread of `pre`, which has the same geometry."""
    old = dataset.pixels
    return dataclasses.replace(dataset, pixels=Pixels(old.images, pre, old.cache, old.rows, old.contents))


def check_readable(pixels: Pixels, samples: np.ndarray, workers: int) -> None:
    """Read images by their sample numbers int64 (n,), into the cache; DataError names one that cannot be read."""

    def read(start: int) -> None:
        signals.raise_if_requested()
        pixels.read(samples[start : start + BLOCK])

    with ThreadPoolExecutor(max(1, workers)) as pool:
        for block in [pool.submit(read, start) for start in range(0, len(samples), BLOCK)]:
            signals.result_of(block)


def training_images(dataset: Dataset, count: int, workers: int) -> Generator[torch.Tensor, None, None]:
    """At most `count` training images, evenly spaced: blocks float32 (b, 3, S, S), normalised, their centres."""
    pixels, train = dataset.pixels, dataset.splits.train
    normalise = Normaliser(pixels.pre.mean, pixels.pre.std)
    chosen = train[np.linspace(0, len(train) - 1, min(count, len(train))).round().astype(np.int64)]
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for start in range(0, len(chosen), BLOCK):
            signals.raise_if_requested()
            block = pool.map(pixels.__getitem__, chosen[start : start + BLOCK].tolist())
            images = torch.stack([center_crop(image, pixels.pre.crop) for image in block])
            yield normalise(images.contiguous(memory_format=torch.channels_last))


class Targets(NamedTuple):
    """Encoded targets: a row per image of the index, and a row per sample of `Dataset.training`'s numbers; often the same."""

    images: torch.Tensor
    samples: torch.Tensor


@dataclass(frozen=True)
class SampleWeights:
    """Of each sample of the index, float64 (N,), or None for equal ones: in the loss, and in how often it is drawn."""

    loss: np.ndarray | None = None
    draw: np.ndarray | None = None


def open_feeds(
    config: Config,
    dataset: Dataset,
    targets: Targets,
    settings: FeedSettings,
    weights: SampleWeights = SampleWeights(),
) -> dict[str, Feed]:
    """A feed for each split that has images: training augments, validation and test cut the centre."""
    everything = np.concatenate([dataset.samples(split) for split in SPLITS])
    copy_stream = open_copy_stream(dataset.pixels, everything, settings.device, settings.reserve)
    settings = dataclasses.replace(settings, copy_stream=copy_stream)
    feeds = {
        split: eval_feed(dataset, targets.images, split, settings)
        for split in SPLITS[1:]
        if len(dataset.samples(split))
    }
    sampling = Sampling(
        augmentation=parse_augment(config.augment, config.small_epochs),
        seed=config.seed,
        weights=weights.loss,
        rarity=weights.draw,
        members=dataset.members,
    )
    feeds["train"] = Feed(dataset.pixels, dataset.training, targets.samples, settings, sampling)
    return feeds


def eval_feed(dataset: Dataset, targets: torch.Tensor, split: str, settings: FeedSettings) -> Feed:
    """A split as it is scored: the centre of each image, in the order of the index."""
    return Feed(dataset.pixels, dataset.scored(split), targets, settings)
