"""Tables of votes: which of two images was preferred. Read from a table; counted for each image; divided by the splits of images."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from deep_cnn.data import place_pulse
from deep_cnn.data.cells import is_missing, label_key, labels, missing, of_each, parse, spelled
from deep_cnn.data.match import SAMPLE, Matcher, check_single, plain
from deep_cnn.data.table import Table, stem
from deep_cnn.runtime.errors import ConfigError, DataError, nearest
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
    "question", "q", "query", "category", "study_id", "study", "attribute", "dimension", "study_question", "question_id",
    "criterion", "criteria", "trait", "aspect", "perception", "adjective", "construct",
)  # fmt: skip
# may name the question, or a part of the survey
MAYBE_QUESTIONS = (
    "prompt", "task", "item", "scale", "topic", "label", "condition", "type", "measure", "variable", "quality", "impression",
)  # fmt: skip
MOST_QUESTIONS = 50
QUESTION = re.compile(
    r"(?:q|qid|query|question|criterion|prompt)(?:_?(?:no|nr|num|number|id|text|type|name|label|key))"
)
TIES = (
    "tie",
    "ties",
    "tied",
    "is_tie",
    "draw",
    "is_draw",
    "equal",
    "is_equal",
    "no_preference",
)  # columns of yes and no
SWAPPED = (
    "swapped",
    "is_swapped",
    "flipped",
    "is_flipped",
    "reversed",
    "is_reversed",
    "mirrored",
    "sides_swapped",
    "order_swapped",
)
YES, NO = frozenset(("1", "1.0", "true", "yes", "t", "y")), frozenset(("0", "0.0", "false", "no", "f", "n", ""))
OF_A_SIDE = re.compile(r"(?:^|_)(?:left|right|winner|loser|a|b|1|2)(?:_|$)")
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
    for word in (
        "count",
        "counts",
        "n",
        "weight",
        "weights",
        "frequency",
        "freq",
        "num_votes",
        "n_votes",
        "votes",
        "wins",
        "times",
    )
    for before, after in (
        ("", ""),
        ("", "_left"),
        ("", "_right"),
        ("left_", ""),
        ("right_", ""),
        ("total_", ""),
        ("n_", ""),
    )
)
MANY = 20  # votes that one side wins by chance once in 500,000 tables
FEW = 100  # votes of a question: fewer say next to nothing
LEFT, TIE, RIGHT = 1.0, 0.5, 0.0  # the left image's share of a vote

UNUSED = 3


@dataclass(frozen=True)
class Votes:
    """M votes between images, which are numbered as in the index.

    Attributes:
        images: int64 (M, 2), left and right.
        question: int64 (M,), into questions.
        outcome: float64 (M,): 1 the left image won, 0 the right one, 0.5 a tie.
    """

    images: np.ndarray
    question: np.ndarray
    outcome: np.ndarray
    questions: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.outcome)

    def take(self, rows: np.ndarray) -> "Votes":
        """Some of the votes, by a mask or by their numbers; the images keep their numbers."""
        return replace(self, images=self.images[rows], question=self.question[rows], outcome=self.outcome[rows])

    def among(self, kept: np.ndarray, images: int) -> "Votes":
        """The votes between kept images, int64 (n,) of so many, in their new numbers 0 .. n - 1."""
        new = np.full(images, -1, dtype=np.int64)
        new[kept] = np.arange(len(kept))
        renumbered = replace(self, images=new[self.images])
        return renumbered.take(np.flatnonzero((renumbered.images >= 0).all(axis=1)))

    def of_question(self, q: int) -> "Votes":
        """The votes of one question."""
        return self.take(self.question == q)

    @cached_property
    def has_ties(self) -> bool:
        """Whether any vote is a tie."""
        return bool((self.outcome == TIE).any())

    def won(self, images: int) -> np.ndarray:
        """The share of its votes that each image won, ties as half, float64 (images, Q); NaN without a vote."""
        q = len(self.questions)
        cells = [self.images[:, side] * q + self.question for side in (0, 1)]
        shares = (self.outcome, 1 - self.outcome)
        wins = sum(np.bincount(cell, share, images * q) for cell, share in zip(cells, shares, strict=True))
        counts = sum(np.bincount(cell, minlength=images * q) for cell in cells)
        with np.errstate(all="ignore"):
            return np.where(counts > 0, wins / counts, np.nan).reshape(images, q)

    def digest(self) -> bytes:
        """Names the votes."""
        digest = hashlib.sha256("\0".join(self.questions).encode())
        for column in (self.images, self.question, self.outcome):
            digest.update(np.ascontiguousarray(column).tobytes())
        return digest.digest()


@dataclass(frozen=True)
class VoteSplit:
    """Which votes are used for what, by the splits of their images; numbers of votes, int64 (n,).

    Attributes:
        train: between two training images.
        validation: between two validation images, or one and a training image.
        test: between two test images. marked: between a test image and a training image.
        left_out: how many votes are used for nothing: between validation and test, or with an image that is in no split.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    marked: np.ndarray
    left_out: int


