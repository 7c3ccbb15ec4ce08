"""Areas and local ratings as the table of images writes them: missing cells, spellings, decimal commas, repeated rows."""

import csv
from pathlib import Path
from types import SimpleNamespace

import pytest

from deep_cnn.inference.predict.areas import aggregate, check_aggregate
from deep_cnn.runtime.errors import ConfigError, DataError

TASK = SimpleNamespace(names=("y",), has_unit_scores=True, usual_range=lambda k: (0.0, 5.0))


def areas_of(folder: Path, table: str, files: int = 6, by: str = "place") -> tuple[dict[str, dict[str, str]], str]:
    """The written rows by area, and the lines for the log; files 0.jpg, 1.jpg ... are predicted 0, 1 ..."""
    (folder / "images.csv").write_text(table, encoding="utf-8")
    rows = "".join(f"{i}.jpg,{i}\n" for i in range(files))
    (folder / "p.csv").write_text(f"file,predicted_y\n{rows}")
    written, notes = aggregate(folder / "p.csv", by, str(folder / "images.csv"), None, TASK, None)
    with open(written[0], newline="", encoding="utf-8") as file:
        return {row["area"]: row for row in csv.DictReader(file)}, "\n".join(notes)


def test_missing_areas_are_left_out_and_spellings_are_one(tmp_path):
    cells = ["1", "1.0", "NA", "", "2", "None"]
    found, notes = areas_of(tmp_path, "image,place\n" + "".join(f"{i}.jpg,{c}\n" for i, c in enumerate(cells)))
    assert {name: row["images"] for name, row in found.items()} == {"1": "2", "2": "1"}
    assert "--aggregate=place: 3 images have no area; left out" in notes
    assert "'1' and '1.0' are each taken as one" in notes


def test_ratings_with_decimal_commas_and_the_lines_of_the_file(tmp_path):
    table = "image;place;y\n" + "".join(f"{i}.jpg;a;{i},5\n" for i in (3, 1, 5, 2, 4, 0))
    found, _ = areas_of(tmp_path, table)
    assert found["a"]["images"] == "6" and found["a"]["rated_y"] == "6"
    assert float(found["a"]["mean_y"]) == pytest.approx(3)  # of 0.5 to 5.5: all are rated
    with pytest.raises(DataError, match="'x' in line 5 is not a number"):
        areas_of(tmp_path, table.replace("2,5", "x"))


def test_a_repeated_file_with_another_area_or_rating_is_refused(tmp_path):
    table = "image,place,y,note\n0.jpg,a,1,u\n1.jpg,a,2,v\n"
    assert areas_of(tmp_path, table + "0.jpg,a,1.0,w\n")[0]["a"]["images"] == "2"
    for row, column in (("0.jpg,b,1,w", "place"), ("0.jpg,a,3,w", "y")):
        with pytest.raises(DataError, match=rf"0.jpg has two rows with different values of {column} \(lines 2 and 4\)"):
            areas_of(tmp_path, table + row + "\n")


def test_areas_of_a_table_of_parquet_and_names_with_other_blanks(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"image": ["0.jpg", "1.jpg"], "city\u00a0name": [1.0, 2.0]}), tmp_path / "t.parquet")
    (tmp_path / "p.csv").write_text("file,predicted_y\n0.jpg,5\n1.jpg,6\n")
    check_aggregate("city name", str(tmp_path / "t.parquet"), TASK)
    written, _ = aggregate(tmp_path / "p.csv", "city name", str(tmp_path / "t.parquet"), None, TASK, None)
    assert [line.split(",")[:3] for line in written[0].read_text().split("\n")[1:3]] == [
        ["1", "1", "5.0"],
        ["2", "1", "6.0"],
    ]


def test_a_list_of_images_has_no_columns(tmp_path):
    with pytest.raises(DataError, match=r"neither grid:SIZE nor a column.*Give the images as a table"):
        areas_of(tmp_path, "0.jpg\n1.jpg\n")
    with pytest.raises(ConfigError, match="a column needs a table of images"):
        check_aggregate("place", str(tmp_path / "images.csv"), TASK)


def test_two_columns_that_name_the_images(tmp_path):
    table = "nearest,image,place\n1.jpg,0.jpg,A\n2.jpg,1.jpg,B\n0.jpg,2.jpg,C\n"
    with pytest.raises(
        DataError, match="may be those of column nearest or of image; name the right one as --image_column"
    ):
        areas_of(tmp_path, table, 3)
    written, _ = aggregate(tmp_path / "p.csv", "place", str(tmp_path / "images.csv"), "image", TASK, None)
    assert [line.split(",")[2] for line in written[0].read_text().splitlines()[1:]] == ["0.0", "1.0", "2.0"]


def test_ratings_that_may_be_on_another_scale_are_told(tmp_path):
    rows = [f"{i}.jpg,a,{i}" for i in range(5)]
    assert (
        "6 images have a local rating in column y"
        in areas_of(tmp_path, "\n".join(["image,place,y", *rows, "5.jpg,a,4"]))[1]
    )
    assert (
        "values far from all others (-999: 1"
        in areas_of(tmp_path, "\n".join(["image,place,y", *rows, "5.jpg,a,-999"]))[1]
    )
    assert (
        "1 local rating is far from those of y that the network was trained on"
        in areas_of(tmp_path, "\n".join(["image,place,y", *rows, "5.jpg,a,50"]))[1]
    )
    assert "Column Y is not taken for ratings of y" in areas_of(tmp_path, "\n".join(["image,place,Y", *rows]))[1]
