"""What cells mean: missing values, numbers in the notations of several countries, labels in several spellings."""

import io
import math

import numpy as np
import pandas as pd
import pytest

from deep_cnn.data.cells import coordinate, is_missing, label_key, labels, numbers, parse
from deep_cnn.runtime.errors import DataError


def column(*cells: str) -> np.ndarray:
    return np.array(cells, dtype=object)


def read(*cells: str, separator: str = ",") -> list[float]:
    return numbers(column(*cells), range(2, 2 + len(cells)), "--target=y", separator).tolist()


def test_what_pandas_calls_missing_is_missing():
    spelled = ["NA", "N/A", "NaN", "nan", "NULL", "null", "None", "<NA>", "#N/A", "n/a", "-nan", "1.#IND", "#NA"]
    frame = pd.read_csv(io.StringIO("x\n" + "\n".join(spelled)))
    assert frame["x"].isna().all(), "an independent opinion"
    assert all(map(is_missing, [*spelled, "", "-", "--", "#NV", "na"]))
    databases = ["\\N", "(null)", "<null>", "[null]", "..", "…"]
    sheets = ["#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#WERT!", "#BEZUG!", "#N/D", "#¡VALOR!"]
    assert all(map(is_missing, [*databases, *sheets]))
    assert all(map(is_missing, [".a", ".z", ".A", "._", "<undefined>", "<missing>"]))  # Stata, SAS, MATLAB
    assert not any(map(is_missing, [".ab", "a", ".5", "missing"]))
    assert not any(map(is_missing, ["#1", "# 5!", "#hash tag!", "!", "wow!"]))
    assert not any(map(is_missing, ["none", "no", "0", "nana", "Namibia"]))


@pytest.mark.parametrize(
    ("cells", "separator", "values"),
    [
        (["1.5", "-2", "1e3", "+4"], ",", [1.5, -2, 1000, 4]),
        (["1,5", "2", "-0,25"], ";", [1.5, 2, -0.25]),
        (["1,5", "2", "-0,25"], "\t", [1.5, 2, -0.25]),
        (["1.234,5", "1.234", "2,5"], ";", [1234.5, 1234, 2.5]),
        (["1\u00a0234,5", "7"], ";", [1234.5, 7]),
        (["0,125", "0,250"], ";", [0.125, 0.25]),
        (["\u22121.5", "2"], ",", [-1.5, 2]),
        (["１．５", "－２"], ",", [1.5, -2]),
        (["12.340", "1.205", "850.000"], ";", [12.34, 1.205, 850]),  # three digits everywhere
        (["1.200", "3", "7"], ",", [1.2, 3, 7]),  # as people type
        (["1.25", "1.200", "850"], ",", [1.25, 1.2, 850]),
        (
            ["0.123", "0.456", "74.253"],
            ",",
            [0.123, 0.456, 74.253],
        ),  # three digits everywhere: at most a unit is missing
        (
            ["0.125", "1.216", "8.705", "353", "1", "0"],
            ",",
            [0.125, 1.216, 8.705, 353, 1, 0],
        ),  # no thousand begins with 0
        (["1.216", "8.705", "2.311", "1.2165", "353", "1", "7"], ",", [1.216, 8.705, 2.311, 1.2165, 353, 1, 7]),
        (["1.333", "2.667", "4.333", "1", "2", "5"], ",", [1.333, 2.667, 4.333, 1, 2, 5]),  # means of three ratings
        (["14.143", "57.286", "3.857", "0", "50", "100"], ",", [14.143, 57.286, 3.857, 0, 50, 100]),  # of seven
        (["1.216", "8.705", "2.311", "5", "7"], ",", [1.216, 8.705, 2.311, 5, 7]),
        (
            ["1.216", "8.705", "2.311", "999"],
            ",",
            [1.216, 8.705, 2.311, 999],
        ),  # which is named as a mark of missing values
    ],
)
def test_numbers_that_are_read(cells, separator, values):
    assert read(*cells, separator=separator) == values


@pytest.mark.parametrize(
    ("cells", "separator", "message"),
    [
        (["1,5", "2,25"], ",", "'1,5' in line 2: decimal commas .2 such cells."),
        (["7", "1,000"], ";", "'1,000' in line 3: commas that may be decimal or separate thousands"),
        (["1,234,567", "2"], ",", "thousands separators"),
        (["1,234.5", "2"], ";", "thousands separators"),
        (["1'000", "2"], ",", "thousands separators"),
        (["10%", "20 %"], ",", "percent signs"),
        (["$1,000", "2"], ",", "'\\$1,000' in line 2: signs of a currency .1 such cells.; write the numbers alone"),
        (["0,50 €", "2"], ";", "signs of a currency"),
        (["1,5", "2.5"], ";", "decimal commas beside decimal points"),
        (
            ["850", "1.200", "45.300"],
            ";",
            "'1.200' in line 3: points that separate thousands .2 such cells.; write 1200",
        ),
        (["850", "1.200", "NA"], ",", "'1.200' in line 3: points that separate thousands"),
        (
            ["353", "1.216", "8.705", "41", "2.313", "7"],
            ";",
            r"'1\.216' in line 3: points that .* .3 such cells.; write 1200 for 1\.200, or 1\.2000",
        ),
        (["-353", "-1.216", "8.705", "41", "1.312.313", "700"], ",", "points that separate thousands .3 such"),
        (
            ["1.217", "8.705", "45.311", "1.233", "851"],
            ",",
            "points that separate thousands .4 such",
        ),  # 851 among decimals
        (["1", "many"], ",", "'many' in line 3 is not a number"),
        (["1", "1e999"], ",", "infinite value in line 3"),
    ],
)
def test_numbers_that_are_refused_by_line(cells, separator, message):
    with pytest.raises(DataError, match=message):
        read(*cells, separator=separator)
    assert parse(column(*cells), separator).share >= 0.5, "a column of numbers, not of classes"


