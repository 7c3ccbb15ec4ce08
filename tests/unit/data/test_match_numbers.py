"""Numbers that fit images by accident: another column, or the names of the columns, say which image is meant."""

import json
from pathlib import Path

import numpy as np
import pytest

from deep_cnn.data.index import Index, IndexOptions, build_index
from deep_cnn.data.match import plain
from deep_cnn.data.written import file_names, numbers_of_names, unwrapped, whole_numbers
from deep_cnn.runtime.errors import DataError

COUNT = 40
ORDER = np.random.default_rng(3).permutation(np.arange(1, COUNT + 1)).tolist()  # which image each row is about
OWN = {f"{k}.jpg": k * 1.5 for k in ORDER}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "photos").mkdir()
    for k in ORDER:
        (tmp_path / "photos" / f"{k}.jpg").write_bytes(b"image %d" % k)
    return tmp_path


def index_of(folder: Path, header: str, cells, **flags) -> Index:
    """cells: of the row's number from 1 on and of its image's number, without the score."""
    rows = [[*cells(row, k), k * 1.5] for row, k in enumerate(ORDER, start=1)]
    lines = [",".join('"' + str(cell).replace('"', '""') + '"' for cell in row) for row in rows]
    (folder / "t.csv").write_text(f"{header},score\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return build_index(folder / "photos", IndexOptions(metadata=folder / "t.csv", target=("score",), **flags))


def scores(index: Index) -> dict[str, float]:
    return dict(zip(index.paths, index.targets[:, 0].tolist(), strict=True))


# --- cells that hold the name of an image and something else ------------------------------------------------------------

WRAPPED = [
    '<img src="{}">',
    "<p><IMG width='300' src='{}' alt='street 5'/></p>",
    "![]({})",
    '![a street]({} "title")',
    '["{}"]',
    '{{"image": "{}", "width": 640}}',
    "'{}'",
    "“{}”",
    '=HYPERLINK("{}","open")',
    '=HYPERLINK("{}";"open")',
]


@pytest.mark.parametrize(
    ("form", "name", "column"),
    [
        (form, name, ("stimulus", "image", "what")[(i + j) % 3])
        for i, form in enumerate(WRAPPED)
        for j, name in enumerate(("{}.jpg", "photos/{}.jpg", "https://h.org/a/{}.jpg?size=3"))
    ],
)
def test_the_one_name_in_html_markdown_and_json_is_read(folder, form, name, column):
    index = index_of(folder, f"trial_index,{column}", lambda row, k: (row, form.format(name.format(k))))
    assert scores(index) == OWN


def test_long_cells_take_no_time():
    text = "<img src='data:image/png;base64," + "A1" * 500_000 + "'> 27.jpg " + "9" * 100_000
    assert file_names(text) == ["27.jpg"] and len(whole_numbers(text)) > 500_000
    assert unwrapped(text) == text and file_names("a.jpg.png, .jpg; B.JPG") == ["a.jpg.png", "B.JPG"]
    assert numbers_of_names("x/3f2a8c1d-27.jpg, IMG_0028.jpg, s29.png") == {27, 28, 29}


def test_what_a_cell_holds_beside_the_name():
    assert plain(json.dumps({"image": "a/1.jpg", "size": [3, 4]}).replace("/", "\\/")) == "a/1.jpg"
    for text in ('["1.jpg", "2.jpg"]', '<img src="1.jpg"><img src="2.jpg">', '{"image": "1"}', "'1.jpg' or '2.jpg'"):
        assert plain(text) == text.replace("\\", "/")
    assert plain('<a href="1.jpg">2.jpg</a>') != "1.jpg"  # two names


UNREAD = [
    "img/{}.jpg",  # no such folder
    "<img src='img/{}.jpg'>",
    "{}.jpg (street)",
    "see {}.jpg",
    "https://x/1/3f2a8c1d-{}.jpg",
    "s3://b/stim/street-{}.jpg",
    "img.php?f={}.jpg",
    "https://b.s3.amazonaws.com/p/{}.jpg/thumb",
    '["{}.jpg", "mask.png"]',
    '<img src="{}.jpg"><img src="scale.png">',
    "Image {}",
    "Place {}",
    "loc_{}",
    "#{}",
    "{} - a street",
    "'{}'",
    "Block 2, place {} of 40 (Boston)",
    "https://h2.org/view/{}/big4",
]


NUMBERS = ("trial_index", "id", "rank", "order", "position", "sequence", "no", "question")


# each form with two of the names in turn, since all pairs take seconds
@pytest.mark.parametrize(("form", "number"), [(f, NUMBERS[(i + j) % 8]) for i, f in enumerate(UNREAD) for j in (0, 3)])
def test_numbers_are_refused_where_another_column_says_another_image(folder, form, number):
    with pytest.raises(DataError, match=r"column what .*column \w+ fits only by number.*--image_column=") as problem:
        index_of(folder, f"{number},what", lambda row, k: (row, form.format(k)))
    assert "\n" not in str(problem.value) and form.format(ORDER[0]) in str(problem.value)
    chosen = index_of(folder, f"{number},what", lambda row, k: (row, form.format(k)), image_column=number)
    assert len(chosen) == COUNT  # who says so is believed


def test_the_number_of_the_trial_in_the_text_is_no_agreement(folder):
    def cells(row: int, k: int) -> tuple:
        return row, f"<p>Trial {row} of 40</p><img src='img/{k}.jpg' width=300>"

    with pytest.raises(DataError, match=r"column stimulus .*trial fits only by number"):
        index_of(folder, "trial,stimulus", cells)
    with pytest.raises(DataError, match=r"column stimulus .*image_id fits only by number"):
        index_of(folder, "image_id,stimulus", cells)


def test_numbers_of_files_that_few_rows_are_about(folder):
    """A folder with more images than the table has trials."""
    for k in range(COUNT + 1, 6 * COUNT):
        (folder / "photos" / f"{k}.jpg").write_bytes(b"image %d" % k)
    for form in ("Place {}", "img/street-{}.jpg"):
        for number in ("trial", "image_id") if "." in form else ("trial",):
            with pytest.raises(DataError, match=rf"column what .*column {number} fits only by number"):
                index_of(folder, f"{number},what", lambda row, k: (row, form.format(5 * k)))  # noqa: B023


@pytest.mark.parametrize("form", ["Image {}", "https://h.org/view?n={}", "DSC_00{}"])
@pytest.mark.parametrize("column", ["image_name", "photo_url", "filename"])
def test_also_where_two_columns_are_called_so(folder, form, column):
    with pytest.raises(DataError, match=rf"column {column} .*column image_id fits only by number"):
        index_of(folder, f"image_id,{column}", lambda row, k: (row, form.format(k)))


@pytest.mark.parametrize("form", UNREAD[:10])
def test_also_where_the_column_of_numbers_is_called_image(folder, form):
    with pytest.raises(DataError, match=r"column url .*column image_id fits only by number"):
        index_of(folder, "image_id,url", lambda row, k: (row, form.format(k)))


@pytest.mark.parametrize("form", [*UNREAD, "https://x.org/a?k={}", "the house"])
def test_they_are_read_where_the_other_column_agrees(folder, form):
    if "{}" in form:  # an address that is the same in all rows is of no image
        assert scores(index_of(folder, "id,url", lambda row, k: (k, form.format(k)))) == OWN
    assert scores(index_of(folder, "id,note", lambda row, k: (k, form.format(k)))) == OWN


def test_few_rows_with_images_among_those_of_instructions(folder):
    """As jsPsych writes all its trials: the cross before each image and a page of text are trials, too."""

    def cells(row: int, k: int) -> tuple:
        return row, f"<img src='stimuli/{k}.jpg'>" if row % 4 == 0 else "<p>+</p>"

    with pytest.raises(DataError, match=r"column stimulus .*trial_index fits only by number"):
        index_of(folder, "trial_index,stimulus", cells)


@pytest.mark.parametrize(
    ("column", "form"),
    [
        ("image_url", "https://drive.google.com/open?id=1AbCxyz{letters}"),
        ("url", "https://drive.google.com/open?id=1AbCxyz{letters}"),
        ("img_src", "https://q.com/CP/Graphic.php?IM=IM_{letters}"),
        ("stimulus", "house {letters}"),
        ("photo", "https://q.com/{letters}"),
        ("filename", "house {letters}"),
    ],
)
def test_a_column_called_after_images_fits_none(folder, column, form):
    def cells(row: int, k: int) -> tuple:
        return row, form.format(letters=chr(97 + k % 26) + chr(97 + k // 26))

    with pytest.raises(DataError, match=f"column {column} .*column id fits only by number"):
        index_of(folder, f"id,{column}", cells)


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("comment", lambda row: ["nice", "like house 7", "was 3 years old", "bus 12 and tram 9", ""][row % 5]),
        ("comment", lambda row: "compare with 12.jpg" if row == 5 else "a street"),
        ("address", lambda row: f"{['Main', 'High', 'Long', 'Old'][row % 4]} street {row * row % 31}"),
        ("rater", lambda row: f"rater {1 + row % 5}"),
        ("date", lambda row: f"2024-01-{1 + row % 28:02}"),
        ("age_group", lambda row: f"{row}-{row + 9}"),
        ("distance", lambda row: f"{COUNT + 1 - row} km"),
        ("postcode", lambda row: f"CH-{8000 + row}"),
        ("image_quality", lambda row: ["good", "bad", "blurred"][row % 3]),
        ("photo_caption", lambda row: f"A street with {['trees', 'cars', 'no one'][row % 3]}, {row * row % 31}"),
        ("stimulus_type", lambda row: ["house", "street"][row % 2]),
        ("file_size", lambda row: f"{row * 7 % 23}34 kB"),
        ("photo_time", lambda row: f"12:{row:02}"),
    ],
)
def test_columns_about_something_else_refuse_nothing(folder, column, cell):
    assert scores(index_of(folder, f"id,{column}", lambda row, k: (k, cell(row)))) == OWN


def test_original_names_beside_the_numbers_of_images(folder):
    """Files that were renamed to their numbers: the old names are of no file here."""
    index = index_of(
        folder, "image_id,url", lambda row, k: (k, f"https://live.flickr.com/65535/{51_000 + row}_3f2a8c1d_b.jpg")
    )
    assert scores(index) == OWN
    both = index_of(folder, "id,before,after", lambda row, k: (k, f"https://h/{k}_a.jpg", f"https://h/{k}_b.jpg"))
    assert scores(both) == OWN
    cameras = index_of(folder, "id,camera", lambda row, k: (k, f"cam_{k:03}.jpg"))
    assert scores(cameras) == OWN


def test_addresses_whose_folder_is_the_number(folder):
    for name in ("full.jpg", "full_640.jpg", "1.jpg"):
        assert scores(index_of(folder, "id,url", lambda row, k: (k, f"https://h.org/{k}/{name}"))) == OWN  # noqa: B023


def test_a_column_of_parquet_that_is_not_read(folder):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    def index(**columns) -> Index:
        pq.write_table(pa.table({**columns, "score": [k * 1.5 for k in ORDER]}), folder / "t.parquet")
        return build_index(folder / "photos", IndexOptions(metadata=folder / "t.parquet", target=("score",)))

    structs = [{"bytes": b"\xff\xd8\xff", "path": f"{k}.jpg"} for k in ORDER]
    rows = list(range(1, COUNT + 1))
    for name, cells in (("image", structs), ("photo", [b"\xff\xd8\xff"] * COUNT), ("img_bytes", [b"\xff"] * COUNT)):
        with pytest.raises(DataError, match=rf"column {name} .*column id fits only by number"):
            index(id=rows, **{name: cells})
    assert scores(index(id=ORDER, embedding=[b"\xff"] * COUNT)) == OWN
    assert scores(index(file=[f"{k}.jpg" for k in ORDER], image=structs)) == OWN


# --- a row for each participant ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        "Rate [{}.jpg]", "How safe is {}.jpg?", "{}.jpg - safe", "safe ({}.jpg)", "Q1 <img src='x/{}.jpg'>",
        "Q{}_safe", "{}_safe", "safe_{}", "img{}", "Image {}", "Rate [{}]",
    ],
)  # fmt: skip
@pytest.mark.parametrize("person", ["pid", "Participant", "id", "ResponseId"])
def test_columns_named_after_images_are_of_a_row_per_participant(folder, form, person):
    images = sorted(ORDER)
    rows = [f"{row}," + ",".join(str((row * k) % 7) for k in images) for row in range(1, COUNT + 1)]
    names = [form.format(k) for k in images]
    (folder / "t.csv").write_text(f"{person}," + ",".join(names) + "\n" + "\n".join(rows) + "\n", encoding="utf-8")
    options = IndexOptions(metadata=folder / "t.csv", target=(names[2],))
    with pytest.raises(DataError, match=r"the columns are named as images .*write a row for each image"):
        build_index(folder / "photos", options)


