"""--subset: its size, its strata, and the labs' own order."""

import numpy as np
import pytest
from test_split import index_of, make_splits, strata_of

from deep_cnn.config.schema import Config
from deep_cnn.data.division import part_of
from deep_cnn.data.index import TEST, TRAIN, VALIDATION
from deep_cnn.data.subset import apply_subset, lab_subset
from deep_cnn.runtime.errors import ConfigError


@pytest.mark.parametrize(
    "subset, size", [(100, 100), (0.25, 200), (7, 7), (3, 3), (1.0, 800), (5000, 800), (None, 800)]
)
def test_subset_is_stratified_and_exact(subset, size):
    targets = np.random.default_rng(0).choice(5, 1000, p=[0.5, 0.3, 0.1, 0.09, 0.01])
    index, train = index_of(targets), np.arange(0, 800)
    chosen = apply_subset(strata_of(index), train, subset, seed=0)
    assert (
        len(chosen) == size
        and len(set(chosen.tolist())) == size
        and set(chosen) <= set(train)
        and (np.diff(chosen) > 0).all()
    )
    if size >= 5:
        counts, expected = (
            np.bincount(targets[chosen], minlength=5),
            np.bincount(targets[:800], minlength=5) * size / 800,
        )
        assert counts.min() >= 1 and np.abs(counts - expected).max() <= (1 if size > 7 else 2)
    assert np.array_equal(chosen, apply_subset(strata_of(index), train, subset, seed=0))


def test_subset_of_nothing():
    with pytest.raises(ConfigError, match="--subset=0"):
        apply_subset(strata_of(index_of([0, 1])), np.arange(2), 0, seed=0)


def notebook(count: int, total: int) -> list[int]:
    """The lines of the labs' notebooks."""
    indices = list(range(total))
    np.random.RandomState(seed=2147483647).shuffle(indices)
    return indices[:count]


def test_the_labs_order_is_that_of_their_notebooks():
    index = index_of(np.arange(1000) % 10)
    pool = np.arange(100, 900)  # the training set; the rest is the test's
    chosen = lab_subset(index, np.concatenate([pool[400:], pool[:400]]), 150)
    assert chosen.tolist() == sorted(100 + i for i in notebook(150, 800))
    assert len(lab_subset(index, pool, 0.25)) == 200


def test_numbered_files_are_in_torchvisions_order():
    """Class folders stand in the index one after the other; torchvision's order is that of the files' names."""
    index = index_of(np.arange(40) // 10)
    names = np.random.default_rng(0).permutation(40)
    paths = [f"train/class{i // 10}/{names[i]:05}.png" for i in range(40)]
    object.__setattr__(index, "paths", type(index.paths).from_list(paths))
    chosen = lab_subset(index, np.arange(40), 12)
    assert sorted(names[chosen].tolist()) == sorted(notebook(12, 40))


def test_the_labs_subset_does_not_silently_take_the_validation_set():
    index = index_of(np.arange(250) % 5, given=np.repeat([TRAIN, TEST], [200, 50]))
    before = make_splits(index, val_split=0.25, test_split=0.25, seed=0)
    with pytest.raises(ConfigError, match="leaves none for validation"):
        part_of(before, index, strata_of(index), Config(subset="200", subset_order="lab"))
    without = make_splits(index, val_split=0, test_split=0.25, seed=0)
    assert len(part_of(without, index, strata_of(index), Config(subset="200", subset_order="lab")).train) == 200


def test_a_subset_without_a_class_says_so(caplog):
    index = index_of(np.arange(250) % 5, given=np.repeat([TRAIN, TEST], [200, 50]))
    splits = make_splits(index, val_split=0.25, test_split=0.25, seed=0)
    part_of(splits, index, strata_of(index), Config(subset="5"))
    assert "no training images left" not in caplog.text
    part_of(splits, index, strata_of(index), Config(subset="2"))
    assert "3 of the 5 classes" in caplog.text


def test_a_subset_above_the_number_of_images_says_so(caplog):
    index = index_of(np.arange(250) % 5, given=np.repeat([TRAIN, TEST], [200, 50]))
    splits = make_splits(index, val_split=0, test_split=0, seed=0)
    for enough in ("200", "1.0"):
        assert len(part_of(splits, index, strata_of(index), Config(subset=enough)).train) == 200
    assert not caplog.text
    assert len(part_of(splits, index, strata_of(index), Config(subset="5000")).train) == 200
    assert "--subset=5000: there are only 200 training images; all are used" in caplog.text


@pytest.mark.parametrize("own_validation", [False, True])
def test_the_labs_subset_leaves_validation_and_test_apart(own_validation):
    """Training is on exactly the labs' images; what was carved out keeps the others, a folder of its own stays whole."""
    given = np.repeat([TRAIN, TEST], [200, 50])
    given[180:200] = VALIDATION if own_validation else TRAIN
    index = index_of(np.arange(250) % 5, given=given)
    before = make_splits(index, val_split=0.25, test_split=0.25, seed=0)
    parts = part_of(before, index, strata_of(index), Config(subset="60", subset_order="lab"))
    total = 180 if own_validation else 200
    assert parts.train.tolist() == sorted(notebook(60, total))
    assert not set(parts.train) & set(parts.validation)
    assert set(parts.validation) == set(before.validation) - set(parts.train)
    assert len(parts.validation) == 20 if own_validation else 20 < len(parts.validation) < 50
    assert np.array_equal(parts.test, before.test)
