"""Tables of votes: which columns, which winner, which image; and each mistake in one line."""

import numpy as np
import pytest
from PIL import Image

from deep_cnn.data.dataset import Dataset
from deep_cnn.data.division import log_votes
from deep_cnn.data.index import build_index
from deep_cnn.data.split import Splits
from deep_cnn.runtime.errors import ConfigError, DataError

ROWS = ["a.png,b.png,left", "b.png,c.png,right", "c.png,a.png,tie"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for k, name in enumerate("abcd"):
        Image.new("RGB", (8, 8), (40 * k, 0, 0)).save(tmp_path / "images" / f"{name}.png")
    return tmp_path


def indexed(folder, rows=ROWS, header="left,right,winner", **fields):
    (folder / "votes.csv").write_text("\n".join([header, *rows]), encoding="utf-8")
    return build_index(folder / "images", metadata=folder / "votes.csv", **fields)


def votes_of(index):
    paths = list(index.paths)
    return [
        (paths[i], paths[j], y, index.votes.questions[q])
        for (i, j), y, q in zip(index.votes.images.tolist(), index.votes.outcome, index.votes.question, strict=True)
    ]


EXPECTED = [("a.png", "b.png", 1, "score"), ("b.png", "c.png", 0, "score"), ("c.png", "a.png", 0.5, "score")]


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("left,right,winner", ROWS),
        ("image_left,image_right,choice", ["a,b,LEFT", "b,c,Right", "c,a,equal"]),
        ("id,img1,img2,vote", ["7,a.png,b.png,a.png", "8,b.png,c.png,c.png", "9,c.png,a.png,no preference"]),
        ("Left Image;Right Image;Winner", ["images/a.png;images/b.png;a", "b.png;c.png;c", "c.png;a.png;both"]),
    ],
)
def test_columns_and_winners_in_many_spellings(folder, header, rows):
    index = indexed(folder, rows, header)
    assert votes_of(index) == EXPECTED and index.task == "pairwise"
    assert list(index.paths) == ["a.png", "b.png", "c.png"]  # d has no vote
    assert index.targets[:, 0].tolist() == [0.75, 0.0, 0.75]
    assert any("1 image has no vote" in note for note in index.notes)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("image_1,image_2,winner", ("1", "2", "tie")),
        ("img1,img2,choice", ("img1", "img2", "tie")),
        ("photo_a,photo_b,vote", ("photo_a", "photo_b", "equal")),
    ],
)
def test_winners_as_their_columns_are_called(folder, header, words):
    index = indexed(folder, [f"a.png,b.png,{words[0]}", f"c.png,b.png,{words[1]}", f"a.png,c.png,{words[2]}"], header)
    assert index.votes.outcome.tolist() == [1, 0, 0.5]


@pytest.mark.parametrize("tie", [[], ["a,c,tie"], ["a,c,"]])
def test_images_that_are_called_as_sides_are_images(folder, tie):
    index = indexed(folder, ["b,a,a", "a,b,b", "c,b,b", *tie])
    assert index.votes.outcome[:3].tolist() == [0, 0, 0]


def test_winner_and_loser_are_a_table_of_votes(folder):
    index = indexed(folder, ["a.png,b.png", "c.png,b.png"], "winner,loser")
    assert [vote[:3] for vote in votes_of(index)] == [("a.png", "b.png", 1), ("c.png", "b.png", 1)]


def test_named_columns_and_questions(folder):
    rows = ["x,a,b,1st,left", "y,a,c,2nd,right", "x,b,c,1st,equal"]
    header = "q,one,other,round,said"
    index = indexed(folder, rows, header, task="pairwise", vote_columns=("one", "other", "said", "q"))
    assert index.target_names == ("x", "y") and [vote[3] for vote in votes_of(index)] == ["x", "y", "x"]
    index = indexed(folder, rows, header, task="pairwise", vote_columns=("one", "other", "said", "q"), target=("y",))
    assert votes_of(index) == [("a.png", "c.png", 0, "y")] and np.isnan(index.targets).sum() == 0
    with pytest.raises(DataError, match=r"--target=z: q of votes.csv has no such question"):
        indexed(folder, rows, header, task="pairwise", vote_columns=("one", "other", "said", "q"), target=("z",))


def test_named_columns_are_of_votes_and_questions_are_named_once(folder):
    rows, header = ["x,a,b,left", "y,a,c,right"], "q,one,other,said"
    four = ("one", "other", "said", "q")
    assert indexed(folder, rows, header, vote_columns=four).target_names == ("x", "y")
    with pytest.raises(DataError, match=r"--vote_columns=left: .*no such column"):
        indexed(folder, rows, header, vote_columns=("left", "right", "winner"))
    with pytest.raises(
        ConfigError, match=r"--vote_columns=one,other,said,q: is for votes .* not for --task=regression"
    ):
        indexed(folder, rows, header, task="regression", target=("q",), vote_columns=four)
    with pytest.raises(ConfigError, match="--study_id=y: --target names the questions already"):
        indexed(folder, rows, header, vote_columns=four, target=("x",), study_id="y")


def test_named_columns_may_have_commas(folder):
    header = '"Picture, one","Picture, two","Which, then?"'
    words = ("Picture", " one", "Picture", " two", "Which", " then?")  # as the command line divides them
    assert votes_of(indexed(folder, header=header, task="pairwise", vote_columns=words)) == EXPECTED
    with pytest.raises(ConfigError, match="2 columns; give the left image's"):
        indexed(folder, header=header, task="pairwise", vote_columns=words[:4])


