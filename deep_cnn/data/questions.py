"""Which column says what question was asked: of votes, and of scores, which are no one score then."""

import re
from collections.abc import Iterable

import numpy as np

from deep_cnn.data.cells import is_missing, missing, parse
from deep_cnn.data.table import Table, same_name
from deep_cnn.data.vote_winners import plain_name
from deep_cnn.runtime.errors import DataError
from deep_cnn.runtime.format import some

# Names of columns of votes, without capitals
OF_VOTES = (
    "category", "study_id", "study", "attribute", "dimension", "study_question", "question_id",
    "criterion", "criteria", "trait", "aspect", "perception", "adjective", "construct",
)  # fmt: skip
# may name the question, or a part of the survey
MAYBE_QUESTIONS = (
    "prompt", "task", "item", "scale", "topic", "label", "condition", "type", "measure", "variable", "quality", "impression",
)  # fmt: skip
MOST_OF_VOTES = 50
QUESTION = re.compile(
    r"(?:q|query|question|criterion)(?:_?(?:no|nr|num|number|id|text|type|name|label|key))?|prompt_(?:no|nr|id|text)"
)
MOST_QUESTIONS = 20  # more different texts are about the images themselves
# Last words of names of columns that say which question was asked. A category or a type is of the image
NAMED = frozenset(
    (
        *("criterion", "criteria", "attribute", "attr", "trait", "adjective", "construct", "perception", "subscale"),
        *("variable", "merkmal", "kriterium", "asked"),
    )
)
# They may also be about the image, the text that it was made from, or the survey
MAYBE = frozenset(
    (
        *(
            "study",
            "dimension",
            "scale",
            "item",
            "prompt",
            "aspect",
            "topic",
            "measure",
            "impression",
            "task",
            "metric",
        ),
        *("indicator",),
    )
)
# Behind these: trait_name, item_no
ABOUT = frozenset(
    ("id", "no", "nr", "num", "number", "name", "text", "label", "key", "code", "title", "wording", "asked", "shown")
)
CODED = frozenset(("study", "item", "dimension", "prompt", "topic", "task", "attribute", "attr", "trait", "variable"))
A_QUESTION = re.compile(
    r"[^\W\d_]{3,}(?:[\s_-]+[^\W\d_]+)?|.*\?"
)  # safe, more_lively, "How safe is it?"; not N, 2x or 640x480


def check_one_question(
    table: Table, positions: np.ndarray, targets: tuple[str, ...], used: Iterable[str | None]
) -> None:
    """DataError where rows answer several questions, by the name of a column, and would be learnt as answers to one.

    Args:
        table: the rows that --where leaves. positions: of their files, int64 (M,), -1 without one. targets: columns to learn.
        used: columns that flags give for something else.
    """
    columns = [str(name) for name in table.frame.columns]
    taken = {columns[k] for name in (*targets, *used) if name for k in same_name(columns, name)} | set(table.twice)
    named = [name for name in columns if name not in taken and _standing(name)]
    if not named:
        return
    answered = [~missing(table.column(name, "--target")) for name in targets]
    rows = np.flatnonzero((positions >= 0) & np.any(answered, axis=0))
    for name in named:
        cells = table.column(name, "--metadata")[rows]
        there = ~missing(cells)
        values = sorted(set(cells[there].tolist()))
        if 1 < len(values) <= MOST_QUESTIONS and _are_questions(name, values, positions[rows][there], cells[there]):
            raise DataError(
                f"--metadata={table.name}: column {name} says which question was asked ({some(values, 3)}), so their answers are not one "
                f'score; choose one with --where="{name}=={cells[there][0]}", or rename column {name} if it is about something else'
            )


def _words(name: str) -> list[str]:
    """The words of a column's name in small letters, without those such as name and id at its end."""
    words = [word.lower() for word in re.split(r"[\W_]+|(?<=[a-z])(?=[A-Z])", name) if word]
    while len(words) > 1 and words[-1] in ABOUT:
        words.pop()
    return words


def _standing(name: str) -> int:
    """How much a column's name says that it has questions: 3 it does, 2 if they are words, 1 perhaps, 0 no."""
    last = (_words(name) or [""])[-1]
    if QUESTION.fullmatch(plain_name(name)) or last in ("question", "questions", "frage", "pregunta", "domanda"):
        return 3
    return 2 if last in NAMED else int(last in MAYBE)


def _are_questions(name: str, values: list[str], positions: np.ndarray, cells: np.ndarray) -> bool:
    """positions, cells: of the answered rows."""
    images, known = len(np.unique(positions)), _standing(name)
    several = len(set(zip(positions.tolist(), cells.tolist(), strict=True))) > images  # of an image
    if parse(np.array(values, dtype=object)).all_read:  # numbers may also count the rows, or be scores themselves
        return (known == 3 and (several or len(values) < len(cells))) or (several and _words(name)[-1] in CODED)
    if known > 1 or several:
        return True
    return 2 * len(values) <= images and all(A_QUESTION.fullmatch(value) for value in values)


def question_column(table: Table, known: dict[str, str], used: tuple[str, ...]) -> str | None:
    """The column that names the question of each vote, by its name; None where there is none.

    Raises:
        DataError: two columns that may be it, and say different things; one whose name is used for other things, too.
    """
    free = {word: name for word, name in known.items() if name not in used and name not in table.twice}
    plainly = list(
        dict.fromkeys(free[word] for word in ("question", *free) if word in free and QUESTION.fullmatch(word))
    )
    named = list(dict.fromkeys([*plainly, *(free[word] for word in OF_VOTES if word in free)]))
    maybe = [free[word] for word in MAYBE_QUESTIONS if word in free and not plainly]
    several = [name for name in (*named, *maybe) if 1 < len(values_of(table, name)) <= MOST_OF_VOTES]
    if not several:
        return next((name for name in named if len(values_of(table, name)) <= MOST_OF_VOTES), None)
    for other in several[1:]:
        if not _follows(table, several[0], other):
            raise _which_question(table, used, several[0], other)
    if several[0] in maybe:
        raise _which_question(table, used, several[0])
    return several[0]


def _which_question(table: Table, used: tuple[str, ...], *columns: str) -> DataError:
    values = "; ".join(f"{name}: {some(values_of(table, name), 3)}" for name in columns)
    three = ",".join(used)
    return DataError(
        f"--metadata={table.name}: {' or '.join(columns)} may say which question was asked ({values}); add "
        f"--vote_columns={three},{columns[0]} to learn each, or --vote_columns={three} to take all votes as one question"
    )


def _follows(table: Table, one: str, other: str) -> bool:
    """Whether a column is known from another one: it says the same in other words, or less."""
    cells = [table.column(name, "--metadata").tolist() for name in (one, other)]
    return len(set(zip(*cells, strict=True))) == len(set(cells[0]))


def values_of(table: Table, name: str) -> list[str]:
    """The different cells of a column, without missing ones."""
    return sorted(cell for cell in set(table.column(name, "--metadata").tolist()) if not is_missing(cell))
