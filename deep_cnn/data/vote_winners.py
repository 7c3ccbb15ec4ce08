"""Who won a vote: the column of the winner names a side, a tie or an image."""

import re
from dataclasses import dataclass

import numpy as np

from deep_cnn.data.cells import label_key, of_each
from deep_cnn.data.match import plain
from deep_cnn.data.table import Table, stem
from deep_cnn.data.vote_sides import HEIGHT, KINDS, LEFT_AND_RIGHT, LETTERS, ORDER, told_apart
from deep_cnn.runtime.errors import DataError

YES, NO = frozenset(("1", "1.0", "true", "yes", "t", "y", "x")), frozenset(("0", "0.0", "false", "no", "f", "n", ""))
LEFT_WORDS, RIGHT_WORDS = (
    frozenset(words) for words in zip(*(pair for pair, kind in KINDS.items() if kind == LEFT_AND_RIGHT), strict=True)
)
SIDE_WORDS = {  # by their kinds, of the left and of the right image; numbers mean what the columns' names say
    LEFT_AND_RIGHT: (LEFT_WORDS, RIGHT_WORDS),
    LETTERS: (frozenset("a"), frozenset("b")),
    ORDER: (frozenset(("first",)), frozenset(("second",))),
    HEIGHT: (frozenset(("top", "upper")), frozenset(("bottom", "lower"))),
}
TIE_WORDS = frozenset(
    ("tie", "ties", "tied", "equal", "equals", "both", "draw", "same", "neither", "no preference", "no_preference", "undecided")
)  # fmt: skip
# what people write around a side: "the left one", "left image", "Option A", "ArrowLeft"
AROUND = re.compile(
    r"^(?:the_)?(?:(?:image|img|photo|picture|option|key|button|arrow)_|arrow)?|(?:_(?:image|img|photo|picture|side|one|option|arrow|key|button))+$|arrow$"
)
LEFT, TIE, RIGHT = 1.0, 0.5, 0.0  # the left image's share of a vote


@dataclass(frozen=True)
class VoteColumns:
    """Names of columns of a table of votes.

    Attributes:
        question: None where there is one question only.
        told: the columns by whose cells the winner is named, where they are not those that name the files.
    """

    left: str
    right: str
    winner: str
    question: str | None = None
    told: tuple[str, str] | None = None


def outcomes(left: np.ndarray, right: np.ndarray, winner: np.ndarray, columns: VoteColumns) -> np.ndarray:
    """The left image's share of each vote, float64 (M,); NaN where the cell is neither a side, nor a tie, nor an image of the vote."""
    return _outcomes(left, right, winner, columns)[0]


def read_winners(table: Table, columns: VoteColumns) -> tuple[np.ndarray, np.ndarray]:
    """The outcomes of a table's votes, and which of them a word says and not an image's name, bool (M,)."""
    left, right = columns.told or (columns.left, columns.right)
    return _outcomes(*_cells(table, left, right, columns.winner), columns)


