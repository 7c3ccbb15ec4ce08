"""Areas and local ratings as the table of images writes them: missing cells, spellings, decimal commas, repeated rows."""

import csv
from pathlib import Path
from types import SimpleNamespace

import pytest

from deep_cnn.inference.predict.areas import aggregate
from deep_cnn.runtime.errors import DataError

TASK = SimpleNamespace(names=("y",))


def areas_of(folder: Path, table: str, files: int = 6, by: str = "place") -> tuple[dict[str, dict[str, str]], str]:
    """The written rows by area, and the lines for the log; files 0.jpg, 1.jpg ... are predicted 0, 1 ..."""
    (folder / "images.csv").write_text(table, encoding="utf-8")
    rows = "".join(f"{i}.jpg,{i}\n" for i in range(files))
    (folder / "p.csv").write_text(f"file,predicted_y\n{rows}")
    written, notes = aggregate(folder / "p.csv", by, str(folder / "images.csv"), TASK, None)
    with open(written[0], newline="", encoding="utf-8") as file:
        return {row["area"]: row for row in csv.DictReader(file)}, "\n".join(notes)


def test_missing_areas_are_left_out_and_spellings_are_one(tmp_path):
    cells = ["1", "1.0", "NA", "", "2", "None"]
    found, notes = areas_of(tmp_path, "image,place\n" + "".join(f"{i}.jpg,{c}\n" for i, c in enumerate(cells)))
    assert {name: row["images"] for name, row in found.items()} == {"1": "2", "2": "1"}
    assert "--aggregate=place: 3 images have no area; they are left out" in notes
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
