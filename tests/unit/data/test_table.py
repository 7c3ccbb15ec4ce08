"""Tables of labels and scores, and Place Pulse: every form of the file, every match of rows and images, every refusal."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import HERE

from deep_cnn.data.cells import parse_where
from deep_cnn.data.index import FREE, TEST, TRAIN, VALIDATION, IndexOptions, build_index
from deep_cnn.data.table import read_table
from deep_cnn.data.targets import far_values
from deep_cnn.runtime.errors import ConfigError, DataError

PULSE = HERE / "test_input"
SAFETY, WEALTH = "50a68a51fdc9f05596000002", "50f62cb7a84ea7c5fdd2e458"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for i in range(1, 7):
        (tmp_path / "images" / f"{i}.JPG").write_bytes(b"image %d" % i)
    return tmp_path


def index_of(folder: Path, text: str | bytes, name: str = "t.csv", **flags):
    data = text if isinstance(text, bytes) else text.encode()
    (folder / name).write_bytes(data)
    return build_index(folder, IndexOptions(metadata=folder / name, **flags))


def refused(folder: Path, text: str | bytes, match: str, **flags) -> None:
    with pytest.raises((DataError, ConfigError), match=match) as problem:
        index_of(folder, text, **flags)
    assert "\n" not in str(problem.value)


SCORES = "image,score\n" + "".join(f"{i}.JPG,{i * 1.5}\n" for i in (3, 1, 2, 6, 5, 4))


# --- the file --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "separator, name", [(",", "t.csv"), (";", "t.csv"), ("\t", "t.tsv"), ("\t", "t.txt"), (",", "t.tsv")]
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_separators_and_encodings(folder, separator, name, encoding):
    text = SCORES.replace("score", "größe").replace(",", separator).replace("\n", "\r\n")
    index = index_of(folder, text.encode(encoding), name, target=("größe",))
    assert index.task == "regression" and index.target_names == ("größe",)
    assert index.targets[:, 0].tolist() == [1.5, 3, 4.5, 6, 7.5, 9]  # in the order of the files


@pytest.mark.parametrize(
    "text",
    [
        SCORES + "\0" * 5000,
        SCORES + "\x1a",
        SCORES.replace("2.JPG", "\ufeff2.JPG"),  # two files with a mark of UTF-8, joined
        "# made by the lab\n# in 2024\n" + SCORES,
        "#" + SCORES,
        "sep=,\n# made by the lab\n" + SCORES,
        SCORES.replace("score", "\u200bscore\u200b "),
    ],
    ids=["zeros", "end of file in DOS", "joined", "comments", "header is a comment", "sep and comment", "no width"],
)
def test_what_is_no_text_of_a_cell_is_passed_over(folder, text):
    index = index_of(folder, text, target=("score",))
    assert index.targets[:, 0].tolist() == [1.5, 3, 4.5, 6, 7.5, 9]
    assert not [note for note in index.notes if "no image file" in note]


def test_lines_are_counted_with_comments(folder):
    refused(folder, "# one\n# two\n" + SCORES.replace("3.0", "x"), "'x' in line 6 is not a number", target=("score",))


def test_a_table_of_windows_is_read_with_a_note(folder):
    index = index_of(folder, SCORES.replace("score", "größe").encode("cp1252"), target=("größe",))
    assert "not UTF-8" in "\n".join(index.notes)


def test_a_separator_in_quotes_does_not_count(folder):
    index = index_of(
        folder, '"a;b;c",image,score\n' + "".join(f'"x, y",{i}.JPG,{i}.5\n' for i in range(1, 7)), target=("score",)
    )
    assert len(index) == 6


@pytest.mark.parametrize(
    "text",
    [
        "\n \n" + SCORES.replace("\n", "\n\n"),
        "sep=;\n" + SCORES.replace(",", ";"),
        '#TYPE System.IO.FileInfo\r\n"image","score"\r\n' + SCORES.partition("\n")[2].replace("\n", "\r\n"),
        SCORES.replace("\n", "\r"),
        SCORES.replace("\n", ",,\n").replace("score,,", "score"),
        '"image","score","what; is; seen?\n1; 2; 3"\n' + SCORES.partition("\n")[2].replace("\n", ",x\n"),
        'image,score,5" wide\n' + SCORES.partition("\n")[2].replace("\n", ',2"\n'),
    ],
    ids=["blank lines", "sep=;", "PowerShell", "old Mac", "empty cells at the end", "name of two lines", "inches"],
)
def test_what_spreadsheets_and_shells_write(folder, text):
    index = index_of(folder, text, target=("score",))
    assert index.targets[:, 0].tolist() == [1.5, 3, 4.5, 6, 7.5, 9]


def test_messages_name_the_line_of_the_file(folder):
    text = '\n\nimage,note,score\n1.JPG,"two\nlines",1.5\n2.JPG,,many\n3.JPG,,2.5\n'
    refused(folder, text, "'many' in line 6", target=("score",), task="regression")


def test_metadata_may_be_a_folder(folder):
    (folder / "meta").mkdir()
    (folder / "meta" / "only.csv").write_text(SCORES)
    assert len(build_index(folder, IndexOptions(metadata=folder / "meta", target=("score",)))) == 6
    (folder / "meta" / "second.csv").write_text(SCORES)
    with pytest.raises(DataError, match=r"2 tables \(only.csv, second.csv\)"):
        read_table(folder / "meta")
    with pytest.raises(DataError, match=r"Did you mean only.csv\?"):
        read_table(folder / "meta" / "onli.csv")
    (folder / "meta" / "second.csv").rename(folder / "meta" / "~$only.csv")  # of an open spreadsheet
    assert read_table(folder / "meta").name == "only.csv"
    (folder / "link.csv").symlink_to(folder / "gone.csv")
    with pytest.raises(DataError, match="a link to a file that is not there"):
        read_table(folder / "link.csv")


def test_the_digest_follows_bytes_and_selection(folder):
    def digest(text=SCORES, **flags):
        return index_of(folder, text, target=("score",), **flags).table_digest

    assert digest() == digest() and len(digest()) == 64
    assert len({digest(), digest(SCORES + "\n"), digest(where=("score>2",)), digest(image_column="image")}) == 4


# --- rows and images -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell", ["images/{}.JPG", "./images/{}.JPG", "images\\{}.JPG", "{}.JPG", "{}", "{}.jpg", "/home/x/images/{}.JPG"]
)
def test_the_image_column_may_hold_a_path_a_name_or_a_stem(folder, cell):
    text = "n,what\n" + "".join(f"{cell.format(i)},{i}.25\n" for i in (2, 1, 9, 3))
    index = index_of(folder, text, target=("what",))
    assert list(index.paths) == ["images/1.JPG", "images/2.JPG", "images/3.JPG"]
    assert index.targets[:, 0].tolist() == [1.25, 2.25, 3.25]
    notes = "\n".join(index.notes)
    assert (
        "1 row of t.csv has no image file" in notes
        and "3 images have no row in the table: images/4.JPG, images/5.JPG" in notes
    )
    assert "Image column: n" in notes


def test_one_name_in_two_folders(folder):
    (folder / "b").mkdir()
    (folder / "b" / "1.JPG").write_bytes(b"other")
    refused(
        folder,
        "image,y\n1.JPG,1.5\n2.JPG,2.5\n",
        r"'1.JPG' in line 2 matches 2 files \(b/1.JPG, images/1.JPG\)",
        target=("y",),
    )
    index = index_of(folder, "image,y\nb/1.JPG,1.5\nimages/1.JPG,2.5\n2,3.5\n", target=("y",))
    assert list(index.paths) == ["b/1.JPG", "images/1.JPG", "images/2.JPG"] and index.targets[:, 0].tolist() == [
        1.5,
        2.5,
        3.5,
    ]
    (folder / "b" / "1.JPG").unlink()  # then b/1.JPG must not be taken for images/1.JPG
    index = index_of(folder, "image,y\nb/1.JPG,1.5\nimages/1.JPG,2.5\n2,3.5\n", target=("y",))
    assert index.targets[:, 0].tolist() == [2.5, 3.5]


def test_repeated_rows(folder):
    index = index_of(folder, SCORES + "1.JPG,1.5\n", target=("score",))
    assert len(index) == 6 and "1 rows of t.csv repeat an image" in "\n".join(index.notes)
    refused(
        folder,
        SCORES + "1.JPG,1.6\n",
        r"images/1.JPG has two rows with different values of score \(lines 3 and 8\)",
        target=("score",),
    )


def test_the_order_of_the_rows_changes_nothing(folder):
    lines = SCORES.splitlines()
    one = index_of(folder, SCORES, target=("score",))
    two = index_of(folder, "\n".join([lines[0], *reversed(lines[1:])]), target=("score",))
    assert one.paths == two.paths and np.array_equal(one.targets, two.targets)


# --- what is learnt --------------------------------------------------------------------------------------------------


def table(column: list[str]) -> str:
    return "image,y\n" + "".join(f"{i},{cell}\n" for i, cell in enumerate(column, start=1))


def test_a_column_without_a_name_behind_whole_numbers_is_no_decimal_comma_in_silence(folder):
    """`image,score,` over `1.JPG,0,5`: the header ends with a comma, and each number was cut in two."""
    cut = "image,score,\n" + "".join(f"{i}.JPG,{i % 3},{i}\n" for i in range(1, 7))
    refused(folder, cut, r"the last column has values \(1 in line 2\) but no name", target=("score",))
    empty = "image,score,\n" + "".join(f"{i}.JPG,{i % 3},\n" for i in range(1, 7))
    named = "image,score,votes\n" + cut.partition("\n")[2]
    for text in (empty, named):
        assert index_of(folder, text, target=("score",)).classes == ("0", "1", "2")


@pytest.mark.parametrize(
    "cells, task, found, classes, reason",
    [
        (
            ["a", "b", "a", "b", "", "a"],
            "auto",
            "classification",
            ("a", "b"),
            "2 distinct text values -> classification",
        ),
        (
            ["1", "0", "1", "0", "0", "1"],
            "auto",
            "classification",
            ("0", "1"),
            "2 distinct whole numbers -> classification",
        ),
        (["10", "2", "10", "2", "2", "9"], "auto", "classification", ("2", "9", "10"), "classification"),
        (["1", "0", "1", "0", "0", "1"], "regression", "regression", (), "--task=regression"),
        (["1", "2", "3", "4", "5", "6"], "auto", "regression", (), "6 distinct numbers -> regression"),
        (["1.5", "2.5", "1.5", "1.5", "1.5", "1.5"], "auto", "regression", (), "2 distinct numbers -> regression"),
        (
            ["sky;tree", "sky", "tree;car", "", " car ; sky", "sky;"],
            "auto",
            "multilabel",
            ("car", "sky", "tree"),
            "multi-label",
        ),
        (
            ["sky", "tree", "sky", "tree", "sky", "tree"],
            "multilabel",
            "multilabel",
            ("sky", "tree"),
            "--task=multilabel",
        ),
        (
            ["1.5", "2.5", "1.5", "1.5", "1.5", "1.5"],
            "classification",
            "classification",
            ("1.5", "2.5"),
            "--task=classification",
        ),
    ],
)
def test_task_and_reason(folder, cells, task, found, classes, reason):
    index = index_of(folder, table(cells), target=("y",), task=task)
    assert index.task == found and index.classes == classes and reason in index.reason
    present = [cell for cell in cells if cell]
    assert len(index) == len(present)
    for i, cell in enumerate(present):
        if found == "classification":
            assert classes[index.targets[i]] == cell
        elif found == "multilabel":
            assert {c for c, on in zip(classes, index.targets[i], strict=True) if on} == {
                w.strip() for w in cell.split(";") if w
            }
        else:
            assert index.targets[i, 0] == float(cell)
    dtype = {"classification": np.int64, "multilabel": np.float32, "regression": np.float64}[found]
    assert index.targets.dtype == dtype


def test_missing_scores_stay_nan_and_rows_without_any_go(folder):
    text = "image,p,q\n1,1.5,\n2,,\n3,NaN,2\n4,n/a,3\n5,2.5,4\n6,-,null\n"
    index = index_of(folder, text, target=("p", "q"))
    np.testing.assert_array_equal(index.targets, [[1.5, np.nan], [np.nan, 2], [np.nan, 3], [2.5, 4]])
    assert list(index.paths) == [f"images/{i}.JPG" for i in (1, 3, 4, 5)] and "2 images have no target" in "\n".join(
        index.notes
    )


def test_targets_that_are_refused(folder):
    refused(
        folder,
        SCORES,
        r"--target=scroe: t.csv has no such column. Did you mean score\? Columns: image, score",
        target=("scroe",),
    )
    refused(folder, SCORES, "--target, the column to predict")
    refused(
        folder,
        table(["1.5", "12 dollars", "3", "4", "5", "6"]),
        r"'12 dollars' in line 3 is not a number \(1 such",
        target=("y",),
    )
    refused(
        folder,
        table(["1,5"] * 2 + ["2"] * 4),
        "line 2 has 3 cells, but the header has 2; put quotes",
        target=("y",),
        task="regression",
    )
    refused(folder, table(list("abcdef")), "'a' in line 2 is not a number", target=("y",), task="regression")
    refused(folder, table(["1.5", "inf", "3", "4", "5", "6"]), "infinite value in line 3", target=("y",))
    refused(folder, table(["1.5", "1e999", "3", "4", "5", "6"]), "infinite value in line 3", target=("y",))
    refused(folder, table(["2.5"] * 6), "every value is 2.5", target=("y",))
    refused(folder, table([""] * 6), "have no value|no number|no row", target=("y",))
    refused(folder, table(["a"] * 6), "are all 'a'", target=("y",))
    refused(folder, "image,p,q\n1,1,2\n2,2,3\n", "needs exactly one --target", target=("p", "q"), task="classification")
    refused(folder, "image,y\n71,1\n72,2\n", "--metadata=t.csv: no column contains names of image files", target=("y",))
    refused(folder, "image,y\n71,1\n72,2\n", "no row matches an image", target=("y",), image_column="image")
    refused(folder, SCORES, r"--image_column=imag: .*Did you mean image\?", target=("score",), image_column="imag")
    refused(folder, "", "the file is empty", target=("y",))
    refused(folder, 'image,y\n1,2\n2,"3\n3,4\n', "the quote opened in line 3 is never closed", target=("y",))
    refused(folder, "image,y,y\n1,1,2\n", "two columns are named 'y'", target=("y",))
    refused(folder, "image,y\n", "no rows below the header", target=("y",))


def test_texts_that_hardly_repeat_are_no_classes(tmp_path):
    for i in range(30):
        (tmp_path / f"{i}.jpg").write_bytes(b"%d" % i)
    refused(
        tmp_path,
        "image,y\n" + "".join(f"{i},name{i}\n" for i in range(30)),
        "30 different values in 30 rows",
        target=("y",),
    )


# --- where, group, split ---------------------------------------------------------------------------------------------


def test_where_agrees_with_pandas(folder):
    text = "image,y,votes,city\n1,1.5,3,Rome\n2,2.5,10,Oslo\n3,3.5,,Rome\n4,4.5,5,Rome\n5,5.5,-1,\n6,6.5,5.0,Rome\n"
    frame = pd.read_csv(pd.io.common.StringIO(text))
    for condition in ("votes>=5", "votes > 4", "votes<5", "votes<=5", "votes==5", "votes!=5", "y<3.1"):
        index = index_of(folder, text, target=("y",), where=(condition,))
        expected = frame.query(condition)["image"].tolist()  # an empty cell is unlike any number, and nothing else
        assert [int(Path(path).stem) for path in index.paths] == expected, condition
    both = index_of(folder, text, target=("y",), where=("city==Rome", 'votes!="3"'))
    assert list(both.paths) == ["images/3.JPG", "images/4.JPG", "images/6.JPG"]


def test_where_on_text_and_what_it_refuses(folder):
    text = "image,y,city\n1,1.5,New York\n2,2.5,Oslo\n3,3.5,New York\n4,4.5,\n"
    index = index_of(folder, text, target=("y",), where=("city == 'New York'",))
    assert index.targets[:, 0].tolist() == [1.5, 3.5]
    assert len(index_of(folder, text, target=("y",), where=("city!=",))) == 3
    refused(folder, text, "none of the .* rows of t.csv match", target=("y",), where=("city==Rome",))
    refused(folder, text, "needs numbers", target=("y",), where=("city>3",))
    refused(folder, text, r"--where=city=Oslo: expected COLUMN", target=("y",), where=("city=Oslo",))
    refused(folder, text, r"Did you mean city\?", target=("y",), where=("cty==Oslo",))


def test_parse_where():
    assert parse_where(" num votes >= 5 ") == ("num votes", ">=", "5")
    assert parse_where("a<=b") == ("a", "<=", "b") and parse_where('url=="x=y>z"') == ("url", "==", "x=y>z")
    assert parse_where('a!="1 and b!=2"') == ("a", "!=", "1 and b!=2")
    assert parse_where("a==bed and breakfast") == ("a", "==", "bed and breakfast")


@pytest.mark.parametrize(
    "text", ["a!=1 and a!=2", "a!=1 || b<2", "a>1,b<2", "a!='x' AND b!='y'", "a==x & b==y", "a!=x; b!=y"]
)
def test_several_conditions_in_one_are_refused(text):
    with pytest.raises(ConfigError, match="several conditions; give --where once for each"):
        parse_where(text)


def test_an_exclusion_of_nothing_is_told(folder):
    text = lines(*(f"{i}.JPG,{i}.5,{'Boston' if i % 2 else 'Oslo'}" for i in range(1, 7)), header="image,y,city")

    def said(*where: str) -> str:
        return "\n".join(index_of(folder, text, target=("y",), where=where).notes)

    assert "--where=city!=Bostn: leaves out no row. Did you mean Boston?" in said("city!=Bostn", "y>2")
    assert "leaves out no row. Did you mean Oslo?" in said("city!=oslo")
    assert "leaves out no row." in said("y!=99") and "Did you mean" not in said("y!=99")
    assert "leaves out" not in said("city!=Oslo", "y>=0", "city!=")


def test_group_and_split_columns(folder):
    text = "image,y,city,part\n1,1.5,b,train\n2,2.5,a,VAL\n3,3.5,b,test\n4,4.5,c,\n5,5.5,a,Training\n"
    index = index_of(folder, text, target=("y",), group="city", split_column="part")
    assert index.given_split.tolist() == [TRAIN, VALIDATION, TEST, FREE, TRAIN]
    assert "Column part: 1 empty cell; these images are used like those of train" in index.notes
    assert [index.group_names[g] for g in index.groups] == ["b", "a", "b", "c", "a"]
    refused(
        folder,
        text.replace("VAL", "hold"),
        "--split_column=part: unknown values hold; expected train",
        target=("y",),
        split_column="part",
    )
    refused(folder, text.replace(",c,", ",,"), "1 image has no group", target=("y",), group="city")
    refused(folder, text, r"Did you mean city\?", target=("y",), group="citi")


def test_split_folders_hold_for_tables_too(tmp_path):
    for i, split in enumerate(("train", "train", "val", "test")):
        (tmp_path / split).mkdir(exist_ok=True)
        (tmp_path / split / f"{i}.jpg").write_bytes(b"%d" % i)
    index = index_of(tmp_path, "image,y\n0,0.5\n1,1.5\n2,2.5\n3,3.5\n", target=("y",))
    given = dict(zip(index.paths, index.given_split.tolist(), strict=True))
    assert given == {"test/3.jpg": TEST, "train/0.jpg": TRAIN, "train/1.jpg": TRAIN, "val/2.jpg": VALIDATION}


# --- Place Pulse -----------------------------------------------------------------------------------------------------


def pulse(**flags):
    return build_index(PULSE, IndexOptions(metadata=PULSE / "meta", **flags))


def test_place_pulse_agrees_with_pandas():
    frame = pd.read_csv(PULSE / "meta" / "qscores.tsv", sep="\t").set_index(["location_id", "study_id"])
    one, both = pulse(study_id=SAFETY), pulse(study_id=f"{SAFETY},{WEALTH}")
    assert one.target_names == ("safety",) and one.targets.shape == (48, 1) and "regression" in one.reason
    assert both.target_names == ("safety", "wealthy") and both.paths == one.paths
    for i, path in enumerate(both.paths):
        location = Path(path).name.split("_")[2]
        for t, study in enumerate((SAFETY, WEALTH)):
            known = frame["trueskill.score"].get((location, study), np.nan)
            np.testing.assert_equal(both.targets[i, t], known)
    assert np.isnan(both.targets[:, 1]).sum() == 10 and not np.isnan(one.targets).any()
    assert np.array_equal(pulse(study_id="all").targets, both.targets, equal_nan=True)
    assert "1 row of qscores.tsv has no image file" in "\n".join(one.notes)


def test_place_pulse_groups_and_conditions():
    frame = pd.read_csv(PULSE / "meta" / "qscores.tsv", sep="\t")
    rows = frame[(frame.study_id == SAFETY) & (frame.num_votes >= 20)]
    index = pulse(study_id=SAFETY, where=("num_votes>=20",), group="place_id")
    locations = [Path(path).name.split("_")[2] for path in index.paths]
    assert set(locations) == set(rows.location_id) - {"513d0030fdc9f03587000150"}
    place = rows.set_index("location_id").place_id
    assert [index.group_names[g] for g in index.groups] == [place[location] for location in locations]
    cities = pulse(study_id=SAFETY, group="city")
    assert cities.group_names == ("Berlin", "Boston", "Rio De Janeiro")
    assert all(Path(p).stem.endswith(cities.group_names[g]) for p, g in zip(cities.paths, cities.groups, strict=True))
    boston = pulse(study_id=SAFETY, where=("city==Boston",))
    assert len(boston) == 16


def test_place_pulse_refusals(folder):
    with pytest.raises(DataError, match=rf"choose one, several \(A,B\) or all of: {SAFETY} \(safety\)"):
        pulse()
    with pytest.raises(DataError, match=rf"--study_id={SAFETY[:-1]}3: not in qscores.tsv. Did you mean"):
        pulse(study_id=SAFETY[:-1] + "3")
    with pytest.raises(DataError, match="choose one, several"):
        pulse(target=("trueskill.score",))
    with pytest.raises(ConfigError, match="give several studies as"):
        pulse(target=("trueskill.score", "num_votes"), study_id=SAFETY)
    header = "location_id\tstudy_id\ttrueskill.score\n"
    with pytest.raises(DataError, match=r"no image is named LAT_LON_ID_CITY\.JPG"):
        index_of(folder, header + "x\ts\t1\n", "q.tsv", study_id="s")
    for name in ("1_2_x_A_B.JPG", "1_3_y_A.JPG"):
        (folder / name).write_bytes(name.encode())
    rows = "x\ts\t1.5\ny\ts\t2.5\n"
    assert index_of(folder, header + rows, "q.tsv", study_id="s").targets.tolist() == [[1.5], [2.5]]
    for more, match in (("x\ts\t9\n", "two scores of the same study for x"), ("x\tt\thigh\n", "'high' in line")):
        with pytest.raises(DataError, match=match):
            index_of(folder, header + rows + more, "q.tsv", study_id="all")
    (folder / "again_2_x_A.JPG").write_bytes(b"again")
    with pytest.raises(DataError, match="have the same location_id, x"):
        index_of(folder, header + rows, "q.tsv", study_id="s")


LABELS = [
    (["a|b", "b", "c"], "separated by '|'"),
    (["a+b", "b", "a"], "separated by '+'"),
    (["a & b", "b", "a"], "separated by '&'"),
    (["a\nb", "b", "a"], "separated by"),
    (["16 0", "7 1 0", "0", "1", "7", "16"], "separated by blanks"),
    (
        ["haze primary", "clear primary", "clear primary road water", "haze primary water road", "haze", "primary"],
        "separated by blanks",
    ),
]


@pytest.mark.parametrize(("cells", "how"), LABELS)
def test_several_labels_in_a_cell_are_not_learnt_as_combinations(tmp_path, cells, how):
    for i in range(24):
        (tmp_path / f"{i}.jpg").write_bytes(b"%d" % i)
    rows = "".join(f'{i}.jpg,"{cells[i % len(cells)]}"\n' for i in range(24))
    with pytest.raises(DataError, match="seem to hold several labels") as problem:
        index_of(tmp_path, "image,y\n" + rows, target=("y",))
    assert how in str(problem.value)


@pytest.mark.parametrize(
    "cells",
    [
        ["New York", "New Delhi", "San Diego", "Los Angeles"],
        ["red car", "car", "blue car", "red bike"],
        ["R&B", "Rock", "Pop"],
        ["C", "C++", "Python"],
        ["animal/dog", "animal/cat", "plant/tree"],
    ],
)
def test_names_of_several_words_are_classes(tmp_path, cells):
    for i in range(24):
        (tmp_path / f"{i}.jpg").write_bytes(b"%d" % i)
    rows = "".join(f"{i}.jpg,{cells[i % len(cells)]}\n" for i in range(24))
    assert index_of(tmp_path, "image,y\n" + rows, target=("y",)).classes == tuple(sorted(cells))


def table_of(folder, forms: list[str], different: int, images: int):
    """A table whose cells are `forms` in turn, with so many different numbers."""
    for i in range(images):
        (folder / f"{i}.jpg").write_bytes(b"%d" % i)
    cells = [forms[i % len(forms)].format(i % different, i % different) for i in range(images)]
    return "image,y\n" + "".join(f'{i}.jpg,"{cell}"\n' for i, cell in enumerate(cells))


@pytest.mark.parametrize(
    "form", ["{} m", "({}.5)", "<{}", "{}±2", "~{}", "{}:{:02d}", "2020-05-{:02d}", "{}k", "€ {} a month"]
)
def test_numbers_with_something_else_are_no_classes(tmp_path, form):
    table = table_of(tmp_path, [form], 30, 90)
    with pytest.raises(DataError, match="90 of 90 cells hold numbers with something else") as problem:
        index_of(tmp_path, table, target=("y",))
    assert repr(form.format(0, 0)) in str(problem.value)
    assert len(index_of(tmp_path, table, target=("y",), task="classification").classes) >= 30


@pytest.mark.parametrize(
    ("forms", "different"),
    [(["n{:08d}"], 30), (["class {}"], 30), (["{} rooms"], 5), (["{0}.Albatross", "{0}.Auklet", "{0}.Blackbird"], 30)],
)
def test_names_with_numbers_are_classes(tmp_path, forms, different):
    index = index_of(tmp_path, table_of(tmp_path, forms, different, 90), target=("y",))
    assert len(index.classes) == different


def test_nines_far_from_all_others_are_named(folder):
    index = index_of(folder, SCORES.replace("4.5", "-999"), target=("score",))
    assert "score: values far from all others (-999: 1; the others are from 1.5 to 9)" in "\n".join(index.notes)
    assert not [
        n
        for n in index_of(folder, SCORES.replace("4.5", "99"), target=("score",)).notes
        if "9: 1;" not in n and "far from" in n
    ]
    index = index_of(
        folder,
        "image,score\n" + "".join(f"{i}.JPG,{97 + i}\n" for i in range(1, 7)),
        target=("score",),
        task="regression",
    )
    assert not [note for note in index.notes if "far from" in note]


def test_text_among_classes_that_are_numbers_is_named(folder):
    text = "image,y\n" + "".join(f"{i}.JPG,{'03. Jan' if i == 6 else i % 2}\n" for i in range(1, 7))
    index = index_of(folder, text, target=("y",), task="classification")
    assert "y: most classes are numbers, but '03. Jan' is text" in "\n".join(index.notes)


def test_a_column_of_splits_that_no_flag_names_is_named(folder):
    text = "image,score,part\n" + "".join(f"{i}.JPG,{i / 2},{('Train', 'test')[i % 2]}\n" for i in range(1, 7))
    hint = "Column part has the values test, train; to split by it, give --split_column=part"
    assert hint in index_of(folder, text, target=("score",)).notes
    assert hint not in index_of(folder, text, target=("score",), split_column="part").notes
    other = text.replace("test", "bus")
    assert not [note for note in index_of(folder, other, target=("score",)).notes if "--split_column" in note]


# --- tables of many programs -----------------------------------------------------------------------------------------

SIX = [1.5, 3, 4.5, 6, 7.5, 9]  # of SCORES, in the order of the files


def lines(*rows: str, header: str = "image,score") -> str:
    return "\n".join((header, *rows, ""))


@pytest.mark.parametrize(
    "text",
    [
        lines(*(f'="{i}",="{i * 1.5}"' for i in range(1, 7)), header='="image",score'),
        lines(*(f'"=""{i}.JPG""",{i * 1.5}' for i in range(1, 7))),
        lines(*(f"{i}.JPG {i * 1.5}" for i in range(1, 7)), header="image score"),
        lines(*(f'"{i}.JPG"  {i * 1.5} "a b"' for i in range(1, 7)), header='"image" "score" "note"'),
    ],
    ids=["text of a spreadsheet", "the same in quotes", "blanks", "R with blanks"],
)
def test_cells_and_separators_of_other_programs(folder, text):
    assert index_of(folder, text, target=("score",)).targets[:, 0].tolist() == SIX


