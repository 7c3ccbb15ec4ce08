"""Counter-based draws: the same for ever, on every machine, whoever asks in whatever order."""

import numpy as np
from scipy import stats

from deep_cnn.runtime.rng import draws, number, permutation

GOLDEN = {
    "number": 5664659398688745269,
    "permutation": [4, 6, 1, 5, 3, 7, 0, 2],
    "draws": [[0.6563022529848841, 0.649449674016058], [0.8647221823475797, 0.8428940863988601]],
}


def test_golden_values():
    # a change here changes every run ever made: old checkpoints would no longer continue bit for bit
    assert number(0, "step", 1) == GOLDEN["number"]
    assert permutation(0, 3, 8).tolist() == GOLDEN["permutation"]
    assert draws(7, "augment", 2, np.array([5, 1_000_000]), 2).tolist() == GOLDEN["draws"]


def test_a_row_depends_on_its_own_index_alone():
    together = draws(1, "augment", 0, np.arange(100), 5)
    alone = np.concatenate([draws(1, "augment", 0, np.array([i]), 5) for i in range(100)])
    assert np.array_equal(together, alone)
    assert np.array_equal(draws(1, "augment", 0, np.arange(100), 3), together[:, :3])


def test_uniform_and_unrelated():
    values = draws(0, "augment", 0, np.arange(20_000), 4)
    assert values.min() >= 0 and values.max() < 1
    assert stats.kstest(values.ravel(), "uniform").pvalue > 0.001
    others = [
        draws(1, "augment", 0, np.arange(20_000), 4),
        draws(0, "flip", 0, np.arange(20_000), 4),
        draws(0, "augment", 1, np.arange(20_000), 4),
        np.roll(values, 1, axis=0),
        values[:, [1, 2, 3, 0]],
    ]
    for other in others:
        assert abs(np.corrcoef(values.ravel(), other.ravel())[0, 1]) < 0.02  # 5 sigma of 80,000 pairs


def test_permutations_are_permutations_and_differ():
    orders = [permutation(seed, epoch, 1000) for seed in (0, 1) for epoch in (0, 1)]
    for order in orders:
        assert np.array_equal(np.sort(order), np.arange(1000))
    assert len({tuple(order) for order in orders}) == 4


def test_every_image_visits_every_place():
    places = np.stack([permutation(0, epoch, 10) for epoch in range(5000)])
    counts = np.stack([np.bincount(places[:, k], minlength=10) for k in range(10)])
    assert stats.chisquare(counts.ravel()).pvalue > 0.001
