"""From the flags to a data set: which images there are, what is left out, and how they are split."""

import dataclasses
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from deep_cnn.config.fields import grid_size, parse_length, parse_subset
from deep_cnn.config.registries import IMAGE_FORMATS, LOSSES
from deep_cnn.config.schema import Config
from deep_cnn.data import space
from deep_cnn.data.archived_table import has_table
from deep_cnn.data.assemble import Pixels
from deep_cnn.data.cache import cache_folder, check_cache, open_cache
from deep_cnn.data.contents import Contents
from deep_cnn.data.dataset import Dataset, data_dir, find
from deep_cnn.data.depth import used_bits
from deep_cnn.data.folds import Folds, assign_folds
from deep_cnn.data.formats import ADVICE, missing_decoder
from deep_cnn.data.index import TEST, VALIDATION, Index, IndexOptions, build_index
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.data.split import Splits, Strata, make_splits, splits_of_run
from deep_cnn.data.subset import apply_subset, lab_subset
from deep_cnn.runtime import signals
from deep_cnn.runtime.errors import ConfigError, DataError, ImageChanged
from deep_cnn.runtime.format import plural, some

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Images:
    """The images that there are, before they are split. bad_files: left out by --on_bad_image=skip."""

    index: Index
    pixels: Pixels
    bad_files: tuple[str, ...] = ()


def find_images(
    config: Config,
    pre: Preprocessing,
    workers: int,
    trained: bool = False,
    rater_group: str | None = None,
    folder_splits: bool = True,
) -> Images:
    """Index the images, and leave out what cannot be read where that was asked for; each finding goes to the log.

    Args:
        trained: `pre` is that of a trained network, and not to be fitted to the images' own bits.
        rater_group: the column that says who rated, where the table has a row for each rating.
        folder_splits: whether folders like train/ and test/ split the images of a table.
    """
    folder = data_dir(config)
    check_cache(config.cache)
    kept = cache_folder(config.cache, config.root)  # beside the decoded images: what is known of their files
    options = IndexOptions(
        task=asked_task(config),
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
        rater_group=rater_group,
        val_folder=config.val_folder,
        test_folder=config.test_folder,
        folder_splits=folder_splits,
    )
    index = build_index(folder, options, kept)
    if not trained and (bits := used_bits(index, workers, kept)) != pre.bits:
        pre = dataclasses.replace(pre, bits=bits)
        note = f"16-bit images: no value uses more than {bits} bits, so {(1 << bits) - 1:,} is white"
        index = dataclasses.replace(index, notes=(*index.notes, note))
    for note in index.notes:
        log.info(note)
    log.info("Task: %s", index.reason)
    pixels = Pixels(index, pre, open_cache(kept, index, pre), contents=Contents(index.mtimes, index.sizes))
    images = without_bad_images(index, pixels, workers) if config.on_bad_image == "skip" else Images(index, pixels)
    return images if config.folds is None else without_test_images(images)


def asked_task(config: Config) -> str:
    """--task, and where it is auto what --loss is for: whole numbers may be classes or scores, and a loss of scores says which."""
    loss = LOSSES.get(config.loss)
    return (
        "regression"
        if config.task == "auto" and config.metadata and loss and loss.tasks == ("regression",)
        else config.task
    )


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
        log_votes(dataset, of_folds=config.folds is not None)
    if len(splits.train) < 2:
        raise DataError(
            f"--data_dir={config.data_dir}: {plural(len(splits.train), 'training image')}; at least 2 are needed"
        )
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


def log_votes(dataset: Dataset, of_folds: bool = False) -> None:
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
    if len(dataset.splits.test) and not len(found.test) and not of_folds:
        log.warning(
            "No vote is between two test images, so there is no pair accuracy; with --folds=5 each vote within a fold counts"
        )
    elif len(dataset.splits.test) and len(found.test) < FEW_TEST_VOTES and not of_folds:
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
        elif isinstance(subset, int) and subset > len(train):
            log.warning("--subset=%d: there are only %d training images; all are used", subset, len(train))
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
        except ImageChanged:
            raise
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
        log.warning("Skipped: %s", text.removesuffix(f" {ADVICE}"))
    log.warning("Skipped %d of %d images because they cannot be read", int(bad.sum()), len(bad))
    good = np.flatnonzero(~bad)
    kept = index.take(good)
    contents = None if pixels.contents is None else pixels.contents.take(good)
    kept_pixels = Pixels(kept, pixels.pre, pixels.cache, rows=good, contents=contents)
    return Images(kept, kept_pixels, tuple(index.paths[i] for i in np.flatnonzero(bad).tolist()))