def test_place_pulse_votes_name_locations_and_studies(tmp_path):
    (tmp_path / "images").mkdir()
    for k, city in enumerate(("Boston", "Rio De Janeiro", "Boston")):
        Image.new("RGB", (8, 8), (40 * k, 0, 0)).save(tmp_path / "images" / f"42.1_-71.{k}_513d7e{k}_{city}.png")
    rows = [
        "50a68a51fdc9f05596000002,513d7e0,513d7e1,left",
        "50f62c41a84ea7c5fdd2e454,513d7e2,513d7e1,left",
        "50a68a51fdc9f05596000002,513d7e2,513d7e1,right",
        "50a68a51fdc9f05596000002,513d7e9,513d7e1,right",
    ]
    index = indexed(tmp_path, rows, "study_id,left,right,choice", group="city")
    assert index.target_names == ("lively", "safety") and index.group_names == ("Boston", "Rio De Janeiro")
    assert index.groups.tolist() == [0, 1, 0] and len(index.votes) == 3
    assert any("1 of 4 votes have an image without a file (the first in line 5)" in note for note in index.notes)
    only = indexed(tmp_path, rows, "study_id,left,right,choice", task="pairwise", study_id="50a68a51fdc9f05596000002")
    assert only.target_names == ("safety",) and len(only.votes) == 2


def test_groups_from_columns_of_both_sides(folder):
    rows = [f"{row},{x},{y}" for row, x, y in zip(ROWS, "XYX", "YXX", strict=True)]
    index = indexed(folder, rows, "left,right,winner,left_city,right_city", group="city")
    assert [index.group_names[g] for g in index.groups] == ["X", "Y", "X"]
    with pytest.raises(DataError, match="an image has two values"):
        indexed(folder, [*rows, "a.png,b.png,left,Y,Y"], "left,right,winner,left_city,right_city", group="city")
    with pytest.raises(DataError, match="needs the columns left_place and right_place"):
        indexed(folder, rows, "left,right,winner,left_city,right_city", group="place")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([*ROWS, "d.png,d.png,left"], "1 of 4 votes compare an image with itself (the first in line 5)"),
        ([*ROWS, "a.png,x.png,left"], "1 of 4 votes have an image without a file (the first in line 5)"),
        ([*ROWS, "a.png,d.png,"], "1 of 4 votes have no winner (the first in line 5)"),
        ([*ROWS, "b.png,a.png,left"], "1 pairs were voted on several times, 1 of them with different results"),
        (ROWS, "score: 3 votes (1 ties) on 3 images, 2.0 an image; too few to learn much"),
    ],
)
def test_what_is_left_out_is_said(folder, rows, said):
    assert any(said in note for note in indexed(folder, rows).notes)


@pytest.mark.parametrize(
    ("rows", "fields", "said"),
    [
        ([*ROWS, "a.png,d.png,middle"], {}, "winner is 'middle' in line 5, which is neither left"),
        (["a.png,b.png,tie", "c.png,a.png,tie"], {}, "all 2 votes are ties"),
        (["x.png,y.png,left", "y.png,x.png,left"], {}, "no vote is between two images of the folder"),
        (ROWS, {"task": "regression", "target": ("winner",)}, "a table of votes .* add --task=pairwise"),
        (ROWS, {"task": "pairwise", "target": ("safety",)}, "votes.csv has no column of questions"),
        (
            ROWS,
            {"task": "pairwise", "vote_columns": ("left", "nobody", "winner")},
            "--vote_columns=nobody: .*no such column",
        ),
    ],
)
def test_mistakes_are_named(folder, rows, fields, said):
    with pytest.raises(DataError, match=said):
        indexed(folder, rows, **({"task": "pairwise"} | fields))


def test_a_cell_that_fits_two_files_is_named_with_its_line(folder):
    for place in ("one", "two"):
        (folder / "images" / place).mkdir()
        Image.new("RGB", (8, 8)).save(folder / "images" / place / "e.png")
    rows = ["c.png,b.png,left", *ROWS, "b.png,e.png,left", "a.png,e.png,left"]
    with pytest.raises(DataError, match=r"'e\.png' in line 6 matches 2 files \(one/e\.png, two/e\.png\)"):
        indexed(folder, rows)


def test_a_table_of_scores_is_no_table_of_votes(folder):
    with pytest.raises(DataError, match=r"no table of votes.*--task=regression --target=COLUMN"):
        indexed(folder, ["a.png,1.5", "b.png,2.5"], "image,safety", task="pairwise")
    assert (
        indexed(folder, ["a.png,1.5", "b.png,2.25", "c.png,3"], "image,safety", target=("safety",)).task == "regression"
    )
    for flag, value in (
        ("raters", ("x", "y")),
        ("weigh_by", "std"),
        ("split_column", "split"),
        ("image_column", "left"),
    ):
        with pytest.raises(ConfigError, match=f"--{flag}: not available for votes"):
            indexed(folder, task="pairwise", **{flag: value})
    with pytest.raises(ConfigError, match="--vote_columns=a,b: 2 columns"):
        indexed(folder, task="pairwise", vote_columns=("a", "b"))


