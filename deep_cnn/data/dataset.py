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

from deep_cnn.config.fields import grid_size, parse_length, parse_subset
from deep_cnn.config.registries import IMAGE_FORMATS
from deep_cnn.config.schema import Config
from deep_cnn.data import space
from deep_cnn.data.archived_table import has_table
from deep_cnn.data.assemble import Pixels, open_copy_stream
from deep_cnn.data.augment.steps import center_crop, parse_augment
from deep_cnn.data.cache import cache_folder, check_cache, open_cache
from deep_cnn.data.contents import Contents
from deep_cnn.data.depth import used_bits
from deep_cnn.data.feed import Feed, FeedSettings, Sampling
from deep_cnn.data.folds import Folds, assign_folds
from deep_cnn.data.formats import missing_decoder
from deep_cnn.data.index import TEST, VALIDATION, Index, IndexOptions, Paths, build_index
from deep_cnn.data.normalise import Normaliser
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.data.sources import is_source
from deep_cnn.data.split import Splits, Strata, make_splits, splits_of_run
from deep_cnn.data.split_names import SPLITS
from deep_cnn.data.statistics import pixel_statistics
from deep_cnn.data.subset import apply_subset, lab_subset
from deep_cnn.data.votes import UNUSED, VoteSplit, split_votes
from deep_cnn.runtime import signals
from deep_cnn.runtime.errors import ConfigError, DataError
from deep_cnn.runtime.format import some

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


@dataclass(frozen=True)
class Images:
    """The images that there are, before they are split. bad_files: left out by --on_bad_image=skip."""

    index: Index
    pixels: Pixels
    bad_files: tuple[str, ...] = ()


def find_images(config: Config, pre: Preprocessing, workers: int, trained: bool = False) -> Images:
    """Index the images, and leave out what cannot be read where that was asked for; each finding goes to the log.

    Args:
        trained: `pre` is that of a trained network, and not to be fitted to the images' own bits.
    """
    folder = data_dir(config)
    check_cache(config.cache)
    kept = cache_folder(config.cache, config.root)  # beside the decoded images: what is known of their files
    options = IndexOptions(
        task=config.task,
        metadata=find("metadata", config.metadata, config, folder, there=has_table) if config.metadata else None,
        image_column=config.image_column,
        target=config.target,
        where=config.where,
        group=config.group,
        split_column=config.split_column,
        study_id=config.study_id,
        vote_columns=config.vote_columns,
        raters=config.raters,
        target_std=config.target_std,
        weigh_by=config.weigh_by,
        places_needed=config.buffer is not None,
        val_folder=config.val_folder,
        test_folder=config.test_folder,
    )
    index = build_index(folder, options, kept)
    if not trained and (bits := used_bits(index, workers, kept)) != pre.bits:
        pre = dataclasses.replace(pre, bits=bits)
        note = f"16-bit images: no value uses more than {bits} bits, so {(1 << bits) - 1:,} is white"
        index = dataclasses.replace(index, notes=(*index.notes, note))
    for note in index.notes:
        log.info(note)
    log.info("Task: %s", index.reason)
    pixels = Pixels(index, pre, open_cache(kept, index, pre), contents=Contents(index.mtimes))
    images = without_bad_images(index, pixels, workers) if config.on_bad_image == "skip" else Images(index, pixels)
    return images if config.folds is None else without_test_images(images)


def without_test_images(images: Images) -> Images:
    """For --folds: without a given test set, which stays out of all folds so that it can be tested once, later."""
    index, pixels = images.index, images.pixels
    given = index.given_split == TEST
    if not given.any():
        return images
    log.info("--folds: the %d images of the given test set are not used", int(given.sum()))
    kept = np.flatnonzero(~given)
    rows = kept if pixels.rows is None else pixels.rows[kept]
    index = index.take(kept)
    contents = None if pixels.contents is None else pixels.contents.take(kept)
    left = Pixels(index, pixels.pre, pixels.cache, rows, contents)
    return Images(index, left, images.bad_files)