def test_a_formula_is_the_whole_cell(folder):
    rows = (f'{i}.JPG,"<a href=""x"">",{"ab"[i % 2]}="x"' for i in range(1, 7))
    assert index_of(folder, lines(*rows, header="image,n,y"), target=("y",)).classes == ('a="x"', 'b="x"')


def test_the_header_again(folder):
    rows = [f"{i}.JPG,{i * 1.5},{i}" for i in range(1, 7)]
    header = "image,score,n"
    index = index_of(folder, lines(*rows[:3], header, *rows[3:], header=header), target=("score",), where=("n>0",))
    assert index.targets[:, 0].tolist() == SIX and "t.csv: 1 line with the header again" in "\n".join(index.notes)
    other = lines(*rows[:3], "image,n,score", *rows[3:], header=header)
    refused(folder, other, "line 5 is a header again, with the columns in another order", target=("score",))


def test_descriptions_of_qualtrics_are_left_out(folder):
    described = ["Your image,How safe?", '"{""ImportId"":""image""}","{""ImportId"":""QID1""}"']
    rows = [f"{i}.JPG,{i * 1.5}" for i in range(1, 7)]
    index = index_of(folder, lines(*described, *rows), target=("score",), where=("score>2",))
    assert index.targets[:, 0].tolist() == SIX[1:] and "(Qualtrics)" in "\n".join(index.notes)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"images":[{"file_name":"1.JPG"}]}', "this is JSON; save the table as CSV"),
        ('{"image":"1.JPG","y":1}\n{"image":"2.JPG","y":2}\n', "this is JSON"),
        ("\ufeff<!DOCTYPE html>\n<html><body>Sign in, please</body></html>", "this is a web page"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n", "this is a pointer of Git LFS"),
        ("image   y\n1  2\n", "no such column.* not by blanks"),
        ("The survey\nimage,y\n1.JPG,2\n", r"line 2 has 2 cells.* \(The survey is taken for it\)"),
        ("train/1.JPG 0\ntrain/2.JPG 1\n", "the first line names an image"),
    ],
)
def test_files_that_are_no_tables_are_named(folder, text, said):
    refused(folder, text, said, target=("y",))


