"""Folds: each image in one of them, proportions against scikit-learn, groups and duplicates whole, and what is refused."""

import numpy as np
import pytest
from sklearn.model_selection import StratifiedKFold
from test_split import index_of, strata_of

from deep_cnn.data import folds as folds_module
from deep_cnn.data.folds import Folds, assign_folds
from deep_cnn.data.index import FREE, TEST, TRAIN, VALIDATION, Index
from deep_cnn.runtime.errors import ConfigError


def folds_of(index: Index, folds: str = "5", seed: int = 0) -> Folds:
    return assign_folds(index, strata_of(index), folds, group="city", seed=seed)


def counts(folds: Folds, values: np.ndarray) -> np.ndarray:
    """Images of each fold (row) that have each value (column)."""
    return np.array([np.bincount(values[folds.of == k], minlength=values.max() + 1) for k in range(folds.count)])


def test_each_class_is_divided_as_evenly_as_can_be_and_so_are_all_images():
    classes = np.repeat([0, 1, 2], [41, 23, 13])
    found = counts(folds_of(index_of(classes)), classes)
    assert found.sum() == 77 and np.ptp(found, axis=0).max() <= 1
    assert np.ptp(found.sum(axis=1)) <= 1
    theirs = [np.bincount(classes[test]) for _, test in StratifiedKFold(5).split(classes, classes)]
    assert sorted(map(sorted, found.T.tolist())) == sorted(map(sorted, np.array(theirs).T.tolist()))


def test_many_small_classes_do_not_fill_the_first_folds():
    classes = np.repeat(np.arange(40), 6)  # 6 of each: one fold of five gets two
    assert np.ptp(counts(folds_of(index_of(classes)), classes).sum(axis=1)) <= 1


def test_scores_are_divided_by_deciles():
    scores = np.arange(200.0)[:, None]
    of = folds_of(index_of(scores)).of
    means = [scores[of == k].mean() for k in range(5)]
    assert np.ptp(means) < 10, "random folds of 40 differ by 20 or so"


def test_folds_depend_on_the_seed_and_not_on_where_the_images_lie():
    index = index_of(np.repeat([0, 1], 30))
    assert (folds_of(index).of == folds_of(index).of).all()
    assert (folds_of(index).of != folds_of(index, seed=1).of).any()


def test_groups_stay_whole_and_folds_are_about_equal():
    rng = np.random.default_rng(0)
    groups = rng.integers(30, size=600)
    classes = rng.integers(3, size=600)
    folds = folds_of(index_of(classes, groups=groups))
    assert all(len(set(folds.of[groups == g])) == 1 for g in range(30))
    sizes = np.bincount(folds.of)
    assert len(sizes) == 5 and sizes.min() > 80 and sizes.max() < 160
    assert folds.names == ()


def test_one_large_group_leaves_images_for_all_other_folds():
    groups = np.repeat([0, 1, 2, 3, 4], [200, 5, 5, 5, 5])
    sizes = np.bincount(folds_of(index_of(np.arange(220) % 2, groups=groups)).of)
    assert sorted(sizes) == [5, 5, 5, 5, 200]


def test_leave_one_group_out_names_its_folds():
    index = index_of(np.arange(12) % 2, groups=np.repeat([2, 0, 1], 4))
    folds = folds_of(index, "groups")
    assert folds.count == 3 and folds.names == ("0", "1", "2") and folds.title(3) == "fold 3 of 3 (2)"
    assert (folds.of == index.groups).all()


def test_images_of_the_same_bytes_are_in_one_fold(monkeypatch):
    twins = np.arange(40)
    twins[20:] -= 20  # each image is there twice
    monkeypatch.setattr(folds_module, "duplicate_groups", lambda index, cache_dir: twins)
    of = folds_of(index_of(np.tile(np.repeat([0, 1], 10), 2))).of
    assert (of[:20] == of[20:]).all() and np.bincount(of).tolist() == [8] * 5


def test_a_given_validation_set_is_in_no_fold_and_validates_in_each():
    given = np.full(30, TRAIN, np.int8)
    given[20:] = VALIDATION
    index = index_of(np.arange(30) % 2, given=given)
    folds = folds_of(index)
    assert (folds.of[20:] == -1).all() and np.bincount(folds.of[:20]).tolist() == [4] * 5
    for fold in range(1, 6):
        of = folds.testing(fold, index).given_split
        assert (of[20:] == VALIDATION).all() and (of == TEST).sum() == 4


def test_the_other_images_of_a_fold_stay_free_for_validation():
    index = index_of(np.arange(20) % 2)
    given = folds_of(index).testing(2, index).given_split
    assert sorted(np.unique(given)) == [FREE, TEST]


@pytest.mark.parametrize(
    ("index", "folds", "said"),
    [
        (index_of(np.repeat([0, 1], [30, 3])), "5", r"class1 \(3\); use --folds=3, or add images"),
        (index_of(np.repeat([0, 1], [30, 1])), "5", r"class1 \(1\); add images, or remove the class"),
        (index_of(np.arange(3.0)[:, None]), "5", "only 3 images"),
        (index_of(np.arange(30) % 2, groups=np.arange(30) % 3), "5", "--group=city has only 3 groups"),
        (
            index_of(
                np.arange(6) % 2,
                groups=[0, 0, 0, 1, 1, 1],
                given=[TRAIN, TRAIN, TRAIN, VALIDATION, VALIDATION, VALIDATION],
            ),
            "groups",
            "only one group",
        ),
    ],
)
def test_fewer_images_classes_or_groups_than_folds_are_refused(index, folds, said):
    with pytest.raises(ConfigError, match=said):
        folds_of(index, folds)


def test_a_fold_that_there_is_not_is_refused():
    index = index_of(np.arange(12) % 2, groups=np.repeat([0, 1, 2], 4))
    with pytest.raises(ConfigError, match="--fold=4: there are only 3 folds; choose one from 1 to 3"):
        folds_of(index, "groups").testing(4, index)


def test_a_class_of_one_group_is_named():
    (note,) = folds_of(index_of([0, 1, 0, 1, 0, 2], groups=[0, 0, 1, 1, 2, 2]), "groups").notes
    assert "class2 (2)" in note and "class1" not in note