def test_splits_that_leave_no_votes_are_refused(folder, caplog):
    index = indexed(folder)

    def divided(train, validation, test):
        parts = (np.array(part, np.int64) for part in (train, validation, test))
        log_votes(Dataset(index, Splits(*parts), None))

    with pytest.raises(DataError, match="only 1 votes are between two training images"):
        divided([0, 1], [], [2])
    index = indexed(folder, [*ROWS, "a.png,b.png,right", "d.png,c.png,left"])
    with pytest.raises(DataError, match="no vote has a validation image together"):
        divided([0, 1], [3], [2])
    divided([0, 1], [2], [3])
    assert "No vote is between two test images" in caplog.text


def test_a_fold_trains_on_the_votes_between_its_training_images(folder):
    from deep_cnn.tools.folds.plan import trained_in_a_fold

    index = indexed(folder, [f"{'abc'[i % 3]}.png,d.png,left" for i in range(100)])
    assert trained_in_a_fold(index, 5, 0.25) == (36, "votes")  # (4 / 5 x 3 / 4) squared


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("image_1,image_2,winner", ("1.0", "2.0", "tie")),  # pandas, where some cells are empty
        ("left,right,winner", ("left image", "the right one", "equal")),
        ("A,B,winner", ("Option A", "image-b", "equal")),
        ("image_0,image_1,choice", ("0", "1", "both")),
        ("Input.image_url_1,Input.image_url_2,Answer.choice.label", ("image 1", "2", "same")),  # Mechanical Turk
    ],
)
def test_sides_in_the_words_of_people(folder, header, words):
    index = indexed(folder, [f"a.png,b.png,{words[0]}", f"c.png,b.png,{words[1]}", f"a.png,c.png,{words[2]}"], header)
    assert index.votes.outcome.tolist() == [1, 0, 0.5]


def test_columns_of_winning_and_losing_images(folder):
    index = indexed(folder, ["b.png,a.png", "c.png,b.png"], "loser_image,winner_image")
    assert [vote[:3] for vote in votes_of(index)] == [("a.png", "b.png", 1), ("b.png", "c.png", 1)]


@pytest.mark.parametrize("names", ["image_1,image_2,image_3", "img_a,img_b,img_c", "left_id,right_id,middle_id"])
def test_a_choice_of_three_is_no_vote(folder, names):
    first, second, third = names.split(",")
    rows = ["a.png,b.png,c.png,a.png", "b.png,c.png,d.png,b.png"]
    with pytest.raises(DataError, match=f"{first}, {second} and {third} all name images"):
        indexed(folder, rows, f"{names},winner")
    index = indexed(folder, rows, f"{names},winner", task="pairwise", vote_columns=(first, second, "winner"))
    assert len(index.votes) == 2
    assert len(indexed(folder, [row.replace(",c.png,", ",3,") for row in rows[:1]] * 2, f"{names},winner").votes) == 2


def test_images_of_one_name_in_two_folders_are_told_by_their_paths(folder):
    for place in ("before", "after"):
        (folder / "images" / place).mkdir()
        Image.new("RGB", (8, 8)).save(folder / "images" / place / "e.png")
    rows = [
        "before/e.png,after/e.png,after/e.png",
        "after\\e.png,before\\e.png,C:\\x\\after\\e.png",
        "a.png,after/e.png,a.png",
    ]
    assert indexed(folder, rows).votes.outcome.tolist() == [0, 1, 1]
    with pytest.raises(DataError, match=r"winner is 'e\.png' in line 2, which is neither left"):
        indexed(folder, ["before/e.png,after/e.png,e.png", *rows])
    with pytest.raises(DataError, match=r"'e\.png' in line 2 matches 2 files"):
        indexed(folder, ["e.png,e,left"])


def test_questions_that_are_missing_or_spelled_in_two_ways_are_told(folder):
    rows = [f"{row},{q}" for row, q in zip(ROWS * 2, ("safe", "NA", "", "Safe", "safe", "safe"), strict=True)]
    index = indexed(folder, rows, "left,right,winner,question")
    notes = "\n".join(index.notes)
    assert index.target_names == ("Safe", "safe") and len(index.votes) == 4
    assert "2 of 6 votes have no question (NA: 1, empty: 1)" in notes and "'Safe' and 'safe' are not the same" in notes


def test_a_side_that_always_wins_and_counts_are_told(folder):
    notes = "\n".join(
        indexed(folder, ["a.png,b.png,left,3", "b.png,c.png,left,1"] * 15, "left,right,winner,count").notes
    )
    assert "left is the winner of all 30 votes" in notes and "Column count is not used: each row is one vote" in notes
    assert "is the winner of all" not in "\n".join(indexed(folder, ["a.png,b.png"] * 30, "winner,loser").notes)


def test_groups_of_images_are_spelled_in_any_way(folder):
    rows = [f"{row},{x},{y}" for row, x, y in zip(ROWS, ("1", "2", "3"), ("2.0", "3.0", "1.0"), strict=True)]
    assert indexed(folder, rows, "left,right,winner,left_g,right_g", group="g").group_names == ("1", "2", "3")


