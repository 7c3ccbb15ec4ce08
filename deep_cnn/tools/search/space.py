"""What is searched: '--space lr=1e-5..1e-1:log model=resnet18,resnet50', and points in it as functions of (seed, trial).

Optuna's own RandomSampler repeats itself when it is started again with its seed, and several processes overrun its
GridSampler; a point that depends on the trial's number alone can do neither.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from deep_cnn.config.fields import converted, count, nearest_flag, problem, rate
from deep_cnn.config.schema import Config
from deep_cnn.runtime.errors import ConfigError
from deep_cnn.runtime.rng import draws, permutation

Distribution = CategoricalDistribution | FloatDistribution | IntDistribution
Space = dict[str, Distribution]

LARGEST_GRID = 100_000
OURS = (
    "run_name",
    "root_dir",
    "data_dir",
    "dataset",
    "download",
    "console",
    "tta",
    "resume",
    "steal_lock",
    "max_time",
    "config",
    "wandb",
    "tensorboard",
    "trackers",
    "seed",
    "split_from",
    "split_seed",
    "folds",
    "fold",
)


def parse_space(words: Sequence[str]) -> Space:
    """'NAME=low..high', 'NAME=low..high:log' or 'NAME=a,b,c' ('a;b' where values have commas), each a flag of training.

    Raises:
        ConfigError: no such flag, or values that are none of it.
    """
    if not words:
        raise ConfigError(
            '--space: nothing to search; give for example --space "lr=1e-5..1e-1:log" "model=resnet18,resnet50"'
        )
    fields = {f.name: f for f in dataclasses.fields(Config) if f.name not in OURS}
    space: Space = {}
    for word in words:
        name, equals, values = word.partition("=")
        name = name.strip().lstrip("-").replace("-", "_")
        if name not in fields:
            raise ConfigError(f"--space {word}: {name} cannot be searched.{nearest_flag(name, fields)}")
        if not equals or not values:
            raise ConfigError(f"--space {word}: expected {name}=low..high, {name}=low..high:log or {name}=a,b,c")
        if name in space:
            raise ConfigError(f"--space {word}: {name} is given twice")
        space[name] = _range(word, fields[name], values) if ".." in values else _choices(word, fields[name], values)
    if all(distribution.single() for distribution in space.values()):
        raise ConfigError(
            f"--space {' '.join(words)}: there is only one value, so nothing to search; list several values, or train with "
            f"--{words[0].strip().lstrip('-')}"
        )
    return space


def _range(word: str, field: dataclasses.Field[Any], values: str) -> FloatDistribution | IntDistribution:
    bounds, colon, scale = values.partition(":")
    if field.metadata["kind"] not in (int, float, rate, count):
        raise ConfigError(f"--space {word}: --{field.name} is no number; list its values, e.g. {field.name}=a,b")
    whole = field.metadata["kind"] in (int, count)
    try:
        low, high = (converted(field, text) for text in bounds.split(".."))
    except (ValueError, ConfigError):
        numbers = (
            f"two whole numbers, e.g. {field.name}=5..20" if whole else f"two numbers, e.g. {field.name}=1e-5..1e-1:log"
        )
        raise ConfigError(f"--space {word}: expected {numbers}") from None
    if "auto" in (low, high):
        raise ConfigError(f"--space {word}: expected two numbers, e.g. {field.name}=1e-5..1e-1:log")
    if colon and scale != "log":
        raise ConfigError(f"--space {word}: expected nothing or log after ':'")
    if not low < high or (colon and low <= 0):
        raise ConfigError(
            f"--space {word}: the lower limit must be below the upper limit{' and above 0' * bool(colon)}"
        )
    for value in (low, high):
        _valid(word, field, value)
    if whole:
        return IntDistribution(int(low), int(high), log=bool(colon))
    return FloatDistribution(low, high, log=bool(colon))


def _choices(word: str, field: dataclasses.Field[Any], values: str) -> CategoricalDistribution:
    texts = [text.strip() for text in values.split(";" if ";" in values else ",")]
    return CategoricalDistribution([_valid(word, field, text) for text in dict.fromkeys(texts)])


def _valid(word: str, field: dataclasses.Field[Any], text: Any) -> Any:
    """The value as its flag takes it; ConfigError where the flag itself would refuse it."""
    if text == "none" and field.default is None:
        return None
    try:
        value = converted(field, text)
    except ConfigError:
        raise ConfigError(f"--space {word}: {text} is not a value of --{field.name}") from None
    if problem(field.metadata, value):
        raise ConfigError(f"--space {word}: {text} is outside the range of --{field.name}")
    return value


def grid(space: Space) -> list[dict[str, Any]]:
    """All combinations; ConfigError for a range without steps."""
    columns = []
    for name, distribution in space.items():
        if isinstance(distribution, CategoricalDistribution):
            columns.append(list(distribution.choices))
        elif isinstance(distribution, IntDistribution) and not distribution.log:
            columns.append(list(range(distribution.low, distribution.high + 1)))
        else:
            raise ConfigError(f"--sampler=grid: --space {name} is a range; list the values, e.g. {name}=1e-4,1e-3,1e-2")
    if math.prod(map(len, columns)) > LARGEST_GRID:
        raise ConfigError(f"--sampler=grid: {math.prod(map(len, columns)):,} combinations; list fewer values")
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*columns)]


def grid_point(space: Space, seed: int, trial: int) -> dict[str, Any]:
    """The trial's point of the grid, in a random order that the seed gives: a search that is cut short saw all corners."""
    points = grid(space)
    return points[int(permutation(seed, 0, len(points), "grid")[trial % len(points)])]


def random_point(space: Space, seed: int, trial: int) -> dict[str, Any]:
    """Uniform in each range (in its logarithm with :log) and over each list."""
    uniform = draws(seed, "search", 0, np.array([trial]), len(space))[0]
    return {name: _at(distribution, float(u)) for (name, distribution), u in zip(space.items(), uniform, strict=True)}


def _at(distribution: Distribution, u: float) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(u * len(distribution.choices))]
    low, high = distribution.low, distribution.high
    if isinstance(distribution, IntDistribution):
        if distribution.log:
            return min(high, int(low * ((high + 1) / low) ** u))
        return low + int(u * (high - low + 1))
    return float(low * (high / low) ** u) if distribution.log else float(low + u * (high - low))


class PointSampler(BaseSampler):
    """Gives each trial the point that belongs to its number. point: number -> flag -> value."""

    def __init__(self, space: Space, point: Callable[[int], dict[str, Any]]):
        self.space, self.point = space, point

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Optuna asks; no flag depends on another."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Optuna asks; no flag depends on another."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The flag's value at the trial's point."""
        return self.point(trial.number)[param_name]
