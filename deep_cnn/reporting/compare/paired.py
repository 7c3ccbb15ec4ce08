"""Is one run better than another, or was it luck? Both are scored on the same resampled test images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deep_cnn.reporting.compare.runs import Row
from deep_cnn.runtime.errors import ConfigError
from deep_cnn.tasks.intervals import bootstrap_intervals
from deep_cnn.tasks.metrics import SampleScores


@dataclass(frozen=True)
class Difference:
    """Ours minus theirs, with its 95% interval (None where it is undefined)."""

    value: float
    interval: tuple[float, float] | None


def difference_of_rows(ours: Row, theirs: Row, metric: str, seed: int) -> Difference | str:
    """See `paired_difference`; the reason, in words, where two rows cannot be paired.

    Raises:
        ConfigError: the metric is not one of predictions.
    """
    if not ours.test_set or ours.test_set != theirs.test_set:
        return "not tested on the same images"
    tests = [run.record.test for row in (ours, theirs) for run in row.runs]
    if any(test is not None and test["bootstrap"]["resampled"] == "groups" for test in tests):
        # images of one city are no independent witnesses, and no file of a run says which image is of which city
        return "tested with --group, which has no paired comparison"
    known = ours.first.samples.scores()
    if metric not in known:
        raise ConfigError(f"--metric={metric}: --baseline cannot compare it; choose one of {', '.join(known)}")
    ours_scored, theirs_scored = ([run.samples for run in row.runs] for row in (ours, theirs))
    return paired_difference(ours_scored, theirs_scored, metric, seed) or f"{metric} is undefined"


def paired_difference(
    ours: Sequence[SampleScores], theirs: Sequence[SampleScores], metric: str, seed: int, *, repeats: int = 1000
) -> Difference | None:
    """A metric's mean over our networks minus its mean over theirs, and a percentile interval (Efron and Tibshirani 1993).

    Each repeat scores all networks on the same resample of the images: what makes an image hard for one is hard for the other,
    so that the difference is known better than either metric. The networks are taken as they are: the interval
    says how far another test set would move it, not other seeds.

    Args:
        ours, theirs: the predictions of one network (seed) each, of the same N images in the same order.
        metric: one of `SampleScores.scores`. repeats: number of resamples.

    Returns:
        None where the metric is undefined for one of the networks.
    """
    n = len(ours[0])
    assert {len(samples) for samples in (*ours, *theirs)} == {n}, "not the same images"

    def compute(indices: np.ndarray | None) -> dict[str, float | None]:
        means = []
        for side in (ours, theirs):
            values = [samples.scores(indices)[metric] for samples in side]
            defined = [value for value in values if value is not None]
            if len(defined) < len(values):
                return {"difference": None}
            means.append(np.mean(defined))
        return {"difference": float(means[0] - means[1])}

    value = compute(None)["difference"]
    if value is None:
        return None
    return Difference(value, bootstrap_intervals(compute, n, seed=seed, repeats=repeats)["difference"])
