"""Images in archives: the same index as the unpacked folder, the same bytes; damaged and odd archives are told by name."""

import gzip
import io
import os
import struct
import subprocess
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from deep_cnn.data import sources
from deep_cnn.data.archives import Member, list_members
from deep_cnn.data.decode import read_file
from deep_cnn.data.duplicates import duplicate_groups
from deep_cnn.data.files import SYSTEM_FOLDERS, scan
from deep_cnn.data.index import build_index
from deep_cnn.data.sources import Place, find_files, without_top
from deep_cnn.runtime.errors import DataError

# in an order that is not that of the folder; "a-b" sorts before "a/..." as text, and behind it as a folder
FILES = {
    "dog/9.jpg": b"d" * 700,
    "a-b/1.jpg": b"x" * 5,
    "cat/10.png": b"first" * 400,
    "cat/2.JPG": b"d" * 700,
    "cat/deep/1.jpg": os.urandom(3000),
    "cat/é.jpg": b"e" * 5,
    "cat/notes.txt": b"text",
    "cat/.hidden.jpg": b"h",
    "__MACOSX/cat/._2.JPG": b"m",
}
IMAGES = [name for name in FILES if name.lower().endswith(("jpg", "png")) and "._" not in name and "/." not in name]


def folder(place: Path, files=FILES) -> Path:
    for name, data in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return place


