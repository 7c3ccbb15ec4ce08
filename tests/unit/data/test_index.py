"""Which samples an index finds: class folders of every form, the kept list of files, and what is refused."""

import os
import pickle
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from conftest import HERE

from deep_cnn.data.files import Paths, scan
from deep_cnn.data.index import FREE, TEST, TRAIN, VALIDATION, IndexOptions, build_index
from deep_cnn.runtime.errors import ConfigError, DataError


def touch(root: Path, *names: str) -> Path:
    """Files with distinct bytes; their content is not looked at here."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root


def notes_of(index) -> str:
    return "\n".join(index.notes)


# --- paths -----------------------------------------------------------------------------------------------------------


def test_paths_are_a_list_of_strings_in_one_block():
    names = [f"klasse ä/{'x' * (i % 7)}{i}.jpg" for i in range(500)]
    paths = Paths.from_list(names)
    order = np.random.default_rng(0).permutation(500)[:300]
    assert len(paths) == 500 and list(paths) == names and paths[-1] == names[-1]
    assert list(paths.take(order)) == [names[i] for i in order]
    assert list(pickle.loads(pickle.dumps(paths))) == names
    assert list(paths.take(np.array([], dtype=np.int64))) == [] and list(Paths.from_list([])) == []
    with pytest.raises(IndexError):
        paths[500]


def test_take_goes_over_the_edges_of_its_blocks(monkeypatch):
    monkeypatch.setattr("deep_cnn.data.files.ROWS_AT_ONCE", 4)
    names = [f"{'y' * (i % 5)}{i}" for i in range(23)]
    order = np.random.default_rng(1).integers(0, 23, 41)
    assert list(Paths.from_list(names).take(order)) == [names[i] for i in order]
    assert list(Paths.from_list(names)) == names


# --- class folders ---------------------------------------------------------------------------------------------------


def test_committed_places():
    index = build_index(HERE / "places_test_input")
    assert index.task == "classification" and index.classes == ("alley", "auto_factory", "beach", "boathouse", "butte")
    counted = [
        [((index.targets == k) & (index.given_split == s)).sum() for k in range(5)] for s in (TRAIN, VALIDATION, TEST)
    ]
    assert counted == [[8] * 5, [3] * 5, [3] * 5]
    for i, path in enumerate(index.paths):  # independently from the path itself
        split, name, _ = path.split("/")
        assert index.classes[index.targets[i]] == name
        assert ("train", "val", "test")[index.given_split[i]] == split
        assert index.sizes[i] == (index.root / path).stat().st_size


def test_every_name_that_browsers_give_a_jpeg_is_read(tmp_path):
    endings = ("jpg", "jpeg", "jpe", "jif", "jfif", "jfi", "pjpeg", "PJP")
    touch(tmp_path, *(f"{name}/{ending}.{ending}" for name in "ab" for ending in endings))
    index = build_index(tmp_path)
    assert len(index) == 2 * len(endings) and not any("Ignored" in note for note in index.notes)


def test_plain_class_folders_nested_files_and_mixed_endings(tmp_path):
    touch(tmp_path, "cat/1.JPG", "cat/deep/er/2.Jpeg", "dog/3.png", "dog/4.WEBP", "dog/5.bmp", "dog/6.gif")
    touch(
        tmp_path,
        "dog/.7.jpg",
        "cat/Thumbs.db",
        "notes.txt",
        ".cache/8.jpg",
        "__MACOSX/cat/9.jpg",
        "dog/noending",
        "10.jpg",
    )
    (tmp_path / "empty").mkdir()
    index = build_index(tmp_path)
    assert list(index.paths) == ["cat/1.JPG", "cat/deep/er/2.Jpeg", "dog/3.png", "dog/4.WEBP", "dog/5.bmp", "dog/6.gif"]
    assert index.targets.tolist() == [0, 0, 1, 1, 1, 1] and set(index.given_split.tolist()) == {FREE}
    assert "6 entries" in notes_of(index) and "3 hidden" in notes_of(index) and "1 .txt" in notes_of(index)
    assert "1 class folder has no images: empty" in notes_of(index)
    assert "1 image in the top folder, not in a class folder: not used" in notes_of(index)
    assert "2 class folders -> classification" in index.reason


@pytest.mark.parametrize(
    "names", [("train", "valid", "test"), ("Training", "validation", "Testing"), ("train", "val", "test")]
)
def test_split_folders_and_their_other_names(tmp_path, names):
    for split in names:
        touch(tmp_path, f"{split}/a/{split}1.jpg", f"{split}/b/{split}2.jpg")
    index = build_index(tmp_path)
    of_split = {path.split("/")[0]: given for path, given in zip(index.paths, index.given_split, strict=True)}
    assert of_split == dict(zip(names, (TRAIN, VALIDATION, TEST), strict=True)) and index.classes == ("a", "b")
    assert ("valid/ is used as the validation set" in notes_of(index)) == (names[1] == "valid")


def test_the_named_folder_wins_over_the_usual_one(tmp_path):
    touch(tmp_path, *(f"{split}/{c}/1.jpg" for split in ("train", "val", "held_out") for c in "ab"))
    index = build_index(tmp_path, IndexOptions(val_folder="held_out"))
    assert sorted(set(index.given_split.tolist())) == [TRAIN, VALIDATION]
    assert {p.split("/")[0] for p in index.paths} == {"train", "held_out"}
    assert (
        "2 images in val/ are not used: the data set is held_out/ and train/. To use them as the test set, give --test_folder=val"
        in notes_of(index)
    )
    with pytest.raises(DataError, match=r"--val_folder=held_uot: .*Did you mean held_out\?"):
        build_index(tmp_path, IndexOptions(val_folder="held_uot"))
    with pytest.raises(ConfigError, match="same folder"):
        build_index(tmp_path, IndexOptions(val_folder="val", test_folder="val"))


def test_a_class_may_be_called_train(tmp_path):
    touch(tmp_path, "train/1.jpg", "car/2.jpg", "bus/3.jpg")
    assert build_index(tmp_path).classes == ("bus", "car", "train")


def test_unlabelled_test_images_are_left_out(tmp_path):
    touch(tmp_path, "train/a/1.jpg", "train/b/2.jpg", "test/3.jpg", "test/4.jpg")
    index = build_index(tmp_path)
    assert len(index) == 2 and "2 images in test, not in a class folder: not used" in notes_of(index)


def test_class_missing_in_train_is_named(tmp_path):
    touch(tmp_path, "train/ants/1.jpg", "train/bees/2.jpg", "val/ants/3.jpg", "val/Bees/4.jpg")
    with pytest.raises(DataError, match=r"class 'Bees' has 1 images in the validation folder.*Did you mean bees\?"):
        build_index(tmp_path)
    (tmp_path / "val/Bees/4.jpg").unlink()  # an empty folder is no class of its own
    assert build_index(tmp_path).classes == ("ants", "bees")


def test_what_is_refused_in_one_line(tmp_path):
    def refused(match, *names, **flags):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        with pytest.raises((DataError, ConfigError), match=match) as problem:
            build_index(touch(folder, *names), IndexOptions(**flags))
        assert "\n" not in str(problem.value)

    refused("no images found")
    refused("no images found.*1 .txt", "a.txt")
    refused(r"only one class \(a\)", "a/1.jpg", "a/2.jpg")
    refused(r"only one class \(a\)", "train/a/1.jpg", "val/a/2.jpg")
    refused("no class folders", "1.jpg", "2.jpg")
    refused(r"only one class \(images\).*--metadata=houses.csv\?", "images/1.jpg", "houses.csv")
    refused(r"Did you mean --data_dir=.*places\?", "places/train/a/1.jpg", "places/train/b/2.jpg")
    refused("no train folder", "val/a/1.jpg", "test/a/2.jpg")
    refused("--task=regression: needs a table", "a/1.jpg", "b/1.jpg", task="regression")
    refused("--target: needs a table.*x.csv", "a/1.jpg", "b/1.jpg", "x.csv", target=("price",))
    with pytest.raises(DataError, match="does not exist"):
        build_index(tmp_path / "nowhere")


def test_a_folder_too_high_is_told(tmp_path):
    touch(tmp_path, "set1/train/a/1.jpg", "set1/train/b/1.jpg", "set2/train/a/1.jpg")
    with pytest.raises(DataError, match=r"set1/ is a data set .* not a class. Did you mean --data_dir=.*set1\?"):
        build_index(tmp_path)


def test_the_order_on_disk_and_the_absolute_path_change_nothing(tmp_path):
    names = [f"{c}/{i}.jpg" for c in "cab" for i in (10, 2, 33)]
    one = build_index(touch(tmp_path / "one", *names))
    two = build_index(touch(tmp_path / "elsewhere" / "two", *reversed(names)))
    assert one.paths == two.paths and list(one.paths) == sorted(names)
    assert np.array_equal(one.targets, two.targets) and np.array_equal(one.sizes, two.sizes)


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_links_are_followed_and_loops_refused(tmp_path):
    touch(tmp_path / "store", "x/1.jpg")
    touch(tmp_path / "data", "b/2.jpg")
    (tmp_path / "data" / "a").symlink_to(tmp_path / "store" / "x")
    (tmp_path / "data" / "b" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    index = build_index(tmp_path / "data")
    assert list(index.paths) == ["a/1.jpg", "b/2.jpg"] and "1 broken links" in notes_of(index)
    (tmp_path / "data" / "b" / "back").symlink_to(tmp_path / "data")
    with pytest.raises(DataError, match="this link points back to a parent folder"):
        build_index(tmp_path / "data")


# --- the kept list ---------------------------------------------------------------------------------------------------


def rewrite_keeping_its_time(path: Path) -> None:
    """As an unpacked archive or rsync does."""
    time = path.stat().st_mtime_ns
    path.write_bytes(b"longer than before")
    os.utime(path, ns=(time, time))


def changes(root: Path):
    """Each way in which a folder of images can become another one."""
    yield "rewritten", lambda: (root / "a/1.jpg").write_bytes(b"another length")
    yield "same length, other time", lambda: os.utime(root / "a/2.jpg", ns=(1, 1))
    yield "added", lambda: touch(root, "b/new.jpg")
    yield "removed", lambda: (root / "b/new.jpg").unlink()
    yield "renamed", lambda: (root / "a/1.jpg").rename(root / "a/3.jpg")
    yield "renamed alone", lambda: (root / "d/only.jpg").rename(root / "d/alone.jpg")
    yield "other length, same time", lambda: rewrite_keeping_its_time(root / "a/2.jpg")
    yield "new folder", lambda: touch(root, "c/1.jpg")


def test_the_kept_list_is_used_when_nothing_changed_and_never_otherwise(tmp_path):
    root, kept = touch(tmp_path / "data", "a/1.jpg", "a/2.jpg", "b/1.jpg", "b/x.txt", "d/only.jpg"), tmp_path / "kept"
    assert not scan(root, kept).kept
    for what, change in changes(root):
        again = scan(root, kept)
        assert again.kept, what
        change()
        changed, fresh = scan(root, kept), scan(root)
        assert not changed.kept, what
        assert changed.paths == fresh.paths and np.array_equal(changed.mtimes, fresh.mtimes), what
        kept_now = scan(root, kept)
        assert kept_now.kept and kept_now.paths == fresh.paths and kept_now.ignored == fresh.ignored
        assert np.array_equal(kept_now.sizes, fresh.sizes) and np.array_equal(kept_now.folder_of, fresh.folder_of)


def test_a_broken_kept_list_is_scanned_again(tmp_path):
    root, kept = touch(tmp_path / "data", "a/1.jpg", "b/1.jpg"), tmp_path / "kept"
    scan(root, kept)
    (file,) = kept.iterdir()
    for content in (b"", b"PK\x03\x04 no zip", file.read_bytes()[:-40]):
        file.write_bytes(content)
        assert not scan(root, kept).kept and scan(root, kept).kept
    blocked = touch(tmp_path, "a_file") / "a_file"  # a cache folder that cannot be made is no reason to fail
    assert list(scan(root, blocked).paths) == ["a/1.jpg", "b/1.jpg"]


def test_build_index_from_the_kept_list_is_the_same(tmp_path):
    one, two = (build_index(HERE / "places_test_input", cache_dir=tmp_path) for _ in range(2))
    assert one.paths == two.paths and np.array_equal(one.targets, two.targets) and one.notes == two.notes


def test_class_folders_that_look_alike_are_named(tmp_path):
    accents = [unicodedata.normalize(form, "café") for form in ("NFC", "NFD")]
    if os.name == "posix" and os.uname().sysname == "Linux":  # other systems take these for one folder
        touch(tmp_path / "a", *(f"{name}/1.jpg" for name in ("Cat", "cat", "cat ", "dog", *accents)))
        notes = notes_of(build_index(tmp_path / "a"))
        assert "'Cat' and 'cat' and 'cat '; " in notes and "are different classes; if they should be one" in notes
    touch(tmp_path / "b", *(f"{name}/1.jpg" for name in ("cat_a", "cat b", "1", "10")))
    assert not build_index(tmp_path / "b").notes