def test_the_winner_in_a_column_of_its_own_wins_whatever_key_was_pressed(folder):
    header = "winner,loser,response"
    index = indexed(folder, ["a.png,b.png,left", "b.png,c.png,right", "c.png,d.png,right"], header)
    assert index.votes.outcome.tolist() == [1, 1, 1]
    with pytest.raises(
        DataError, match=r"winner and loser name a winner, but response is 'tie' in line 3 \(1 such rows\)"
    ):
        indexed(folder, ["a.png,b.png,left", "b.png,c.png,tie"], header)


PAIRS = ["a,b,left", "b,c,right", "c,d,left", "d,a,left"]


@pytest.mark.parametrize("name", ["criterion", "Trait", "aspect", "adjective"])
def test_a_column_that_names_the_question_by_another_word(folder, name):
    rows = [f"{row},{('safe', 'lively')[k % 2]}" for k, row in enumerate(PAIRS)]
    assert indexed(folder, rows, f"left,right,winner,{name}").target_names == ("lively", "safe")


def test_a_column_that_may_name_the_question_is_asked_for(folder):
    rows = [f"{row},{('safe', 'lively')[k % 2]}" for k, row in enumerate(PAIRS)]
    header = "left,right,winner,prompt"
    with pytest.raises(
        DataError, match=r"prompt may say which question.*lively, safe.*--vote_columns=left,right,winner,prompt"
    ):
        indexed(folder, rows, header)
    index = indexed(folder, rows, header, vote_columns=("left", "right", "winner"))
    assert index.target_names == ("score",)
    assert any("Not used: prompt (lively, safe). If a column says which question" in note for note in index.notes)
    index = indexed(folder, rows, "left,right,winner,seen_by")  # of the rater, or the question: the log says so
    assert any("Not used: seen_by (lively, safe). If a column says which question" in note for note in index.notes)


def test_two_columns_that_name_different_questions_are_asked_for(folder):
    rows = [f"{row},{('urban', 'rural')[k % 2]},{('safe', 'lively')[k // 2]}" for k, row in enumerate(PAIRS)]
    with pytest.raises(DataError, match="category or attribute may say which question was asked"):
        indexed(folder, rows, "left,right,winner,category,attribute")
    rows = [f"{row},{('7', '8')[k % 2]},{('safe', 'lively')[k % 2]}" for k, row in enumerate(PAIRS)]
    assert len(indexed(folder, rows, "left,right,winner,study_id,study_question").target_names) == 2


def test_a_wrong_winner_does_not_turn_the_others(tmp_path):
    """Images that are called 1, 2... and sides that are, too."""
    (tmp_path / "images").mkdir()
    for k in range(1, 7):
        Image.new("RGB", (8, 8), (40 * k, 0, 0)).save(tmp_path / "images" / f"{k}.jpg")
    rows = [f"{one},{two},{min(one, two)}" for one in range(1, 7) for two in range(1, 7) if one != two]
    index = indexed(tmp_path, rows, "image_1,image_2,winner")
    assert index.targets[0, 0] == 1
    with pytest.raises(DataError, match="winner is '2' in line 32, which is neither"):
        indexed(tmp_path, [*rows, "5,6,2"], "image_1,image_2,winner")
    index = indexed(tmp_path, [*rows, "5,6,right"], "image_1,image_2,winner")
    assert index.targets[0, 0] == 1 and index.votes.outcome[-1] == 0


@pytest.mark.parametrize("name", ["prompt", "trait"])
def test_a_question_beside_a_study_that_is_the_same_everywhere(folder, name):
    """Prolific writes its own study_id into each row."""
    rows = [f"{row},65f0aa,{('safe', 'lively')[k % 2]}" for k, row in enumerate(PAIRS)]
    header = f"left,right,winner,study_id,{name}"
    if name == "trait":
        assert indexed(folder, rows, header).target_names == ("lively", "safe")
    else:
        with pytest.raises(DataError, match=r"prompt may say which question was asked \(prompt: lively, safe\)"):
            indexed(folder, rows, header)
    assert indexed(folder, [f"{row},65f0aa" for row in PAIRS], "left,right,winner,study_id").target_names == ("65f0aa",)


@pytest.mark.parametrize("name", ["q", "qid", "question_no", "Question Number", "query", "question_text"])
def test_numbers_and_texts_of_questions(folder, name):
    rows = [f"{row},{1 + k % 2}" for k, row in enumerate(PAIRS)]
    assert indexed(folder, rows, f"left,right,winner,{name}").target_names == ("1", "2")


def test_a_condition_leaves_one_question(folder):
    rows = [f"{row},{('safe', 'lively')[k % 2]}" for k, row in enumerate(PAIRS)]
    index = indexed(folder, rows, "left,right,winner,prompt", where=("prompt==safe",))
    assert index.target_names == ("score",) and len(index.votes) == 2


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("winner,loser,tie", ["a,b,0", "b,c,1", "c,d,0"]),
        ("left,right,winner,is_draw", ["a,b,left,False", "b,c,,True", "c,d,left,False"]),
        ("left,right,winner,equal", ["a,b,left,no", "b,c,right,yes", "c,d,left,no"]),
    ],
)
def test_ties_in_a_column_of_their_own(folder, header, rows):
    index = indexed(folder, rows, header)
    assert index.votes.outcome.tolist() == [1, 0.5, 1]
    assert any("calls 1 vote ties" in note for note in index.notes)


