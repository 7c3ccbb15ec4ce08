"""Defaults that depend on the training set: what `auto` of --batch_size and --batchnorm comes to.

A function of the flags and of the number of training images alone, never of a machine or a timing: the same command makes the same run
everywhere. Measured by `python -m benchmarks.defaults`; see docs/concepts/defaults.md.
"""

from dataclasses import replace
from typing import Any

from deep_cnn.config.identity import DATA_CHANGED, OLDER_BATCHNORM, differences, is_identity, run_identity, saved_flags
from deep_cnn.config.schema import AUTO, Config
from deep_cnn.runtime.format import plural

FULL_BATCH = 128  # images: of large training sets, as in the course's hand-out
SMALLEST_BATCH = 8
STEPS = 10  # an epoch has at least so many steps: with 128 of 207 photographs it had two, and 20 epochs hardly moved the weights

OF_OLDER_VERSIONS = {
    "batch_size": FULL_BATCH,
    "batchnorm": OLDER_BATCHNORM,
}  # of runs whose files don't say what was chosen


def resolved(config: Config, images: int, before: dict[str, Any] | None = None) -> Config:
    """The configuration with a value in place of every `auto` of this file.

    Args:
        images: of the training set. before: what the run began with, if it is there already; see `begun_with`.
    """
    found: dict[str, Any] = {"batch_size": batch_size(config, images), "batchnorm": batchnorm(config, images)}
    found |= before or {}
    return replace(config, **{name: value for name, value in found.items() if name in open_choices(config)})


def open_choices(config: Config) -> list[str]:
    """The flags of this file that are still `auto`."""
    return [name for name in OF_OLDER_VERSIONS if getattr(config, name) == AUTO]


def batch_size(config: Config, images: int) -> int:
    """The largest power of two up to FULL_BATCH with which an epoch has at least STEPS steps; not below SMALLEST_BATCH.

    Without pretrained weights it is FULL_BATCH: the rates of --recipe=scratch belong to it.
    """
    size = FULL_BATCH
    while config.weights != "none" and size > SMALLEST_BATCH and images < STEPS * size:
        size //= 2
    return size


def batchnorm(config: Config, images: int) -> str:
    """ "keep" where batches are small; without pretrained weights there are no statistics to keep.

    The statistics of 8 or 16 images are so noisy that a network learns less than a probe, which keeps those of ImageNet: 42 and 62% on
    five classes of CIFAR-10 with 42 training images (EfficientNet-Lite0, 96 pixels).
    """
    return "keep" if config.weights != "none" and images < STEPS * FULL_BATCH else OLDER_BATCHNORM


def largest_batch(config: Config) -> int:
    """--batch_size, or the largest that `auto` comes to."""
    return config.batch if config.batch_size != AUTO else FULL_BATCH


def chosen_line(asked: Config, config: Config, images: int, samples: str = "images") -> str | None:
    """What was chosen, and why: a line for the log; None where there was nothing to choose, or it is the default of large sets.

    samples: what is counted, images or votes.
    """
    made = [name for name in open_choices(asked) if getattr(config, name) != OF_OLDER_VERSIONS[name]]
    if not made:
        return None
    reasons = {
        "batch_size": f"with {FULL_BATCH} an epoch would have only {plural(-(-images // FULL_BATCH), 'step')}, and training needs at least {STEPS}",
        "batchnorm": "the means of so few images are too noisy for BatchNorm",
    }
    flags = " ".join(f"--{name}={getattr(config, name)}" for name in made)
    return f"{flags} for {images:,} training {samples}: {'; '.join(reasons[name] for name in made)}"


def chosen(asked: Config, config: Config) -> dict[str, Any]:
    """The values that were chosen, by flag: a run's files keep them."""
    return {name: getattr(config, name) for name in open_choices(asked)}


def begun_with(
    record: dict[str, Any] | None, finished: bool, config: Config, digests: tuple[str, str]
) -> dict[str, Any]:
    """What the run that is asked for began with in place of `auto`; {} where there is no such run.

    A run that an older version finished is none: it would be trained again, and then with today's defaults.

    Args:
        record: what config.json (or plan.json, of folds) of the run of this name says; None where there is none.
        config: of the run that is asked for, its `auto` not chosen yet. digests: of its data, as of `run_identity`.
    """
    before = {name: value for name, value in chosen_before(record).items() if name in open_choices(config)}
    if not record or not before or not is_identity(record["identity"]) or (finished and "chosen" not in record):
        return {}
    changed = differences(run_identity(replace(config, **before), *digests), record["identity"])
    return before if not changed or (changed == [DATA_CHANGED] and not finished) else {}


def chosen_before(record: dict[str, Any] | None) -> dict[str, Any]:
    """The values that a run chose, from what its files say; {} where there is none, or its files are damaged.

    Runs of versions that chose nothing began with the defaults of large sets, unless flags were given.
    """
    flags, values = saved_flags(record), (record or {}).get("chosen", OF_OLDER_VERSIONS)
    if not flags or not isinstance(values, dict):
        return {}
    return {name: value for name, value in values.items() if flags.get(name, value) == value}
