"""Pair accuracy compared: with a coin as in test.json, and between networks within what their accuracies allow."""

import numpy as np
import pytest

from deep_cnn.tasks.dyadic import share_of_votes
from deep_cnn.tasks.pair_differences import beyond_a_coin, difference_of_votes


def votes(
    count: int, accuracies: tuple[float, ...], images: int = 30, seed: int = 0
) -> tuple[list[np.ndarray], np.ndarray]:
    """Of each network which votes it has right, in disorder; and the images of the votes."""
    rng = np.random.default_rng(seed)
    left = rng.integers(images, size=count)
    pairs = np.stack([left, (left + rng.integers(1, images, size=count)) % images], axis=1)
    return [rng.permutation(np.arange(count) < round(a * count)).astype(float) for a in accuracies], pairs


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.52, 0.96, 1.0])
@pytest.mark.parametrize("grouped", [False, True])
def test_with_a_coin_the_interval_is_that_of_the_pair_accuracy_less_one_half(share, grouped):
    (right,), images = votes(46, (share,))
    units = images % 8 if grouped else images
    found, own = (
        beyond_a_coin([right], units, grouped=grouped),
        share_of_votes(right, images, units if grouped else None),
    )
    assert found.value == pytest.approx(right.mean() - 0.5)
    assert found.interval == pytest.approx([end - 0.5 for end in own.interval]) and found.interval[1] <= 0.5
    assert (found.p < 0.05) == (not found.interval[0] <= 0 <= found.interval[1])
    assert found.detectable is None or 0 < found.detectable <= 0.5


def test_p_is_where_the_interval_of_that_level_ends_at_a_coin():
    (right,), images = votes(60, (0.65,))
    p = beyond_a_coin([right], images).p
    assert beyond_a_coin([right], images, level=1 - p).interval[0] == pytest.approx(0)


def test_seeds_widen_it():
    rights, images = votes(200, (0.6, 0.7, 0.8))
    found, one = beyond_a_coin(rights, images), beyond_a_coin([np.mean(rights, axis=0)], images)
    assert found.seeds and not one.seeds and found.value == pytest.approx(0.2) and found.df < one.df
    assert found.interval[0] < one.interval[0] < one.interval[1] < found.interval[1] < 0.5
    same = beyond_a_coin([np.ones(200)] * 3, images)
    assert same.interval[1] == pytest.approx(0.5) and same.seeds
    few = beyond_a_coin(rights[:1], images % 4, grouped=True)
    assert few.interval is None and few.p is None and few.value == pytest.approx(0.1)
    assert beyond_a_coin([right[:1] for right in rights], images[:1]) is None


@pytest.mark.parametrize(("ours", "theirs"), [(1.0, 0.5), (0.5, 1.0), (1.0, 0.9), (1.0, 0.1), (0.0, 1.0), (1.0, 1.0)])
def test_two_networks_do_not_differ_by_more_than_their_accuracies_can(ours, theirs):
    (a, b), images = votes(20, (ours, theirs))
    low, high = difference_of_votes([a], [b], images).interval
    (low_a, high_a), (low_b, high_b) = (share_of_votes(right, images).interval for right in (a, b))
    assert low_a - high_b <= low <= ours - theirs <= high <= high_a - low_b
    assert difference_of_votes([a], [b], images[:1]) is None