def test_two_columns_that_say_who_won_must_agree(folder):
    header = "left,right,answer,response"
    assert len(indexed(folder, [f"{row},{row.split(',')[2]}" for row in PAIRS], header).votes) == 4
    with pytest.raises(
        DataError, match=r"answer and response may both say who won, and differ in line 3 .*--vote_columns="
    ):
        indexed(folder, ["a,b,left,left", "b,c,right,left", "c,d,left,left"], header)


@pytest.mark.parametrize("name", ["swapped", "swap", "is_inverted", "switched"])
@pytest.mark.parametrize("sides", ["image_1,image_2", "left,right"])
def test_sides_that_were_swapped_are_not_known(folder, name, sides):
    header = f"{sides},{name},choice"
    with pytest.raises(DataError, match=f"{name} is '1' in 1 row, so which image choice means there is not known"):
        indexed(folder, ["a,b,0,left", "b,c,1,right"], header)
    index = indexed(folder, ["a,b,0,a", "b,c,1,c"], header)  # a name says it
    assert index.votes.outcome.tolist() == [1, 0]


def test_sides_that_are_given_the_other_way_round(folder):
    fields = {"task": "pairwise", "vote_columns": ("image_right", "image_left", "choice")}
    index = indexed(folder, ["a,b,left", "b,c,right"], "image_left,image_right,choice", **fields)
    assert [(vote[0], vote[1], vote[2]) for vote in votes_of(index)] == [("b.png", "a.png", 0), ("c.png", "b.png", 1)]


def test_what_is_not_used_is_told_in_one_line(folder):
    rows = [f"{row},{('f', 'm')[k % 2]},{('de', 'fr')[k // 2]},Oslo,Rome,{k}" for k, row in enumerate(PAIRS)]
    index = indexed(folder, rows, "left,right,winner,mood,block,left_city,right_city,Num Votes")
    assert [note for note in index.notes if "ot used" in note] == [
        "Not used: mood (f, m); block (de, fr). If a column says which question was asked, add --vote_columns=left,right,winner,COLUMN",
        "Column Num Votes is not used: each row is one vote",
    ]


def test_a_condition_beside_the_question_is_no_question(folder):
    rows = [f"{row},{('safe', 'lively')[k % 2]},{('day', 'night')[k // 2]}" for k, row in enumerate(PAIRS)]
    assert indexed(folder, rows, "left,right,winner,question,condition").target_names == ("lively", "safe")
    rows = [f"{row},safe,{('day', 'night')[k // 2]}" for k, row in enumerate(PAIRS)]
    assert indexed(folder, rows, "left,right,winner,question,condition").target_names == ("safe",)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("left_image", ("b", "b", "c", "a")),
        ("shown_left", ("b", "b", "c", "a")),
        ("order", ("BA", "AB", "AB", "BA")),
        ("a_on_left", ("no", "yes", "yes", "no")),
        ("swapped", ("swapped", "normal", "normal", "swapped")),
    ],
)
def test_a_column_that_may_say_what_was_on_the_left_is_asked_about(folder, column, values):
    pairs = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "a")]
    rows = [f"{a},{b},{value},left" for (a, b), value in zip(pairs, values, strict=True)]
    header = f"image_a,image_b,{column},response"
    with pytest.raises(DataError, match=f"response names sides, and column {column} .*write the name of the winning"):
        indexed(folder, rows, header)
    by_name = [f"{a},{b},{value},{a}" for (a, b), value in zip(pairs, values, strict=True)]
    assert indexed(folder, by_name, header, task="pairwise").votes.outcome.tolist() == [1, 1, 1, 1]


def test_winners_by_number_and_rows_without_images(tmp_path):
    (tmp_path / "images").mkdir()
    for k in range(12):
        (tmp_path / "images" / f"{k:03d}.png").write_bytes(b"%d" % k)
    rows = ["009,010,9", "010,011,11.0", "003,004,003", ",,age 25"]
    index = indexed(tmp_path, rows)
    assert index.votes.outcome.tolist() == [1, 0, 1]
    assert any("1 row has no images (the first is line 5), so no vote" in note for note in index.notes)


def test_votes_that_fall_apart_are_told(folder):
    notes = indexed(folder, ["a,b,left", "c,d,right", "a,b,right"]).notes
    assert any("no vote connects 2 of the 4 images with the largest part of 2" in note for note in notes)
    assert not any("no vote connects" in note for note in indexed(folder, PAIRS).notes)


# --- which columns name the images, and what the winner's words mean --------------------------------------------------

NUMBERS = [(4, 9), (7, 2), (1, 8), (6, 3), (5, 10), (12, 11), (2, 6), (9, 7), (3, 1), (8, 5), (11, 4), (10, 12)]
DATABASE = {k: k % 12 + 1 for k in range(1, 13)}  # ids of a database: they fit other files


@pytest.fixture
def numbered(tmp_path):
    (tmp_path / "images").mkdir()
    for k in range(1, 13):
        (tmp_path / "images" / f"{k}.jpg").write_bytes(b"%d" % k)
    return tmp_path


def larger_wins(folder, header, row, **fields):
    """How many votes are not won by the larger number, of a table with a row(i, a, b, whether a is larger) each."""
    rows = [row(i, a, b, a > b) for i, (a, b) in enumerate(NUMBERS)]
    votes = votes_of(index := indexed(folder, rows, header, **fields))
    assert len(votes) == len(NUMBERS)
    wrong = sum((int(a.split(".")[0]) > int(b.split(".")[0])) != (y == 1) for a, b, y, _ in votes)
    return wrong, "\n".join(index.notes)


