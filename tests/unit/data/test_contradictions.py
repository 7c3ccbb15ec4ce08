"""The same bytes with two labels are named, whatever the labels are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deep_cnn.data import contradictions
from deep_cnn.data.duplicates import duplicate_groups
from deep_cnn.data.index import Index, IndexOptions, build_index
from deep_cnn.data.split import Strata, make_splits


def folders(root: Path, contents: dict[str, bytes]) -> Index:
    for name, content in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return build_index(root)


def notes_of(index: Index) -> list[str]:
    splits = make_splits(index, Strata(np.zeros(len(index), int), ""), val_split=0.2, test_split=0.2, seed=0)
    return [note for note in splits.notes if "two targets" in note or "another target" in note]


def test_copies_in_two_class_folders_are_named_and_others_are_not(tmp_path):
    index = folders(
        tmp_path, {"cat/1.jpg": b"x", "cat/2.jpg": b"y", "cat/3.jpg": b"x", "dog/4.jpg": b"x", "dog/5.jpg": b"z"}
    )
    assert notes_of(index) == ["The same image with two targets: cat/1.jpg (cat) and dog/4.jpg (dog); correct the data"]


def test_many_are_counted(tmp_path):
    contents = {f"{name}/{i}.jpg": bytes([i]) for name in "ab" for i in range(9)}
    lines = notes_of(folders(tmp_path, contents))
    assert len(lines) == 6 and lines[-1].startswith("9 images in total")


def test_copies_in_two_splits_with_two_labels(tmp_path):
    names = ["train/a/1.jpg", "train/b/2.jpg", "test/a/3.jpg", "test/b/4.jpg"]
    index = folders(tmp_path, {name: b"x" if "1" in name or "4" in name else name.encode() for name in names})
    assert notes_of(index) == [
        "The same image with two targets: test/b/4.jpg (b) and train/a/1.jpg (a); correct the data"
    ]


@pytest.mark.parametrize(
    "values, differs",
    [
        (([1.5], [2.5]), True),
        (([1.5], [1.5]), False),
        (([1.5, np.nan], [1.5, 3.0]), False),
        (([1.0, np.nan], [2.0, np.nan]), True),
    ],
)
def test_scores_and_missing_scores(values, differs, tmp_path):
    for name in ("1.jpg", "2.jpg"):
        (tmp_path / name).write_bytes(b"the same")
    (tmp_path / "t.csv").write_text("file,s,t\n1.jpg,1.5,1\n2.jpg,2.5,2\n")
    index = build_index(tmp_path, IndexOptions(metadata=tmp_path / "t.csv", target=("s", "t"), task="regression"))
    index = replace(index, targets=np.array(values), target_names=("s", "t")[: len(values[0])])
    assert bool(contradictions.notes(index, duplicate_groups(index))) is differs


def test_labels_of_a_table_are_written_as_they_are(tmp_path):
    for name in ("1.jpg", "2.jpg", "3.jpg"):
        (tmp_path / name).write_bytes(b"the same")
    (tmp_path / "t.csv").write_text("file,kind\n1.jpg,sea;sun\n2.jpg,sea\n3.jpg,sun;sea\n")
    index = build_index(tmp_path, IndexOptions(metadata=tmp_path / "t.csv", target=("kind",), task="multilabel"))
    lines = contradictions.notes(index, duplicate_groups(index))
    assert lines == ["The same image with two targets: 1.jpg (sea;sun) and 2.jpg (sea); correct the data"]
