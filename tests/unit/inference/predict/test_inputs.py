"""Which images predict is asked for: every form of table and list that training reads, and lists of all systems."""

import io
import os
import unicodedata
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from deep_cnn.data.index import IndexOptions, build_index
from deep_cnn.data.table import read_table
from deep_cnn.inference.predict.inputs import images_from_list, read_images
from deep_cnn.runtime.atomic import write_csv
from deep_cnn.runtime.errors import ConfigError, DataError

FILES = [f"a{i:02d}.jpg" for i in range(5)]


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in FILES:
        (folder / name).write_bytes(name.encode())
    return folder


def table(rows: list[str], separator: str = ",") -> str:
    lines = [f"photo{separator}score", *(f"{row}{separator}{i}.5" for i, row in enumerate(rows))]
    return "\n".join(lines) + "\n"


def found(photos: Path, file: str, data: str | bytes, **flags):
    path = photos.parent / file
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read_images(str(path), flags.get("image_column"), [photos], [photos])


STEMS = [name[:-4] for name in FILES]
TABLES = {
    "plain": table(FILES),
    "UTF-8 with a mark": table(FILES).encode("utf-8-sig"),
    "UTF-16": table(FILES).encode("utf-16"),
    "cp1252": table(FILES).replace("score", "größe").encode("cp1252"),
    "semicolons": table(FILES, ";"),
    "sep=": "sep=;\r\n" + table(FILES, ";").replace("\n", "\r\n"),
    "PowerShell": "#TYPE X\r\n" + table(FILES).replace("\n", "\r\n"),
    "stems": table(STEMS),
    "other letters in the ending": table([stem + ".JPG" for stem in STEMS]),
    "Windows": table([f"C:\\me\\photos\\{name}" for name in FILES]),
    "another machine": table([f"/home/me/photos/{name}" for name in FILES]),
    "blank lines": "\n\n" + table(FILES).replace("\n", "\n\n"),
    "a name of two lines": table(FILES).replace("score", '"how safe?\n1; 2; 3; 4"'),
}


@pytest.mark.parametrize("data", TABLES.values(), ids=TABLES)
def test_tables_that_training_reads(photos, data):
    images = found(photos, "t.csv", data)
    assert list(images.paths) == FILES and images.root == photos and images.rows.tolist() == [0, 1, 2, 3, 4]
    (score,) = set(read_table(photos.parent / "t.csv").frame.columns) - {"photo"}
    assert list(build_index(photos, IndexOptions(metadata=photos.parent / "t.csv", target=(score,))).paths) == FILES


@pytest.mark.parametrize("ending", ["txt", "tsv", "dat"])
def test_a_table_may_have_another_ending(photos, ending):
    assert list(found(photos, f"t.{ending}", table(FILES, "\t")).paths) == FILES


LISTS = {
    "names": "\n".join(FILES),
    "PowerShell": "\r\n".join(FILES).encode("utf-16"),
    "Windows": "\r\n".join(f"C:\\me\\{name}" for name in FILES),
    "quotes": "\n".join(f'"{name}"' for name in FILES),
    "a heading": "FullName\n" + "\n".join(FILES),
    "a heading of PowerShell": "\n\nName\n----\n" + "\n".join(f"{name}   " for name in FILES),
    "find -print0": "\0".join(FILES) + "\0",
    "UTF-16 without a mark": "\n".join(FILES).encode("utf-16-le"),
    "comments": "# my photographs\n\n#2\n" + "\n".join(FILES),
    "a table below a comment": "# exported\n" + table(FILES),
}


@pytest.mark.parametrize("data", LISTS.values(), ids=LISTS)
def test_lists(photos, data):
    assert list(found(photos, "list.txt", data).paths) == FILES


def test_names_are_found_below_a_folder_that_was_named_and_no_other(photos):
    images = found(photos, "t.csv", table(["a03", "gone", "/me/a03.jpg", "a03"]))
    assert list(images.paths) == ["a03.jpg", "gone", "a03.jpg"] and images.rows.tolist() == [0, 1, 2, 0]
    assert list(images.names) == ["a03", "gone", "/me/a03.jpg"], "predictions name them as the table does"
    assert images.notes[0] == "Image column: photo (first rows: 3 of 4 rows found, by name without ending)"
    assert str(photos) in images.notes[1] and "/me/ in the paths is taken" in images.notes[1]
    assert "1 image is listed more than once" in images.notes[2]
    with pytest.raises(DataError, match=r"a03 is not found below .*; give the folder of images as --data_dir"):
        read_images(str(photos.parent / "t.csv"), "photo", [photos])
    with pytest.raises(DataError, match="a03 is not found below"):
        read_images(str(photos.parent / "t.csv"), None, [photos])  # no file, but the name of the column
    (photos.parent / "u.csv").write_text(table(["a03"]).replace("photo", "thing"))
    with pytest.raises(DataError, match="no column of image files was recognised"):
        read_images(str(photos.parent / "u.csv"), None, [photos])
    (photos / "b").mkdir()
    (photos / "b" / "a03.jpg").write_bytes(b"other")
    with pytest.raises(DataError, match=r"--images=.*t.csv: 'a03' in line 2 matches 2 files \(a03.jpg, b/a03.jpg\)"):
        read_images(str(photos.parent / "t.csv"), "photo", [], [photos])