@pytest.mark.parametrize(
    ("header", "cell", "words"),
    [
        ("left_id,right_id,left_file,right_file,winner", "{}.jpg", ("left", "right")),
        ("left_id,right_id,left_url,right_url,winner", "https://h.org/p/{}.jpg", ("left", "right")),
        ("left,right,left_filename,right_filename,choice", "{}.jpg", ("left", "right")),
        ("image_1,image_2,image_1_name,image_2_name,winner", "{}.jpg", ("1", "2")),
        ("image_1,image_2,name_1,name_2,winner", "{}.jpg", ("image_1", "image_2")),
        ("image_a,image_b,image_a_path,image_b_path,choice", "images/{}.jpg", ("A", "B")),
        ("left_id,right_id,left_image_file,right_image_file,vote", "{}.jpg", ("l", "r")),
    ],
)
def test_file_names_name_the_images_where_numbers_stand_beside_them(numbered, header, cell, words):
    def row(i, a, b, wins):
        return f"{DATABASE[a]},{DATABASE[b]},{cell.format(a)},{cell.format(b)},{words[0] if wins else words[1]}"

    wrong, notes = larger_wins(numbered, header, row)
    one, other = header.split(",")[2:4]
    assert wrong == 0 and f"Images: {one}, {other} (by {'path' if cell.startswith('images') else 'file name'})" in notes


def test_file_names_of_winners_stand_beside_their_numbers(numbered):
    def row(i, a, b, wins):
        a, b = (a, b) if wins else (b, a)
        return f"{DATABASE[a]},{DATABASE[b]},https://h.org/{a}.jpg,https://h.org/{b}.jpg"

    assert larger_wins(numbered, "winner_id,loser_id,winner_url,loser_url", row)[0] == 0


def test_a_winner_may_be_named_by_the_number_of_a_database(numbered):
    def row(i, a, b, wins):
        return f"{500 + a},{500 + b},{a}.jpg,{b}.jpg,{500 + (a if wins else b)}"

    assert larger_wins(numbered, "left_id,right_id,left_file,right_file,winner", row)[0] == 0


@pytest.mark.parametrize("cell", ["{}.jpg", "{}"])
def test_two_pairs_of_columns_that_name_different_images_alike_are_asked_about(numbered, cell):
    rows = [",".join(cell.format(k) for k in (a, b, DATABASE[a], DATABASE[b])) + ",left" for a, b in NUMBERS]
    rows[0] = rows[0].replace("left", "right")
    with pytest.raises(
        DataError, match=r"left, right .* and left_id, right_id .* name different images; .*--vote_columns"
    ):
        indexed(numbered, rows, "left,right,left_id,right_id,winner")
    given = {"task": "pairwise", "vote_columns": ("left", "right", "winner")}
    assert len(indexed(numbered, rows, "left,right,left_id,right_id,winner", **given).votes) == 12


def test_numbers_beside_names_that_are_no_files_are_not_trusted(numbered):
    rows = [f"{DATABASE[a]},{DATABASE[b]},street{a}.jpg,street{b}.jpg,left" for a, b in NUMBERS]
    with pytest.raises(DataError, match=r"no file of left_file, right_file is there \(e\.g\. street4\.jpg\)"):
        indexed(numbered, rows, "left_id,right_id,left_file,right_file,winner")


@pytest.mark.parametrize("other", ["left_mask,right_mask", "previous_left,previous_right"])
def test_other_images_of_each_side_are_not_those_of_the_votes(numbered, other):
    def row(i, a, b, wins):
        return f"{a}.jpg,{b}.jpg,{DATABASE[a]}.jpg,{DATABASE[b]}.jpg,{'left' if wins else 'right'}"

    assert larger_wins(numbered, f"left_image,right_image,{other},winner", row)[0] == 0


def test_names_whose_sides_are_not_those_of_the_winner_are_asked_about(numbered):
    rows = [f"{DATABASE[a]},{DATABASE[b]},{a}.jpg,{b}.jpg,{'left' if a > b else 'right'}" for a, b in NUMBERS]
    with pytest.raises(DataError, match=r"winner says left or right.*left_id, right_id .*image_1, image_2"):
        indexed(numbered, rows, "left_id,right_id,image_1,image_2,winner")