def test_quotes_that_were_not_closed_swallow_no_rows(folder):
    rows = [f"{i}.JPG,{note},{i}.5" for i, note in enumerate(("ok", '"nice', "ok", "ok", '"good', "ok"), start=1)]
    said = r"in quotes that begins in line 3 has another row in it \('3\.JPG,ok,3\.5'\); correct the quotes"
    refused(folder, lines(*rows, header="image,note,score"), said, target=("score",))
    rows = [f'{i}.JPG,"two\nlines, with a comma",{i}.5' for i in range(1, 7)]
    assert len(index_of(folder, lines(*rows, header="image,note,score"), target=("score",))) == 6


# --- several columns of 0 and 1 ----------------------------------------------------------------------------------------


def test_columns_with_a_single_one_are_classes(folder):
    rows = ["1.JPG,1,0,0", "2.JPG,0,1.0,0", "3.JPG,,,", "4.JPG,0,0,1", "5.JPG,1,0,0", "6.JPG,0,1,0"]
    text, target = lines(*rows, header="image,rust,healthy,scab"), ("rust", "healthy", "scab")
    index = index_of(folder, text, target=target)
    assert (index.task, index.classes, index.target_names) == ("classification", target, ("class",))
    assert index.targets.tolist() == [0, 1, 2, 0, 1] and "3 columns of 0 and 1" in index.reason
    assert index_of(folder, text, target=target, task="classification").targets.tolist() == [0, 1, 2, 0, 1]
    assert index_of(folder, text, target=target, task="regression").targets.tolist()[1] == [0, 1, 0]
    refused(folder, text, "0 of the columns are 1 in line 5 .1 such", target=target[:2], task="classification")


