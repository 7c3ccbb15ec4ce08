"""What the cells of one column are taken for: classes, labels or numbers, or what has to be said of them."""

from pathlib import Path

import pytest

from deep_cnn.data.index import Index, IndexOptions, build_index
from deep_cnn.runtime.errors import DataError

IMAGES = 60


@pytest.fixture
def folder(tmp_path):
    for i in range(IMAGES):
        (tmp_path / f"{i}.jpg").write_bytes(b"%d" % i)
    return tmp_path


def read(folder: Path, cells: list[str], name: str = "y", **flags) -> Index:
    """Of a table with a row for each image, whose cells are `cells` in turn."""
    rows = "".join(f'{i}.jpg\t"{cells[i % len(cells)]}"\n' for i in range(IMAGES))
    (folder / "t.tsv").write_text(f"image\t{name}\n{rows}", encoding="utf-8")
    return build_index(folder, IndexOptions(metadata=folder / "t.tsv", target=(name,), **flags))


def refused(folder: Path, cells: list[str], match: str, **flags) -> None:
    with pytest.raises(DataError, match=match) as problem:
        read(folder, cells, **flags)
    assert "\n" not in str(problem.value)


# --- several labels in a cell ------------------------------------------------------------------------------------------

THREE = ["Shop", "House", "Park"]


@pytest.mark.parametrize(
    ("cells", "example"),
    [
        ([*THREE * 19, *THREE[:2], "Shop; closed"], "1 of 60 cells has ';' .e.g. 'Shop; closed'."),
        ([*THREE * 19, "Shop; closed", "Park; open", "House"], "2 of 60 cells have ';' .e.g. 'Shop; closed'."),
        ([*THREE * 19, "Shop; closed", "Shop; closed", "House"], "2 of 60 cells have ';' .e.g. 'Shop; closed'."),
        (["p53; mutated", "wild type", "unknown"], "20 of 60 cells have ';' .e.g. 'p53; mutated'."),
        (["indoor;kitchen", "outdoor;street"], "60 of 60 cells have ';'"),
        ([*THREE * 19, *THREE[:2], "Shop;"], "1 of 60 cells has ';'"),
        ([*map(str, range(1, 6))] * 11 + ["1", "2", "3", "4", "3;5"], "1 of 60 cells has ';' .e.g. '3;5'."),
    ],
)
def test_a_semicolon_that_may_be_a_part_of_a_text_is_asked_about(folder, cells, example):
    refused(folder, cells, example)
    assert read(folder, cells, task="classification").task == "classification"
    assert read(folder, cells, task="multilabel").task == "multilabel"


@pytest.mark.parametrize(
    "cells",
    [
        [*THREE * 19, *THREE[:2], "Shop;Park"],
        [*THREE * 18, "Shop;Park", "House;Park;Shop", "Shop;Park;Bench", *THREE],
        [*THREE, "Shop;closed"],  # in many cells
        ["Shop;", "House;"],
        ["indoor;kitchen", "indoor;hall"],
    ],
)
def test_a_semicolon_between_labels_that_recur_separates_them(folder, cells):
    assert read(folder, cells).task == "multilabel"


@pytest.mark.parametrize(
    ("cells", "how"),
    [
        (["树、车", "车", "树", "人、树", "人"], "separated by '、'"),
        (["树、车", "人、树"], "separated by '、'"),
        (["树；车", "车", "树"], "separated by '；'"),
        (["树，车", "车", "树", "人，树"], "separated by '，'"),
        (["شجرة، سيارة", "سيارة", "شجرة"], "separated by '،'"),
        (["tree · car", "car", "tree"], "separated by '·'"),
        (["#trees #cars", "#cars", "#trees"], "written as hashtags"),
        (["#trees#cars", "#people, #cars", "#people"], "written as hashtags"),
    ],
)
def test_separators_of_other_scripts_and_hashtags(folder, cells, how):
    for task in ("auto", "multilabel"):
        refused(folder, cells, f"seem to hold several labels {how}", task=task)
    assert len(read(folder, cells, task="classification").classes) == len(cells)


@pytest.mark.parametrize(
    "cells", [["#1", "#2", "#3"], ["C#", "C++", "F#"], ["北京，中国", "巴黎，法国", "罗马，意大利"]]
)
def test_texts_with_these_signs_that_are_single_labels(folder, cells):
    assert read(folder, cells).classes == tuple(sorted(cells))


# --- numbers with something before or behind them ----------------------------------------------------------------------

SPARSE = [450 + 37 * k for k in range(25)]


@pytest.mark.parametrize(
    "form",
    [
        *(
            "CHF {}",
            "USD {}",
            "R$ {}",
            "Rs. {}",
            "kr {}",
            "NT$ {}",
            "US${}",
            "EUR{}",
            "ca. {}",
            "approx {}",
            "Score: {}",
            "about {} m",
            "c. {}",
        ),
        *("CHF {}.-", "EUR {} / month", "+-{}", "price = {}"),
    ],
)
def test_a_word_in_front_of_numbers_makes_no_classes(folder, form):
    cells = [form.format(value) for value in SPARSE]
    refused(
        folder,
        cells,
        f"60 of 60 cells hold numbers with something else .e.g. '{form[0]}" if form[0] not in "+" else "60 of",
    )
    assert len(read(folder, cells, task="classification").classes) == 25


