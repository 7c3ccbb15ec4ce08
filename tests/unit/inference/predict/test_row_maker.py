"""The columns of predict's table."""

from types import SimpleNamespace

import pytest

from deep_cnn.inference.predict.row_maker import RowMaker
from deep_cnn.runtime.errors import ConfigError
from deep_cnn.tasks.classification import Classification
from deep_cnn.tasks.regression import Regression

CLASSES = Classification(("a", "b", "c"), "cross_entropy")
SCORES = Regression(("safety",), "mse", mean=(5.0,), std=(2.0,))


def columns(task, top):
    network = SimpleNamespace(task=task, reference=None)
    return RowMaker([network], top=top, tta="none", places=False).columns()


def test_the_most_probable_classes_are_asked_of_classes_alone():
    assert columns(CLASSES, 2) != columns(CLASSES, None)
    assert "predicted_safety" in columns(SCORES, None)
    with pytest.raises(ConfigError, match="--top=2: is for classes and labels, not for regression; leave the flag out"):
        columns(SCORES, 2)