def test_columns_with_several_ones_are_labels(folder):
    rows = ["1.JPG,1,0,0", "2.JPG,0,0,0", "3.JPG,1,TRUE,0", "4.JPG,0,1,0"]
    index = index_of(folder, lines(*rows, header="image,a,b,c"), target=("a", "b"))
    assert (index.task, index.classes, index.target_names) == ("multilabel", ("a", "b"), ("labels",))
    assert index.targets.tolist() == [[1, 0], [0, 0], [1, 1], [0, 1]]
    rows = ["1.JPG,1,-1", "2.JPG,-1,-1", "3.JPG,1,1", "4.JPG,-1,1"]
    assert np.array_equal(index_of(folder, lines(*rows, header="image,a,b"), target=("a", "b")).targets, index.targets)
    rows = ["1.JPG,1,-1", "2.JPG,-1,0", "3.JPG,1,1", "4.JPG,-1,1"]
    assert index_of(folder, lines(*rows, header="image,a,b"), target=("a", "b")).task == "regression"
    rows = ["1.JPG,1,0,0", "2.JPG,0,0,0", "3.JPG,1,TRUE,0", "4.JPG,0,1,0"]
    text = lines(*rows, header="image,a,b,c")
    refused(folder, text, "--target=c: every value is 0", target=("a", "c"))
    text = lines("1.JPG,1,0", "2.JPG,0,", "3.JPG,1,1", header="image,a,b")
    assert index_of(folder, text, target=("a", "b"), task="auto").task == "regression"
    refused(folder, text, "or several columns of 0 and 1", target=("a", "b"), task="multilabel")