@pytest.mark.skipif(os.name == "nt", reason="file names are text there")
def test_names_that_are_not_utf8_keep_their_bytes(photos):
    name = b"\xbd\xd6.jpg"
    (photos / os.fsdecode(name)).write_bytes(b"x")
    images = found(photos, "list.txt", name + b"\n")
    assert list(images.paths) == [os.fsdecode(name)]
    images = found(photos, "t.csv", b"file,x\n" + name + b",1\n")
    assert list(images.paths) == [os.fsdecode(name)]


def test_accents_of_macos_and_letters_of_windows(photos):
    (photos / unicodedata.normalize("NFC", "café.jpg")).write_bytes(b"x")
    for data in (unicodedata.normalize("NFD", "file\ncafé.jpg\n").encode(), "file\ncafé.jpg\n".encode("cp1252")):
        assert list(found(photos, "t.csv", data).paths) == ["café.jpg"]


def test_a_table_on_the_standard_input(photos, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(table(FILES)))
    assert list(read_images("-", None, [photos]).paths) == FILES


def test_a_name_that_begins_like_a_comment(photos):
    (photos / "#1.jpg").write_bytes(b"x")
    assert list(found(photos, "list.txt", "\n".join(["#1.jpg", *FILES])).paths) == ["#1.jpg", *FILES]


def test_the_column_that_is_asked_for_is_found_as_in_training(photos):
    text = table(FILES).replace("photo", "my\u00a0photo")
    assert list(found(photos, "t.csv", text, image_column="my photo").paths) == FILES
    twice = "photo,photo\n" + "".join(f"{name},{other}\n" for name, other in zip(FILES, FILES[::-1], strict=True))
    with pytest.raises(DataError, match="two columns are named 'photo'"):
        found(photos, "t.csv", twice, image_column="photo")