def split_votes(votes: Votes, split_of: np.ndarray) -> VoteSplit:
    """Divide the votes. split_of: of each image, int (N,): 0 train, 1 validation, 2 test, UNUSED."""
    low, high = np.sort(split_of[votes.images], axis=1).T if len(votes) else np.zeros((2, 0), np.int64)
    parts = {
        "train": (low == 0) & (high == 0),
        "validation": (low <= 1) & (high == 1),
        "test": (low == 2) & (high == 2),
        "marked": (low == 0) & (high == 2),
    }
    used = np.any(list(parts.values()), axis=0)
    return VoteSplit(**{name: np.flatnonzero(mask) for name, mask in parts.items()}, left_out=int((~used).sum()))


# --- reading ---------------------------------------------------------------------------------------------------------


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
    if "winner" in sides[0].lower():
        others = [known[word] for word in WINNERS if word in known and known[word] not in sides]
        _check_no_ties(table, sides, others)
    else:
        _check_one_choice(table, known, VoteColumns(*sides, winner))
    return VoteColumns(*sides, winner, _question_column(table, known, (*sides, winner)))


def _sides_and_winner(table: Table) -> tuple[dict[str, str], tuple[str, str], str] | None:
    """The columns by their words in small letters, those of the two sides, and that of the winner; None where they are not there."""
    plainly = {str(name).strip().lower().replace(" ", "_").replace("-", "_"): str(name) for name in table.frame.columns}
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
    exchanges = [known[word] for word in SWAPPED if word in known]
    if not (others or exchanges):
        return
    left, right, winner = (table.column(name, "--metadata") for name in used)
    outcome = _outcomes(left, right, winner, columns)
    for other in others:
        second = _outcomes(left, right, table.column(other, "--metadata"), columns)
        both = np.isfinite(outcome) & np.isfinite(second)
        if 2 * both.sum() > len(both) and len(apart := np.flatnonzero(both & (outcome != second))):
            raise DataError(
                f"--metadata={table.name}: {columns.winner} and {other} may both say who won, and differ in line "
                f"{table.frame.index[apart[0]]} ({len(apart):,} such rows); name the right one: --vote_columns={','.join(used)}"
            )
    names = of_each(winner, _image_name)
    by_name = (names == of_each(left, _image_name)) | (names == of_each(right, _image_name))
    for name in exchanges:
        cells = of_each(table.column(name, "--metadata"), str.lower)
        swapped = np.array([cell in YES for cell in cells], dtype=bool) & ~by_name & np.isfinite(outcome)
        if swapped.any():
            raise DataError(
                f"--metadata={table.name}: {name} is {cells[np.flatnonzero(swapped)[0]]!r} in {plural(int(swapped.sum()), 'row')}, so which image "
                f"{columns.winner} means there is not known; write the name of the winning image, or remove column {name} if the sides are as "
                "they were shown"
            )