def test_nines_among_classes_are_named(folder):
    assert "(99: 2; the others are from 1 to 2)" in "\n".join(
        index_of(folder, table(["1", "2", "99", "1", "2", "99"]), target=("y",)).notes
    )
    assert "99" not in "\n".join(index_of(folder, table(["97", "98", "99"] * 2), target=("y",)).notes)


# --- how sure scores are, and where their images are -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "cells", "flags", "said"),
    [
        ("r1,r2", "{i}.5,{i}", {"raters": ("r1", "r1")}, "--raters=r1,r1: r1 is given twice"),
        ("y,s", "{i}.5,", {"target": ("y",), "target_std": ("s",)}, "--target_std=s: no score has a standard error"),
        ("y,s", "{i}.5,1", {"target": ("y",), "target_std": ("y",)}, "--target_std=y: y is the target"),
        (
            "y,s",
            "{i}.5,±1",
            {"target": ("y",), "target_std": ("s",)},
            "'±1' in line 2 is not a number.*leave them empty",
        ),
        ("y,votes", "{i}.5,0", {"target": ("y",), "weigh_by": "votes"}, "no image has a vote in column votes"),
        ("y,votes", "{i}.5,", {"target": ("y",), "weigh_by": "votes"}, "no image has a vote in column votes"),
        (
            "y,votes",
            "{i}.5,x",
            {"target": ("y",), "weigh_by": "votes"},
            "--weigh_by=votes: column votes: 'x' in line 2",
        ),
    ],
)
def test_certainty_that_is_none(folder, header, cells, flags, said):
    refused(
        folder, lines(*(f"{i}.JPG,{cells.format(i=i)}" for i in range(1, 7)), header=f"image,{header}"), said, **flags
    )