def _cells(table: Table, left: str, right: str, winner: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return table.column(left, "--metadata"), table.column(right, "--metadata"), table.column(winner, "--metadata")


def words_of_winners(columns: VoteColumns) -> tuple[dict[str, float], dict[str, float]]:
    """What the words of a winner mean, the left image's share; those alone that no image is called.

    Columns in the order of --vote_columns may be called the other way round (img_r, img_l): then the names say what left and right are, and
    words of another kind (first, a) mean nothing that is known.
    """
    kind, exchanged = told_apart(columns.left, columns.right) or ("", False)
    words: dict[str, float] = {}
    for of, (lefts, rights) in SIDE_WORDS.items():
        turned = exchanged and kind == of
        if of == HEIGHT != kind:
            continue  # only columns that are called so tell what was above
        if not exchanged or turned or of == LEFT_AND_RIGHT:
            words |= dict.fromkeys(lefts, RIGHT if turned else LEFT) | dict.fromkeys(rights, LEFT if turned else RIGHT)
    plainly = {word: words[word] for word in ("left", "right")} | dict.fromkeys(TIE_WORDS, TIE)
    words |= plainly
    for name, opposite, share in ((columns.left, columns.right, LEFT), (columns.right, columns.left, RIGHT)):
        words |= {name.strip().lower(): share, number_of(name, opposite): share}
    return words, plainly


def _outcomes(
    left: np.ndarray, right: np.ndarray, winner: np.ndarray, columns: VoteColumns
) -> tuple[np.ndarray, np.ndarray]:
    words, plainly = words_of_winners(columns)

    def side(cell: str, known: dict[str, float] = words) -> float:
        word = cell.lower()
        forms = (word, label_key(word), AROUND.sub("", plain_name(word)))  # 1.0 is 1
        return next((known[form] for form in forms if form in known), np.nan)

    def plain_side(cell: str) -> float:
        return side(cell, plainly)

    by_word, by_side = of_each(winner, side).astype(np.float64), of_each(winner, plain_side).astype(np.float64)
    one, other, won = (of_each(cells, image_name) for cells in (left, right, winner))
    by_image = np.where(won == one, LEFT, np.where(won == other, RIGHT, np.nan))
    for row in np.flatnonzero((one == other) & (won == one)).tolist():  # before/1.jpg and after/1.jpg
        is_left, is_right = _same_path(winner[row], left[row]), _same_path(winner[row], right[row])
        by_image[row] = (LEFT if is_left else RIGHT) if is_left != is_right else np.nan
    if np.isnan(by_image).any():  # 7.0 is 7, and 7 is 007
        one, other, won = (of_each(cells, image_number) for cells in (one, other, won))
        by_number = np.where(won == one, LEFT, np.where(won == other, RIGHT, np.nan))
        by_image = np.where(np.isnan(by_image) & (one != other), by_number, by_image)
    # images may be called a and b, or 1 and 2: what explains more of the votes is meant by all of them
    sides = np.isfinite(by_word) & (by_word != TIE)
    if np.isfinite(by_image).sum() >= sides.sum():
        outcome = np.where(by_word == TIE, TIE, np.where(np.isnan(by_image), by_side, by_image))
        return outcome, (by_word != TIE) & np.isnan(by_image) & np.isfinite(by_side)
    return np.where(np.isnan(by_word), by_image, by_word), sides


def check_codes(table: Table, columns: VoteColumns, outcome: np.ndarray, by_word: np.ndarray) -> None:
    """DataError where winners are codes of two alphabets, such as the keys a and l: then it is not known what they mean.

    outcome, by_word: of each row, from `read_winners`.
    """
    decided = outcome[np.isfinite(outcome) & (outcome != TIE)]
    codes = sorted({side_word(cell) for cell in set(table.column(columns.winner, "--metadata")[by_word].tolist())})
    one_side = len(codes) > 1 and len(set(decided)) == 1
    letters = [set(codes) & pair for pair in ({"a", "b"}, {"l", "r"})]
    if one_side or (all(letters) and min(map(len, letters)) == 1):
        read = columns.left if decided[0] == LEFT else columns.right
        as_one = f", all of which would mean {read}" if one_side else ", which are no two sides"
        raise DataError(
            f"--metadata={table.name}: {columns.winner} is {' or '.join(map(repr, codes))}{as_one}; if these are keys, write left and right, or the "
            "winning image's name"
        )


def are_yes_and_no(cells: np.ndarray) -> bool:
    """Whether all cells of a column say yes or no; an empty one says no."""
    return {cell.lower() for cell in set(cells.tolist())} <= YES | NO


def says_yes(cells: np.ndarray) -> np.ndarray:
    """Which cells of a column of yes and no say yes, bool (M,)."""
    return of_each(cells, lambda cell: cell.lower() in YES).astype(bool)


def plain_name(name: str) -> str:
    """A column's name in small letters, its words joined: num_votes for Num Votes."""
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def side_word(cell: str) -> str:
    """A cell's word in small letters, without what people write around a side."""
    return AROUND.sub("", plain_name(label_key(cell)))


def number_of(name: str, other: str) -> str:
    """The number by which the name of a column differs from that of the other side: 1 of image_1 and image_2; else the name."""
    numbers, others = re.findall(r"\d+", name), re.findall(r"\d+", other)
    differing = [a for a, b in zip(numbers, others, strict=False) if a != b]
    return differing[0] if len(differing) == 1 and len(numbers) == len(others) else name.strip().lower()


def _same_path(one: str, other: str) -> bool:
    """Whether two cells name one file, of which one may write fewer folders."""
    a, b = (f"/{plain(str(cell)).casefold()}" for cell in (one, other))
    return a.endswith(b) or b.endswith(a)


def image_name(cell: str) -> str:
    """The name of the file that a cell names, without its folders and its ending."""
    return stem(plain(str(cell)).rpartition("/")[2]).casefold()


def image_number(name: str) -> str:
    """A name of digits alone without leading zeros, and without the .0 that pandas writes; other names as they are."""
    digits = re.fullmatch(r"0*(\d+?)(?:\.0+)?", name)
    return digits.group(1) if digits else name
