"""Labels that may be wrong: cleanlab's own answer, planted mistakes, and what an outlying score is."""

import numpy as np
import pytest

from deep_cnn.tasks.make import new_task
from deep_cnn.tasks.suspects import confident_classes, robust_z

# cleanlab 2.9.0: find_label_issues(labels, probabilities, filter_by="confident_learning") is [True] * 2 + [False] * 4
GIVEN = np.array([0, 1, 0, 1, 2, 2])
PROBABILITIES = np.array(
    [[0.1, 0.8, 0.1], [0.7, 0.2, 0.1], [0.9, 0.05, 0.05], [0.2, 0.6, 0.2], [0.3, 0.3, 0.4], [0.45, 0.05, 0.5]]
)


def test_confident_classes_are_those_of_cleanlab():
    chosen, margin = confident_classes(PROBABILITIES, GIVEN)
    assert chosen.tolist() == [1, 0, 0, 1, -1, 2]
    assert margin[:2] == pytest.approx([0.7, 0.5])


def test_the_most_suspicious_label_comes_first_and_says_what_it_may_be():
    task = new_task("classification", ("ant", "bee", "fly"))
    assert task.suspects(PROBABILITIES, GIVEN) == [
        (0, "ant", "bee", pytest.approx(0.7)),
        (1, "bee", "ant", pytest.approx(0.5)),
    ]


def test_planted_mistakes_are_found_although_one_class_is_always_less_certain():
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=600)
    logits = rng.normal(size=(600, 3))
    logits[np.arange(600), truth] += np.array([5.0, 5.0, 2.0])[truth]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    given = truth.copy()
    planted = rng.choice(600, 60, replace=False)
    given[planted] = (given[planted] + rng.integers(1, 3, size=60)) % 3
    found = [suspect.row for suspect in new_task("classification", ("a", "b", "c")).suspects(p, given)]
    assert len(set(found[:40]) & set(planted)) >= 38


def test_each_label_of_several_is_doubted_by_itself():
    task = new_task("multilabel", ("car", "tree"))
    targets = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0, 1]], np.float32)
    decoded = np.array([[0.9, 0.1], [0.8, 0.1], [0.1, 0.9], [0.95, 0.9], [0.1, 0.02]])
    assert [suspect[:3] for suspect in task.suspects(decoded, targets)] == [
        (4, "tree", "not tree"),
        (3, "not car", "car"),
    ]


def test_an_outlying_error_of_a_score_is_suspicious_and_a_missing_one_is_not():
    task = new_task("regression", ("price",)).fitted(np.array([[100.0], [300.0]]))
    targets = np.array([[100.0], [110.0], [105.0], [95.0], [300.0], [np.nan]])
    decoded = np.full((6, 1), 101.0)
    (suspect,) = task.suspects(decoded, targets)
    assert suspect[:3] == (4, "price: 300", "price: 101") and suspect.score > 10


def test_robust_z_is_the_usual_one_for_normal_errors():
    errors = np.random.default_rng(0).normal(3.0, 2.0, size=20_000)
    assert robust_z(errors) == pytest.approx((errors - 3) / 2, abs=0.15)
    assert (robust_z(np.array([1.0, 1.0, 1.0, 5.0])) == 0).all()
