"""Which file a cell means, and which column names the images: on evidence, refused where in doubt."""

import re
from pathlib import Path

import numpy as np
import pytest

from deep_cnn.data.match import (
    Matcher,
    check_not_rounded,
    check_single,
    choose_column,
    choose_numbers,
    plain,
    standing,
)
from deep_cnn.runtime.atomic import escaped
from deep_cnn.runtime.errors import DataError

ROOT = Path("/data/photos")


def matched(files: list[str], cells: list[str], root: Path | None = ROOT) -> list[str | None]:
    found = Matcher(files, root).match(cells).positions
    assert (found > -2).all()
    return [files[p] if p >= 0 else None for p in found]


@pytest.mark.parametrize(
    ("cell", "file"),
    [
        ("train/1.jpg", "train/1.jpg"),
        ("./train/1.jpg", "train/1.jpg"),
        ("train\\1.jpg", "train/1.jpg"),
        ("train//./1.jpg", "train/1.jpg"),
        ("../photos/train/1.jpg", "train/1.jpg"),
        ("test/../train/1.jpg", "train/1.jpg"),
        ("train/old/../1.jpg", "train/1.jpg"),
        ("train%2F1.jpg", "train/1.jpg"),
        ("train/\u200b1.jpg", None),
        ("\ufefftrain/1.jpg\u200b", "train/1.jpg"),
        ("train/../1.jpg", "train/1.jpg"),
        ("train/../../test/1.jpg", None),
        ("photos/train/1.jpg", "train/1.jpg"),
        ("/data/photos/train/1.jpg", "train/1.jpg"),
        ("Train/1.JPG", "train/1.jpg"),
        ("train/1", "train/1.jpg"),
        ("1.jpg", "train/1.jpg"),
        ("1.jpeg", "train/1.jpg"),
        (" 1 ", "train/1.jpg"),
        ("test/1.jpg", None),
        ("rain/1.jpg", None),
        ("other/train/1.jpg", None),
        ("train/2.jpg", None),
        ("", None),
        (".", None),
    ],
)
def test_a_written_folder_must_be_the_files(cell, file):
    assert matched(["train/1.jpg"], [cell, "train/1.jpg"])[0] == file


def test_the_longest_end_of_a_path_wins():
    files = ["1.jpg", "a/1.jpg", "b/a/1.jpg"]
    assert matched(files, ["1.jpg", "a/1.jpg", "b/a/1.jpg"]) == files
    assert Matcher(["a/1.jpg", "b/1.jpg"]).match(["1.jpg", "b/1.jpg"]).positions.tolist() == [-2, 1]
    assert Matcher(["x/a/1.jpg", "y/a/1.jpg"]).match(["a/1.jpg"]).positions.tolist() == [-2]


def test_exact_letters_win_over_other_letter_case():
    files = ["a.jpg", "A.jpg"]
    assert matched(files, ["a.jpg", "A.jpg", "A"]) == ["a.jpg", "A.jpg", "A.jpg"]
    assert matched(["IMG_1.JPG"], ["img_1.jpg"]) == ["IMG_1.JPG"]


@pytest.mark.parametrize(
    ("files", "cells", "dropped"),
    [
        (["a/1.jpg", "b/2.jpg"], ["C:\\me\\set\\a\\1.jpg", "C:\\me\\set\\b\\2.jpg"], "C:/me/set"),
        (["a/1.jpg", "b/2.jpg"], ["/home/me/set/a/1.jpg", "/home/me/set/b/2.jpg"], "/home/me/set"),
        (["1.jpg", "2.jpg"], ["/home/me/set/1.jpg", "/home/me/set/2.jpg"], "/home/me/set"),
        (["1.jpg", "2.jpg"], ["https://example.org/i/1.jpg", "https://example.org/i/2.jpg"], "https:/example.org/i"),
        (["train/1.jpg", "test/2.jpg"], ["\\\\server\\x\\train\\1.jpg", "\\\\server\\x\\test\\2.jpg"], "/server/x"),
    ],
)
def test_the_folder_of_another_computer_is_dropped_as_a_whole(files, cells, dropped):
    match = Matcher(files, ROOT).match(cells)
    assert match.dropped == dropped and match.positions.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("files", "cells", "root"),
    [
        (["test/1.jpg"], ["train/1.jpg"], "/data/photos"),
        (["test/1.jpg"], ["C:\\data\\train\\1.jpg"], "/data/photos"),
        (["test/images/1.jpg"], ["/home/me/train/images/1.jpg"], "/data/photos"),
        (["1.jpg"], ["/home/me/train/1.jpg"], "/data/test"),
        (["images/1.jpg"], ["/home/me/train/images/1.jpg"], "/data/test"),
        (["1.jpg"], ["/home/me/site1/1.jpg"], "/data/site2"),
        (["1.jpg"], ["/home/me/siteA/1.jpg"], "/data/siteB"),
        (["paris/1.jpg"], ["/home/me/boston/1.jpg"], "/data/photos"),
        (["1.jpg"], ["images/1.jpg"], "/data/photos"),
        (["a/1.jpg"], ["/home/me/a/1.jpg", "/elsewhere/b/1.jpg"], "/data/photos"),
    ],
)
def test_a_folder_that_contradicts_is_not_dropped(files, cells, root):
    assert matched(files, cells, Path(root)) == [None] * len(cells)


