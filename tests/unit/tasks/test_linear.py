"""Linear predictors against scikit-learn's, and what each task makes of them."""

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, Ridge

from deep_cnn.tasks.linear import discriminant, ridge_regression, standardised
from deep_cnn.tasks.make import new_task

RNG = np.random.default_rng(0)


def test_standardised_by_the_training_set_alone():
    train, test = RNG.normal(5, 3, size=(50, 3)), RNG.normal(size=(4, 3))
    train[:, 2] = test[:, 2] = 7
    known, new = standardised(train, test)
    assert known.mean(0) == pytest.approx(0) and known.std(0) == pytest.approx([1, 1, 0])
    assert new[:, :2] == pytest.approx((test - train.mean(0))[:, :2] / train.std(0)[:2]) and (new[:, 2] == 0).all()


def test_ridge_is_scikit_learns():
    train, test, y = RNG.normal(size=(60, 4)), RNG.normal(size=(9, 4)), RNG.normal(size=60)
    train -= train.mean(0)
    assert ridge_regression(train, y, test) == pytest.approx(Ridge(alpha=1.0).fit(train, y).predict(test))


def test_discriminant_analysis_is_scikit_learns():
    targets = RNG.integers(3, size=600)
    train = RNG.normal(size=(600, 4)) + np.eye(3, 4)[targets]
    train, test = standardised(train, RNG.normal(size=(50, 4)))
    theirs = LinearDiscriminantAnalysis(solver="lsqr").fit(train, targets)
    assert discriminant(train, targets, 3, test) == pytest.approx(theirs.predict_proba(test), abs=0.02)
    logistic = LogisticRegression(C=1e6).fit(train, targets).predict_proba(test)
    assert discriminant(train, targets, 3, test) == pytest.approx(logistic, abs=0.12), "normal classes: the same model"


def test_a_class_without_images_is_possible_but_unlikely():
    p = discriminant(RNG.normal(size=(40, 2)), np.arange(40) % 2, 3, RNG.normal(size=(5, 2)))
    assert np.isfinite(p).all() and p.sum(1) == pytest.approx(1) and (p[:, 2] < 0.2).all() and (p > 0).all()


def test_each_task_gives_what_decode_gives():
    numbers, new = RNG.normal(size=(80, 8)), RNG.normal(size=(6, 8))
    classes = (numbers[:, 0] > 0).astype(np.int64)
    p = new_task("classification", ("dark", "light")).linear(numbers, classes, new)
    assert p.shape == (6, 2) and ((p[:, 1] > 0.5) == (new[:, 0] > 0)).mean() > 0.8
    labels = np.stack([classes, np.zeros(80)], axis=1).astype(np.float32)
    p = new_task("multilabel", ("light", "never")).linear(numbers, labels, new)
    assert p.shape == (6, 2) and (p[:, 1] < 0.5).all() and ((p[:, 0] > 0.5) == (new[:, 0] > 0)).mean() > 0.8
    scores = np.stack([10 + 2 * numbers[:, 1], np.full(80, np.nan)], axis=1)
    scores[::3, 0] = np.nan
    with pytest.warns(RuntimeWarning, match="empty slice|Degrees of freedom"):
        task = new_task("regression", ("a", "b")).fitted(scores)
    found = task.linear(numbers, scores, new)
    assert found[:, 0] == pytest.approx(10 + 2 * new[:, 1], abs=0.2)


def test_the_bits_do_not_depend_on_the_number_of_threads():
    from threadpoolctl import threadpool_limits

    train, test, targets = RNG.normal(size=(3000, 8)), RNG.normal(size=(500, 8)), RNG.integers(5, size=3000)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append((discriminant(train, targets, 5, test), ridge_regression(train, train[:, 0] ** 2, test)))
    assert np.array_equal(found[0][0], found[1][0]) and np.array_equal(found[0][1], found[1][1])