def _question_column(table: Table, known: dict[str, str], used: tuple[str, ...]) -> str | None:
    """The column that names the question of each vote, by its name; None where there is none.

    Raises:
        DataError: two columns that may be it, and say different things; one whose name is used for other things, too.
    """
    free = {word: name for word, name in known.items() if name not in used and name not in table.twice}
    named = list(dict.fromkeys(free[word] for word in (*QUESTIONS, *free) if word in free and is_question(word)))
    maybe = [free[word] for word in MAYBE_QUESTIONS if word in free]
    several = [name for name in (*named, *maybe) if 1 < len(_values_of(table, name)) <= MOST_QUESTIONS]
    if not several:
        return next((name for name in named if len(_values_of(table, name)) <= MOST_QUESTIONS), None)
    for other in several[1:]:
        if not _follows(table, several[0], other):
            raise _which_question(table, used, several[0], other)
    if several[0] in maybe:
        raise _which_question(table, used, several[0])
    return several[0]


def is_question(word: str) -> bool:
    """Whether a column of this name, in small letters, says which question a vote answers."""
    return word in QUESTIONS or QUESTION.fullmatch(word) is not None


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
        word = _plain(name)
        if name in used or word in COUNTS or word in TIES or OF_A_SIDE.search(word):
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


def _plain(name: str) -> str:
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
    outcome = _outcomes(left, right, winner, columns)
    return bool(np.isfinite(outcome).mean() > 0.5)


def read_votes(
    table: Table, columns: VoteColumns, matcher: Matcher, wanted: tuple[str, ...]
) -> tuple[Votes, np.ndarray, list[str]]:
    """The votes between images that have a file, and the row of the table of each, int64 (M,); lines for the log.

    Args:
        wanted: questions to learn, of --target or --study_id; () for all.

    Raises:
        DataError: winners that are neither a side nor a tie nor one of the two images, unknown questions, no vote with two
            images, nothing but ties.
    """
    notes = [
        f"Column {name} is not used: each row is one vote" for name in table.frame.columns if _plain(name) in COUNTS
    ]
    table, rows_of, question, questions = _questions(table, columns, wanted, notes)
    sides = [table.column(name, "--vote_columns") for name in (columns.left, columns.right)]
    winner = table.column(columns.winner, "--vote_columns")
    positions = np.stack([_files_of(cells, matcher, table) for cells in sides], axis=1)
    total = len(positions)
    outcome = _outcomes(sides[0], sides[1], winner, columns)
    outcome[tied := _ties(table, columns, notes)] = TIE
    empty = missing(winner) & ~tied
    unknown = np.flatnonzero(np.isnan(outcome) & ~empty)
    if len(unknown):
        row = unknown[0]
        raise DataError(
            f"--metadata={table.name}: {columns.winner} is {winner[row]!r} in line {table.frame.index[row]}, which is neither left, "
            f"right nor tie, nor one of the two images ({len(unknown):,} such rows); correct them, or leave the cells empty"
        )
    gone, same = (positions < 0).any(axis=1), positions[:, 0] == positions[:, 1]
    for rows, what in (
        (gone, "have an image without a file"),
        (empty & ~gone, f"have no {columns.winner}"),
        (same & ~gone & ~empty, "compare an image with itself"),
    ):
        if rows.any():
            line = table.frame.index[np.flatnonzero(rows)[0]]
            notes.append(f"{int(rows.sum()):,} of {total:,} votes {what} (the first in line {line}); they are not used")
    kept = ~gone & ~empty & ~same
    if not kept.any():
        example = ", ".join(str(cell) for cell in table.frame.iloc[0][:4])
        raise DataError(
            f"--metadata={table.name}: no vote is between two images of the folder (first row: {example}; an image: "
            f"{matcher.paths[0]}); check --data_dir, or name the columns as --vote_columns=left,right,winner"
        )
    votes = Votes(positions[kept], question[kept], outcome[kept], questions)
    notes += _about(votes)
    decided = votes.outcome[votes.outcome != TIE]
    if columns.winner not in (columns.left, columns.right) and len(decided) >= MANY and len(set(decided)) == 1:
        notes.append(
            f"{columns.left if decided[0] == LEFT else columns.right} is the winner of all {len(decided):,} votes that are no ties; check "
            f"column {columns.winner}"
        )
    return votes, rows_of[kept], notes