def find_folds(images: Images, strata: Strata, config: Config) -> Folds:
    """The folds of --folds, which all runs of the same data, flags and seed agree on. strata: the task's."""
    assert config.folds is not None
    kept = cache_folder(config.cache, config.root)
    return assign_folds(
        images.index, strata, config.folds, group=config.group, seed=config.split_seed or 0, cache_dir=kept
    )


def check_formats(index: Index) -> None:
    """Refuse images that no installed library reads, before anything is computed; DataError says what to install."""
    blob = index.paths.blob.lower()  # a million names at once: most sets have no such ending at all
    for name, row in IMAGE_FORMATS.items():
        if not row.needs or not any(ending.encode() in blob for ending in row.endings):
            continue
        found = [path for path in index.paths if path.lower().endswith(row.endings)]
        if found and (remedy := missing_decoder(name)):
            raise DataError(
                f"{index.root / found[0]}: {remedy}; {len(found):,} of the images are such files. To leave them out, give "
                "--on_bad_image=skip"
            )


def split_images(images: Images, strata: Strata, config: Config) -> Dataset:
    """Train, validation and test as the flags ask for them; what is noteworthy goes to the log. strata: the task's."""
    index, test_split = images.index, config.test_split
    if config.folds is not None:
        assert config.fold is not None, "a run is one fold; tools/folds trains all of them"
        folds = find_folds(images, strata, config)
        index, test_split = folds.testing(config.fold, index), 0.0
        log.info("Cross-validation: %s is the test set", folds.title(config.fold))
    if config.split_from is not None:
        splits = splits_of_run(config.root / "outputs" / "results" / config.split_from, index)
    else:
        splits = make_splits(
            index,
            strata,
            val_split=config.val_split,
            test_split=test_split,
            seed=config.split_seed or 0,
            cache_dir=cache_folder(config.cache, config.root),
        )
    for note in splits.notes:
        log.info(note)
    splits = with_buffer(part_of(splits, images.index, strata, config), images.index, config)
    dataset = Dataset(images.index, splits, images.pixels, images.bad_files)
    if images.index.votes is not None:
        log_votes(dataset)
    if len(splits.train) < 2:
        raise DataError(f"--data_dir={config.data_dir}: {len(splits.train)} training images; at least 2 are needed")
    return dataset


def with_buffer(splits: Splits, index: Index, config: Config) -> Splits:
    """--buffer: without training images that are nearer than that to a test image; what place explains of scores goes to the log."""
    if config.buffer is None and grid_size(config.group) is None:
        return splits
    if index.places is not None and index.task == "regression":
        for name, values in zip(index.target_names, index.targets.T, strict=True):
            if said := space.advice(index.places, values, name):
                log.info(said)
    if config.buffer is None:
        return splits
    flag = f"--buffer={config.buffer}"
    places = space.check_places(index.places, flag)
    near = space.nearer_than(places[splits.train], places[splits.test], parse_length("buffer", config.buffer))
    log.info("%s: %d of %d training images are nearer to a test image; they are not used", flag, near.sum(), len(near))
    if near.all():
        raise DataError(f"{flag}: no training image is farther from all test images; use a shorter distance")
    return dataclasses.replace(splits, train=splits.train[~near])


FEW_TEST_VOTES = 300  # of fewer the half-width of the interval is above 0.06


