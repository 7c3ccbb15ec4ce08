"""What a plan of folds says of votes before anything is trained."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from deep_cnn.data.folds import Folds
from deep_cnn.data.votes import Votes
from deep_cnn.tools.folds.plan import folds_without_votes


def test_folds_are_named_that_no_decided_vote_tests():
    folds = Folds(np.array([0, 0, 1, 1, 2, 2, -1, -1]), 3)
    images = np.array([[0, 1], [2, 3], [4, 0], [6, 7]])  # in the first, a tie in the second, of two folds, of none
    votes = Votes(images, np.zeros(4, int), np.array([1.0, 0.5, 0.0, 1.0]), ("safety",))
    index = SimpleNamespace(votes=votes)
    assert folds_without_votes(index, folds) == [2, 3]
    index.votes = replace(votes, outcome=np.ones(4))
    assert folds_without_votes(index, folds) == [3]
    assert folds_without_votes(SimpleNamespace(votes=None), folds) == []