def test_nines_of_raters_are_named(folder):
    text = lines(*(f"{i}.JPG,{i},{99 if i == 2 else i + 0.5}" for i in range(1, 7)), header="image,r1,r2")
    assert "--raters: values far from all others (99: 1;" in "\n".join(
        index_of(folder, text, raters=("r1", "r2")).notes
    )


def test_several_answers_of_an_image_say_what_to_do(folder):
    text = lines(*(f"{i}.JPG,{r},{r + i}" for i in range(1, 7) for r in range(3)), header="image,rater,rating")
    refused(
        folder,
        text,
        "two rows with different values of rating .*write one row an image, with the mean",
        target=("rating",),
    )


def test_places_that_are_none_or_all_alike(folder):
    def places(*degrees: str) -> str:
        return lines(*(f"{i}.JPG,{i}.5,{at}" for i, at in enumerate(degrees, start=1)), header="image,y,lat,lon")

    known = [f"47.{i},8.{i}" for i in range(6)]
    index = index_of(folder, places("0,0.0", *known[1:]), target=("y",), group="grid:1km")
    assert "1 image at latitude 0, longitude 0" in "\n".join(index.notes)
    flags = {"target": ("y",), "group": "grid:99999km"}
    refused(folder, places(",", *known[1:]), r'--where="COLUMN!="', **flags)
    refused(folder, places(*["47.1,8.1"] * 6), "all images have the same coordinates", **flags)
    refused(folder, places(*known), r"choose smaller cells, such as --group=grid:6\.7km", **flags)


def test_groups_of_rounded_numbers_are_named(folder):
    text = lines(*(f"{i}.JPG,{i}.5,{'1.23E+15' if i % 2 else '4.56E+14'}" for i in range(1, 7)), header="image,y,g")
    assert "g: 1.23E+15 looks like a long number" in "\n".join(index_of(folder, text, target=("y",), group="g").notes)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("t.csv", b"{\\rtf1\\ansi image,y}", "this is rich text"),
        ("t.csv", b"<?xml version='1.0'?><annotations/>", "this is XML"),
        ("t.csv", b"%PDF-1.7\n", "this is a PDF"),
        ("t.csv", b"RDX3\nX\n\0\0\0\3", "this is a file of R"),
        ("t.csv", b"SQLite format 3\0\x10\0\1", "this is a binary file; save the table as CSV"),
        ("t.sav", b"$FL2@(#) IBM SPSS\n", r"\.sav files are not supported"),
        ("t.dta", b"<stata_dta>", r"\.dta files are not supported"),
    ],
)
def test_tables_of_statistics_programs_are_named(folder, name, data, said):
    (folder / name).write_bytes(data)
    with pytest.raises(DataError, match=said):
        build_index(folder, IndexOptions(metadata=folder / name, target=("y",)))


def test_a_semicolon_of_html_separates_no_labels(folder):
    index = index_of(folder, table(["bed &amp; breakfast", "hotel &#39;", "hotel &#39;"] * 2), target=("y",))
    assert index.classes == ("bed &amp; breakfast", "hotel &#39;") and index.task == "classification"


# --- labels ------------------------------------------------------------------------------------------------------------


def test_labels_beside_missing_ones(folder):
    index = index_of(folder, table(["cat;NA", "cat;dog", "dog", "NA", "-;cat", "dog"]), target=("y",))
    assert index.classes == ("cat", "dog") and index.targets.tolist() == [[1, 0], [1, 1], [0, 1], [1, 0], [0, 1]]
    assert "y: 2 labels missing beside others (NA: 1, -: 1)" in index.notes and "(3 of 6 cells)" in index.reason


def test_labels_that_hardly_recur_are_refused(tmp_path):
    for i in range(30):
        (tmp_path / f"{i}.jpg").write_bytes(b"%d" % i)
    text = lines(*(f"{i}.jpg,it is nice; number {i}" for i in range(30)), header="image,y")
    refused(tmp_path, text, "31 different labels in 60 are too many", target=("y",))


def test_ranges_that_became_dates_are_named(folder):
    said = "\n".join(
        index_of(folder, table(["1-2", "4-Mar", "04. Mrz", "1-2", "4-Mar", "04. Mrz"]), target=("y",)).notes
    )
    assert "'04. Mrz', '4-Mar' may be a range (3-4) that a spreadsheet has made a date" in said
    assert "range" not in "\n".join(index_of(folder, table(["4-Mar", "5-Mar"] * 3), target=("y",)).notes)


def test_letters_of_an_unknown_encoding_are_refused(folder):
    """Read as Windows-1252, bytes that it has not would make one label of two."""
    rows = "".join(f"{i}.JPG,{'充深犬'[i % 3]}\n" for i in range(1, 7))
    refused(folder, ("image,y\n" + rows).encode("shift-jis"), r"line 2 is neither UTF-8 nor Windows-1252.*UTF-8")
    refused(
        folder,
        ("image,y\n" + rows.replace("充", "pêche")).replace("深", "a").replace("犬", "b").encode("mac-roman"),
        "line 4",
    )


def test_points_beside_decimal_commas_are_read_only_where_they_are_clear(folder):
    rows = "".join(
        f"{i}.JPG;{value}\n" for i, value in enumerate(("3,5", "2,25", "4.125", "3.250", "1,5", "2"), start=1)
    )
    refused(
        folder,
        "image;score\n" + rows,
        r"'4\.125' in line 4: decimal commas beside points that may be decimal, too",
        target=("score",),
        task="regression",
    )
    index = index_of(folder, "image;score\n" + rows.replace("2,25", "1.002,25"), target=("score",), task="regression")
    assert index.targets[:, 0].tolist() == [3.5, 1002.25, 4125, 3250, 1.5, 2]


@pytest.mark.parametrize("flags", [{"target_std": ("sd",)}, {"weigh_by": "votes"}])
def test_rows_that_repeat_an_image_with_another_certainty_are_refused(folder, flags):
    text = "image,score,sd,num_votes\n" + "".join(
        f"{i}.JPG,{i},{sd},{n}\n" for i in range(1, 7) for sd, n in ((0.1, 1), (0.9, 50))
    )
    refused(
        folder,
        text,
        r"1\.JPG has two rows with different values of (sd|num_votes) \(lines 2 and 3\)",
        target=("score",),
        task="regression",
        **flags,
    )


@pytest.mark.parametrize("separator", ["\t", ","])
def test_a_quote_that_swallows_rows_is_named_where_names_have_no_ending(folder, separator):
    lines = [f"{i},{i}.5,fine" for i in range(1, 7)]
    lines[1], lines[4] = '2,2.5,"great view', '5,5.5,"wow" nice'
    text = "\n".join(["image,score,comment", *lines]).replace(",", separator)
    refused(folder, text, "begins in line 3 has another row in it", target=("score",))
    kept = text.replace('"great view', f'"great view{separator} trees\nand quiet{separator} houses"').replace(
        '"wow" nice', "nice"
    )
    assert index_of(folder, kept, target=("score",)).targets[:, 0].tolist() == [1.5, 2.5, 3.5, 4.5, 5.5, 6.5]


