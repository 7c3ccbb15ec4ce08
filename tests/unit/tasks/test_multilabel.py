"""Multi-label classification: its loss, its chance, and what it writes and reads again."""

import numpy as np
import pytest
import torch

from deep_cnn.tasks.make import new_task
from deep_cnn.tasks.multilabel import MultiLabel
from deep_cnn.training.loop import loss_sum

RNG = np.random.default_rng(0)


def test_multilabel_loss_and_decoding():
    task = MultiLabel(("a", "b"), "bce")
    outputs, targets = RNG.normal(size=(30, 2)), (RNG.random((30, 2)) < 0.3).astype(np.float32)
    p = task.decode(outputs)
    encoded, weights = task.encode(targets).double(), torch.ones(30)
    total = loss_sum(torch.tensor(outputs), encoded, weights, task)
    expected = -(targets * np.log(p) + (1 - targets) * np.log(1 - p)).mean()
    assert float(total / task.batch_weight(encoded, weights)) == pytest.approx(expected)
    assert np.isfinite(task.decode(np.array([[-1e4, 1e4]]))).all()


def test_multilabel_by_the_rarest_label():
    targets = np.array([[1, 0]] * 8 + [[1, 1], [0, 0]], dtype=np.float32)
    weights = new_task("multilabel", "ab").rarity(targets, np.arange(10))
    assert weights[8] > weights[0] and np.isfinite(weights).all()


def test_chance_is_the_share_of_positives():
    targets = np.array([[1, 0], [1, 0], [0, 0], [0, 0]])
    assert new_task("multilabel", ("a", "b")).chance(targets) == (0.5, "random scores", None)


def test_what_is_written_and_read_again():
    task = new_task("multilabel", ("sky", "tree"))
    targets, decoded = np.array([[1, 1], [0, 0]], np.float32), np.array([[0.9, 0.2], [0.5, 0.1]])
    assert task.tested_cells(decoded, targets) == [["sky;tree", "sky", 0.9, 0.2], ["", "sky", 0.5, 0.1]]
    again = task.parse_targets(task.target_rows(targets))
    assert again.dtype == np.float32 and np.array_equal(again, targets)
    assert task.caption(targets[1], decoded[1]) == "nothing, predicted sky"
    ((_, mistakes),) = task.mistakes(decoded, targets, most=5)
    assert mistakes == [(0, "tree (20%)", "label present"), (1, "sky (50%)", "label absent")]
    assert task.wrongness(decoded, targets) == pytest.approx([0.8, 0.5])
