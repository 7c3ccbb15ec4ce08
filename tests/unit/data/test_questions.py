"""Tables that hold the answers to several questions: refused, where they would be learnt as one score."""

from pathlib import Path

import pytest

from deep_cnn.data.index import IndexOptions, build_index
from deep_cnn.runtime.errors import DataError

COUNT = 30


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "photos").mkdir()
    for k in range(COUNT):
        (tmp_path / "photos" / f"{k}.jpg").write_bytes(b"image %d" % k)
    return tmp_path


def index_of(folder: Path, header: str, rows, **flags):
    text = header + "\n" + "\n".join(",".join(map(str, row)) for row in rows) + "\n"
    (folder / "t.csv").write_text(text, encoding="utf-8")
    options = IndexOptions(**{"metadata": folder / "t.csv", "target": ("rating",), **flags})
    return build_index(folder / "photos", options)


def one_each(first: object, second: object) -> list[tuple]:
    """A row for each image, about one of two questions."""
    return [(f"{k}.jpg", second if k % 2 else first, k / 4) for k in range(COUNT)]


def both(first: object, second: object) -> list[tuple]:
    """Four raters and both questions for each image."""
    return [
        (f"{k}.jpg", question, rater, k / 4 + (question == second))
        for k in range(COUNT)
        for question in (first, second)
        for rater in ("f", "m", "f", "m")
    ]


NAMES = (
    "question",
    "Question",
    "question_id",
    "Question Text",
    "q",
    "attribute",
    "trait",
    "dimension",
    "scale",
    "item",
)
NAMES += (
    "prompt",
    "study",
    "adjective",
    "aspect",
    "variable",
    "rated_attribute",
    "Frage",
    "trait_name",
    "Question asked",
    "taskId",
    "attr",
)


@pytest.mark.parametrize("name", NAMES)
def test_two_questions_are_not_learnt_as_one(folder, name):
    with pytest.raises(DataError, match=rf'{name} .*safe.*ugly.*--where="{name}==safe"') as problem:
        index_of(folder, f"image,{name},rating", one_each("safe", "ugly"))
    assert "\n" not in str(problem.value)
    with pytest.raises(DataError, match=rf'--where="{name}==safe"'):
        index_of(folder, f"image,{name},gender,rating", both("safe", "ugly"), rater_group="gender")
    index = index_of(folder, f"image,{name},rating", one_each("safe", "ugly"), where=(f"{name}==ugly",))
    assert len(index) == COUNT // 2


@pytest.mark.parametrize("name", ["question", "question_no", "q"])
def test_questions_may_be_numbers(folder, name):
    with pytest.raises(DataError, match=f'--where="{name}==1"'):
        index_of(folder, f"image,{name},rating", one_each(1, 2))


@pytest.mark.parametrize("name", ["scale", "item", "study", "dimension"])
def test_numbers_are_questions_where_an_image_has_several(folder, name):
    """A number an image may be its magnification, its size, or the wave of the survey."""
    assert len(index_of(folder, f"image,{name},rating", one_each("1x", "2x"))) == COUNT
    with pytest.raises(DataError, match=rf'--where="{name}==1x"'):
        index_of(folder, f"image,{name},gender,rating", both("1x", "2x"), rater_group="gender")


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("category", "house", "street"),
        ("type", "house", "street"),
        ("city", "Oslo", "Bergen"),
        ("question", "safe", "safe"),
        ("question", "safe", ""),
        ("aspect", "N", "S"),
        ("dimension", "640x480", "800x600"),
        ("prompt", "a photo of a quiet street", "a photo of a loud street"),
        ("questionable", "yes", "no"),
        ("scaled", "yes", "no"),
        ("question_time", "3.5", "4.5"),
        ("question_order", "1", "2"),
        ("impression", "3", "4"),
    ],
)
def test_what_is_known_of_an_image_is_no_question(folder, name, first, second):
    assert len(index_of(folder, f"image,{name},rating", one_each(first, second))) == COUNT


def test_another_score_of_each_rating_is_no_question(folder):
    rows = [(f"{k}.jpg", rater, 1 + (k + n) % 5, k / 4 + n) for k in range(COUNT) for n, rater in enumerate("fmfm")]
    index = index_of(folder, "image,gender,impression,rating", rows, rater_group="gender")
    assert len(index) == COUNT
    with pytest.raises(DataError, match="column trait_id says which question was asked"):
        index_of(folder, "image,gender,trait_id,rating", rows, rater_group="gender")


def test_columns_that_the_flags_use_for_something_else(folder):
    rows = one_each("safe", "ugly")
    assert index_of(folder, "image,question,rating", rows, target=("question",)).task == "classification"
    assert len(index_of(folder, "image,question,rating", rows, group="question")) == COUNT
    split = [(image, ("train", "val", "test")[k % 3], x) for k, (image, _, x) in enumerate(rows)]
    assert len(index_of(folder, "image,study,rating", split, split_column="study")) == COUNT
    items = [(f"{k}.jpg", k / 4) for k in range(12)]
    assert len(index_of(folder, "item,rating", items, image_column="item")) == 12
    raters = both("safe", "ugly")
    index = index_of(folder, "image,study,gender,rating", raters, rater_group="study")
    assert index.rater_groups is not None


def test_many_different_ones_are_no_questions(folder):
    rows = [(f"{k}.jpg", f"text {chr(97 + k)}", k / 4) for k in range(COUNT - 4)]
    assert len(index_of(folder, "image,prompt,rating", rows)) == COUNT - 4