@pytest.mark.parametrize(
    ("header", "words", "of_place"),
    [
        ("image_a,image_b,left,right,winner", ("a", "b"), False),
        ("image_a,image_b,left,right,winner", ("left", "right"), True),
        ("image_a,image_b,left,right,winner", ("image_a", "image_b"), False),
        ("image_1,image_2,left_image,right_image,choice", ("1", "2"), False),
        ("image_1,image_2,left_image,right_image,choice", ("L", "R"), True),
        ("img_a,img_b,first,second,choice", ("first", "second"), True),
        ("image_a,image_b,image_left,image_right,choice", ("left image", "right image"), True),
        ("img1,img2,shown_left,shown_right,choice", ("left", "right"), True),
        ("img1,img2,shown_left,shown_right,choice", ("1", "2"), False),
        ("image_a,image_b,top_image,bottom_image,choice", ("top", "bottom"), True),
        ("image_1,image_2,image_a,image_b,choice", ("a", "b"), True),
    ],
)
def test_two_orders_of_the_same_images_are_told_by_the_words_of_the_winner(numbered, header, words, of_place):
    def row(i, a, b, wins):
        one, other = (a, b) if i % 2 else (b, a)
        won = (one > other) if of_place else wins
        return f"{a}.jpg,{b}.jpg,{one}.jpg,{other}.jpg,{words[0] if won else words[1]}"

    assert larger_wins(numbered, header, row)[0] == 0


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("image_a,image_b,left,right,winner", ("first", "second")),
        ("image_1,image_2,left,right,winner", ("a", "b")),
        ("image_1,image_2,first,second,winner", ("1", "2")),  # 1 may be the first one
    ],
)
def test_two_orders_of_the_same_images_are_asked_about_where_no_word_tells(numbered, header, words):
    def row(i, a, b, wins):
        one, other = (a, b) if i % 2 else (b, a)
        return f"{a}.jpg,{b}.jpg,{one}.jpg,{other}.jpg,{words[0] if wins else words[1]}"

    with pytest.raises(DataError, match=r"name the same images in different orders.*--vote_columns"):
        larger_wins(numbered, header, row)

    def by_name(i, a, b, wins):
        return f"{row(i, a, b, wins).rpartition(',')[0]},{a if wins else b}.jpg"

    assert larger_wins(numbered, header, by_name)[0] == 0


@pytest.mark.parametrize(
    ("column", "shown", "words"),
    [
        ("shown_first", ("1", "2"), ("first", "second")),
        ("first_shown", ("{a}.jpg", "{b}.jpg"), ("first", "second")),
        ("A_is", ("{a}.jpg", "{b}.jpg"), ("A", "B")),
        ("top", ("{a}", "{b}"), ("1", "2")),
        ("top_image", ("image_1", "image_2"), ("image_1", "image_2")),
        ("presented_first", ("a", "b"), ("1", "2")),
        ("upper", ("1", "2"), ("first", "second")),
        ("where", ("left", "right"), ("1", "2")),
        ("order", ("12", "21"), ("1", "2")),
        ("arrangement", ("1|2", "2|1"), ("1", "2")),
        ("first", ("image_1", "image_2"), ("first", "second")),
        ("opening", ("img1", "img2"), ("first", "second")),
        ("initial_image", ("1", "2"), ("A", "B")),
        ("1st", ("1", "2"), ("1", "2")),
        ("pos_image_1", ("top", "bottom"), ("first", "second")),
        ("A_is_first", ("yes", "no"), ("A", "B")),
    ],
)
def test_a_column_that_may_say_what_was_shown_first_is_asked_about(numbered, column, shown, words):
    def row(i, a, b, wins):
        place = shown[0] if i % 2 else shown[1]
        return f"{a}.jpg,{b}.jpg,{place.format(a=a, b=b)},{words[0] if wins == (i % 2 == 1) else words[1]}"

    with pytest.raises(DataError, match=f"choice names sides, and column {column} .*write the name of the winning"):
        larger_wins(numbered, f"image_1,image_2,{column},choice", row)


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("chosen_image", lambda i, a, b, wins: f"{a if wins else b}.jpg"),
        ("loser", lambda i, a, b, wins: f"{b if wins else a}.jpg"),
        ("key", lambda i, a, b, wins: "left" if wins else "right"),  # says the same
        ("first_language", lambda i, a, b, wins: ("de", "fr")[i % 2]),
        ("first_time", lambda i, a, b, wins: ("yes", "no")[i % 2]),
        ("session", lambda i, a, b, wins: 1 + i % 2),
        ("rater_group", lambda i, a, b, wins: "AB"[i % 2]),
        ("handedness", lambda i, a, b, wins: ("left", "right")[i % 3 == 0]),
        ("display_time", lambda i, a, b, wins: 1 + i % 2),
        ("catch_side", lambda i, a, b, wins: ("left", "right")[i % 3 == 0]),
        ("other_image", lambda i, a, b, wins: f"{b if wins else a}.jpg"),
        ("first_shown", lambda i, a, b, wins: f"{a}.jpg"),  # always in the order of the columns
    ],
)
@pytest.mark.parametrize("words", [("1", "2"), ("first", "second")])
def test_columns_that_repeat_what_is_known_or_say_other_things_are_no_doubt(numbered, column, cell, words):
    def row(i, a, b, wins):
        return f"{a}.jpg,{b}.jpg,{cell(i, a, b, wins)},{words[0] if wins else words[1]}"

    assert larger_wins(numbered, f"image_1,image_2,{column},winner", row)[0] == 0


@pytest.mark.parametrize("cell", ["{}.jpg", "{0}"])
def test_what_was_shown_first_may_be_told_of_few_votes_or_by_numbers_of_a_database(numbered, cell):
    def row(i, a, b, wins):
        first = (a if i % 2 else b) if i < 5 or cell == "{0}" else ""
        number = first if cell != "{0}" else 500 + first
        won = wins == (i % 2 == 1)
        return (
            f"{500 + a},{500 + b},{a}.jpg,{b}.jpg,{cell.format(number) if first else ''},{'first' if won else 'second'}"
        )

    with pytest.raises(DataError, match="winner names sides, and column first_shown"):
        larger_wins(numbered, "left_id,right_id,image_1,image_2,first_shown,winner", row)


