"""Simulations: regions cover fresh images and groups, and a temperature from few, nearly always right validation images does no harm."""

import numpy as np
import pytest

from benchmarks import conformal
from deep_cnn.tasks.classification import Classification

pytestmark = pytest.mark.slow

TASK = Classification(tuple("abcdefghij"), "cross_entropy")


def test_regions_cover():
    missed = [line for line, good in conformal.lines(100, "") if not good]
    assert not missed


def drawn(rng, n):
    """Outputs whose softmax is right, and labels; 98.8% of the images are right."""
    outputs = rng.normal(size=(n, 10))
    outputs[np.arange(n), rng.integers(10, size=n)] += rng.normal(11, 3, n)
    p = TASK.decode(outputs)
    return outputs, (p.cumsum(1) > rng.random(n)[:, None]).argmax(1)


@pytest.mark.parametrize("n", [36, 100, 300])
@pytest.mark.parametrize(("factor", "most"), [(0.6, 0.75), (1.0, 1.04), (1.5, 1.0), (2.5, 0.9)])
def test_the_temperature_at_an_accuracy_of_99_percent(n, factor, most):
    """Mean log loss over 60 validation sets, compared with none; a network whose probabilities are right can only lose, and loses little."""
    outputs, targets = drawn(np.random.default_rng(0), 20_000)
    assert 0.985 < (outputs.argmax(1) == targets).mean() < 0.992
    before, after = TASK.validation_loss(outputs * factor, targets), []
    for seed in range(60):
        few, truth = drawn(np.random.default_rng([seed, n]), n)
        after.append(TASK.calibrated(few * factor, truth).validation_loss(outputs * factor, targets))
    assert np.mean(after) <= most * before and max(after) < 1.2 * before