def test_converted_images_are_found_only_where_nothing_else_is():
    assert matched(["1.jpg", "2.jpg"], ["1.png", "2.png"]) == ["1.jpg", "2.jpg"]
    assert "with another ending" in Matcher(["1.jpg"]).match(["1.png"]).evidence()
    files = ["images/1.jpg", "masks/2.png"]  # the mask of an image that is missing is no image
    assert matched(files, ["1.jpg", "2.jpg"]) == ["images/1.jpg", None]


def test_names_that_are_not_utf8():
    latin, shift = (
        b"Stra\xdfe.jpg".decode("utf-8", "surrogateescape"),
        b"\xbd\xd6.jpg".decode("utf-8", "surrogateescape"),
    )
    assert matched([latin, shift], ["Straße.jpg", shift, escaped(shift), escaped(latin)]) == [
        latin,
        shift,
        shift,
        latin,
    ]
    assert plain("cafe\u0301.jpg") == "café.jpg"


# --- the column --------------------------------------------------------------------------------------------------------

FILES = [f"{i}.jpg" for i in range(30)]
BACK = [29 - i for i in range(30)]


def chosen(files: list[str] = FILES, **columns) -> str | None:
    cells = {name.replace("_", " ").strip() or "": [str(cell) for cell in column] for name, column in columns.items()}
    matcher = Matcher(files, ROOT)
    return choose_column({name: matcher.match(column) for name, column in cells.items()}, cells, "--metadata=t.csv")


def test_real_names_beat_stems_and_those_beat_numbers():
    names, numbers = [f"{i}.jpg" for i in BACK], range(30)
    assert chosen(_=numbers, picture=names) == "picture"
    assert chosen(n=numbers, what=names) == "what"
    words = [f"s{i}.jpg" for i in range(30)] + FILES
    assert chosen(words, n=numbers, what=[f"s{i}" for i in BACK]) == "what"
    assert chosen(words, what=names, code=[f"s{i}" for i in BACK]) == "what"


def test_a_name_decides_between_equals():
    assert chosen(other=FILES, image=[f"{i}.jpg" for i in BACK]) == "image"
    assert chosen(image_left=FILES, other=[f"{i}.jpg" for i in BACK]) == "image left"
    assert chosen(first=FILES, second=FILES) == "first"  # the same files
    assert chosen(_=range(30), id=BACK) == "id"  # no name, as pandas' index
    assert chosen(age=[i % 5 for i in range(30)], number=BACK) == "number"  # five images are not thirty


@pytest.mark.parametrize(
    ("columns", "both"),
    [
        ({"before": FILES, "after": FILES[::-1]}, "before .30 of 30 rows found, by file name. and after"),
        ({"image": FILES, "file": FILES[::-1]}, "image .* and file"),
        ({"number": range(30), "id": BACK}, "number .* by number. and id"),
        ({"image_id": range(30), "mask": FILES[::-1]}, "mask .* and image id"),
        ({"": range(30), "rating": [i % 5 for i in range(30)]}, "rating .* and "),
    ],
)
def test_a_tie_is_refused_with_both_names(columns, both):
    with pytest.raises(DataError, match=f"--metadata=t.csv: both {both}.*give one of them as --image_column"):
        chosen(**columns)


def test_numbers_that_fit_other_rows_are_no_agreement():
    files = [f"{i:03d}.jpg" for i in range(200)]  # 0 to 99 have lost their zeros
    with pytest.raises(DataError, match=r"both rank \(100 of 200 rows found, by number\) and id"):
        chosen(files, rank=range(199, -1, -1), id=range(200))
    assert chosen(files, rank=range(199, -1, -1), image_id=range(200)) == "image id"


def test_numbers_are_no_evidence_beside_names_of_missing_files():
    with pytest.raises(DataError, match=r"no file of column picture is there \(e.g. IMG_0.jpg\)"):
        chosen(_=range(30), picture=[f"IMG_{i}.jpg" for i in range(30)])
    assert chosen(_=range(30), address=[f"https://example.org/{i}-b.jpg" for i in range(30)]) == ""
    assert chosen(other=["x"] * 30) is None


