"""Which columns of a table hold votes between two images, and what the cells of the winner mean."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deep_cnn.data.cells import is_missing, label_key, of_each, parse
from deep_cnn.data.match import SAMPLE, Matcher, plain, sampled_rows
from deep_cnn.data.table import Table, stem
from deep_cnn.runtime.errors import ConfigError, DataError
from deep_cnn.runtime.format import plural, some

# What people call the columns, without capitals; a pair of words has its number or letter exchanged
SIDES = tuple(
    (f"{before}{left}{after}", f"{before}{right}{after}")
    for left, right in (("left", "right"), ("1", "2"), ("a", "b"), ("first", "second"), ("winner", "loser"), ("0", "1"))
    for before, after in (
        ("", ""), ("", "_image"), ("image_", ""), ("", "_id"), ("image", ""), ("img_", ""), ("img", ""), ("", "_img"),
        ("", "_photo"), ("photo_", ""), ("", "_place"), ("place_", ""), ("", "_image_id"), ("", "_path"), ("", "_file"),
        ("image_url_", ""), ("", "_image_url"), ("url_", ""), ("", "_url"), ("", "_name"), ("", "_filename"),
    )
)  # fmt: skip
WINNERS = ("winner", "choice", "vote", "preferred", "preference", "result", "answer", "chosen", "selected", "response")
QUESTIONS = (
    "category", "study_id", "study", "attribute", "dimension", "study_question", "question_id",
    "criterion", "criteria", "trait", "aspect", "perception", "adjective", "construct",
)  # fmt: skip
# may name the question, or a part of the survey
MAYBE_QUESTIONS = (
    "prompt", "task", "item", "scale", "topic", "label", "condition", "type", "measure", "variable", "quality", "impression",
)  # fmt: skip
MOST_QUESTIONS = 50
QUESTION = re.compile(
    r"(?:q|query|question|criterion)(?:_?(?:no|nr|num|number|id|text|type|name|label|key))?|prompt_(?:no|nr|id|text)"
)
# columns of yes and no
TIES = ("tie", "ties", "tied", "is_tie", "draw", "is_draw", "equal", "is_equal", "no_preference")
# may say which image was on which side; "order" with many values numbers the questions
EXCHANGED = re.compile(r"swap|switch|flip|invert|revers|mirror")
OF_SIDES = re.compile(
    EXCHANGED.pattern + r"|counterbalanc|(?:^|_)(?:order|position|side|layout)(?:_|$)|(?:^|_)left(?:_|$)|left$"
)
MOST_ORDERS = 3
YES, NO = frozenset(("1", "1.0", "true", "yes", "t", "y", "x")), frozenset(("0", "0.0", "false", "no", "f", "n", ""))
OF_A_SIDE = re.compile(r"(?:^|_)(?:left|right|winner|loser|a|b|1|2)(?:_|$)")
OF_A_RATER = re.compile(
    r"(?:^|_)(?:gender|sex|age|country|nation|language|device|browser|platform|education|ethnic|race|income|job|employ|student|rater|status|consent)"
)
FEW_WORDS = 12  # that a column has which may name the question
LEFT_WORDS = frozenset(("left", "l", "a", "image_left", "left_image", "first"))
RIGHT_WORDS = frozenset(("right", "r", "b", "image_right", "right_image", "second"))
TIE_WORDS = frozenset(
    ("tie", "ties", "tied", "equal", "equals", "both", "draw", "same", "neither", "no preference", "no_preference", "undecided")
)  # fmt: skip
# what people write around a side: "the left one", "left image", "Option A"
AROUND = re.compile(r"^(?:the_)?(?:(?:image|photo|picture|option)_)?|_(?:image|photo|picture|side|one|option)$")
OF_A_FORM = re.compile(r"^(?:input|answer)[._]|\.label$")  # around the names of columns in Mechanical Turk's results
COUNTS = frozenset(
    f"{before}{word}{after}"
    for word in ("count", "counts", "n", "weight", "weights", "frequency", "freq", "num_votes", "n_votes", "votes", "wins", "times")
    for before, after in (("", ""), ("", "_left"), ("", "_right"), ("left_", ""), ("right_", ""), ("total_", ""), ("n_", ""))
)  # fmt: skip
LEFT, TIE, RIGHT = 1.0, 0.5, 0.0  # the left image's share of a vote


@dataclass(frozen=True)
class VoteColumns:
    """Names of columns of a table of votes. question: None where there is one question only."""

    left: str
    right: str
    winner: str
    question: str | None = None


def vote_columns(table: Table, given: tuple[str, ...] = ()) -> VoteColumns | None:
    """Which columns hold the votes: --vote_columns, or by their names; None where the table has no such columns.

    Raises:
        DataError: a column that is not there. ConfigError: another number of columns than three or four.
    """
    if given:
        named = table.names(given, "--vote_columns") if len(given) > 2 else given  # a name may have commas
        if len(named) not in (3, 4):
            raise ConfigError(
                f"--vote_columns={','.join(given)}: {len(named)} columns; give the left image's, the right image's and the "
                "winner's, and a fourth with the question if there are several"
            )
        return VoteColumns(*named)
    if (found := _sides_and_winner(table)) is None:
        return None
    known, sides, winner = found
    if winner == sides[0]:
        others = [known[word] for word in WINNERS if word in known and known[word] not in sides]
        _check_no_ties(table, sides, others)
    else:
        _check_one_choice(table, known, VoteColumns(*sides, winner))
    return VoteColumns(*sides, winner, _question_column(table, known, (*sides, winner)))


def _sides_and_winner(table: Table) -> tuple[dict[str, str], tuple[str, str], str] | None:
    """The columns by their words in small letters, those of the two sides, and that of the winner; None where they are not there."""
    plainly = {plain_name(str(name)): str(name) for name in table.frame.columns}
    known = {OF_A_FORM.sub("", word): name for word, name in plainly.items()} | plainly
    pair = next(((one, other) for one, other in SIDES if one in known and other in known), None)
    if pair is None:
        return None
    sides = known[pair[0]], known[pair[1]]
    if "winner" in pair[0]:
        return known, sides, sides[0]  # the image on the left has always won, whatever key was pressed
    winner = next((known[word] for word in WINNERS if word in known and known[word] not in sides), None)
    return None if winner is None else (known, sides, winner)


def _check_no_ties(table: Table, sides: tuple[str, str], others: Sequence[str]) -> None:
    """DataError where a table that has the winner and the loser in columns of their own calls some votes ties in another one."""
    for other in others:
        cells = table.column(other, "--metadata")
        if len(tied := np.flatnonzero(of_each(cells, lambda cell: cell.lower() in TIE_WORDS))):
            raise DataError(
                f"--metadata={table.name}: {sides[0]} and {sides[1]} name a winner, but {other} is {cells[tied[0]]!r} in line "
                f"{table.frame.index[tied[0]]} ({len(tied):,} such rows); name the two images in columns left and right, and the winner's name or 'tie' in a "
                "column winner"
            )


def _check_one_choice(table: Table, known: dict[str, str], columns: VoteColumns) -> None:
    """DataError where two columns may say who won, and differ, or where the sides were swapped in some rows."""
    used = (columns.left, columns.right, columns.winner)
    others = [name for name in dict.fromkeys(known[word] for word in WINNERS if word in known) if name not in used]
    exchanges = [
        name
        for name in dict.fromkeys(known.values())
        if name not in table.twice
        and EXCHANGED.search(plain_name(name))
        and are_yes_and_no(table.column(name, "--metadata"))
    ]
    free = [name for name in known.values() if name not in (*used, *others, *exchanges)]
    if not (others or exchanges):
        _check_sides(table, columns, free)
        return
    left, right, winner = (table.column(name, "--metadata") for name in used)
    outcome = outcomes(left, right, winner, columns)
    for other in others:
        second = outcomes(left, right, table.column(other, "--metadata"), columns)
        both = np.isfinite(outcome) & np.isfinite(second)
        if 2 * both.sum() > len(both) and len(apart := np.flatnonzero(both & (outcome != second))):
            raise DataError(
                f"--metadata={table.name}: {columns.winner} and {other} may both say who won, and differ in line "
                f"{table.frame.index[apart[0]]} ({len(apart):,} such rows); name the right one: --vote_columns={','.join(used)}"
            )
    names = of_each(winner, _image_name)
    by_name = (names == of_each(left, _image_name)) | (names == of_each(right, _image_name))
    for name in exchanges:
        cells = table.column(name, "--metadata")
        swapped = says_yes(cells) & ~by_name & np.isfinite(outcome)
        if swapped.any():
            raise DataError(
                f"--metadata={table.name}: {name} is {cells[np.flatnonzero(swapped)[0]]!r} in {plural(int(swapped.sum()), 'row')}, so which image "
                f"{columns.winner} means there is not known; write the name of the winning image, or remove column {name} if the sides are as "
                "they were shown"
            )
    _check_sides(table, columns, free)


def _check_sides(table: Table, columns: VoteColumns, others: Sequence[str]) -> None:
    """DataError where winners are left and right, and another column may say which of the two images was on the left."""
    first = table.take(sampled_rows(len(table.frame)))
    left, right, winner = (first.column(name, "--metadata") for name in (columns.left, columns.right, columns.winner))
    outcome = outcomes(left, right, winner, columns)
    names, lefts, rights = (of_each(cells, _image_name) for cells in (winner, left, right))
    sides = of_each(
        winner, lambda cell: "left" in (word := cell.lower()) or "right" in word or word in ("l", "r")
    ).astype(bool)
    by_side = sides & np.isfinite(outcome) & (names != lefts) & (names != rights)
    if not by_side.any():
        return
    by_place = "left" in columns.left.lower() and "right" in columns.right.lower()
    for name in dict.fromkeys(others):
        if name in table.twice:
            continue
        images = of_each(first.column(name, "--metadata"), _image_name)
        of_pair = (images == lefts) | (images == rights)
        varies = (images == lefts).any() and (images == rights).any()
        says_place = 2 * of_pair.sum() > len(of_pair) and varies
        if says_place:
            says_place = bool((by_side & of_pair & (np.where(images == lefts, LEFT, RIGHT) != outcome)).any())
        elif (EXCHANGED if by_place else OF_SIDES).search(plain_name(name)):
            values = {cell.lower() for cell in table.column(name, "--metadata").tolist()}
            says_place = 1 < len(values) <= MOST_ORDERS
        if says_place:
            raise DataError(
                f"--metadata={table.name}: {columns.winner} names sides, and column {name} ({some(_values_of(table, name), 3)}) may say which image "
                f"was on which side; write the name of the winning image, or remove column {name} if {columns.left} was always on the left"
            )


def _question_column(table: Table, known: dict[str, str], used: tuple[str, ...]) -> str | None:
    """The column that names the question of each vote, by its name; None where there is none.

    Raises:
        DataError: two columns that may be it, and say different things; one whose name is used for other things, too.
    """
    free = {word: name for word, name in known.items() if name not in used and name not in table.twice}
    plainly = list(
        dict.fromkeys(free[word] for word in ("question", *free) if word in free and QUESTION.fullmatch(word))
    )
    named = list(dict.fromkeys([*plainly, *(free[word] for word in QUESTIONS if word in free)]))
    maybe = [free[word] for word in MAYBE_QUESTIONS if word in free and not plainly]
    several = [name for name in (*named, *maybe) if 1 < len(_values_of(table, name)) <= MOST_QUESTIONS]
    if not several:
        return next((name for name in named if len(_values_of(table, name)) <= MOST_QUESTIONS), None)
    for other in several[1:]:
        if not _follows(table, several[0], other):
            raise _which_question(table, used, several[0], other)
    if several[0] in maybe:
        raise _which_question(table, used, several[0])
    return several[0]


def _which_question(table: Table, used: tuple[str, ...], *columns: str) -> DataError:
    values = "; ".join(f"{name}: {some(_values_of(table, name), 3)}" for name in columns)
    three = ",".join(used)
    return DataError(
        f"--metadata={table.name}: {' or '.join(columns)} may say which question was asked ({values}); add "
        f"--vote_columns={three},{columns[0]} to learn each, or --vote_columns={three} to take all votes as one question"
    )


def _values_of(table: Table, name: str) -> list[str]:
    return sorted(cell for cell in set(table.column(name, "--metadata").tolist()) if not is_missing(cell))


def _follows(table: Table, one: str, other: str) -> bool:
    """Whether a column is known from another one: it says the same in other words, or less."""
    cells = [table.column(name, "--metadata").tolist() for name in (one, other)]
    return len(set(zip(*cells, strict=True))) == len(set(cells[0]))


def unused_words(table: Table, columns: VoteColumns, group: str | None) -> list[str]:
    """A line about columns of few words that are not read: one of them may be the question."""
    used = {columns.left, columns.right, columns.winner, group}
    found = []
    for name in (str(name) for name in table.frame.columns if str(name) not in table.twice):
        word = plain_name(name)
        if name in used or word in COUNTS or word in TIES or OF_A_SIDE.search(word) or OF_A_RATER.search(word):
            continue
        values = _values_of(table, name)
        if 1 < len(values) <= FEW_WORDS and not parse(np.array(values, dtype=object)).all_read:
            found.append(f"{name} ({some(values, 3)})")
    if not found:
        return []
    return [
        f"Not used: {some(found, 4, '; ')}. If a column says which question was asked, add "
        f"--vote_columns={columns.left},{columns.right},{columns.winner},COLUMN"
    ]


def are_yes_and_no(cells: np.ndarray) -> bool:
    """Whether all cells of a column say yes or no; an empty one says no."""
    return {cell.lower() for cell in set(cells.tolist())} <= YES | NO


def says_yes(cells: np.ndarray) -> np.ndarray:
    """Which cells of a column of yes and no say yes, bool (M,)."""
    return of_each(cells, lambda cell: cell.lower() in YES).astype(bool)


def plain_name(name: str) -> str:
    """A column's name in small letters, its words joined: num_votes for Num Votes."""
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def _in_common(one: str, other: str) -> int:
    """How many letters two words have in common at their beginning."""
    return next((k for k, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def check_two_images(table: Table, columns: VoteColumns, matcher: Matcher) -> None:
    """DataError where a third column names an image, as image_3 beside image_1 and image_2: a vote is between two."""
    left, right = columns.left, columns.right
    start = _in_common(left, right)
    end = (
        len(left) - start - 4
        if left[start:].lower().startswith("left")
        else _in_common(left[:start:-1], right[:start:-1])
    )
    before, after = re.escape(left[:start]), re.escape(left[len(left) - end :])
    third = re.compile(rf"{before}(\d+|[a-z]|third|middle|cent(er|re)){after}", re.IGNORECASE)
    first = table.take(np.arange(min(SAMPLE, len(table.frame))))
    for name in map(str, table.frame.columns):
        if name in (left, right, columns.winner) or not third.fullmatch(name) or name in table.twice:
            continue
        if 2 * matcher.match(first.column(name, "--metadata")).found > len(first.frame):
            raise DataError(
                f"--metadata={table.name}: {left}, {right} and {name} all name images, but a vote is between two; write the choice of one of "
                "three as two votes, the chosen image against each of the others, or name the columns as --vote_columns"
            )


def looks_like_votes(table: Table) -> bool:
    """Whether a table has the columns of votes, and its winners are sides, ties or images of the pair."""
    if (found := _sides_and_winner(table)) is None:
        return False
    columns = VoteColumns(*found[1], found[2])
    first = table.take(np.arange(min(SAMPLE, len(table.frame))))
    left, right, winner = (first.column(name, "--metadata") for name in (columns.left, columns.right, columns.winner))
    outcome = outcomes(left, right, winner, columns)
    return bool(np.isfinite(outcome).mean() > 0.5)


def outcomes(left: np.ndarray, right: np.ndarray, winner: np.ndarray, columns: VoteColumns) -> np.ndarray:
    """The left image's share of each vote, float64 (M,); NaN where the cell is neither a side, nor a tie, nor an image of the vote."""
    exchanged = "right" in columns.left.lower() and "left" in columns.right.lower()  # as --vote_columns names them
    plainly = {
        "left": RIGHT if exchanged else LEFT,
        "right": LEFT if exchanged else RIGHT,
        **dict.fromkeys(TIE_WORDS, TIE),
    }  # what no image is called
    words = {**dict.fromkeys(LEFT_WORDS, LEFT), **dict.fromkeys(RIGHT_WORDS, RIGHT), **plainly}
    for name, opposite, share in ((columns.left, columns.right, LEFT), (columns.right, columns.left, RIGHT)):
        words |= {name.strip().lower(): share, _number_of(name, opposite): share}

    def side(cell: str, known: dict[str, float] = words) -> float:
        word = cell.lower()
        forms = (word, label_key(word), AROUND.sub("", plain_name(word)))  # 1.0 is 1
        return next((known[form] for form in forms if form in known), np.nan)

    def plain_side(cell: str) -> float:
        return side(cell, plainly)

    by_word, by_side = of_each(winner, side).astype(np.float64), of_each(winner, plain_side).astype(np.float64)
    one, other, won = (of_each(cells, _image_name) for cells in (left, right, winner))
    by_image = np.where(won == one, LEFT, np.where(won == other, RIGHT, np.nan))
    for row in np.flatnonzero((one == other) & (won == one)).tolist():  # before/1.jpg and after/1.jpg
        is_left, is_right = _same_path(winner[row], left[row]), _same_path(winner[row], right[row])
        by_image[row] = (LEFT if is_left else RIGHT) if is_left != is_right else np.nan
    if np.isnan(by_image).any():  # 7.0 is 7, and 7 is 007
        one, other, won = (of_each(cells, _image_number) for cells in (one, other, won))
        by_number = np.where(won == one, LEFT, np.where(won == other, RIGHT, np.nan))
        by_image = np.where(np.isnan(by_image) & (one != other), by_number, by_image)
    # images may be called a and b, or 1 and 2: what explains more of the votes is meant by all of them
    sides = np.isfinite(by_word) & (by_word != TIE)
    if np.isfinite(by_image).sum() >= sides.sum():
        return np.where(by_word == TIE, TIE, np.where(np.isnan(by_image), by_side, by_image))
    return np.where(np.isnan(by_word), by_image, by_word)


def _number_of(name: str, other: str) -> str:
    """The number by which the name of a column differs from that of the other side: 1 of image_1 and image_2; else the name."""
    numbers, others = re.findall(r"\d+", name), re.findall(r"\d+", other)
    differing = [a for a, b in zip(numbers, others, strict=False) if a != b]
    return differing[0] if len(differing) == 1 and len(numbers) == len(others) else name.strip().lower()


def _same_path(one: str, other: str) -> bool:
    """Whether two cells name one file, of which one may write fewer folders."""
    a, b = (f"/{plain(str(cell)).casefold()}" for cell in (one, other))
    return a.endswith(b) or b.endswith(a)


def _image_name(cell: str) -> str:
    return stem(plain(str(cell)).rpartition("/")[2]).casefold()


def _image_number(name: str) -> str:
    """A name of digits alone without leading zeros, and without the .0 that pandas writes; other names as they are."""
    digits = re.fullmatch(r"0*(\d+?)(?:\.0+)?", name)
    return digits.group(1) if digits else name
