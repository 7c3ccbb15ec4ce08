"""Metrics of all samples but one, or but one group: what the jackknife needs, from sums and not from N passes.

A row of METRICS names its function here: (samples, units) -> the metric without each of the U units, (U,), NaN where that
is undefined. A metric without one is computed anew without each of at most `BLOCKS` blocks of images.

units: codes 0 .. U-1 of the samples (N,); None where each image is a unit.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from deep_cnn.config.registries import METRICS, resolve
from deep_cnn.tasks.metrics import ClassificationScores, MultilabelScores, Scored
from deep_cnn.tasks.samples import Floats, Ints, ratio
from deep_cnn.tasks.score_metrics import RegressionScores

Units = Ints | None
BLOCKS = 400  # left out one at a time where there are no sums: a standard error of 3.5% of the standard error
MOST_GROUPS = 1000  # more are joined to so many blocks of groups: Kott, "The delete-a-group jackknife", 2001


def left_out(samples: Scored, name: str, units: Units) -> tuple[Floats, int]:
    """A metric without each unit (U,), and the number of its units that can tell something.

    Args:
        name: of `SampleScores.scores`; of a target 'price/mae'.
    """
    target, _, metric = name.rpartition("/")
    if not (code := METRICS[metric].left_out):
        return _recomputed(samples, name, units)
    function: Callable[..., Floats] = resolve(code)
    if not isinstance(samples, RegressionScores):
        values = function(samples, units)
        return values, len(values)
    chosen = [samples.names.index(target)] if target else [t for t, n in enumerate(samples.known.sum(1)) if n]
    values = np.mean([function(samples, units, t) for t in chosen], axis=0)
    known = samples.known[chosen].any(axis=0)
    return values, int(known.sum()) if units is None else len(np.unique(units[known]))


def few_units(groups: np.ndarray) -> Ints:
    """Groups as codes 0 .. U-1 (N,), where there are very many several of them as one."""
    units = np.unique(groups, return_inverse=True)[1]
    return _blocks(units, MOST_GROUPS)


def _blocks(units: Ints, most: int) -> Ints:
    """The units in at most so many blocks, drawn at random: neighbours in the order of the files are alike."""
    count = int(units.max()) + 1
    return units if count <= most else np.random.default_rng(0).permutation(np.arange(count) % most)[units]


def _recomputed(samples: Scored, name: str, units: Units) -> tuple[Floats, int]:
    blocks = _blocks(np.arange(len(samples)) if units is None else units, BLOCKS)
    metric = name.rpartition("/")[2]
    alone = replace(samples, functions={metric: samples.functions[metric]})  # the others would take as long
    values = []
    for block in range(int(blocks.max()) + 1):
        rest = np.flatnonzero(blocks != block)
        value = alone.scores(rest)[name] if len(rest) else None
        values.append(np.nan if value is None else value)
    return np.array(values), len(values)


def _less(values: np.ndarray, units: Units) -> Floats:
    """The sum of values (N, ...) without those of each unit, (U, ...)."""
    values = np.asarray(values, dtype=np.float64)
    if units is None:
        rest: Floats = values.sum(axis=0) - values
        return rest
    size = int(units.max()) + 1
    flat = values.reshape(len(values), -1)
    sums = np.stack([np.bincount(units, weights=column, minlength=size) for column in flat.T], axis=1)
    left: Floats = values.sum(axis=0) - sums.reshape(size, *values.shape[1:])
    return left


def whole_and_without(
    columns: Sequence[np.ndarray], function: Callable[[list[Any]], Any], units: Units
) -> tuple[Any, Any]:
    """A function of the sums of columns, (n,) each: of all samples, and without each unit, (U,)."""
    columns = [np.asarray(column, dtype=np.float64) for column in columns]
    with np.errstate(all="ignore"):
        return function([c.sum() for c in columns]), function([_less(c, units) for c in columns])


def _divided(numerator: Floats, denominator: Floats) -> Floats:
    with np.errstate(all="ignore"):
        ratio: Floats = np.where(denominator > 0, numerator / denominator, np.nan)
    return ratio


def _mean(values: np.ndarray, units: Units) -> Floats:
    return _divided(_less(values, units), _less(np.ones(len(values)), units))


def loss(samples: "ClassificationScores | MultilabelScores", units: Units) -> Floats:
    """The mean loss, in nats."""
    return _mean(samples.loss, units)


# -- classification ---------------------------------------------------------------------------------------------------


def top1(samples: ClassificationScores, units: Units) -> Floats:
    """See `metrics.top1`."""
    return _mean(samples.targets == samples.predicted, units)


def top5(samples: ClassificationScores, units: Units) -> Floats:
    """See metrics.top5."""
    return _mean(samples.in_top5, units)


def balanced_accuracy(samples: ClassificationScores, units: Units) -> Floats:
    """See metrics.balanced_accuracy."""
    return _mean_over_classes(samples, units, lambda hits, true, predicted: (hits, true))


def macro_f1(samples: "ClassificationScores | MultilabelScores", units: Units) -> Floats:
    """See metrics.macro_f1."""
    parts: Parts = lambda hits, true, predicted: (2 * hits, true + predicted)  # noqa: E731
    if isinstance(samples, MultilabelScores):
        return _mean_over_labels(samples, units, parts)
    return _mean_over_classes(samples, units, parts)


# hits, true and predicted images of classes -> numerator and denominator of each class's share
Parts = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def _mean_over_classes(samples: ClassificationScores, units: Units, parts: Parts) -> Floats:
    """Without an image only its own class and the predicted one change, so all images of a cell of the confusion matrix agree."""
    size = len(samples.classes)
    if units is not None:
        return _mean_over_groups(_counts_of_groups(samples, units), parts)
    hits, true, predicted = (
        np.bincount(labels, minlength=size)
        for labels in (samples.targets[samples.targets == samples.predicted], samples.targets, samples.predicted)
    )
    shares = ratio(*parts(hits, true, predicted))
    cells, cell_of = np.unique(samples.targets * size + samples.predicted, return_inverse=True)
    t, p = cells // size, cells % size
    right = t == p
    own = ratio(*parts(hits[t] - right, true[t] - 1, predicted[t] - right))
    other = np.where(right, 0.0, ratio(*parts(hits[p], true[p], predicted[p] - 1)))
    was = shares[t], np.where(right, 0.0, shares[p])
    total = np.nansum(shares) - sum(np.nan_to_num(x) for x in was) + np.nan_to_num(own) + np.nan_to_num(other)
    defined = (~np.isnan(shares)).sum() - sum(~np.isnan(x) for x in was) + ~np.isnan(own) + ~np.isnan(other)
    return _divided(total, defined)[cell_of]


def _counts_of_groups(samples: ClassificationScores, units: Ints) -> list[np.ndarray]:
    """Images that are right, that there are, and that are predicted, without each group: (U, K) each."""
    size, groups = len(samples.classes), int(units.max()) + 1
    found = []
    right = samples.targets == samples.predicted
    for chosen, labels in ((right, samples.targets), (slice(None), samples.targets), (slice(None), samples.predicted)):
        counts = np.bincount(units[chosen] * size + labels[chosen], minlength=groups * size).reshape(groups, size)
        found.append(counts.sum(axis=0) - counts)
    return found


def _mean_over_groups(counts: list[np.ndarray], parts: Parts) -> Floats:
    shares = ratio(*parts(*counts))  # (U, K)
    return _divided(np.nansum(shares, axis=1), (~np.isnan(shares)).sum(axis=1))


def recalls_of_groups(samples: "ClassificationScores | MultilabelScores", units: Ints) -> tuple[np.ndarray, Floats]:
    """Images of each class in each group, and the recall of each class without each group: (U, K) each."""
    if isinstance(samples, MultilabelScores):
        hits, true, _ = _label_counts(samples, units)
        whole = samples.targets.sum(axis=0)
    else:
        hits, true, _ = _counts_of_groups(samples, units)
        whole = np.bincount(samples.targets, minlength=len(samples.classes))
    return whole - true, _divided(hits, true)


def quadratic_weighted_kappa(samples: ClassificationScores, units: Units) -> Floats:
    """See metrics.quadratic_weighted_kappa."""
    _, step = np.unique([int(name) for name in samples.classes], return_inverse=True)
    true, said = step[samples.targets], step[samples.predicted]
    n = _less(np.ones(len(samples)), units)
    missed, squares, sum_true, sum_said = (_less(x, units) for x in ((true - said) ** 2, true**2 + said**2, true, said))
    return 1 - _divided(n * missed, n * squares - 2 * sum_true * sum_said)


# -- several labels per image -----------------------------------------------------------------------------------------


def _label_counts(samples: MultilabelScores, units: Units) -> list[Floats]:
    return [_less(x, units) for x in (samples.targets & samples.predicted, samples.targets, samples.predicted)]


def _mean_over_labels(samples: MultilabelScores, units: Units, parts: Parts) -> Floats:
    return _mean_over_groups(_label_counts(samples, units), parts)


def micro_f1(samples: MultilabelScores, units: Units) -> Floats:
    """See metrics.micro_f1."""
    hits, true, predicted = (
        _less(x.sum(axis=1), units) for x in (samples.targets & samples.predicted, samples.targets, samples.predicted)
    )
    return _divided(2 * hits, true + predicted)


def mean_average_precision(samples: MultilabelScores, units: Units) -> Floats:
    """See metrics.mean_average_precision.

    Without an image the precision changes at its own threshold and at all lower ones: by one image, and if it is a positive,
    by one hit. Sums over the thresholds above and below give all of it in one pass.
    """
    if units is not None:
        return _recomputed(samples, "map", units)[0]
    total, defined = np.zeros(len(samples)), np.zeros(len(samples))
    for k in range(len(samples.classes)):
        block, positive = samples.blocks[:, k] - samples.first_block[k], samples.targets[:, k]
        size = int(samples.first_block[k + 1] - samples.first_block[k])
        here = np.bincount(block[positive], minlength=size).astype(np.float64)  # positives at each threshold
        positives, images = np.cumsum(here), np.cumsum(np.bincount(block, minlength=size)).astype(np.float64)
        above = np.cumsum(here * positives / np.maximum(images, 1))  # with all thresholds down to this one

        def from_here(terms: np.ndarray) -> np.ndarray:
            return np.cumsum(terms[::-1])[::-1]

        fewer = np.maximum(images - 1, 1)
        before = np.concatenate([[0.0], above[:-1]])
        negative_gone = before + from_here(here * positives / fewer)
        below = from_here(here * (positives - 1) / fewer) - here * (positives - 1) / fewer
        positive_gone = before + (here - 1) * (positives - 1) / fewer + below
        count = here.sum()
        values = _divided(
            np.where(positive, positive_gone[block], negative_gone[block]), np.where(positive, count - 1, count)
        )
        total, defined = total + np.nan_to_num(values), defined + ~np.isnan(values)
    return _divided(total, defined)


# -- regression: of target t ------------------------------------------------------------------------------------------


def _known_sums(samples: RegressionScores, units: Units, t: int, of: Callable[..., list[np.ndarray]]) -> list[Floats]:
    """The number of known scores and the sums of what `of` makes of (true, said), without each unit."""
    known = samples.known[t]
    true = np.where(known, samples.targets[t], 0.0)
    said = samples.predictions[t]
    # around their means: a sum of squares less a squared sum must not lose its digits
    centred = [np.where(known, x - x[known].mean(), 0.0) for x in (true, said)]
    error = np.where(known, said - true, 0.0)
    return [_less(x, units) for x in [known, *of(error, *centred)]]


def mae(samples: RegressionScores, units: Units, t: int) -> Floats:
    """See score_metrics.mae."""
    n, total = _known_sums(samples, units, t, lambda error, true, said: [np.abs(error)])
    return _divided(total, n)


def level_mae(samples: RegressionScores, units: Units, t: int) -> Floats:
    """See score_metrics.level_mae."""
    assert samples.levels is not None, "of targets that are levels"
    known = samples.known[t]
    error = np.where(known, samples.levels[t] - np.where(known, samples.targets[t], 0.0), 0.0)
    return _divided(_less(np.abs(error), units), _less(known, units))


def level_kappa(samples: RegressionScores, units: Units, t: int) -> Floats:
    """See score_metrics.level_kappa."""
    assert samples.levels is not None, "of targets that are levels"
    known = samples.known[t]
    first = samples.targets[t, known][:1].sum()
    true, said = (np.where(known, x - first, 0.0) for x in (samples.targets[t], samples.levels[t]))
    columns = known, (true - said) ** 2, true**2 + said**2, true, said
    n, missed, squares, sum_true, sum_said = (_less(x, units) for x in columns)
    return 1 - _divided(n * missed, n * squares - 2 * sum_true * sum_said)


def mae_sd(samples: RegressionScores, units: Units, t: int) -> Floats:
    """See score_metrics.mae_sd."""
    return mae(samples, units, t) / float(samples.train_std[t])


def rmse(samples: RegressionScores, units: Units, t: int) -> Floats:
    """See score_metrics.rmse."""
    n, total = _known_sums(samples, units, t, lambda error, true, said: [error**2])
    return np.sqrt(np.maximum(_divided(total, n), 0))


def r2(samples: RegressionScores, units: Units, t: int) -> Floats:
    """See score_metrics.r2."""
    n, missed, total, squares = _known_sums(samples, units, t, lambda error, true, said: [error**2, true, true**2])
    return 1 - _divided(missed, _spread(squares, total, n))


def pearson(samples: RegressionScores, units: Units, t: int) -> Floats:
    """See score_metrics.pearson."""
    n, x, y, xx, yy, xy = _known_sums(
        samples, units, t, lambda error, true, said: [true, said, true**2, said**2, true * said]
    )
    with np.errstate(all="ignore"):
        both = np.sqrt(_spread(xx, x, n)) * np.sqrt(_spread(yy, y, n))
        return np.clip(_divided(xy - x * y / n, both), -1, 1)


def _spread(squares: Floats, total: Floats, n: Floats) -> Floats:
    """Sum of squared deviations from the mean; 0 where nothing is left but rounding."""
    with np.errstate(all="ignore"):
        found = squares - total**2 / n
    return np.where(found > 1e-13 * np.abs(squares).max(initial=0), found, 0.0)
