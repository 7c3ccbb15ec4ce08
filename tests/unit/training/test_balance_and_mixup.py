"""Rare samples are drawn more often; mixed batches keep what they are made of."""

import numpy as np
import pytest
import torch

from deep_cnn.data.feed import batch_bounds, epoch_order, steps_per_epoch
from deep_cnn.tasks.classification import Classification
from deep_cnn.tasks.regression import Regression
from deep_cnn.training.mixup import Mixer, cut_box


def test_oversampling_draws_in_proportion():
    weights = np.repeat([0.5, 3.0], [800, 200])
    drawn = epoch_order(1000, 0, 3, weights)
    counts = np.bincount(drawn, minlength=1000)
    assert len(drawn) == 1000 and (counts[800:] == 3).all() and counts[:800].max() == 1
    assert not np.array_equal(drawn, epoch_order(1000, 0, 4, weights))
    assert len(set(drawn[:50] >= 800)) == 2  # mixed, not sorted by weight


@pytest.mark.parametrize(
    ("samples", "size", "lengths"), [(10, 4, [4, 4, 2]), (9, 4, [4, 5]), (1, 4, [1]), (4, 4, [4]), (3, 1, [1, 1, 1])]
)
def test_a_last_batch_of_one_joins_the_one_before(samples, size, lengths):
    bounds = [batch_bounds(step, samples, size) for step in range(steps_per_epoch(samples, size))]
    assert [end - start for start, end in bounds] == lengths
    assert bounds[0][0] == 0 and bounds[-1][1] == samples


CLASSES = Classification(("a", "b", "c"), "cross_entropy")


def test_mixup_blends_images_and_targets_alike():
    images, targets = torch.rand(8, 3, 4, 4), torch.arange(8) % 3
    mixed, soft = Mixer(mixup=1.0)(images, targets, CLASSES, seed=0, step=5)
    again, _ = Mixer(mixup=1.0)(images, targets, CLASSES, seed=0, step=5)
    other, _ = Mixer(mixup=1.0)(images, targets, CLASSES, seed=0, step=6)
    assert torch.equal(mixed, again) and not torch.equal(mixed, other)
    assert torch.allclose(soft.sum(1), torch.ones(8))
    one_hot = torch.nn.functional.one_hot(targets, 3).float()
    # images and targets are blended by the same matrix: solve it from the images, apply it to the targets
    matrix = torch.linalg.lstsq(images.flatten(1).double().T, mixed.flatten(1).double().T).solution.T
    assert torch.allclose(matrix @ one_hot.double(), soft.double(), atol=1e-3)


def test_cutmix_share_is_the_area_that_stayed():
    images = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 3, 16, 16).clone()
    for step in range(20):
        mixed, soft = Mixer(cutmix=1.0)(images, torch.zeros(6, dtype=torch.long), CLASSES, seed=1, step=step)
        assert torch.allclose(soft.sum(1), torch.ones(6))
        targets = torch.arange(6) % 3
        _, soft = Mixer(cutmix=1.0)(images, targets, CLASSES, seed=1, step=step)
        for i in range(6):
            kept = (mixed[i] == i).float().mean()
            if float(kept) < 1:  # its partner is another image
                partner = int(mixed[i][mixed[i] != i][0])
                share = kept if targets[i] != targets[partner] else torch.tensor(1.0)
                assert float(soft[i, targets[i]]) == pytest.approx(float(share), abs=1e-5)


def test_mixup_of_scores_keeps_missing_ones_missing():
    task = Regression(("x",), "mse", 0.0, (0.0,), (1.0,))
    targets = torch.tensor([[1.0], [float("nan")], [3.0], [5.0]])
    _, mixed = Mixer(mixup=0.4)(torch.rand(4, 3, 2, 2), targets, task, seed=0, step=1)
    assert 1 <= int(torch.isnan(mixed).sum()) <= 2


def test_off_is_off():
    images, targets = torch.rand(4, 3, 2, 2), torch.tensor([0, 1, 2, 0])
    assert Mixer()(images, targets, CLASSES, 0, 0)[0] is images


def test_boxes_stay_inside():
    generator = np.random.default_rng(0)
    for _ in range(200):
        top, bottom, left, right = cut_box(generator.random(), 32, generator)
        assert 0 <= top <= bottom <= 32 and 0 <= left <= right <= 32