def test_entities_of_html_separate_no_labels(folder):
    text = "image,tags\n" + "".join(f"{i}.JPG,{'bed &amp; breakfast;pool' if i % 2 else 'pool'}\n" for i in range(1, 7))
    assert index_of(folder, text, target=("tags",)).classes == ("bed & breakfast", "pool")


def test_short_rows(folder):
    """A spreadsheet leaves out empty cells at the ends of rows; a cell that is lost elsewhere moves the others."""
    full = "".join(f"{i}.JPG,Oslo,{i},{7 * i}\n" for i in range(2, 7))
    refused(
        folder,
        "image,city,score,n\n1.JPG,0.5,3\n" + full,
        "line 2 has 3 cells, but the header has 4",
        target=("score",),
    )
    refused(
        folder,
        "image,a,b\n1.JPG,1\n" + "".join(f"{i}.JPG,{i},{i}\n" for i in range(2, 7)),
        "line 2 has 2",
        target=("a",),
    )
    index = index_of(
        folder, "image,score,note\n1.JPG,1\n" + "".join(f"{i}.JPG,{i},x\n" for i in range(2, 7)), target=("score",)
    )
    assert index.targets[:, 0].tolist() == [1, 2, 3, 4, 5, 6]
    gaps = "".join(f"{i}.JPG,{i},{i if i % 2 else ''}\n" for i in range(2, 7))  # the last column has gaps anyway
    index = index_of(folder, "image,score,n\n1.JPG,1\n" + gaps, target=("score",))
    assert index.targets[:, 0].tolist() == [1, 2, 3, 4, 5, 6]


def test_a_column_may_be_called_by_a_number_sign(folder):
    text = "#,image,score\n" + "".join(f"{k},{k},{k * 1.5}\n" for k in range(1, 7))
    index = index_of(folder, text, image_column="image", target=("score",))
    assert index.targets[:, 0].tolist() == [1.5, 3, 4.5, 6, 7.5, 9]


def test_rows_that_repeat_an_image_and_groups_of_a_grid(folder):
    text = "image,latitude,longitude,score\n" + "".join(f"{i}.JPG,47.{i},8.{i},{i}\n" * 2 for i in range(1, 7))
    assert len(index_of(folder, text, target=("score",), group="grid:1km").group_names) == 6


def numbered(cells: list[str], header: str, separator: str = ",") -> str:
    return "\n".join([header, *(f"{i}.JPG{separator}{cell}" for i, cell in enumerate(cells, start=1))])


def test_rows_with_a_separator_too_many(folder):
    """It may be within a number or a text that has no quotes."""
    refused(
        folder,
        numbered([f"{i},5," for i in range(6)], "image,score,note"),
        "line 2 has 4 cells, the last of them empty",
        target=("score",),
    )
    cells = ["Oslo,dog,x", "Boston, MA,cat,", *(["Rome,cat,y"] * 4)]
    refused(folder, numbered(cells, "image,city,label,note"), "line 3 has 5 cells", target=("label",))
    index = index_of(folder, numbered([f"{i}.5,x," for i in range(6)], "image,score,note"), target=("score",))
    assert index.targets[:, 0].tolist() == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]  # each row ends so

    cells = ["Boston,MA,", *(["Rome,cat", "Oslo,dog"] * 2), "Rome,dog"]  # no blank, and a label that is missing
    refused(folder, numbered(cells, "image,city,label"), "line 2 has 4 cells", target=("label",))
    index = index_of(folder, numbered(["cat,", *(["dog", "cat"] * 2), "dog"], "image,label"), target=("label",))
    assert index.classes == ("cat", "dog")  # the name of a file is no part of a label
    cells = ["Rome,1.5,", *(["Rome,2.5", "Oslo,3.5"] * 2), "Rome,4.5"]  # a word and a number are two cells
    assert index_of(folder, numbered(cells, "image,city,score"), target=("score",)).targets[0, 0] == 1.5


def test_a_quote_that_swallows_one_row(folder):
    rows = ["1,ok,1.5", '2,"great view,2.5', '3,"wow",3.5', "4,a,4.5", "5,b,5.5", "6,c,6.5"]
    refused(folder, "\n".join(["image,comment,score", *rows]), "another row in it", target=("score",))
    rows = ["1,1.5,a", "2,2.5,b", '3,3.5,c"', "4,4.5,d", "5,5.5,e", "6,6.5,f"]
    refused(folder, "\n".join(['image,score,"note', *rows]), "correct the quotes in the header", target=("score",))
    text = "city,image,score,note\n" + "".join(
        f'Boston,{i}.JPG,{i},"I like it:\ngreen, quiet, clean, safe"\n' for i in range(1, 7)
    )
    assert index_of(folder, text, target=("score",)).targets[:, 0].tolist() == [1, 2, 3, 4, 5, 6]


def test_lists_of_numbers_are_no_labels(folder):
    for cells in (["0;1;0", "1;0;0"] * 3, ["0.1;0.9", "0.7;0.3"] * 3):
        refused(folder, numbered(cells, "image,tags"), "is a list of numbers, not of labels", target=("tags",))
    assert index_of(folder, numbered(["3;7", "2"] * 3, "image,tags"), target=("tags",)).classes == ("2", "3", "7")


def test_labels_that_some_separate_by_commas(folder):
    refused(
        folder,
        numbered(["beach;people", '"beach, people"'] * 3, "image,tags"),
        "'beach, people' is taken as one label",
        target=("tags",),
    )
    index = index_of(folder, numbered(["R&B;rock", "rock"] * 3, "image,tags"), target=("tags",))
    assert index.task == "multilabel" and index.classes == ("R&B", "rock")


def test_conditions_on_identifiers(folder):
    def kept(cells: list[str], condition: str) -> list[float]:
        text = numbered([f"{cell},{k}" for k, cell in enumerate(cells)], "image,id,y")
        index = index_of(folder, text, target=("y",), where=(condition,), task="regression")
        notes.extend(index.notes)
        return index.targets[:, 0].tolist()

    notes: list[str] = []
    ids = [f"90000000000000000{k}" for k in (1, 2, 3, 3, 4, 5)]
    assert kept(ids, f"id=={ids[2]}") == [2, 3] and kept(ids, f"id!={ids[2]}") == [0, 1, 4, 5]
    zips = ["02139", "2139", "02139", "1", "2", "3"]
    assert kept(zips, "id==02139") == [0, 2] and kept(zips, "id!=02139") == [1, 3, 4, 5]
    assert kept(["01", "02", "01", "03", "04", "05"], "id==1") == [0, 2]  # months
    assert not any("as equal" in note for note in notes)
    assert kept(["1.1", "1.10", "1.2", "2", "2", "2"], "id==1.1") == [0, 1]
    assert "--where=id==1.1: takes 1.1, 1.10 as equal" in notes


def test_thousands_in_an_identifier(folder):
    (folder / "images" / "1000.JPG").write_bytes(b"thousand")
    text = "id;score\n" + "".join(f"{cell};{k}\n" for k, cell in enumerate(("1,000", "2", "3", "4", "5", "6")))
    refused(folder, text, "1,000", target=("score",), image_column="id")


