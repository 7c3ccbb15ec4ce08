"""Files are whole or as they were before, whoever else writes them; and CSV files read back what was written."""

import csv
from random import Random

import pandas as pd
import pytest

from deep_cnn.runtime.atomic import (
    atomic_path,
    clear_leftovers,
    escaped,
    read_csv,
    read_json,
    unescaped,
    write_csv,
    write_json,
    write_rows,
)


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


NAMES = (
    *(
        "plain.jpg",
        "Straße.jpg",
        "\U0001f600.jpg",
        "two\nlines.jpg",
        'a "quoted", one.jpg',
        "-rf.jpg",
        "x" * 251 + ".jpg",
    ),
    *(
        "Stra\udcdfe.jpg",
        "\udcbd\udcd6.jpg",
        "\ud83d.jpg",
        "a\\b.jpg",
        "a\\xbd.jpg",
        "\\x5c.jpg",
        "\\ud83d",
        "\\\udcbd",
        "\\",
    ),
)


@pytest.mark.parametrize("name", NAMES)
def test_names_of_files_are_written_in_one_reversible_way(tmp_path, name):
    assert unescaped(escaped(name)) == name
    write_csv(tmp_path / "t.csv", ["file", name], [[name, 1.5]])
    assert list(read_csv(tmp_path / "t.csv")) == [["file", name], [name, "1.5"]]
    (tmp_path / "t.csv").read_text(encoding="utf-8")  # other programs can read it
    frame = pd.read_csv(tmp_path / "t.csv", keep_default_na=False)
    assert frame.columns[1] == escaped(name) and unescaped(frame["file"][0]) == name
    write_json(tmp_path / "t.json", {name: [name]})
    assert read_json(tmp_path / "t.json") == {name: [name]}
    assert (tmp_path / "t.json").read_text(encoding="utf-8")


def test_usual_names_stay_as_they_are_and_no_two_become_one():
    assert all(escaped(name) == name for name in NAMES[:7]) and escaped("a\\b") == "a\\b"
    assert escaped("Stra\udcdfe.jpg") == "Stra\\xdfe.jpg"
    draw = Random(0)
    names = {"".join(draw.choices("\\xud8bfc5\udcbd\ud83d", k=8)) for _ in range(20000)}
    assert len({escaped(name) for name in names}) == len(names)
    assert all(unescaped(escaped(name)) == name for name in names)


@pytest.mark.parametrize("content", ["", "[]", "3", "[" * 100_000, '{"a": ' * 100_000, "{", "\xff"])
def test_what_is_no_json_object_is_none(tmp_path, content):
    (tmp_path / "a.json").write_text(content, encoding="latin-1")
    assert read_json(tmp_path / "a.json") is None and read_json(tmp_path / "none.json") is None
