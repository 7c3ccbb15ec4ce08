"""Tables with the answers to several questions, which are no one score."""

import re
from collections.abc import Iterable

import numpy as np

from deep_cnn.data.cells import missing, parse
from deep_cnn.data.table import Table, same_name
from deep_cnn.data.vote_columns import QUESTION, plain_name
from deep_cnn.runtime.errors import DataError
from deep_cnn.runtime.format import some

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