def test_a_column_of_folders_that_are_there_by_any_name(tmp_path):
    for name in ("boston/1.jpg", "paris/9.jpg", "paris/2.jpg", "boston/3.jpg"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).write_bytes(name.encode())
    rows = "city,image,score\nparis,1.jpg,5.5\nparis,2.jpg,4\nboston,3.jpg,3\nparis,9.jpg,1\n"

    def said(text: str) -> bool:
        return any(
            "Column city has paris in line 2, but the image found is" in note
            for note in index_of(tmp_path, text, target=("score",)).notes
        )

    assert said(rows) and not said(rows.replace("paris,1", "boston,1"))
    where = dict(
        zip("1239", ("boston", "paris", "boston", "paris"), strict=True)
    )  # the city column may be another rater's
    lines = [f"{line},{where[line.split(',')[1][0]]}" for line in rows.split()[1:]]
    assert not said("\n".join(["city,image,score,label", *lines]))


def test_joined_files_with_other_columns(folder):
    text = (
        "image,safety\n"
        + "".join(f"{i}.JPG,{i}\n" for i in (1, 2, 3))
        + "image,beauty\n"
        + "".join(f"{i}.JPG,{i}\n" for i in (4, 5, 6))
    )
    refused(folder, text, r"line 5 looks like another header \(image, beauty\)", target=("safety",))


def test_row_numbers_of_pandas_are_no_names(folder):
    text = ",score\n" + "".join(f"{k},{k * 1.5}\n" for k in range(6))
    refused(folder, text, "numbers the rows", target=("score",))


def test_rows_that_repeat_an_image_elsewhere(folder):
    text = "image,lat,lon,score\n" + "".join(f"{i}.JPG,47.{i},8.1,{i}\n{i}.JPG,48.{i},8.1,{i}\n" for i in range(1, 7))
    refused(folder, text, "two rows with different values of lat", target=("score",), group="grid:1km")


def test_rows_without_their_empty_ends(folder):
    stripped = numbered(["3", "4", "5,nice", "6", "7", "8"], "image,score,comment")
    assert index_of(folder, stripped, target=("score",)).targets[:, 0].tolist() == [3, 4, 5, 6, 7, 8]
    stripped = numbered(["cat", "dog", "cat,nice", "dog", "cat", "dog"], "image,label,comment")
    assert index_of(folder, stripped, target=("label",)).classes == ("cat", "dog")
    assert len(index_of(folder, numbered(list("345678"), "image,score,"), target=("score",))) == 6
    assert len(index_of(folder, numbered([*"3456", "7,x", ".,y"], "image,score,comment"), target=("score",))) == 5


def test_a_header_behind_a_number_sign(folder):
    text = "#image,score\n" + "".join(f"{k},{k * 1.5}\n" for k in range(1, 7))
    assert index_of(folder, text, target=("score",)).targets[:, 0].tolist() == [1.5, 3, 4.5, 6, 7.5, 9]
    text = "# made by A, B\nimage,score\n" + "".join(f"{k},{k * 1.5}\n" for k in range(1, 7))
    assert index_of(folder, text, target=("score",)).targets[:, 0].tolist() == [1.5, 3, 4.5, 6, 7.5, 9]


def test_raters_on_other_scales_are_named(folder):
    for k in range(7, 25):
        (folder / "images" / f"{k}.JPG").write_bytes(b"image %d" % k)
    values = [1 + k % 5 for k in range(24)]
    text = numbered([f"{v},{6 - v},{v},{25 * v}" for v in values], "image,a,b,c,d")
    notes = index_of(folder, text, raters=("a", "b", "c", "d")).notes
    assert any("b has a correlation of -" in note and "reversed" in note for note in notes)
    assert any("d has values from 25 to 125, the others from 1 to 5" in note for note in notes)


def test_common_tables_that_look_odd_are_read(folder):
    scores = [3, 4.5, 5, 6.5, 7, 8]

    def read(*lines: str, name: str = "t.csv", **flags) -> list[float]:
        return index_of(folder, "\n".join(lines), name, **({"target": ("score",)} | flags)).targets[:, 0].tolist()

    rows = [f"{i}.JPG,{score}" for i, score in enumerate(scores, start=1)]
    assert read("image,score", *rows, ",,,,", "") == scores  # empty rows of any width
    assert read("image,score", *rows[:3], f"{rows[3]},,,", *rows[4:]) == scores  # surplus separators behind a whole row
    assert read("image,score,a,b", *(f"{row},0,1," for row in rows)) == scores
    full = [f"{row},Oslo,fine" for row in rows]
    assert read("image,score,city,comment", *full[:3], f"{rows[3]},Oslo", *full[4:]) == scores
    quoted = [f'P{i},{row},"as before:\nP3, P4 also"' for i, row in enumerate(rows)]
    assert read("id,image,score,note", *quoted, image_column="image") == scores
    assert read('image,score,"Remarks\nScale: 1, 2, 3, 4, 5"', *(f"{row},x" for row in rows)) == scores
    json = '"{""a"": 1, ""b"": 2}"'
    assert read("#filename,score,attributes", *(f"{row},{json}" for row in rows)) == scores


def test_a_name_less_column_behind_shifted_names_is_refused(folder):
    rows = [f"{i},{i}.JPG,0.5,{i}.5" for i in range(1, 7)]
    refused(
        folder,
        "\n".join(["image,a,b,", *rows]),
        r"the last column has values \(1\.5 in line 2\) but no name",
        target=("b",),
    )


def test_labels_between_blanks(folder):
    text = numbered(["scab", "rust", "scab rust", "rust", "scab", "scab rust"], "image,labels")
    refused(folder, text, "'scab rust' is taken as one label", target=("labels",), task="multilabel")


def test_numbers_of_participants_are_not_taken_for_images(folder):
    """Each of 40 participants rates images 1 to 6 in the same order."""
    rows = "".join(f"{who},{image},{image + who % 3}\n" for who in range(1, 41) for image in range(1, 7))
    rows = "participant,stimulus,score\n" + rows
    refused(folder, rows, r"both .*(participant|stimulus) .* may name the images; give one of them", target=("score",))
    wide = "participant,1,2,3,4\n" + "".join(f"{who},3,4,5,{who}\n" for who in range(1, 7))
    refused(
        folder, wide, r"the columns are named as images \(1, 2, 3, ...\); write a row for each image", target=("1",)
    )
    wide = "when,1.JPG,2.JPG,3.JPG\n" + "2024,3,4,5\n" * 6
    refused(folder, wide, "the columns are named as images .* a row for each image", target=("1.JPG",))


def test_the_column_of_images_is_no_target(folder):
    refused(folder, SCORES, "--target=image: this column names the images; choose the column", target=("image",))


@pytest.mark.parametrize("code", [88, 98, 77, -9, -1, 9, 45356])
def test_codes_for_no_answer_are_named(code):
    answers = np.random.default_rng(0).integers(1, 8, 300).astype(float)
    assert not far_values("s", answers)
    answers[:5] = code
    assert f"({code}: 5; the others are from 1 to 7)" in far_values("s", answers)[0]
    prices = np.exp(np.random.default_rng(0).normal(12, 1, 3000))
    assert (
        not far_values("p", prices)
        and not far_values("n", np.arange(-3.0, 4.0))
        and not far_values("b", np.array([0.0, 1.0]))
    )
