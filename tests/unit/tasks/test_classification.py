"""Classification: its loss and its rarity against independent calculations, and what it writes and reads again."""

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_sample_weight

from deep_cnn.tasks.classification import Classification
from deep_cnn.tasks.make import new_task
from deep_cnn.training.loop import loss_sum

RNG = np.random.default_rng(0)
TASK = Classification(("a", "b", "c"), "cross_entropy")


@torch.no_grad()
def mean_loss(task, outputs, targets, weights=None):
    """As training computes it."""
    weights = torch.ones(len(outputs)) if weights is None else weights
    return float(loss_sum(outputs, targets, weights, task) / task.batch_weight(targets, weights))


def test_cross_entropy_is_sklearns_log_loss():
    task = Classification(("a", "b", "c"), "cross_entropy")
    outputs, targets = RNG.normal(size=(40, 3)), RNG.integers(3, size=40)
    expected = log_loss(targets, task.decode(outputs), labels=[0, 1, 2])
    assert mean_loss(task, torch.tensor(outputs), task.encode(targets)) == pytest.approx(expected)
    assert task.validation_loss(outputs, targets) == pytest.approx(expected)


def test_class_weights_are_torchs_weighted_mean():
    task = Classification(("a", "b", "c"), "cross_entropy")
    outputs, targets = torch.randn(50, 3), torch.randint(3, (50,))
    class_weights = torch.tensor([0.2, 1.0, 3.0])
    expected = torch.nn.functional.cross_entropy(outputs, targets, weight=class_weights)
    assert mean_loss(task, outputs, targets, class_weights[targets]) == pytest.approx(float(expected), rel=1e-5)


def test_label_smoothing_trains_but_does_not_validate():
    smooth, plain = (Classification(("a", "b"), "cross_entropy", s) for s in (0.1, 0.0))
    outputs, targets = torch.tensor([[3.0, -3.0]]), torch.tensor([0])
    assert mean_loss(smooth, outputs, targets) > mean_loss(plain, outputs, targets)
    assert smooth.validation_loss(outputs.numpy(), targets.numpy()) == pytest.approx(
        mean_loss(plain, outputs, targets), rel=1e-3
    )


def test_class_weights_are_sklearns_balanced_ones():
    targets = np.repeat([0, 1, 2], [60, 30, 10])
    train = np.arange(100)
    assert new_task("classification", "abc").rarity(targets, train) == pytest.approx(
        compute_sample_weight("balanced", targets)
    )


def test_rarity_looks_at_the_training_set_only():
    targets = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    weights = new_task("classification", "abc").rarity(targets, np.array([0, 1, 2, 3]))
    assert weights[3] / weights[0] == pytest.approx(3) and weights[7] == weights[3]


def test_chance_is_always_saying_the_most_frequent_class():
    found = new_task("classification", ("ant", "bee")).chance(np.array([0, 1, 1, 1]))
    assert found[:2] == (0.75, "always predicting 'bee'")
    assert found.loss == pytest.approx(log_loss([0, 1, 1, 1], np.tile([0.25, 0.75], (4, 1))))
    assert new_task("classification", ("ant", "bee")).chance(np.array([], np.int64)) is None


def test_what_is_written_and_read_again():
    targets, decoded = np.array([2, 0]), np.array([[0.2, 0.5, 0.3], [0.6, 0.4, 0.0]])
    assert TASK.tested_columns() == ["target", "predicted", "p_a", "p_b", "p_c"]
    assert TASK.tested_cells(decoded, targets) == [["c", "b", 0.2, 0.5, 0.3], ["a", "a", 0.6, 0.4, 0.0]]
    assert TASK.columns(top=2) == ["class_1", "p_1", "class_2", "p_2"] and len(TASK.columns(top=9)) == 6
    assert TASK.cells(decoded, top=2)[0] == ["b", 0.5, "c", 0.3]
    assert TASK.parse_targets(TASK.target_rows(targets)).tolist() == [2, 0]
    assert TASK.caption(2, decoded[0]) == "c, predicted b (50%)" and TASK.output_text(1, 0.871) == "b 87%"


def test_the_most_confident_mistakes_come_first():
    decoded = np.array([[0.2, 0.5, 0.3], [0.9, 0.1, 0.0], [0.8, 0.1, 0.1], [0.0, 0.0, 1.0]])
    targets = np.array([2, 1, 1, 2])
    ((title, mistakes),) = TASK.mistakes(decoded, targets, most=2)
    assert title == "Most confident mistakes" and mistakes == [(1, "a (90%)", "true: b"), (2, "a (80%)", "true: b")]
    assert TASK.wrongness(decoded, targets) == pytest.approx([0.7, 0.9, 0.9, 0.0])
    assert TASK.wrongness(np.full((1, 3), np.nan), targets[:1]).tolist() == [-1.0]


def test_the_layer_decodes():
    outputs = RNG.normal(size=(5, 3)).astype(np.float32)
    assert TASK.activation()(torch.tensor(outputs)).numpy() == pytest.approx(TASK.decode(outputs), abs=1e-6)