def test_two_such_columns_are_enough_where_they_have_an_ending(folder):
    with pytest.raises(DataError, match="the columns are named as images"):
        index_of(folder, "pid,Rate [3.jpg],age,Rate [7.jpg]", lambda row, k: (row, 1, 30, 2))


def test_columns_named_after_images_without_their_endings(folder):
    for k in range(8):
        (folder / "photos" / f"house_{k}{'abcdefgh'[k]}.jpg").write_bytes(b"house %d" % k)
    header = "pid,age," + ",".join(f"Rate [house_{k}{'abcdefgh'[k]}]" for k in range(8))
    with pytest.raises(DataError, match="the columns are named as images"):
        index_of(folder, header, lambda row, k: (row, 30, *range(8)))


def test_participants_who_rated_few_of_the_images(folder):
    names = [f"rate_{n}" for n in range(1, 9)]
    rows = [f"{row}," + ",".join(str((row * n) % 7) for n in range(8)) for row in range(1, COUNT + 1)]
    for person, refused in (("pid", True), ("Participant", True), ("id", False), ("subject_id", False)):
        (folder / "t.csv").write_text("\n".join([f"{person},{','.join(names)}", *rows]) + "\n", encoding="utf-8")
        options = IndexOptions(metadata=folder / "t.csv", target=("rate_3",))
        if refused:
            with pytest.raises(DataError, match="the columns are named as images"):
                build_index(folder / "photos", options)
        else:
            assert len(build_index(folder / "photos", options)) == COUNT


def test_numbered_columns_of_raters_and_questions_are_none(folder):
    names = ",".join(f"q{n}" for n in range(1, 9))
    answers = index_of(folder, f"id,rater,{names}", lambda row, k: (k, 1 + row % 5, *range(8)))
    assert scores(answers) == OWN
    (folder / "t.csv").write_text((folder / "t.csv").read_text().replace("score", "q9"), encoding="utf-8")
    options = IndexOptions(metadata=folder / "t.csv", target=("q9",))
    assert scores(build_index(folder / "photos", options)) == OWN
    header = "id," + ",".join(f"rater_{n}" for n in range(1, 11))
    assert scores(index_of(folder, header, lambda row, k: (k, *range(10)))) == OWN
    assert scores(index_of(folder, "id,made from 3.jpg (old),q1,q2", lambda row, k: (k, 1, 2, 3))) == OWN


def test_columns_that_were_given_as_raters_are_none(folder):
    names = tuple(f"r{n}" for n in range(1, COUNT + 1))
    index = index_of(
        folder, "id," + ",".join(names), lambda row, k: (k, *((k + n) % 5 for n in range(COUNT))), raters=names
    )
    assert scores(index) == OWN
