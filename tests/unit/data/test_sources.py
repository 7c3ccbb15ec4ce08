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

from deep_cnn.data import files, sources
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


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_the_kept_list_is_not_used_where_other_formats_are_read(tmp_path, monkeypatch, kind):
    """Else a later version would leave out files that it can read."""
    path, kept = tar(tmp_path / "a.tar"), tmp_path / "kept"
    if kind == "folder":
        path = tmp_path / "images"
        with tarfile.open(tmp_path / "a.tar") as archive:
            archive.extractall(path, filter="data")
    assert not find_files(path, kept).kept and find_files(path, kept).kept
    for module in (files, sources):
        monkeypatch.setattr(module, "ENDINGS", [".png"])
    assert not find_files(path, kept).kept


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


# --- which file beside which image, which shard of which split, which member of a name -------------------------------


def of_class(index) -> dict[str, str]:
    return {path: index.classes[int(k)] for path, k in zip(index.paths, index.targets.ravel(), strict=True)}


@pytest.mark.parametrize("turned", [False, True])
def test_a_file_beside_an_image_of_its_own_whole_name_is_nearer_than_that_of_the_key(tmp_path, turned):
    """p0.b.png has p0.b.cls, whatever p0.cls says; p0.c.png has none and takes the key's, as WebDataset does."""
    files = {
        "p0.png": b"1",
        "p0.b.png": b"2",
        "p0.c.png": b"3",
        "p0.b.cls": b"bee",
        "p0.cls": b"ant",
        "q.png": b"4",
        "q.cls": b"bee",
    }
    path = tar(tmp_path / "a.tar", dict(reversed(files.items())) if turned else files)
    assert of_class(build_index(path)) == {"p0.b.png": "bee", "p0.c.png": "ant", "p0.png": "ant", "q.png": "bee"}


def test_a_json_key_called_class_does_not_replace_the_class(tmp_path):
    from deep_cnn.data.index import IndexOptions

    files = {}
    for k, name in enumerate("abcd"):
        files |= {
            f"{name}.png": name.encode(),
            f"{name}.cls": b"ant" if k % 2 else b"bee",
            f"{name}.json": b'{"class": "%s"}' % (b"first", b"second")[k // 2],
        }
    path = tar(tmp_path / "a.tar", files)
    index = build_index(path)
    assert of_class(index) == {"a.png": "bee", "b.png": "ant", "c.png": "bee", "d.png": "ant"}
    assert any("is the column 'class (json)'" in note for note in index.notes)
    other = build_index(path, IndexOptions(target=("class (json)",)))
    assert list(of_class(other).values()) == ["first", "first", "second", "second"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("train-0", "test-0", "extra-0"), r"test-0\.tar is named as a split, but extra-0\.tar is not"),
        (("trainval-0", "test-0"), r"but trainval-0\.tar is not"),
        (("train-test-0", "train-0", "val-0"), r"but train-test-0\.tar is not, or as several"),
        (("val-0", "test-0"), "no archive as train"),
    ],
)
def test_a_shard_of_no_split_beside_those_of_splits_is_refused(tmp_path, names, said):
    for name in names:
        tar(tmp_path / f"{name}.tar", {f"cat/{name}.jpg": b"1", f"dog/{name}.jpg": b"2"})
    with pytest.raises(DataError, match=said):
        build_index(tmp_path)


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("trainset", "testset"), {"train", "test"}),
        (("train2017", "val2017"), {"train", "val"}),
        (("train-0", "extra-0"), {"cat", "dog"}),
        (("test-0", "test-1"), {"cat", "dog"}),
        (("train/0", "test/test-0"), {"train", "test"}),
    ],
)
def test_shards_of_splits_in_other_spellings(tmp_path, names, splits):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        base = name.replace("/", "")
        tar(tmp_path / f"{name}.tar", {f"cat/{base}.jpg": b"1", f"dog/{base}.jpg": b"2"})
    assert {path.split("/")[0] for path in find_files(tmp_path).paths} == splits


def link(archive: tarfile.TarFile, name: str, target: str, kind: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    archive.addfile(info)


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def test_links_and_files_of_one_name_are_those_that_unpacking_leaves(tmp_path):
    """The last member of a name counts; a hard link is the file as it was where the link stands, a symbolic one as it ends."""
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "ant/1.png", b"ant")
        link(archive, "bee/1.png", "../ant/1.png", tarfile.SYMTYPE)
        link(archive, "bee/hard.png", "ant/1.png", tarfile.LNKTYPE)
        link(archive, "bee/soft.png", "../ant/1.png", tarfile.SYMTYPE)
        add(archive, "bee/1.png", b"bee")
        add(archive, "bee/2.png", b"old")
        link(archive, "bee/2.png", "ant/1.png", tarfile.LNKTYPE)
        add(archive, "ant/1.png", b"newer ant")
        add(archive, "ant/1.cls", b"ant")
        link(archive, "bee/2.cls", "ant/1.cls", tarfile.LNKTYPE)
    files = find_files(tmp_path / "a.tar")
    found = {path: bytes(files.members.at(i, path).read()) for i, path in enumerate(files.paths)}
    assert found == {
        "ant/1.png": b"newer ant",
        "bee/1.png": b"bee",
        "bee/2.png": b"ant",
        "bee/hard.png": b"ant",
        "bee/soft.png": b"newer ant",
    }
    assert sorted(files.sidecars.paths) == ["ant/1.cls", "bee/2.cls"] and "broken links" not in files.ignored