def test_a_row_with_more_cells_than_the_header_is_refused(photos):
    (photos / "5.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match="line 4 has 3 cells, but the header has 2"):  # not the image 5.jpg
        found(photos, "t.csv", f"score,photo\n1,{FILES[0]}\n2,{FILES[1]}\n3,5,{FILES[2]}\n")


def test_one_image(photos):
    Image.new("RGB", (300, 200), "red").save(photos / "one.JPG", "JPEG")
    images = read_images(str(photos / "one.JPG"), None, [])
    assert images.root == photos and list(images.paths) == ["one.JPG"]
    with zipfile.ZipFile(photos.parent / "p.zip", "w") as archive:
        archive.write(photos / "one.JPG", "holidays/one.JPG")
    images = read_images(str(photos.parent / "p.zip" / "holidays" / "one.JPG"), None, [])
    assert list(images.paths) == ["one.JPG"] and images.source(0).read() == (photos / "one.JPG").read_bytes()
    (photos.parent / "folder.jpg").mkdir()
    (photos / "one.JPG").rename(photos.parent / "folder.jpg" / "one.JPG")
    assert list(read_images(str(photos.parent / "folder.jpg"), None, []).paths) == ["one.JPG"]


def test_places_and_repeated_rows(photos):
    text = "file,Lat,lng\n" + "".join(f"{name},{i},{i + 0.5}\n" for i, name in enumerate([*FILES, FILES[1]]))
    images = found(photos, "t.csv", text)
    assert images.places.tolist() == [[i, i + 0.5] for i in range(5)] and images.rows.tolist() == [0, 1, 2, 3, 4, 1]


def test_files_that_are_no_tables(photos):
    with pytest.raises(DataError, match=r"t.xlsx: .xlsx files are not supported; save the table as CSV"):
        found(photos, "t.xlsx", "PK")
    with pytest.raises(DataError, match=r"--images=.*: no images are listed"):
        found(photos, "t.csv", "file,score\n")


def test_a_list_of_python(photos):
    images = images_from_list(["a02", "/me/a01.jpg", "/me/a02.JPG"], [photos], [photos])
    assert list(images.paths) == ["a02.jpg", "a01.jpg", "a02.jpg"] and images.rows.tolist() == [0, 1, 2]


def test_images_keep_the_names_that_the_table_gives_them(photos):
    (photos / "sub").mkdir()
    (photos / "sub" / "x.jpg").write_bytes(b"x")
    cells = ["sub\\x.jpg", "./a00.jpg", "a01"]
    images = found(photos, "t.csv", table(cells))
    assert list(images.names) == cells and list(images.paths) == ["sub/x.jpg", "a00.jpg", "a01.jpg"]
    assert images.digest() != found(photos, "t.csv", table(["sub/x.jpg", "a00.jpg", "a01.jpg"])).digest()


def test_a_named_folder_comes_before_that_of_the_table(photos):
    for name in FILES:
        (photos.parent / name).write_bytes(b"another image of the same name")
    assert found(photos, "t.csv", table(FILES)).root == photos


def test_the_column_is_chosen_by_files_not_by_its_first_cell(photos):
    text = ",mask,photo\n" + "".join(f"{i},{name},{FILES[4 - i]}\n" for i, name in enumerate(FILES))
    assert list(found(photos, "t.csv", text).names) == FILES[::-1]
    text = "before,after\n" + "".join(f"{name},{FILES[4 - i]}\n" for i, name in enumerate(FILES))
    with pytest.raises(DataError, match=r"--images=.*: both before .* and after .* give one of them as --image_column"):
        found(photos, "t.csv", text)


def test_a_table_without_a_header(photos):
    assert list(found(photos, "t.csv", "".join(f"{name},1\n" for name in FILES)).paths) == FILES
    assert list(found(photos, "t.csv", "\n".join(FILES)).paths) == FILES


def test_our_own_tables_are_read_back(photos):
    name = "\udcbd\udcd6.jpg"
    (photos / name).write_bytes(b"x")
    write_csv(photos.parent / "p.csv", ["file", "p"], [[name, 0.5], [FILES[0], 0.5]])
    images = read_images(str(photos.parent / "p.csv"), None, [photos], [photos])
    assert list(images.paths) == [name, FILES[0]] and list(images.names) == [name, FILES[0]]


def test_coordinates_with_decimal_commas_and_strange_ones(photos):
    text = "file;lat;lon\n" + "".join(f"{name};47,{i};8°30\n" for i, name in enumerate(FILES))
    images = found(photos, "t.csv", text)
    assert (
        images.places is None
        and "5 coordinates are not degrees such as 47.37, and are left out: '8°30' in line 2" in images.notes[1]
    )
    images = found(photos, "t.csv", text.replace("8°30", "8,5"))
    assert images.places[1].tolist() == [47.1, 8.5]


def test_a_table_of_images_in_an_archive(photos):
    archive = photos.parent / "photos.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in FILES:
            file.write(photos / name, f"camera/{name}")
    path = photos.parent / "t.csv"
    as_written = [f"camera/{name}" for name in FILES]
    for cells in (as_written, FILES, STEMS, [f"C:\\me\\{name}" for name in as_written]):
        path.write_text(table(cells))
        images = read_images(str(path), None, [], [archive])
        assert list(images.paths) == as_written and list(images.names) == cells
        assert [bytes(images.source(i).read()) for i in range(5)] == [name.encode() for name in FILES]
    path.write_text(table([*as_written[:4], "camera/none.jpg"]))
    images = read_images(str(path), None, [archive])
    with pytest.raises(FileNotFoundError, match="No such file in the archive"):
        images.source(4).read()


def test_a_table_of_parquet_names_images_as_a_csv_file_does(photos):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    path = photos.parent / "t.parquet"
    pq.write_table(
        pa.table({"score": [1.5] * 5, "photo": FILES, "lat": [47.0, None, 3.0, 4.0, 5.0], "lon": [8.0] * 5}), path
    )
    images = read_images(str(path), None, [], [photos])
    assert list(images.paths) == FILES and "photo" in images.notes[0]
    assert images.places is not None and images.places[0].tolist() == [47, 8]
    with pytest.raises(DataError, match="--image_column=x: the table has no such column"):
        read_images(str(path), "x", [], [photos])
    (alone := photos.parent / "alone").mkdir()  # without the folder of images, it is no folder of shards either
    (alone / "broken.parquet").write_bytes(b"PAR1" + bytes(40))
    assert list(read_images(str(path.rename(alone / "t.parquet")), None, [], [photos]).paths) == FILES
    (alone / "t.csv").write_text(table(FILES))
    assert list(read_images(str(alone / "t.csv"), None, [], [photos]).paths) == FILES
    (photos.parent / "broken.parquet").write_bytes(b"PAR1" + bytes(40))
    with pytest.raises(DataError, match=r"--images=.*broken.parquet: cannot be read as Parquet"):
        read_images(str(photos.parent / "broken.parquet"), None, [], [photos])


def test_a_file_of_parquet_with_images_is_an_archive_of_them(photos):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    rows = [{"bytes": (photos / name).read_bytes(), "path": name} for name in FILES]
    pq.write_table(pa.table({"image": rows, "score": [1.5] * 5}), photos.parent / "t.parquet")
    images = read_images(str(photos.parent / "t.parquet"), None, [], [])
    assert list(images.paths) == FILES
    assert images.source(3).read() == (photos / FILES[3]).read_bytes()


def test_a_column_of_what_is_not_a_table_is_refused(photos):
    for place in (photos, photos / FILES[0]):
        with pytest.raises(ConfigError, match=r"--image_column=photo: --images=.* is not a table; omit it"):
            read_images(str(place), "photo", [])


def test_a_text_file_whose_first_column_has_a_name_of_several_lines_is_a_table(photos):
    rows = "".join(f"{i}|{stem}\n" for i, stem in enumerate(STEMS))
    images = found(photos, "t.txt", '"how safe?\n1; 2; 3"|photo\n' + rows)
    assert list(images.paths) == FILES
    assert list(found(photos, "t.txt", '"' + '"\n"'.join(FILES) + '"\n').paths) == FILES  # a list with quotes
