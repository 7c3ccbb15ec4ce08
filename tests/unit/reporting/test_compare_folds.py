"""Differences of cross-validations in words."""

from deep_cnn.reporting.compare.folds import _difference
from deep_cnn.tasks.differences import Difference


def test_a_difference_that_is_the_same_in_all_folds_has_no_interval():
    assert _difference("pair_accuracy", Difference(0.02)) == "2.0 points"
    assert _difference("pair_accuracy", Difference(0.02, (-0.01, 0.05))) == "2.0 points [-1.0 points, 5.0 points]"