def test_thousands_behind_a_word(folder):
    refused(
        folder,
        [f"CHF {value // 1000}'{value % 1000:03}" if value > 999 else f"CHF {value}" for value in SPARSE],
        "60 of 60",
    )
    refused(folder, [f"USD {value:,}" for value in SPARSE], "60 of 60 cells hold numbers")


@pytest.mark.parametrize(
    "cells",
    [
        *(
            ["2.5 km", "3 km", "4.5 km"],
            ["(0.5)", "(1)", "(1.5)"],
            ["0.5-", "1-", "1.5-"],
            ["3.5/5", "4/5", "2.5/5"],
            ["1,5 m", "2 m", "3 m"],
        ),
        *(
            ["Score: 3.5", "Score: 4", "Score: 1.5"],
            ["approx 0.25", "approx 0.5", "approx 1"],
            ["CHF 5", "CHF 10", "CHF 20"],
        ),
    ],
)
def test_few_decimals_with_something_else_are_numbers(folder, cells):
    refused(folder, cells, "60 of 60 cells hold numbers with something else")


@pytest.mark.parametrize("cells", [["(0.5)", "(1.5)", "(2)", "1.5"], ["0.5-", "1-", "1.5-", "2", "4.5-"]])
def test_negative_numbers_of_accountants_are_numbers(folder, cells):
    refused(folder, cells, r"\d\d of 60 cells hold numbers with something else")


@pytest.mark.parametrize(
    "cells",
    [
        *([f"Grade {k}" for k in range(1, 6)], [f"Class {k}" for k in range(1, 13)], ["Zone 3", "Zone 7", "Zone 12"]),
        *(
            ["T1", "T2", "T3"],
            [f"T{k}" for k in range(25)],
            [f"site {k}" for k in range(1, 26)],
            ["1 room", "2 rooms", "3 rooms"],
        ),
        *(["0.5-1.0", "1.0-1.5", "1.5-2.0"], ["1.5T", "3T"], ["v1.5", "v2.0", "v2.5"], ["C50.9", "C18.7", "C34.1"]),
        *(
            [f"n{2000000 + 1717 * k:08}" for k in range(25)],
            [f"Sector {k:03}" for k in range(1, 100, 4)],
            ["12.05.2020", "13.05.2020", "1.6.2020"],
        ),
        ["(1)", "(2)", "(3)", "1"],
        ["c1", "c2", "c3"],
        ["FR1", "FR2", "FR7"],
        ["under 18", "18 to 65", "over 65"],
    ],
)
def test_names_with_numbers_stay_classes(folder, cells):
    assert set(read(folder, cells).classes) == set(cells)


# --- whole numbers: classes or amounts ---------------------------------------------------------------------------------

NUMBERED = [str(k) for k in range(30)]


@pytest.mark.parametrize(
    "name",
    [
        "label",
        "class",
        "Class",
        "class_id",
        "category_id",
        "breed",
        "species",
        "speciesId",
        "fine_label",
        "taxon_id",
        "Label index",
    ],
)
def test_many_numbers_are_classes_where_the_name_says_so(folder, name):
    index = read(folder, NUMBERED, name)
    assert index.task == "classification" and index.classes == tuple(NUMBERED)
    assert "30 distinct whole numbers, and the column's name speaks of classes" in index.reason
    assert "(to change: --task=regression)" in index.reason
    assert read(folder, NUMBERED, name, task="regression").task == "regression"


@pytest.mark.parametrize("name", ["label", "class", "breed_id"])
def test_a_name_of_classes_above_amounts_is_asked_about(folder, name):
    match = f"--target={name}: .* distinct whole numbers in a column whose name speaks of classes; .*--task=classification.*--task=regr"
    cells = [str(17 * k) for k in range(30)]
    with pytest.raises(DataError, match=match):
        read(folder, cells, name)
    for task in ("classification", "regression"):
        assert read(folder, cells, name, task=task).task == task


@pytest.mark.parametrize(
    ("cells", "name", "hint"),
    [
        (NUMBERED, "y", True),
        (NUMBERED, "grid", True),
        (NUMBERED, "classroom_size", True),
        ([str(k) for k in range(IMAGES)], "label", False),  # they cannot be classes
        ([str(k + 0.5) for k in range(30)], "label", False),
    ],
)
def test_many_numbers_are_scores_otherwise(folder, cells, name, hint):
    index = read(folder, cells, name)
    assert index.task == "regression" and ("(to change: --task=classification)" in index.reason) == hint


def test_few_images_of_each_class(tmp_path):
    for i in range(12):
        (tmp_path / f"{i}.jpg").write_bytes(b"%d" % i)
    rows = "".join(f"{i}.jpg,{i % 8}\n" for i in range(12))
    for name, match in (("score", ""), ("class", "in a column whose name speaks of classes")):
        (tmp_path / "t.csv").write_text(f"image,{name}\n{rows}")
        options = IndexOptions(metadata=tmp_path / "t.csv", target=(name,))
        if match:
            with pytest.raises(DataError, match=match):
                build_index(tmp_path, options)
        else:
            assert (
                "8 distinct numbers -> regression (to change: --task=classification)"
                in build_index(tmp_path, options).reason
            )


def test_columns_of_minus_one_and_one_are_called_so(folder):
    rows = "".join(f"{i}.jpg,{1 if i % 3 else -1},{-1 if i % 2 else 1}\n" for i in range(IMAGES))
    (folder / "t.csv").write_text("image,a,b\n" + rows)
    index = build_index(folder, IndexOptions(metadata=folder / "t.csv", target=("a", "b")))
    assert "2 columns of -1 and 1 (a,b)" in index.reason