def test_missing_numbers_are_nan():
    assert np.isnan(read("NA", "-", "none", "", "2")).tolist() == [True, True, True, True, False]


@pytest.mark.parametrize(
    "same",
    [
        ("1", "1.0", "1.00", "+1"),
        ("2.5", "2.50"),
        ("True", "TRUE", "true"),
        ("café", "cafe\u0301"),
        ("a b", "a  b", " a b ", "a\u00a0b"),
        ("0", "0.0", "-0"),
    ],
)
def test_spellings_of_one_label(same):
    assert len({label_key(cell) for cell in same}) == 1
    assert label_key(label_key(same[0])) == label_key(same[0])


def test_labels_that_stay_apart():
    different = ["1", "01", "10", "1.5", "15", "-1", "Cat", "cat", "T", "1e0"]
    assert len({label_key(cell) for cell in different}) == len(different)


def test_labels_are_merged_with_a_note_and_keep_a_single_spelling():
    said, notes = labels(column("1.0", "1", "2.0", "2.0"), "y")
    assert said.tolist() == ["1", "1", "2.0", "2.0"] and notes == ["y: '1' and '1.0' are each taken as one"]
    said, notes = labels(column("Cat", "cat", "7", "007"), "y")
    assert said.tolist() == ["Cat", "cat", "7", "007"] and "'Cat' and 'cat' are not the same (2 such cases)" in notes[0]


def test_coordinates():
    assert [coordinate(c, 90.0) for c in ("47.37", "47,37", " -8,5 ", "90")] == [47.37, 47.37, -8.5, 90.0]
    assert math.isnan(coordinate("", 90.0)) and math.isnan(coordinate("NA", 90.0))
    assert [coordinate(c, 90.0) for c in ("91", "47°22'", "N47", "47,370,1", "inf")] == [None] * 5


def test_a_decimal_comma_is_no_other_label_where_columns_are_not_separated_by_commas():
    said, _ = labels(column("3", "3,0", "2,50"), "place", ";")
    assert said.tolist() == ["3", "3", "2,50"]
    said, notes = labels(column("3", "3,0"), "place", ",")
    assert said.tolist() == ["3", "3,0"] and "'3' and '3,0' are not the same" in notes[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x-ray", "x\u2011ray"),
        ("St. John's", "St. John\u2019s"),
        ("living_room", "living room"),
        ("cafe", "caf\u00e9"),
        ("A", "\uff21"),
        ("01", "1"),
        ("1e3", "1000"),
        ("1,000", "1000"),
        (".5", "0.5"),
        ("'3", "3"),
        ("site 01", "Site 1"),
        ("2020-01-05", "2020-01-05 00:00:00"),
        ("2020-01-05", "5.1.2020"),
        ("01/05/2020", "2020-01-05"),
        ("St. Gallen", "St Gallen"),
        ("bern/1/", "bern\\1"),
        ("https://a.org/1", "http://www.a.org/1"),
        ("{ab-1}", "AB-1"),
        ("bed &amp; breakfast", "bed & breakfast"),
        ("Zürich", "ZÃ¼rich"),
    ],
)
def test_spellings_that_look_alike_are_two_labels_with_a_warning(one, other):
    said, notes = labels(column(one, other, "dog"), "y")
    assert len(set(said)) == 3 and len(notes) == 1 and "are not the same" in notes[0]


def test_letters_that_nobody_sees_make_no_label():
    said, notes = labels(column("cat", "cat\u200b", "c\u00adat", "\ufeffcat"), "y")
    assert set(said) == {"cat"} and "are each taken as one" in notes[0]


def test_different_labels_are_no_warning():
    marks = column(
        "A",
        "A+",
        "A-",
        "C",
        "C++",
        "C#",
        "-1",
        "1",
        "10",
        "100",
        "1.5",
        "15",
        "a b",
        "ab",
        "v1.5",
        "v15",
        "1-2",
        "+",
        "-1-",
    )
    assert labels(marks, "y")[1] == []
    dates = column("2020-01-05", "2020-05-01", "2020-01-05 00:30", "6.1.2020", f"{10**30}", f"{10**30 + 1}")
    assert labels(dates, "y")[1] == []