def test_what_names_of_columns_say():
    assert [standing(name) for name in ("Image", "file_name", "imagePath", "Dateiname", "Image Index")] == [3] * 5
    assert [standing(name) for name in ("left image", "image_url")] == [2, 2]
    assert [standing(name) for name in ("score", "id", "")] == [1, 1, 0]
    assert [standing(name) for name in ("Unnamed: 0", "X", "...1", "index", "column 1")] == [0] * 5


def test_the_evidence_is_counted():
    match = Matcher(FILES, ROOT).match(["1.jpg", "2.jpg", "40.jpg"])
    assert match.evidence() == "2 of 3 rows found, by file name" and np.array_equal(match.positions, [1, 2, -1])


def test_an_address_with_a_query_names_its_file_and_beats_the_number_of_the_row():
    files = [f"{i}.jpg" for i in range(20)]
    order = np.random.default_rng(0).permutation(20)
    cells = {
        "id": [str(row) for row in range(20)],
        "photo url": [f"https://host/a%20b/{i}.jpg?size=3#x" for i in order],
    }
    matcher = Matcher(files, ROOT)
    matches = {name: matcher.match(column) for name, column in cells.items()}
    assert choose_column(matches, cells, "t.csv") == "photo url"
    assert matches["photo url"].positions.tolist() == order.tolist()


def test_a_query_is_no_part_of_a_name():
    files = ["1.jpg", "2?.jpg", "my photo.jpg"]
    assert matched(files, ["1.jpg?size=large", "2?.jpg", "/media/my%20photo.jpg?w=3&h=4"])[:2] == files[:2]
    assert matched(["my photo.jpg"], ["my%20photo.jpg?w=3&h=4"]) == ["my photo.jpg"]


# --- numbers whose spelling a spreadsheet has changed ------------------------------------------------------------------


def test_lost_zeros_are_found_by_value_where_nothing_else_is():
    files = ["a/007.jpg", "a/008.jpg", "a/120.jpg", "b/9.jpg", "b/09.jpg", "c/x11.jpg"]
    matcher = Matcher(files, ROOT)
    cells = ["7", "8.0", "120", "9", "0120", "11", "7.5", "-8"]
    assert matcher.match(cells).positions.tolist() == [-1, -1, 2, 3, -1, -1, -1, -1]
    match = matcher.match_values(cells)
    assert match.positions.tolist() == [0, 1, 2, 3, 2, -1, -1, -1]
    assert Matcher(["1.jpg"], ROOT).match(["https://host/a/1.jpg"]).theirs == "https://host/a/"
    assert match.evidence() == "5 of 8 rows found, by number, 3 of them by its value (007 for 7 or 7.0)"
    twice = Matcher(["a/07.jpg", "b/007.jpg"], ROOT)
    with pytest.raises(DataError, match=r"'7' in line 2 matches 2 files \(a/07.jpg, b/007.jpg\)"):
        check_single(twice.match_values(["7"]), ["7"], [2], twice, "--image_column=id")


def test_values_alone_choose_a_column_only_if_its_name_says_so():
    files = [f"{i:03d}.jpg" for i in range(30)]
    matcher = Matcher(files, ROOT)

    def by_values(**columns) -> str | None:
        cells = {name: [str(cell) for cell in column] for name, column in columns.items()}
        return choose_numbers({name: matcher.match_values(column) for name, column in cells.items()}, cells, "t.csv")

    assert by_values(image_id=range(30)) == "image_id" and by_values(x=["a"] * 30) is None
    assert by_values(index=range(30)) is None  # the number of the row
    with pytest.raises(DataError, match=r"column age .*\(007 for 7; 30 of 30 rows\).* --image_column=age"):
        by_values(age=BACK)


@pytest.mark.parametrize("cell", ["1.23E+15", "1,23457E+15", "1234567890123450"])
def test_rounded_numbers_of_a_spreadsheet_name_no_image(cell):
    matcher = Matcher(["1234567890123456.jpg", "1234567890123460.jpg"], ROOT)
    cells = [cell, "1234567890123460", cell]
    match = matcher.match_values(cells)
    with pytest.raises(DataError, match=rf"{re.escape(cell)} in line 2 is a long number .*\(2 such cells\).* as text"):
        check_not_rounded(match, cells, [2, 3, 4], "--image_column=id")
    check_not_rounded(matcher.match_values(cells[1:2]), cells[1:2], [3], "--image_column=id")  # its file is there
    check_not_rounded(matcher.match(["1e5", "17"]), ["1e5", "17"], [2, 3], "--image_column=id")  # names as any