def log_votes(dataset: Dataset) -> None:
    """What the splits of images make of the votes; DataError where none is left to train on."""
    found = dataset.vote_split
    log.info(
        "Votes: %s between two training images, %s select (between validation images, or one and a training image), %s between two "
        "test images, %s between a test and a training image; %s are not used",
        *(
            f"{count:,}"
            for count in (*map(len, (found.train, found.validation, found.test, found.marked)), found.left_out)
        ),
    )
    if len(found.train) < 2:
        raise DataError(
            f"only {len(found.train)} votes are between two training images; at least 2 are needed, so use smaller --val_split and "
            "--test_split, or more votes"
        )
    if len(dataset.splits.validation) and not len(found.validation):
        raise DataError(
            "no vote has a validation image together with a validation or training image, so no epoch can be selected; use a larger "
            "--val_split, or --val_split=0"
        )
    if len(dataset.splits.test) and len(found.test) < FEW_TEST_VOTES:
        log.warning(
            "Only %d votes are between two test images, so the pair accuracy will have a half-width of about %.2f; with --folds=5 "
            "each vote within a fold counts",
            len(found.test),
            min(0.5, 0.9 / max(1, len(found.test)) ** 0.5),
        )


def part_of(splits: Splits, index: Index, strata: Strata, config: Config) -> Splits:
    """--subset and --subset_order: fewer training images; what of them had been held out for validation leaves it."""
    subset, validation = parse_subset(config.subset), splits.validation
    if config.subset_order == "stratified":
        train = apply_subset(strata, splits.train, subset, config.split_seed or 0)
        if len(train) < len(splits.train):
            log.info(
                "--subset=%s: using %d of %d training images, stratified", config.subset, len(train), len(splits.train)
            )
            _warn_of_empty_classes(strata, train)
        return dataclasses.replace(splits, train=train)
    given = validation[
        index.given_split[validation] == VALIDATION
    ]  # a folder of its own is no part of the training set
    held_out = np.setdiff1d(validation, given, assume_unique=True)
    pool = np.concatenate([splits.train, held_out])
    train = lab_subset(index, pool, subset)
    left = np.setdiff1d(validation, train, assume_unique=True)
    if len(validation) and not len(left):
        raise ConfigError(
            f"--subset={config.subset} --subset_order=lab: uses all {len(pool):,} training images and leaves none for "
            "validation; choose a smaller number, or --val_split=0 to train without validation"
        )
    log.info(
        "--subset=%s: using %d of %d training images in the labs' order; validating on %d others",
        config.subset,
        len(train),
        len(pool),
        len(left),
    )
    _warn_of_empty_classes(strata, train)
    return dataclasses.replace(splits, train=train, validation=left)


def _warn_of_empty_classes(strata: Strata, train: np.ndarray) -> None:
    there = np.isin(np.arange(len(strata.classes)), strata.codes[train])
    if not there.all():
        names = [name for name, found in zip(strata.classes, there, strict=True) if not found]
        log.warning(
            "--subset: %d of the %d classes (%s) have no training images left, so the network cannot learn them",
            len(names),
            len(there),
            some(names, 5),
        )


def without_bad_images(index: Index, pixels: Pixels, workers: int) -> Images:
    """Read every image (into the cache) and leave out those that cannot be read; they are listed in the log."""

    def problem(row: int) -> str | None:
        signals.raise_if_requested()
        try:
            pixels[row]
        except DataError as error:
            return str(error)
        return None

    log.info("--on_bad_image=skip: reading all %d images once to find unreadable ones", len(index.paths))
    with ThreadPoolExecutor(max(1, workers)) as pool:
        problems = list(pool.map(problem, range(len(index.paths)), chunksize=64))
    bad = np.array([problem is not None for problem in problems], dtype=bool)
    if not bad.any():
        return Images(index, pixels)
    for text in filter(None, problems):
        log.warning("Skipped: %s", text)
    log.warning("Skipped %d of %d images because they cannot be read", int(bad.sum()), len(bad))
    good = np.flatnonzero(~bad)
    kept = index.take(good)
    contents = None if pixels.contents is None else pixels.contents.take(good)
    kept_pixels = Pixels(kept, pixels.pre, pixels.cache, rows=good, contents=contents)
    return Images(kept, kept_pixels, tuple(index.paths[i] for i in np.flatnonzero(bad).tolist()))


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
