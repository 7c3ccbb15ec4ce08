"""Splits: proportions against sklearn, groups and duplicates kept whole, saved and read again, and the planted bugs."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import StratifiedShuffleSplit

from deep_cnn.data import duplicates
from deep_cnn.data import split as split_module
from deep_cnn.data.duplicates import duplicate_groups
from deep_cnn.data.files import Paths
from deep_cnn.data.index import FREE, TEST, TRAIN, VALIDATION, Index, build_index
from deep_cnn.data.split import Splits, groups_trained_on, load_splits, save_splits, splits_of_run
from deep_cnn.data.split import make_splits as splits_of
from deep_cnn.runtime.errors import ConfigError, DataError
from deep_cnn.runtime.manifest import Manifest
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.tasks.base import Task
from deep_cnn.tasks.make import new_task


def index_of(targets, *, given=None, groups=None, classes=None, root=Path("nowhere")) -> Index:
    """An index without files: sizes differ, so that nothing needs to be read."""
    targets = np.asarray(targets)
    n = len(targets)
    task = "classification" if targets.ndim == 1 else "multilabel" if targets.dtype == np.float32 else "regression"
    k = int(targets.max()) + 1 if task == "classification" else targets.shape[1]
    names = tuple(f"class{c}" for c in range(k))
    return Index(
        root=root,
        paths=Paths.from_list([f"f{i:06d}.jpg" for i in range(n)]),
        sizes=np.arange(1, n + 1),
        mtimes=np.zeros(n, np.int64),
        task=task,
        classes=() if task == "regression" else classes or names,
        target_names=names if task == "regression" else ("class",),
        targets=targets,
        given_split=np.full(n, FREE, np.int8) if given is None else np.asarray(given, np.int8),
        groups=None if groups is None else np.asarray(groups, np.int64),
        group_names=() if groups is None else tuple(map(str, range(int(max(groups)) + 1))),
        table_digest="",
        notes=(),
        reason="",
    )


def task_of(index: Index) -> Task:
    return new_task(index.task, index.classes or index.target_names)


def strata_of(index: Index):
    return task_of(index).strata(index.targets)


def make_splits(index: Index, **shares) -> Splits:
    return splits_of(index, strata_of(index), **shares)


def parts_of(splits: Splits) -> list[np.ndarray]:
    return [splits.train, splits.validation, splits.test]


def assert_partition(splits: Splits, n: int) -> None:
    together = np.concatenate(parts_of(splits))
    assert sorted(together.tolist()) == list(range(n))
    for part in parts_of(splits):
        assert part.dtype == np.int64 and (np.diff(part) > 0).all()


# --- proportions -----------------------------------------------------------------------------------------------------


def test_classes_keep_their_shares_as_sklearn_has_them():
    rng = np.random.default_rng(0)
    targets = rng.choice(6, 1237, p=[0.4, 0.3, 0.15, 0.1, 0.04, 0.01])
    splits = make_splits(index_of(targets), val_split=0.2, test_split=0.1, seed=3)
    assert_partition(splits, 1237)
    assert (len(splits.validation), len(splits.test)) == (247, 124)
    for part, size in ((splits.validation, 247), (splits.test, 124)):
        _, theirs = next(StratifiedShuffleSplit(1, test_size=size, random_state=0).split(targets, targets))
        counts, expected = np.bincount(targets[part], minlength=6), np.bincount(targets[theirs], minlength=6)
        assert np.abs(counts - expected).max() <= 1


def test_small_classes_train_first_then_test_then_validate():
    targets = np.repeat([0, 1, 2, 3], [1, 2, 3, 94])
    splits = make_splits(index_of(targets), val_split=0.15, test_split=0.15, seed=0)
    counts = [np.bincount(targets[part], minlength=4).tolist() for part in parts_of(splits)]
    assert [c[:3] for c in counts] == [[1, 1, 1], [0, 0, 1], [0, 1, 1]]
    only_validation = make_splits(index_of(targets), val_split=0.15, test_split=0, seed=0)
    assert np.bincount(targets[only_validation.validation], minlength=4)[:3].tolist() == [0, 1, 1]
    assert "The test set is empty (--test_split=0)" in " ".join(only_validation.notes)


def test_scores_keep_their_deciles():
    scores = np.random.default_rng(1).gamma(1.0, 5.0, (1000, 1))
    splits = make_splits(index_of(scores), val_split=0.15, test_split=0.15, seed=0)
    decile = (scores[:, 0].argsort().argsort() * 10) // 1000  # ranks, counted independently
    for part in (splits.validation, splits.test):
        assert np.bincount(decile[part], minlength=10).tolist() == [15] * 10


def test_a_score_in_few_images_is_split_in_the_asked_shares():
    splits = make_splits(index_of(np.arange(48.0)[:, None]), val_split=0.15, test_split=0.15, seed=0)
    assert [len(part) for part in parts_of(splits)] == [34, 7, 7]
    tested = [
        make_splits(index_of(np.arange(48.0)[:, None]), val_split=0, test_split=0.15, seed=s).test.mean()
        for s in range(40)
    ]
    assert abs(np.mean(tested) - 23.5) < 1.5  # which strata round up is drawn: always the first would be 3 lower


def test_several_scores_and_labels():
    rng = np.random.default_rng(2)
    base = rng.normal(size=600)
    scores = np.stack([base * 1e6, base + 0.01 * rng.normal(size=600)], axis=1)
    scores[::7, 0] = np.nan
    assert np.corrcoef(strata_of(index_of(scores)).codes, base)[0, 1] > 0.95
    labels = np.zeros((200, 3), np.float32)
    labels[:, 0], labels[::2, 1], labels[::20, 2] = 1, 1, 1
    assert np.bincount(strata_of(index_of(labels)).codes).tolist() == [100, 90, 10]
    splits = make_splits(index_of(labels), val_split=0.2, test_split=0.2, seed=0)
    assert [int(labels[part, 2].sum()) for part in parts_of(splits)] == [6, 2, 2]


# --- given splits ----------------------------------------------------------------------------------------------------


def test_given_splits_are_kept_and_missing_ones_come_out_of_train():
    targets = np.tile([0, 1], 100)
    given = np.where(np.arange(200) < 40, TEST, TRAIN)
    splits = make_splits(index_of(targets, given=given), val_split=0.25, test_split=0.5, seed=0)
    assert splits.test.tolist() == list(range(40)) and len(splits.validation) == 40
    assert np.bincount(targets[splits.validation]).tolist() == [20, 20]
    assert "Held out 40 training images for validation, stratified by class" in splits.notes
    given[40:60] = VALIDATION
    both = make_splits(index_of(targets, given=given), val_split=0.25, test_split=0.9, seed=0)
    assert both.validation.tolist() == list(range(40, 60)) and len(both.train) == 140


def test_shares_that_cannot_be():
    index = index_of(np.tile([0, 1], 10))
    for shares in ((0.5, 0.5), (1.0, 0.0), (-0.1, 0.1), (float("nan"), 0.1)):
        with pytest.raises(ConfigError, match="--val_split"):
            make_splits(index, val_split=shares[0], test_split=shares[1], seed=0)
    with pytest.raises(DataError, match="the training set is empty"):
        make_splits(index_of([0, 1], given=[TEST, VALIDATION]), val_split=0, test_split=0, seed=0)


def test_a_pure_function_of_the_seed():
    targets = np.random.default_rng(0).integers(0, 4, 300)
    one, same, other = (make_splits(index_of(targets), val_split=0.2, test_split=0.2, seed=s) for s in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(parts_of(one), parts_of(same), strict=True))
    assert not np.array_equal(one.test, other.test)
    share = np.mean([np.isin(i, one.test) for i in other.test])
    assert share < 0.4  # 0.2 by chance


# --- groups ----------------------------------------------------------------------------------------------------------


def torn(groups: np.ndarray, splits: Splits) -> int:
    sets = [set(groups[part].tolist()) for part in parts_of(splits)]
    return len(sets[0] & sets[1] | sets[0] & sets[2] | sets[1] & sets[2])


@pytest.mark.parametrize("count, tolerance", [(200, 0.01), (30, 0.04)])
def test_groups_stay_whole_and_shares_hold(count, tolerance):
    rng = np.random.default_rng(count)
    groups = rng.integers(0, count, 3000)
    scores = (rng.normal(size=3000) + rng.normal(size=count)[groups])[:, None]
    splits = make_splits(index_of(scores, groups=groups), val_split=0.2, test_split=0.1, seed=1)
    assert_partition(splits, 3000)
    assert torn(groups, splits) == 0
    shares = np.array([len(part) for part in parts_of(splits)]) / 3000
    assert np.abs(shares - [0.7, 0.2, 0.1]).max() < tolerance
    if count == 200:  # enough groups for the deciles to hold as well
        for part in (splits.validation, splits.test):
            assert abs(scores[part].mean() - scores.mean()) < 0.15 * scores.std()


def test_a_split_that_forgets_groups_is_caught(monkeypatch):
    """The planted bug."""
    monkeypatch.setattr(split_module, "units_of", lambda same_bytes, groups: np.arange(len(same_bytes)))
    groups = np.repeat(np.arange(30), 10)
    splits = make_splits(index_of(np.tile([0, 1], 150), groups=groups), val_split=0.2, test_split=0.2, seed=0)
    assert torn(groups, splits) > 0


@pytest.mark.parametrize("sizes", [(50, 50), (50, 49, 1), (80, 10, 10), (34, 33, 33)])
def test_few_groups_fill_train_then_test_then_validation(sizes):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    targets = np.random.default_rng(0).integers(0, 2, len(groups))
    splits = make_splits(index_of(targets, groups=groups), val_split=0.15, test_split=0.15, seed=0)
    assert torn(groups, splits) == 0 and len(splits.train) == sizes[0] and len(splits.test) > 0
    assert ("The validation set is empty (too few images or groups" in " ".join(splits.notes)) == (len(sizes) == 2)
    assert (len(splits.validation) > 0) == (len(sizes) > 2)


def test_groups_over_given_splits_are_told():
    splits = make_splits(
        index_of([0, 1, 0, 1], given=[TRAIN, TRAIN, TEST, VALIDATION], groups=[0, 1, 0, 2]),
        val_split=0.1,
        test_split=0.1,
        seed=0,
    )
    assert "1 group is in more than one of the given splits" in " ".join(splits.notes)


def test_groups_of_the_test_that_are_trained_on_are_counted():
    groups = np.array([0, 0, 1, 1, 2, 3])
    assert groups_trained_on(groups, np.array([1, 3, 4]), np.array([0, 2, 5])) == 2
    assert groups_trained_on(groups, np.array([4]), np.array([0, 2, 5])) == 0
    assert groups_trained_on(None, np.array([4]), np.array([0, 2, 5])) == 0


# --- duplicates ------------------------------------------------------------------------------------------------------


def images(root: Path, contents: dict[str, bytes]) -> Path:
    for name, data in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def test_duplicates_are_files_of_the_same_bytes(tmp_path, monkeypatch):
    long = bytes(range(256)) * 64  # 16 kB, its middle 4 kB equal in all of these
    contents = {
        "a/1.jpg": long,
        "b/2.jpg": long,
        "a/3.jpg": b"X" + long[1:],
        "b/4.jpg": long[:-1] + b"X",
        "a/5.jpg": b"short",
        "b/6.jpg": b"shor!",
    }
    root = images(tmp_path, contents)
    (root / "b/7.jpg").hardlink_to(root / "a/1.jpg")
    hashed = []
    whole = duplicates._hash_file
    monkeypatch.setattr(duplicates, "_hash_file", lambda path: hashed.append(Path(path).name) or whole(path))
    index = build_index(root)
    data = [(root / path).read_bytes() for path in index.paths]
    assert duplicate_groups(index).tolist() == [data.index(d) for d in data]  # the first of the same bytes
    assert sorted(hashed) == ["1.jpg", "2.jpg", "3.jpg", "4.jpg"]  # 7 is 1; 5 and 6 differ within their 4 kB


def test_duplicates_across_given_splits_are_named(tmp_path):
    names = {
        f"{s}/{c}/{i}.jpg": f"{s}{c}{i}".encode() for s in ("train", "val", "test") for c in "ab" for i in range(4)
    }
    names["test/b/0.jpg"] = names["train/a/2.jpg"]
    splits = make_splits(build_index(images(tmp_path, names)), val_split=0.1, test_split=0.1, seed=0)
    assert splits.duplicates == [("train/a/2.jpg", "train", "test/b/0.jpg", "test")]
    assert "Duplicate image in train and test: train/a/2.jpg and test/b/0.jpg" in splits.notes


def test_a_carved_split_keeps_duplicates_on_one_side(tmp_path):
    names = {f"{c}/{i:02d}.jpg": f"image {c} {i % 15:02d}".encode() for c in "ab" for i in range(60)}  # each four times
    index = build_index(images(tmp_path, names))
    splits = make_splits(index, val_split=0.2, test_split=0.2, seed=0)
    assert splits.duplicates == [] and [len(part) for part in parts_of(splits)] == [72, 24, 24]
    assert torn(duplicate_groups(index), splits) == 0


def test_a_file_deleted_meanwhile_is_named(tmp_path):
    index = build_index(images(tmp_path, {"a/1.jpg": b"1", "b/2.jpg": b"2"}))
    (tmp_path / "b/2.jpg").unlink()
    with pytest.raises(DataError, match=r"2\.jpg: cannot be read .*removed or renamed"):
        make_splits(index, val_split=0.1, test_split=0.1, seed=0)


# --- the file --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "targets, header, cell",
    [
        (np.array([0, 1, 1, 0, 1]), "file,class,split", "class0"),
        (
            np.array([[0.1 + 0.2, np.nan], [1, 2], [1 / 3, 1e-9], [4, 5], [6, 7]]),
            "file,class0,class1,split",
            "0.30000000000000004,",
        ),
        (
            np.array([[1, 0, 1], [0, 1, 0], [1, 1, 0], [0, 0, 1], [1, 0, 0]], np.float32),
            "file,class,split",
            "class0;class2",
        ),
    ],
)
def test_splits_are_saved_and_read_again(tmp_path, targets, header, cell):
    index = index_of(targets)
    splits = Splits(np.array([0, 4]), np.array([1]), np.array([3]))  # 2 is in none: left out by --subset
    save_splits(tmp_path / "splits.csv", index, splits, task_of(index).target_rows)
    lines = (tmp_path / "splits.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == header and lines[1] == f"f000000.jpg,{cell},train"
    assert [line.split(",")[0] for line in lines[1:]] == ["f000000.jpg", "f000001.jpg", "f000003.jpg", "f000004.jpg"]
    again = load_splits(tmp_path / "splits.csv", index, task_of(index).target_rows)
    assert all(np.array_equal(a, b) for a, b in zip(parts_of(splits), parts_of(again), strict=True))
    assert "1 image is in the data folder and not in splits.csv: not used" in again.notes[0]
    assert [path.name for path in tmp_path.iterdir()] == ["splits.csv"]


def test_a_target_may_be_called_like_another_column(tmp_path):
    index = dataclasses.replace(index_of(np.ones((3, 2)).cumsum(0)), target_names=("split", "score"))
    splits = Splits(np.array([0]), np.array([1]), np.array([2]))
    save_splits(tmp_path / "splits.csv", index, splits, task_of(index).target_rows)
    assert (tmp_path / "splits.csv").read_text().startswith("file,target_split,score,split\n")
    again = load_splits(tmp_path / "splits.csv", index, task_of(index).target_rows)
    assert all(np.array_equal(a, b) for a, b in zip(parts_of(splits), parts_of(again), strict=True))


def test_splits_of_other_data_are_refused(tmp_path):
    file = tmp_path / "splits.csv"
    index = index_of([0, 1, 1, 0])
    cells = task_of(index).target_rows
    save_splits(file, index, Splits(np.array([0, 1]), np.array([2]), np.array([3])), cells)
    with pytest.raises(DataError, match=r"1 image is not in the data any more \(.*\) \(e.g. f000003.jpg\)"):
        load_splits(file, index.take(np.arange(3)), cells)
    with pytest.raises(DataError, match="1 image has another target now"):
        load_splits(file, index_of([0, 1, 0, 0]), cells)
    with pytest.raises(DataError, match="these splits do not belong to this data"):
        load_splits(file, index_of(np.ones((4, 2))), cells)
    with pytest.raises(DataError, match="cannot be read as splits"):
        load_splits(tmp_path / "none.csv", index, cells)
    file.write_text(file.read_text().replace("validation", "hold"))
    with pytest.raises(DataError, match="cannot be read as splits"):
        load_splits(file, index, cells)


# -- another run's splits ---------------------------------------------------------------------------------------------


def test_splits_of_another_run_with_other_targets(tmp_path):
    ours = index_of(np.arange(12) % 3)
    results = tmp_path / "results" / "first"
    results.mkdir(parents=True)
    rows = [f"f{i:06d}.jpg,0.5,{part}" for i, part in enumerate(["train"] * 6 + ["validation"] * 2 + ["test"] * 3)]
    (results / "splits.csv").write_text("\n".join(["file,price,split", *rows, "gone.jpg,1,test"]))
    found = splits_of_run(results, ours)
    assert [part.tolist() for part in (found.train, found.validation, found.test)] == [
        [0, 1, 2, 3, 4, 5],
        [6, 7],
        [8, 9, 10],
    ]
    said = " ".join(found.notes)
    assert "1 of its images are not in this data" in said and "1 image is not in its splits" in said
    with pytest.raises(DataError, match=r"--split_from=frist: no such run .* Did you mean first\?"):
        splits_of_run(tmp_path / "results" / "frist", ours)
    manifest = Manifest(RunFiles(tmp_path, "first"))
    manifest.announce(results / "splits.csv", results / "splits.csv")
    (results / "splits.csv").write_text((results / "splits.csv").read_text().replace("f000000.jpg", "f000011.jpg"))
    with pytest.raises(DataError, match=r"splits.csv: is damaged or was edited"):
        splits_of_run(results, ours)
    manifest.path.unlink()
    (results / "splits.csv").write_text("file,price,split\nother.jpg,1,train\n")
    with pytest.raises(DataError, match="none of its training images is in this data"):
        splits_of_run(results, ours)
    (results / "splits.csv").write_text("file,price,split\nf000001.jpg,1,half\n")
    with pytest.raises(DataError, match="cannot be read"):
        splits_of_run(results, ours)