def _ties(table: Table, columns: VoteColumns, notes: list[str]) -> np.ndarray:
    """Which votes a column of yes and no calls ties, bool (M,)."""
    for name in (str(name) for name in table.frame.columns if _plain(str(name)) in TIES):
        cells = of_each(table.column(name, "--metadata"), str.lower)
        if name == columns.winner or not set(cells) <= YES | NO:
            continue
        tied = np.array([cell in YES for cell in cells], dtype=bool)
        notes.append(f"Column {name} calls {plural(int(tied.sum()), 'vote')} ties")
        return tied
    return np.zeros(len(table.frame), dtype=bool)


def _questions(
    table: Table, columns: VoteColumns, wanted: tuple[str, ...], notes: list[str]
) -> tuple[Table, np.ndarray, np.ndarray, tuple[str, ...]]:
    """The rows of the wanted questions, their numbers and the question of each, int64 (M,), and the questions' names."""
    if columns.question is None:
        if wanted:
            raise DataError(
                f"--target={','.join(wanted)}: {table.name} has no column of questions; with --task=pairwise the target is a "
                "question, so leave --target out or name the column as the fourth of --vote_columns"
            )
        everything = np.arange(len(table.frame))
        return table, everything, np.zeros(len(everything), np.int64), ("score",)
    cells = table.column(columns.question, "--vote_columns")
    if (empty := missing(cells)).any():
        notes.append(
            f"{int(empty.sum()):,} of {len(cells):,} votes have no {columns.question} ({spelled(cells[empty])}); they are not used"
        )
    cells, said = labels(np.where(empty, "", cells).astype(object), columns.question, table.separator)
    notes += said
    names = np.array([place_pulse.STUDIES.get(cell, cell) for cell in cells], dtype=object)
    known = sorted(set(names) - {""})
    asked = [place_pulse.STUDIES.get(word, word) for word in wanted if word != "all"]
    for word in asked:
        if word not in known:
            raise DataError(
                f"--target={word}: {columns.question} of {table.name} has no such question.{nearest(word, known)} "
                f"Questions: {', '.join(known[:8])}"
            )
    chosen = list(dict.fromkeys(asked)) or known
    code = {name: k for k, name in enumerate(chosen)}
    codes = np.array([code.get(name, -1) for name in names], dtype=np.int64)
    rows = np.flatnonzero(codes >= 0)
    return table.take(rows), rows, codes[rows], tuple(chosen)


def _files_of(cells: np.ndarray, matcher: Matcher, table: Table) -> np.ndarray:
    """The file of each cell, int64 (M,), -1 without one: by its name, or by Place Pulse's location in the name."""
    distinct, first, codes = np.unique(cells.astype(str), return_index=True, return_inverse=True)
    match = matcher.match_values(distinct.astype(object))
    positions = match.positions
    if not (positions != -1).any():
        where = {parts[2]: i for i, path in enumerate(matcher.paths) if (parts := place_pulse.name_parts(path))}
        positions = np.array([where.get(cell, -1) for cell in distinct.tolist()], dtype=np.int64)
    else:
        check_single(match, distinct.astype(object), table.frame.index[first], matcher, f"--metadata={table.name}")
    return positions[codes]