def tar(path: Path, files=FILES, prefix="", **options) -> Path:
    with tarfile.open(path, "w", **options) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(prefix + name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def zipped(path: Path, files=FILES, method=zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def shards(place: Path, files=FILES) -> Path:
    place.mkdir()
    names = list(files)
    for k in range(3):
        tar(place / f"{k:03}.tar", {name: files[name] for name in names[k::3]})
    return place


CONTAINERS = {
    "tar": lambda p: tar(p / "photos.tar"),
    "tar ./": lambda p: tar(p / "photos.tar", prefix="./", format=tarfile.PAX_FORMAT),
    "tar of a folder": lambda p: tar(p / "photos.tar", prefix="photos/", format=tarfile.USTAR_FORMAT),
    "absolute names": lambda p: tar(p / "photos.tar", prefix="/"),
    "another ending": lambda p: tar(p / "photos.dat"),
    "deflated zip": lambda p: zipped(p / "photos.zip"),
    "stored zip": lambda p: zipped(p / "photos.zip", method=zipfile.ZIP_STORED),
    "shards": lambda p: shards(p / "shards"),
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_an_archive_is_indexed_as_the_folder_that_it_was(tmp_path, kind):
    expected, place = build_index(folder(tmp_path / "folder")), CONTAINERS[kind](tmp_path)
    for cache_dir in (None, tmp_path / "kept", tmp_path / "kept"):
        index = build_index(place, cache_dir=cache_dir)
        assert list(index.paths) == list(expected.paths) and sorted(index.paths) == sorted(IMAGES)
        assert index.classes == expected.classes
        for column in ("targets", "sizes", "given_split"):
            assert np.array_equal(getattr(index, column), getattr(expected, column)), column
        for i, path in enumerate(index.paths):
            assert read_file(index.source(i)) == FILES[path]
        assert duplicate_groups(index).tolist() == duplicate_groups(expected).tolist()
    half = index.take(np.arange(len(index))[::-2])
    assert [read_file(half.source(i)) for i in range(len(half))] == [FILES[path] for path in half.paths]


def test_the_kept_list_is_not_used_for_another_archive(tmp_path):
    kept = tmp_path / "kept"
    assert not find_files(tar(tmp_path / "a.tar"), kept).kept and find_files(tmp_path / "a.tar", kept).kept
    tar(tmp_path / "a.tar", {"cat/1.jpg": b"1", "dog/2.jpg": b"2"})
    files = find_files(tmp_path / "a.tar", kept)
    assert not files.kept and list(files.paths) == ["cat/1.jpg", "dog/2.jpg"]


def test_folders_come_in_the_order_of_a_scan(tmp_path):
    files = {f"{name}/1.jpg": b"1" for name in ("b", "a/z", "a-1", "a", "a/y/x", "A", "10", "9")} | {"top.jpg": b"1"}
    found, expected = find_files(tar(tmp_path / "a.tar", files)), scan(folder(tmp_path / "f", files))
    assert list(found.paths) == list(expected.paths) and found.folders == expected.folders
    assert found.folder_of.tolist() == expected.folder_of.tolist()


def test_a_folder_within_an_archive(tmp_path):
    path = tar(tmp_path / "a.tar", {"x/train/cat/1.jpg": b"1", "x/train/dog/1.jpg": b"2", "x/val/cat/1.jpg": b"3"})
    files = find_files(path / "x/train")
    assert list(files.paths) == ["cat/1.jpg", "dog/1.jpg"] and files.folders == ("", "cat", "dog")
    assert find_files(path).root == path and without_top(find_files(path)).root == path / "x"
    assert str(files.members.at(0, files.paths[0])).startswith(str(path))
    assert list(find_files(path / "nowhere").paths) == []


def test_shards_named_by_their_splits(tmp_path):
    for name in ("set-train-0.tar", "set-train-1.tar", "set-val-0.tar"):
        tar(tmp_path / name, {f"cat/{name}1.jpg": b"1", f"dog/{name}2.jpg": b"2"})
    index = build_index(tmp_path)
    assert index.classes == ("cat", "dog") and {path.split("/")[0] for path in index.paths} == {"train", "val"}
    assert (index.given_split == 0).sum() == 4 and (index.given_split == 1).sum() == 2


def test_the_last_of_two_members_of_one_name_is_used(tmp_path):
    path = tar(tmp_path / "a.tar", {"cat/1.jpg": b"old", "dog/1.jpg": b"2"})
    with tarfile.open(path, "a") as archive:
        info = tarfile.TarInfo("cat/1.jpg")
        info.size = 6
        archive.addfile(info, io.BytesIO(b"newest"))
    files = find_files(path)
    assert list(files.paths) == ["cat/1.jpg", "dog/1.jpg"] and read_file(files.members.at(0, "")) == b"newest"
    assert files.ignored == {"earlier versions of members": 1}


def test_two_shards_with_one_name_are_refused(tmp_path):
    for name in "ab":
        tar(tmp_path / f"{name}.tar", {"cat/0001.jpg": name.encode()})
    with pytest.raises(DataError, match=r"cat/0001\.jpg is in .*a\.tar and in .*b\.tar"):
        find_files(tmp_path)


def test_links_are_the_files_that_they_name(tmp_path):
    place = folder(tmp_path / "f", {"cat/1.jpg": b"1", "dog/2.jpg": b"22"})
    os.link(place / "cat/1.jpg", place / "dog/hard.jpg")
    (place / "dog/soft.jpg").symlink_to("../cat/1.jpg")
    (place / "dog/chain.jpg").symlink_to("soft.jpg")
    (place / "dog/broken.jpg").symlink_to("nothing.jpg")
    (place / "dog/circle.jpg").symlink_to("circle.jpg")
    (place / "dog/outside.jpg").symlink_to("/etc/hostname")
    subprocess.run(["tar", "cf", tmp_path / "a.tar", "-C", place, "."], check=True)
    expected, found = scan(place), find_files(tmp_path / "a.tar")
    linked = [path for path in expected.paths if "outside" not in path]
    assert list(found.paths) == linked and found.ignored["broken links"] == 3
    for i, path in enumerate(found.paths):
        assert read_file(found.members.at(i, path)) == (place / path).read_bytes()


def refused(path, *words):
    with pytest.raises(DataError) as caught:
        index = build_index(path)
        [read_file(index.source(i)) for i in range(len(index))]
    text = str(caught.value)
    assert "\n" not in text and all(word in text for word in words), text


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.85])
@pytest.mark.parametrize("make", [tar, zipped])
def test_a_truncated_archive_is_refused(tmp_path, make, share):
    path = make(tmp_path / "a", {f"{c}/{k}.jpg": os.urandom(3000) for c in "ab" for k in range(5)})
    with open(path, "r+b") as file:
        file.truncate(int(path.stat().st_size * share))
    refused(path, str(path), "download")


def test_a_tar_without_its_end_marker_is_refused(tmp_path):
    path = tar(tmp_path / "a.tar", {"a/1.jpg": bytes(512), "b/1.jpg": bytes(512)})
    with open(path, "r+b") as file:
        file.truncate(2048)
    refused(path, "end marker")


def test_joined_tars_are_refused(tmp_path):
    one, two = (tar(tmp_path / f"{c}.tar", {f"{c}/1.jpg": b"1"}) for c in "ab")
    (tmp_path / "both.tar").write_bytes(one.read_bytes() + two.read_bytes())
    refused(tmp_path / "both.tar", "joined")


def test_a_damaged_header_in_the_middle_of_a_tar_is_no_end(tmp_path):
    path = tar(tmp_path / "a.tar", {"a/1.jpg": b"1", "b/1.jpg": b"2", "b/2.jpg": b"3"})
    with open(path, "r+b") as file:
        file.seek(1024)
        file.write(b"\xff" * 100)
    refused(path, "damaged")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_the_checksum_of_a_zip_member_is_compared(tmp_path, method):
    path = zipped(tmp_path / "a.zip", {"a/1.jpg": bytes(range(256)) * 40, "b/1.jpg": b"2"}, method)
    with open(path, "r+b") as file:
        file.seek(100)
        file.write(b"\xa5\x5a")
    refused(path, "a/1.jpg", "damaged in the archive")


@pytest.mark.parametrize(
    ("pack", "said"),
    [
        (gzip.compress, "gunzip"),
        (lambda data: b"7z\xbc\xaf\x27\x1c" + data, "7z"),
        (lambda data: b"Rar!" + data, "RAR"),
        (lambda data: b"not an archive", "not a .tar archive"),
        (lambda data: b"", "not a .tar archive"),
    ],
)
def test_what_cannot_be_read_in_place_is_refused_with_the_way_out(tmp_path, pack, said):
    path = tar(tmp_path / "a.tar")
    path.write_bytes(pack(path.read_bytes()))
    refused(path, said)
    refused(tmp_path, said, "a.tar")  # as a shard, too


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods_of_zip_are_refused_by_name(tmp_path, method):
    refused(zipped(tmp_path / "a.zip", {"a/1.jpg": b"1" * 99}, method), "a/1.jpg", {12: "bzip2", 14: "LZMA"}[method])


def test_an_encrypted_zip_is_refused(tmp_path):
    path = zipped(tmp_path / "a.zip", {"a/1.jpg": b"1", "b/1.jpg": b"2"})
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    struct.pack_into("<H", data, entry + 8, 1)
    path.write_bytes(data)
    refused(path, "a/1.jpg", "encrypted")


@pytest.mark.parametrize("make", [tar, zipped])
def test_a_member_outside_of_the_archive_is_refused(tmp_path, make):
    refused(make(tmp_path / "a.tar", {"a/1.jpg": b"1", "../b/1.jpg": b"2"}), "../b/1.jpg", "outside")


def test_a_zip_with_the_slashes_of_windows(tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for name in ("a/1.jpg", "b/2.jpg"):
            archive.writestr(name.replace("/", "\\"), name)
    index = build_index(tmp_path / "photos.zip")
    assert list(index.paths) == ["a/1.jpg", "b/2.jpg"] and index.classes == ("a", "b")
    assert bytes(index.source(1).read()) == b"b/2.jpg"


def test_names_of_zips_without_the_utf8_flag(tmp_path):
    """macOS writes UTF-8 and does not say so; others write cp437; Windows writes backslashes."""
    path = zipped(tmp_path / "a.zip", {"kat/1.jpg": b"1", "hund/xx.jpg": b"2", "hund/yy.jpg": b"3"})
    data = (
        path.read_bytes().replace(b"hund/xx", "hund/é".encode()).replace(b"hund/yy", b"hund\\" + "é ".encode("cp437"))
    )
    path.write_bytes(data.replace(b"PK\x01\x02\x14\x03", b"PK\x01\x02\x14\x00"))
    assert sorted(find_files(path).paths) == ["hund/é .jpg", "hund/é.jpg", "kat/1.jpg"]
    for i, name in enumerate((files := find_files(path)).paths):
        assert (
            read_file(files.members.at(i, name)) == {"hund/é .jpg": b"3", "hund/é.jpg": b"2", "kat/1.jpg": b"1"}[name]
        )


def test_names_that_are_not_utf8_keep_their_bytes(tmp_path):
    name = "cat/\udce9.jpg"
    path = tar(
        tmp_path / "a.tar", {name: b"1", "dog/1.jpg": b"2"}, encoding="utf-8", errors="surrogateescape", format=0
    )
    assert list(find_files(path).paths) == [name, "dog/1.jpg"]


def test_a_place_is_looked_up_by_paths(tmp_path):
    for root in (folder(tmp_path / "folder"), tar(tmp_path / "a.tar"), shards(tmp_path / "shards")):
        place = Place(root)
        assert place.has("cat/2.JPG") and not place.has("cat/3.jpg")
        assert read_file(place.source("cat/2.JPG")) == FILES["cat/2.JPG"]
    found = place.locate(["./cat/2.JPG", "cat/3.jpg"])
    assert read_file(found.at(0, "")) == FILES["cat/2.JPG"]
    with pytest.raises(DataError, match=r"cat/3\.jpg.*No such file"):
        read_file(found.at(1, "cat/3.jpg"))


def test_a_project_with_an_archive_is_no_folder_of_shards(tmp_path, monkeypatch):
    tar(tmp_path / "photos.tar")
    (tmp_path / "outputs").mkdir()
    monkeypatch.setattr(sources, "find_files", lambda root: pytest.fail(f"{root} was walked through"))
    assert not Place(tmp_path).has("cat/2.JPG") and Place(tmp_path).locate(["cat/2.JPG"]) is None


def test_the_file_of_an_archive_is_closed_with_it(tmp_path):
    def opened():
        return len(os.listdir("/proc/self/fd"))

    if not Path("/proc/self/fd").exists():
        pytest.skip("counts the open files of Linux")
    before = opened()
    files = find_files(tar(tmp_path / "a.tar"))
    read_file(files.members.at(0, ""))
    assert opened() == before + 1
    del files
    assert opened() == before


def test_more_shards_than_files_may_be_open(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "OPEN_AT_ONCE", 2)
    files = find_files(shards(tmp_path / "shards"))
    assert not any(archive.keep_open for archive in files.members.archives)
    assert [read_file(files.members.at(i, path)) for i, path in enumerate(files.paths)] == [
        FILES[p] for p in files.paths
    ]


def test_a_member_says_where_it_is(tmp_path):
    found = list_members(tar(tmp_path / "a.tar"), SYSTEM_FOLDERS)
    assert len(found.images) == len(IMAGES) and found.ignored == {".txt": 1, "hidden": 2}
    files = find_files(tmp_path / "a.tar")
    assert (
        isinstance(files.members.at(0, "x.jpg"), Member)
        and str(files.members.at(0, "x.jpg")) == f"{tmp_path}/a.tar/x.jpg"
    )


# --- WebDataset's naming ---------------------------------------------------------------------------------------------


def webdataset(place: Path) -> Path:
    place.mkdir()
    for shard in range(2):
        files = {}
        for k in range(4):
            key = f"{shard}{k:03}"
            files |= {f"{key}.jpg": key.encode(), f"{key}.cls": f"{k % 2}\n".encode()}
            files[f"{key}.json"] = f'{{"score": {k}.5, "city": "Zürich", "ok": null, "box": {{}}}}'.encode()
        tar(place / f"{shard}.tar", files)
    return place


def test_classes_beside_the_images(tmp_path):
    index = build_index(webdataset(tmp_path / "w"))
    assert index.task == "classification" and index.classes == ("0", "1") and len(index) == 8
    assert [int(path[3]) % 2 for path in index.paths] == index.targets.tolist()
    assert read_file(index.source(3)) == index.paths[3][:4].encode()


def test_values_of_json_beside_the_images(tmp_path):
    from deep_cnn.data.index import IndexOptions

    options = IndexOptions(target=("score",), where=("city==Zürich", "score>1"))
    index = build_index(webdataset(tmp_path / "w"), options)
    assert index.task == "regression" and sorted(set(index.targets.ravel().tolist())) == [1.5, 2.5, 3.5]
    assert [float(path[3]) + 0.5 for path in index.paths] == index.targets.ravel().tolist()


def test_sidecars_of_no_image_are_told(tmp_path):
    from deep_cnn.data.index import IndexOptions

    path = tar(tmp_path / "a.tar", {"x.jpg": b"1", "y.cls": b"1"})
    for options in (IndexOptions(), IndexOptions(target=("class",))):
        with pytest.raises(
            DataError, match=r"a\.tar: none of the \.cls and \.json files \(y\.cls\) is named as an image"
        ):
            build_index(path, options)


def test_json_without_a_target_says_which_there_are(tmp_path):
    path = tar(tmp_path / "a.tar", {"x.jpg": b"1", "x.json": b'{"score": 1}', "y.jpg": b"2", "y.json": b"{"})
    from deep_cnn.data.index import IndexOptions

    with pytest.raises(DataError, match=r"y\.json: cannot be read"):
        build_index(path, IndexOptions(target=("score",)))


# --- Parquet ---------------------------------------------------------------------------------------------------------


def parquet(path: Path, names, files=FILES, labels=None) -> Path:
    pa = pytest.importorskip("pyarrow")
    import json

    import pyarrow.parquet as pq

    columns = {
        "image": [{"bytes": files[name], "path": name} for name in names],
        "score": [k / 2 for k in range(len(names))],
    }
    table = pa.table(columns)
    if labels:
        known = sorted(set(labels))
        table = table.append_column("label", pa.array([known.index(label) for label in labels]))
        about = {"info": {"features": {"label": {"_type": "ClassLabel", "names": known}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(about)})
    pq.write_table(table, path, row_group_size=2)
    return path


def test_images_in_parquet_are_those_of_the_folder(tmp_path):
    names = [name for name in IMAGES if "deep" not in name]
    files = {name: FILES[name] for name in names}
    expected = build_index(folder(tmp_path / "folder", files))
    labels = [name.split("/")[0] for name in names]
    for path in (
        parquet(tmp_path / "a.parquet", names, files),
        parquet(tmp_path / "b.parquet", names, files, labels),
    ):
        index = build_index(path, cache_dir=tmp_path / "kept")
        assert list(index.paths) == list(expected.paths) and index.classes == expected.classes
        assert index.target_names == expected.target_names
        assert index.targets.tolist() == expected.targets.tolist()
        assert [read_file(index.source(i)) for i in range(len(index))] == [files[path] for path in index.paths]
    before = [path.stat().st_mtime_ns for path in (tmp_path / "kept").glob("*.tar")]
    build_index(tmp_path / "a.parquet", cache_dir=tmp_path / "kept")
    assert [path.stat().st_mtime_ns for path in (tmp_path / "kept").glob("*.tar")] == before and len(before) == 2


def test_splits_and_values_of_parquet_files(tmp_path):
    from deep_cnn.data.index import IndexOptions

    place = tmp_path / "data"
    place.mkdir()
    parquet(place / "train-00000-of-00001.parquet", ["cat/2.JPG", "dog/9.jpg"], labels=["x", "y"])
    parquet(place / "test-00000-of-00001.parquet", ["cat/10.png"], labels=["x"])
    index = build_index(place, cache_dir=tmp_path)
    assert list(index.paths) == ["test/cat/10.png", "train/cat/2.JPG", "train/dog/9.jpg"]
    assert (index.given_split.tolist() == [2, 0, 0] and index.classes == ("x",)) or index.classes == ("x", "y")
    scores = build_index(place, IndexOptions(target=("score",), task="regression"), cache_dir=tmp_path)
    assert scores.targets.ravel().tolist() == [0.0, 0.0, 0.5]


def test_parquet_without_images_says_so(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"file": ["a.jpg"], "score": [1.0]}), tmp_path / "t.parquet")
    refused(tmp_path / "t.parquet", "no column of encoded images", "file, score")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 half")
    refused(tmp_path / "t.parquet", "cannot be read as Parquet")


def test_a_table_of_parquet_is_read_as_that_of_csv(tmp_path):
    import pandas as pd

    from deep_cnn.data.index import IndexOptions

    pytest.importorskip("pyarrow")
    place = folder(tmp_path / "photos", {f"{k}.jpg": bytes([k]) for k in range(8)})
    frame = pd.DataFrame(
        {"file": [f"{k}.jpg" for k in range(8)], "score": [0.5, None, *range(6)], "place": list("aabbccdd")}
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    csv, parquet = (
        build_index(place, IndexOptions(metadata=tmp_path / name, target=("score",), group="place"))
        for name in ("t.csv", "t.parquet")
    )
    assert list(csv.paths) == list(parquet.paths) and np.array_equal(csv.targets, parquet.targets)
    assert np.array_equal(csv.groups, parquet.groups) and csv.group_names == parquet.group_names


def test_lists_in_parquet_are_several_labels_and_other_columns_are_named(tmp_path):
    import pandas as pd

    from deep_cnn.data.index import IndexOptions

    pytest.importorskip("pyarrow")
    place = folder(tmp_path / "photos", {f"{k}.jpg": bytes([k]) for k in range(4)})
    frame = pd.DataFrame({"file": [f"{k}.jpg" for k in range(4)], "y": [["a"], ["a", "b"], ["b"], None]})
    frame["box"] = [{"x": k, "y": 0} for k in range(4)]
    frame.to_parquet(tmp_path / "t.parquet")
    index = build_index(place, IndexOptions(metadata=tmp_path / "t.parquet", target=("y",)))
    assert index.task == "multilabel" and index.targets.tolist() == [[1, 0], [1, 1], [0, 1]]
    assert "t.parquet: columns of neither text nor numbers are not read: box" in index.notes


@pytest.mark.parametrize("top", ["", "photos/"])
def test_a_table_of_images_in_an_archive_is_that_of_the_folder(tmp_path, top):
    folder(tmp_path / "photos")
    archive = tar(tmp_path / "a.tar", {top + name: data for name, data in FILES.items()})
    cells = [f"photos/{name}" if top else name for name in IMAGES]  # as the archive has them
    rows = [f"{cell},{k}.5\n" for k, cell in enumerate(cells)]
    (tmp_path / "t.csv").write_text("photo,score\n" + "".join(rows))
    one, other = (
        build_index(place, metadata=tmp_path / "t.csv", target=("score",)) for place in (tmp_path / "photos", archive)
    )
    assert list(one.paths) == list(other.paths) and len(one) == len(IMAGES)
    assert one.targets.tolist() == other.targets.tolist()
    assert read_file(other.source(2)) == FILES[other.paths[2]]
