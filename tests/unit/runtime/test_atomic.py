"""Files are whole or as they were before, whoever else writes them; and CSV files read back what was written."""

import csv

import pytest

from deep_cnn.runtime.atomic import atomic_path, clear_leftovers, read_csv, write_csv, write_rows


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("first")
        assert not path.exists()
    assert path.read_text() == "first" and list(path.parent.iterdir()) == [path]
    with pytest.raises(OSError, match="full"), atomic_path(path, durable=True) as temporary:
        temporary.write_text("half of the sec")
        raise OSError("the disk is full")
    assert path.read_text() == "first" and list(path.parent.iterdir()) == [path]


def test_two_writers_of_one_path_do_not_meet(tmp_path):
    path = tmp_path / "file.txt"
    with atomic_path(path) as one, atomic_path(path) as other:
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"  # renamed last


def test_a_folder_appears_whole_and_a_second_one_is_refused(tmp_path):
    folder = tmp_path / "images"
    with atomic_path(folder) as temporary:
        (temporary / "train").mkdir(parents=True)
    with pytest.raises(OSError), atomic_path(folder) as temporary:
        (temporary / "test").mkdir(parents=True)
    assert [path.name for path in folder.iterdir()] == ["train"] and list(tmp_path.iterdir()) == [folder]


def test_what_a_killed_writer_leaves_is_cleared(tmp_path):
    writer = atomic_path(tmp_path / "metrics.csv")
    writer.__enter__().write_text("half")
    clear_leftovers(tmp_path)
    assert not list(tmp_path.iterdir())


AWKWARD = [["file", "note", "score"], ["a, b.jpg", 'say "so"\nor not\r', "0.1"], ["caf\udce9.jpg", "é", ""]]


def test_csv_cells_read_back(tmp_path):
    path = tmp_path / "t.csv"
    write_csv(path, AWKWARD[0], ([name, note, float(score) if score else None] for name, note, score in AWKWARD[1:]))
    assert list(read_csv(path)) == AWKWARD
    with open(tmp_path / "theirs.csv", "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(AWKWARD)
    assert list(read_csv(tmp_path / "theirs.csv")) == AWKWARD
    write_rows(path, [{"a": 1}, {"b": 1e-17, "a": None}])
    assert path.read_bytes() == b"a,b\n1,\n,1e-17\n"
