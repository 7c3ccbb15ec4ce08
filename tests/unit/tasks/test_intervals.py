"""Bootstrap intervals against theory and scipy, and metrics per group."""

import json
import time
import warnings

import numpy as np
import pytest
from scipy import stats

from deep_cnn.reporting.result_text import few_groups
from deep_cnn.tasks.intervals import bootstrap_intervals, held_out_result, per_group
from deep_cnn.tasks.metrics import ClassificationScores, RegressionScores


def mean_of(values):
    return lambda indices: {"mean": float(values[indices].mean())}


def test_interval_of_a_mean_is_that_of_theory_and_of_scipy():
    values = np.random.default_rng(0).normal(10, 2, size=400)
    low, high = bootstrap_intervals(mean_of(values), 400, seed=0, repeats=4000)["mean"]
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)
    reference = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=4000, rng=1).confidence_interval
    assert (low, high) == pytest.approx((reference.low, reference.high), abs=0.02)


def test_groups_widen_the_interval_as_their_number_says():
    rng = np.random.default_rng(0)
    groups = np.repeat(rng.permutation(30), rng.integers(1, 40, size=30))
    rng.shuffle(groups)
    values = rng.normal(size=30)[groups]  # all images of a group alike: 30 witnesses
    n = len(values)
    low, high = bootstrap_intervals(mean_of(values), n, groups=groups, seed=0)["mean"]
    sums, counts = np.bincount(groups, weights=values), np.bincount(groups)
    drawn = rng.integers(30, size=(20000, 30))
    expected = np.quantile(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1), [0.025, 0.975])
    assert (low, high) == pytest.approx(tuple(expected), abs=0.05)
    narrow = np.diff(bootstrap_intervals(mean_of(values), n, seed=0)["mean"])[0]
    assert high - low > 3 * narrow


def test_group_resamples_hold_whole_groups():
    groups = np.array([7, 3, 7, 9, 3, 3])
    sizes = {7: 2, 3: 3, 9: 1}

    def compute(indices):
        times = np.bincount(indices, minlength=6)
        assert all(len(set(times[groups == code])) == 1 for code in sizes), "a group was split"
        assert sum(times[groups == code][0] for code in sizes) == 3
        return {"n": float(len(indices))}

    bootstrap_intervals(compute, 6, groups=groups, seed=1, repeats=50)


def test_same_seed_same_bits_other_seed_other_bits():
    values = np.random.default_rng(0).normal(size=50)
    first, again, other = (bootstrap_intervals(mean_of(values), 50, seed=seed) for seed in (3, 3, 4))
    assert first == again != other


def test_undefined_intervals():
    def compute(indices):
        return {"never": None, "rarely": 1.0 if 0 in indices[:1] else None, "often": 2.0 if indices[0] else None}

    found = bootstrap_intervals(compute, 10, seed=0)
    assert found == {"never": None, "rarely": None, "often": (2.0, 2.0)}
    assert bootstrap_intervals(lambda indices: {"mean": 1.0}, 1, seed=0) == {"mean": None}
    assert bootstrap_intervals(lambda i: {"mean": 1.0}, 5, groups=np.zeros(5, int), seed=0) == {"mean": None}


def test_per_group_equals_scoring_each_group_alone():
    rng = np.random.default_rng(0)
    targets, groups = rng.integers(4, size=90), rng.choice([0, 2, 5], size=90)
    probabilities = rng.dirichlet(np.ones(4), size=90)
    names = ["Oslo", "nobody", "Łódź", "-", "-", "東京"]
    samples = ClassificationScores.of(probabilities, targets, list("abcd"))
    found = per_group(samples.scores, groups, names)
    assert list(found) == ["Oslo", "Łódź", "東京"]
    for code, name in ((0, "Oslo"), (2, "Łódź"), (5, "東京")):
        alone = ClassificationScores.of(probabilities[groups == code], targets[groups == code], list("abcd")).metrics()
        assert found[name] == {"count": (groups == code).sum(), **{k: v for k, v in alone.items() if k != "per_class"}}


def test_the_result_of_a_test_set():
    rng = np.random.default_rng(0)
    targets = rng.normal(size=(60, 2))
    predictions = targets + rng.normal(size=(60, 2))
    targets[::3, 1] = np.nan
    groups = np.arange(60) % 5
    samples = RegressionScores.of(predictions, targets, ["price", "a/b"], np.zeros(2), one_unit=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = held_out_result(samples, 0, groups=groups, group_names=list("vwxyz"), repeats=200)
    assert found["count"] == 60 and found["number_of_groups"] == 5
    assert found["bootstrap"] == {"level": 0.95, "repeats": 200, "resampled": "groups"}
    for place, interval in (
        (found, found["intervals"]),
        (found["per_target"]["a/b"], found["intervals"]["per_target"]["a/b"]),
    ):
        for metric in ("mae", "rmse", "r2", "pearson", "spearman"):
            low, high = interval[metric]
            assert low < place[metric] < high
    assert found["per_group"]["w"]["per_target"]["price"]["mae"] == pytest.approx(
        np.abs(predictions - targets)[groups == 1, 0].mean()
    )
    text = json.dumps(found, allow_nan=False)
    assert text == json.dumps(
        held_out_result(samples, 0, groups=groups, group_names=list("vwxyz"), repeats=200), allow_nan=False
    )
    assert "per_group" not in held_out_result(samples, 0, repeats=10)


def test_a_test_set_of_one_image():
    found = held_out_result(ClassificationScores.of(np.array([[0.9, 0.1]]), [0], ["a", "b"]), 0, repeats=20)
    assert found["top1"] == 1.0 and found["intervals"]["top1"] is None


def test_places365_takes_seconds():
    rng = np.random.default_rng(0)
    n, k = 36_500, 365
    targets = rng.integers(k, size=n)
    probabilities = rng.random((n, k), dtype=np.float32)
    samples = ClassificationScores.of(probabilities, targets, [str(i) for i in range(k)])
    start = time.perf_counter()
    intervals = bootstrap_intervals(samples.scores, n, seed=0, repeats=100)
    assert time.perf_counter() - start < 3  # 0.05 s on one core of a server: 1,000 repeats stay within seconds
    assert intervals["top1"][0] < 1 / k * 1.2


def test_intervals_from_few_groups_are_not_to_be_trusted():
    result = {
        "count": 100,
        "number_of_groups": 3,
        "per_group": {name: {"count": n} for name, n in zip("abc", (60, 30, 10), strict=True)},
    }
    assert "3 groups, the largest with 60% of the images" in few_groups(result)
    assert few_groups({"count": 100}) == few_groups(result | {"number_of_groups": 20}) == ""