def _outcomes(left: np.ndarray, right: np.ndarray, winner: np.ndarray, columns: VoteColumns) -> np.ndarray:
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
        forms = (word, label_key(word), AROUND.sub("", re.sub(r"[\s-]+", "_", word)))  # 1.0 is 1
        return next((known[form] for form in forms if form in known), np.nan)

    def plain_side(cell: str) -> float:
        return side(cell, plainly)

    by_word, by_side = of_each(winner, side).astype(np.float64), of_each(winner, plain_side).astype(np.float64)
    one, other, won = (of_each(cells, _image_name) for cells in (left, right, winner))
    by_image = np.where(won == one, LEFT, np.where(won == other, RIGHT, np.nan))
    for row in np.flatnonzero((one == other) & (won == one)).tolist():  # before/1.jpg and after/1.jpg
        is_left, is_right = _same_path(winner[row], left[row]), _same_path(winner[row], right[row])
        by_image[row] = (LEFT if is_left else RIGHT) if is_left != is_right else np.nan
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


def _about(votes: Votes) -> list[str]:
    notes = []
    for q, name in enumerate(votes.questions):
        of_question = votes.of_question(q)
        if not len(of_question):
            raise DataError(f"--target={name}: no vote of this question is between two images of the folder")
        decided = int((of_question.outcome != TIE).sum())
        if not decided:
            raise DataError(
                f"--target={name}: all {len(of_question):,} votes are ties, so there is nothing to learn; check the column of winners"
            )
        images = len(np.unique(of_question.images))
        ties = len(of_question) - decided
        said = f"{name}: {len(of_question):,} votes ({ties:,} ties) on {images:,} images, {2 * len(of_question) / images:.1f} an image"
        notes.append(said + ("; too few to learn much" if len(of_question) < FEW else ""))
    notes += _repeated(votes)
    return notes


def _repeated(votes: Votes) -> list[str]:
    """How often a pair was voted on again, and how often differently."""
    low, high = np.sort(votes.images, axis=1).T
    won = np.where(votes.images[:, 0] == low, votes.outcome, 1 - votes.outcome)
    size = int(votes.images.max()) + 1
    _, pair, counts = np.unique((votes.question * size + low) * size + high, return_inverse=True, return_counts=True)
    several = int((counts > 1).sum())
    if not several:
        return []
    mean = np.bincount(pair, won) / counts
    spread = np.bincount(pair, (won - mean[pair]) ** 2)
    differ = int((spread[counts > 1] > 1e-9).sum())
    return [
        f"{several:,} pairs were voted on several times, {differ:,} of them with different results: each vote counts"
    ]


def side_columns(table: Table, name: str, flag: str) -> tuple[np.ndarray, np.ndarray]:
    """The cells of the columns left_NAME and right_NAME (or NAME_left and NAME_right) of a table of votes.

    Raises:
        DataError: there are none.
    """
    columns = {str(column).lower(): str(column) for column in table.frame.columns}
    for one, other in (
        (f"left_{name}", f"right_{name}"),
        (f"{name}_left", f"{name}_right"),
        (f"{name}_1", f"{name}_2"),
    ):
        if one.lower() in columns and other.lower() in columns:
            return table.column(columns[one.lower()], flag), table.column(columns[other.lower()], flag)
    raise DataError(
        f"{flag}={name}: a table of votes says it of two images, so {table.name} needs the columns left_{name} and right_{name}"
    )


def of_images(cells: Sequence[np.ndarray], images: np.ndarray, count: int, what: str) -> np.ndarray:
    """What a table of votes says of each image, object (count,), "" where it says nothing.

    Args:
        cells: of the left and of the right images, object (M,) each. images: int64 (M, 2).

    Raises:
        DataError: an image with two different values.
    """
    number, said = images.T.ravel(), np.concatenate(cells)
    known = ~missing(said)
    number, (said, _) = number[known], labels(said[known], what)
    found = np.full(count, "", dtype=object)
    found[number] = said
    differing = np.flatnonzero(found[number] != said)
    if len(differing):
        k = differing[0]
        raise DataError(f"{what}: an image has two values, {said[k]!r} and {found[number[k]]!r}; correct the table")
    return found
