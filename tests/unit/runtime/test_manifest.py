"""Digests of a run's files: a kill at any moment leaves a run that looks sound, and damage of any kind does not."""

import json

import pytest

from deep_cnn.runtime.atomic import write_json, write_text
from deep_cnn.runtime.errors import DataError
from deep_cnn.runtime.manifest import NAME, Manifest, of_checkpoint
from deep_cnn.runtime.run_files import RunFiles


@pytest.fixture
def files(tmp_path):
    files = RunFiles(tmp_path, "run")
    files.make_folders()
    return files


def write(files: RunFiles, content: str) -> None:
    write_json(files.results / "test.json", {"count": content}, announce=Manifest(files).announce)


def test_a_death_at_any_moment_leaves_files_that_are_listed(files, monkeypatch):
    """Renaming is all that changes anything: die at the first renaming (of the list), at the second (of the file), or not."""
    path = files.results / "test.json"
    write(files, "0")
    for fatal in range(3):
        import os

        replace, count = os.replace, [0]

        def dying(source, target, *, fatal=fatal, replace=replace, count=count):
            if count[0] == fatal:
                raise KeyboardInterrupt
            count[0] += 1
            replace(source, target)

        for content in ("1", "2", "3"):  # killed again and again at the same place
            with monkeypatch.context() as patch:
                patch.setattr(os, "replace", dying)
                count[0] = 0
                try:
                    write(files, f"{fatal}{content}")
                    assert fatal == 2
                except KeyboardInterrupt:
                    pass
            assert Manifest(files).agrees(path) and Manifest(files).damaged() == []
            assert len(Manifest(files).entries()["test.json"]) <= 2
    Manifest(files).settle()
    assert len(Manifest(files).entries()["test.json"]) == 1 and Manifest(files).agrees(path)


@pytest.mark.parametrize("damage", ["edited", "cut", "emptied", "gone", "older", "swapped"])
def test_damage_is_seen(files, damage):
    path = files.results / "test.json"
    write(files, "old")
    older = path.read_bytes()
    write(files, "5")
    write_json(files.results / "config.json", {"a": 1}, announce=Manifest(files).announce)
    Manifest(files).settle()
    assert Manifest(files).damaged() == [] and Manifest(files).verifies
    text = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        swapped = (files.results / "config.json").read_bytes()
        path.write_bytes(
            {"edited": text.replace(b"5", b"6"), "cut": text[:-3], "emptied": b"", "older": older, "swapped": swapped}[
                damage
            ]
        )
    assert Manifest(files).damaged() == ["test.json"]
    with pytest.raises(DataError, match=r"test\.json: is damaged or was edited"):
        Manifest(files).require("test.json")
    write(files, "5")  # the run goes on: repaired
    assert Manifest(files).damaged() == []


@pytest.mark.parametrize("name", ["votes_test.csv", "of_a_new_task.csv"])
def test_whatever_a_run_lists_is_verified(files, name):
    path = files.results / name
    write_text(path, "image,value\na.jpg,1\n", announce=Manifest(files).announce)
    assert Manifest(files).damaged() == []
    path.write_text(path.read_text().replace("1", "2"))
    assert Manifest(files).damaged() == [name]


def test_a_damaged_list_is_named_and_a_run_without_one_is_not_verified(files):
    write(files, "5")
    (files.results / NAME).write_text((files.results / NAME).read_text().replace("a", "b", 1))
    assert Manifest(files).damaged() == [NAME]
    (files.results / NAME).unlink()
    assert Manifest(files).damaged() == [] and not Manifest(files).verifies
    assert Manifest(files).agrees(files.results / "test.json") is None


def test_what_version_0_1_0_left_counts_as_sound_when_the_run_goes_on(files, monkeypatch):
    """It has no list; a process that dies between the first list and the first new file must not make it look damaged."""
    path = files.results / "test.json"
    path.write_text(json.dumps({"count": "old"}))
    temporary = path.with_name("test.json.1.tmp")
    temporary.write_text("new")
    Manifest(files).announce(path, temporary)
    assert Manifest(files).agrees(path)


def test_a_states_three_names_are_one(files):
    assert of_checkpoint(files.models / "last.previous.pt").files == RunFiles(files.outputs.absolute(), "run")
    assert of_checkpoint(files.outputs / "best.pt") is None and of_checkpoint(files.models / "other.pt") is None
    files.last.write_bytes(b"first")
    fresh = files.models / "x.tmp"
    fresh.write_bytes(b"second")
    manifest = Manifest(files)
    manifest.announce(files.models / "last.fresh.pt", fresh)
    fresh.rename(files.models / "last.fresh.pt")
    assert manifest.agrees(files.models / "last.fresh.pt") and manifest.agrees(files.last)
    files.last.rename(files.models / "last.previous.pt")
    (files.models / "last.fresh.pt").rename(files.last)
    assert manifest.agrees(files.last) and manifest.agrees(files.models / "last.previous.pt")
    files.last.write_bytes(b"third")
    assert manifest.agrees(files.last) is False


@pytest.mark.parametrize("content", [None, '{"files": {}, "check": "44136fa355b3678a"}'])
def test_a_list_that_was_removed_or_emptied_is_named_where_the_run_wrote_one(files, content):
    record = {"identity": {"flags": {"split_seed": 0}}}
    write_json(files.results / "config.json", record, announce=Manifest(files).announce)
    assert Manifest(files).damaged() == []
    (files.results / NAME).unlink()
    if content:
        (files.results / NAME).write_text(content)
    assert Manifest(files).damaged() == [NAME]
    with pytest.raises(DataError, match="is damaged or was edited"):
        Manifest(files).require("config.json")
    write_json(files.results / "config.json", {"identity": {"flags": {}}})  # of 0.1.0, which wrote none
    assert Manifest(files).damaged() == ([NAME] if content else [])


def test_missing_files_are_not_called_damaged(files):
    write(files, "0")
    Manifest(files).require_all()
    path = files.results / "metrics.csv"
    write_text(path, "epoch", announce=Manifest(files).announce)
    path.unlink()
    with pytest.raises(
        DataError, match=r"^--run_name=run: metrics\.csv: missing; run the command that trained it again"
    ):
        Manifest(files).require_all()
    (files.results / "test.json").write_text("{}")
    path.write_text("epoch")
    with pytest.raises(DataError, match=r"run: test\.json: damaged or edited; run the command"):
        Manifest(files).require_all()