def test_letters_name_the_images_of_columns_with_these_letters(numbered):
    """What was on the left is another thing than A."""

    def row(i, a, b, wins):
        return f"{a}.jpg,{b}.jpg,{a if i % 2 else b}.jpg,{('AB', 'BA')[i % 2]},{'A' if wins else 'B'}"

    assert larger_wins(numbered, "image_a,image_b,left_image,order,winner", row)[0] == 0


def test_a_winner_that_another_column_contradicts_is_asked_about(numbered):
    def row(i, a, b, wins):
        return f"{a}.jpg,{b}.jpg,{'left' if wins else 'right'},{b if wins else a}.jpg,{a if wins else b}.jpg"

    with pytest.raises(DataError, match="winner and winner_image may both say who won, and differ in line 2"):
        larger_wins(numbered, "left,right,winner,winner_image,loser_image", row)
    assert larger_wins(numbered, "left,right,winner,loser_image,winner_image", row)[0] == 0

    def twice(i, a, b, wins):
        return f"{a}.jpg,{b}.jpg,images/{a}.jpg,images/{b}.jpg,{1 if wins else 2},{a if wins else b}.jpg,{b if wins else a}.jpg"

    header = "image_1,image_2,image_1_path,image_2_path,winner,winner_image,loser_image"
    assert larger_wins(numbered, header, twice)[0] == 0


@pytest.mark.parametrize("keys", [("a", "l"), ("l", "a"), ("b", "r"), ("a", "first"), ("a", "r"), ("l", "b")])
def test_codes_of_two_alphabets_are_no_sides(numbered, keys):
    def row(i, a, b, wins):
        return f"{a}.jpg,{b}.jpg,{keys[0] if wins else keys[1]}"

    with pytest.raises(DataError, match=r"response is .* write left and right, or the winning image's name"):
        larger_wins(numbered, "left,right,response", row)


def test_one_code_in_several_spellings_is_told(folder):
    notes = "\n".join(indexed(folder, ["a.png,b.png,left", "b.png,c.png,LEFT"] * 15).notes)
    assert "left is the winner of all 30 votes" in notes
    rows = ["a.png,b.png,a.png", "b.png,c.png,b.png"] * 15  # whoever wrote the table put the winner first
    assert "left is the winner of all 30 votes" in "\n".join(indexed(folder, rows).notes)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("img_r,img_l", ("left", "right")),
        ("img_r,img_l", ("l", "r")),
        ("imgR,imgL", ("left", "right")),
        ("rechts,links", ("left", "right")),
        ("bild_rechts,bild_links", ("links", "rechts")),
        ("droite,gauche", ("left", "right")),
        ("rechtes_bild,linkes_bild", ("left", "right")),
        ("imagen_derecha,imagen_izquierda", ("left", "right")),
        ("destra,sinistra", ("sinistra", "destra")),
        ("direita,esquerda", ("Left", "Right")),
        ("img_b,img_a", ("a", "b")),
        ("second_picture,first_picture", ("first", "second")),
        ("img2,img1", ("1", "2")),
    ],
)
def test_the_names_of_given_columns_say_which_side_is_which(numbered, names, words):
    given = (*names.split(","), "w")

    def row(i, a, b, wins):
        return f"{b}.jpg,{a}.jpg,{words[0] if wins else words[1]}"

    assert larger_wins(numbered, f"{names},w", row, task="pairwise", vote_columns=given)[0] == 0


def test_words_that_say_neither_side_of_columns_in_reversed_order_are_refused(numbered):
    given = {"task": "pairwise", "vote_columns": ("img_r", "img_l", "w")}
    with pytest.raises(DataError, match="w is 'second' in line 2, which is neither left"):
        larger_wins(
            numbered, "img_r,img_l,w", lambda i, a, b, w: f"{b}.jpg,{a}.jpg,{'first' if w else 'second'}", **given
        )


@pytest.mark.parametrize(
    "words", [("ArrowLeft", "ArrowRight"), ("left arrow", "right arrow"), ("arrow_left", "arrow_right")]
)
def test_keys_with_arrows_are_sides(numbered, words):
    def row(i, a, b, wins):
        return f"{a}.jpg,{b}.jpg,{words[0] if wins else words[1]}"

    assert larger_wins(numbered, "left,right,response", row)[0] == 0


@pytest.mark.parametrize("codes", ["fj", "zm", ("37", "39"), ("True", "False"), ("0", "1"), ("-1", "1")])
def test_a_table_of_votes_whose_codes_are_unknown_is_called_so(numbered, codes):
    def row(i, a, b, wins):
        return f"{a}.jpg,{b}.jpg,{codes[0] if wins else codes[1]}"

    said = r"left, right and response look like votes, but response is '.*' in line 2.*write left, right, tie or the winning"
    with pytest.raises(DataError, match=said):
        larger_wins(numbered, "left,right,response", row)


def test_scores_of_two_images_that_are_asked_for_are_no_votes(numbered):
    rows = [f"{a}.jpg,{a},{b}" for a, b in NUMBERS]
    assert indexed(numbered, rows, "image,left,response", target=("response",)).task == "regression"
    with pytest.raises(ConfigError, match="needs --target"):
        indexed(numbered, [f"{a}.jpg,{a},{b / 7},{b}" for a, b in NUMBERS], "image,left,right,response")
