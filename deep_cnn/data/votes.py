"""Votes: which of two images was preferred. Read from a table; counted for each image; divided by the splits of images."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from deep_cnn.data import place_pulse
from deep_cnn.data.cells import labels, missing, spelled
from deep_cnn.data.match import HOW, Matcher, check_single
from deep_cnn.data.table import Table
from deep_cnn.data.vote_columns import COUNTS, TIES
from deep_cnn.data.vote_winners import (
    LEFT,
    TIE,
    VoteColumns,
    are_yes_and_no,
    check_codes,
    plain_name,
    read_winners,
    says_yes,
)
from deep_cnn.runtime.errors import DataError, nearest
from deep_cnn.runtime.format import plural

MANY = 20  # votes that one side wins by chance once in 500,000 tables
FEW = 100  # votes of a question: fewer say next to nothing

UNUSED = 3
MOST_CONNECTED = 0.9  # of the images: a few that nobody compared with the others change no result


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
        f"Column {name} is not used: each row is one vote" for name in table.frame.columns if plain_name(name) in COUNTS
    ]
    table, rows_of, question, questions = _questions(table, columns, wanted, notes)
    sides = [table.column(name, "--vote_columns") for name in (columns.left, columns.right)]
    if (blank := missing(sides[0]) & missing(sides[1])).any() and not blank.all():
        notes.append(
            f"{plural(int(blank.sum()), 'row', 'have')} no images (the first is line {table.frame.index[blank][0]}), so no vote"
        )
        table, rows_of, question = table.take(np.flatnonzero(~blank)), rows_of[~blank], question[~blank]
        sides = [cells[~blank] for cells in sides]
    winner = table.column(columns.winner, "--vote_columns")
    found, how = zip(*(_files_of(cells, matcher, table) for cells in sides), strict=True)
    positions = np.stack(found, axis=1)
    notes.append(f"Images: {columns.left}, {columns.right} ({' and '.join(dict.fromkeys(how))})")
    total = len(positions)
    outcome, by_word = read_winners(table, columns)
    check_codes(table, columns, outcome, by_word)
    outcome[tied := _ties(table, columns, notes)] = TIE
    empty = missing(winner) & ~tied
    unknown = np.flatnonzero(np.isnan(outcome) & ~empty)
    if len(unknown):
        row = unknown[0]
        raise DataError(
            f"--metadata={table.name}: {columns.winner} is {winner[row]!r} in line {table.frame.index[row]}, which is neither left, "
            f"right nor tie, nor one of the two images ({len(unknown):,} such rows); write left, right, tie or the winning image's name, or leave "
            "the cell empty if there was no answer"
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
    for name in (str(name) for name in table.frame.columns if plain_name(str(name)) in TIES):
        cells = table.column(name, "--metadata")
        if name == columns.winner or not are_yes_and_no(cells):
            continue
        tied = says_yes(cells)
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


def _files_of(cells: np.ndarray, matcher: Matcher, table: Table) -> tuple[np.ndarray, str]:
    """The file of each cell, int64 (M,), -1 without one, and how cells name it: by its name, or by Place Pulse's location in the name."""
    distinct, first, codes = np.unique(cells.astype(str), return_index=True, return_inverse=True)
    match = matcher.match_values(distinct.astype(object))
    positions = match.positions
    if not (positions != -1).any():
        where = {parts[2]: i for i, path in enumerate(matcher.paths) if (parts := place_pulse.name_parts(path))}
        positions, how = np.array([where.get(cell, -1) for cell in distinct.tolist()], dtype=np.int64), "by location"
    else:
        how = HOW[match.way]
        check_single(match, distinct.astype(object), table.frame.index[first], matcher, f"--metadata={table.name}")
    return positions[codes], how


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
        if (largest := _largest_part(of_question.images)) < MOST_CONNECTED * images:
            notes.append(
                f"{name}: no vote connects {images - largest:,} of the {images:,} images with the largest part of {largest:,}, so scores of different "
                "parts have no common zero: Pearson, Spearman and the noise ceiling mean little, pair accuracy is as it is"
            )
    notes += _repeated(votes)
    return notes


def _largest_part(images: np.ndarray) -> int:
    """How many images the largest part has whose images votes connect, of votes between images (M, 2)."""
    known, codes = np.unique(images, return_inverse=True)
    left, right = codes.reshape(images.shape).T
    edges = coo_array((np.ones(len(left)), (left, right)), shape=(len(known), len(known)))
    return int(np.bincount(connected_components(edges, directed=False)[1]).max())


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