def test_joined_zips_are_refused(tmp_path):
    one, two = (zipped(tmp_path / f"{k}.zip", {f"cat/{k}.jpg": b"1"}).read_bytes() for k in range(2))
    (tmp_path / "both.zip").write_bytes(one + two)
    refused(tmp_path / "both.zip", "several archives had been joined")


def hugging_face(path: Path, features=None, **columns) -> Path:
    """columns: lists of cells; features: Hugging Face's description."""
    pa = pytest.importorskip("pyarrow")
    import json

    import pyarrow.parquet as pq

    table = pa.table(columns)
    if features:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path)
    return path


CLASS_LABEL = {"_type": "ClassLabel", "names": ["ant", "bee"]}


def images(*names: str) -> list[dict]:
    return [{"bytes": f"image {k}".encode(), "path": name} for k, name in enumerate(names)]


def test_rows_of_parquet_keep_their_values_whatever_their_paths_are(tmp_path):
    from deep_cnn.data.index import IndexOptions

    names = ["2.jpg", "2.png", "11.jpg", "11.crop.jpg", "x.crop.jpg", "x.jpg", "", ".hidden/7.jpg", "v1.5_7", "2.jpg"]
    labels = [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]
    path = hugging_face(
        tmp_path / "a.parquet",
        {"label": CLASS_LABEL},
        image=images(*names),
        label=labels,
        score=[k / 2 for k in range(10)],
    )
    for target in ((), ("score",)):
        index = build_index(path, IndexOptions(target=target), cache_dir=tmp_path)
        assert len(index) == 10
        for i, given in enumerate(index.targets.ravel().tolist()):
            row = int(bytes(read_file(index.source(i))).split()[1])
            assert given == (row / 2 if target else labels[row]), (index.paths[i], names[row])


def test_names_of_classes_survive_a_list_beside_them_and_are_read_in_tables(tmp_path):
    from deep_cnn.data.index import IndexOptions

    names = [f"b{k // 2}/{k}.png" for k in range(4)]
    features = {"label": CLASS_LABEL, "boxes": [{"dtype": "float32", "_type": "Value"}], "tags": [CLASS_LABEL]}
    cells = {"label": [0, 1, 0, -1], "boxes": [[0.5]] * 4, "tags": [[0], [0, 1], [], [1]]}
    path = hugging_face(tmp_path / "a.parquet", features, image=images(*names), **cells)
    index = build_index(path, cache_dir=tmp_path)
    assert list(of_class(index).values()) == ["ant", "bee", "ant"] and list(index.paths) == names[:3]
    tags = build_index(path, IndexOptions(target=("tags",), task="multilabel"), cache_dir=tmp_path)
    assert tags.classes == ("ant", "bee") and tags.targets[:2].tolist() == [[1, 0], [1, 1]]
    place = folder(tmp_path / "photos", {name: name.encode() for name in names})
    table = hugging_face(tmp_path / "t.parquet", features, file=names, **cells)
    index = build_index(place, IndexOptions(metadata=table, target=("label",)))
    assert list(of_class(index).values()) == ["ant", "bee", "ant"]


def test_odd_parquet_is_refused_or_read(tmp_path):
    import datetime
    import decimal

    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    from deep_cnn.data.index import IndexOptions

    two = images("a.png", "b.png")
    beyond = hugging_face(tmp_path / "1.parquet", {"label": CLASS_LABEL}, image=two, label=[0, 2])
    with pytest.raises(DataError, match=r"row 2, label: 2 is not the number of one of its 2 classes \(ant, bee\)"):
        build_index(beyond, cache_dir=tmp_path)
    several = hugging_face(tmp_path / "2.parquet", thumb=two, scan=two, label=["x", "y"])
    with pytest.raises(DataError, match=r"2 columns hold encoded images \(thumb, scan\)"):
        build_index(several, cache_dir=tmp_path)
    digests = pa.array([b"12", b"34"], pa.binary(2))
    meant = hugging_face(
        tmp_path / "3.parquet",
        thumb=images("t.png", "u.png"),
        image=two,
        md5=digests,
        price=[decimal.Decimal("1.50"), decimal.Decimal("2.25")],
        day=[datetime.date(2026, 1, 2)] * 2,
    )
    index = build_index(meant, IndexOptions(target=("price",), task="regression"), cache_dir=tmp_path)
    assert list(index.paths) == ["a.png", "b.png"] and index.targets.ravel().tolist() == [1.5, 2.25]
    pq.write_table(
        pa.Table.from_arrays([pa.array(["a.jpg"]), pa.array([1.0]), pa.array([2.0])], names=["file", "s", "s"]),
        tmp_path / "4.parquet",
    )
    place = folder(tmp_path / "photos", {"a.jpg": b"1"})
    with pytest.raises(DataError, match="two columns are named 's'; rename one of them"):
        build_index(place, IndexOptions(metadata=tmp_path / "4.parquet", target=("s",)))
