"""Which columns of a table hold votes between two images."""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from deep_cnn.data.cells import is_missing, label_key, missing, of_each, parse
from deep_cnn.data.match import SAMPLE, Matcher, sampled_rows
from deep_cnn.data.questions import question_column, values_of
from deep_cnn.data.table import Table, looks_like_image
from deep_cnn.data.vote_sides import (
    FROM_ZERO,
    KINDS,
    LEFT_AND_RIGHT,
    LETTERS,
    NUMBERS,
    ORDER,
    WON,
    Named,
    Sides,
    further_pairs,
    named_images,
    pairs_of_sides,
    told_apart,
)
from deep_cnn.data.vote_winners import (
    LEFT,
    NO,
    RIGHT,
    TIE,
    TIE_WORDS,
    YES,
    VoteColumns,
    are_yes_and_no,
    image_name,
    image_number,
    number_of,
    outcomes,
    plain_name,
    read_winners,
    says_yes,
    side_word,
    words_of_winners,
)
from deep_cnn.runtime.errors import ConfigError, DataError
from deep_cnn.runtime.format import plural, some

# What people call the columns, without capitals
WINNERS = ("winner", "choice", "vote", "preferred", "preference", "result", "answer", "chosen", "selected", "response")
# columns of yes and no
TIES = ("tie", "ties", "tied", "is_tie", "draw", "is_draw", "equal", "is_equal", "no_preference")
# may say which image was on which side; "order" with many values numbers the questions
EXCHANGED = re.compile(r"swap|switch|flip|invert|revers|mirror")
OF_SIDES = re.compile(
    EXCHANGED.pattern + r"|counterbalanc|(?:^|_)(?:order|position|side|layout)(?:_|$)|(?:^|_)left(?:_|$)|left$"
)
MOST_ORDERS = 3
# may say which image was shown first, where their cells name sides
OF_SHOWING = re.compile(
    r"(?:^|_)(?:shown?|first|second|1st|2nd|initial|leading|top|bottom|upper|lower|starts?|present\w*|display\w*|sequence|arrangement|permutation"
    r"|pos|loc|location|placed?|placement|[ab12]_is|is_[ab12])(?:_|\d|$)"
)
OF_AN_ORDER = re.compile(r"(?:^|_)(?:image|img|photo|picture|option)?_?(?:[ab12]|left|right)(?:_|$)")  # A_is_first: yes
# sides of other things than images: of the rater, of the right answer; and firsts of other things
OF_OTHER_SIDES = re.compile(
    r"(?:^|_)(?:left_|right_)?(?:hand|eye|gaze|look|correct|expected|gold|truth|catch|attention|predict|model|baseline|previous|driv)"
)
OF_OTHER_FIRSTS = re.compile(
    r"(?:^|_)(?:time|trial|block|session|language|visit|page|round|task|level|duration|ms|device|survey|day|name)(?:_|$)"
)
LOST = re.compile(r"los(?:er|ing|t|e)(?:_|$)|reject|worse|worst|unchosen|not_chosen|unselected|other(?:_|$)")
OF_A_SIDE = re.compile(r"(?:^|_)(?:left|right|winner|loser|a|b|1|2)(?:_|$)")
OF_A_RATER = re.compile(
    r"(?:^|_)(?:gender|sex|age|country|nation|language|device|browser|platform|education|ethnic|race|income|job|employ|student|rater|status|consent)"
)
FEW_WORDS = 12  # that a column has which may name the question
A_SIDE_OF_IMAGES = re.compile(r"(?:image|img|photo|picture|pic|option|stimulus)_?([12ab])")
OF_A_FORM = re.compile(r"^(?:input|answer)[._]|\.label$")  # around the names of columns in Mechanical Turk's results
COUNTS = frozenset(
    f"{before}{word}{after}"
    for word in ("count", "counts", "n", "weight", "weights", "frequency", "freq", "num_votes", "n_votes", "votes", "wins", "times")
    for before, after in (("", ""), ("", "_left"), ("", "_right"), ("left_", ""), ("right_", ""), ("total_", ""), ("n_", ""))
)  # fmt: skip


def vote_columns(table: Table, matcher: Matcher, given: tuple[str, ...] = ()) -> VoteColumns | None:
    """Which columns hold the votes: --vote_columns, or by their names and cells; None where the table has no such columns.

    Raises:
        DataError: a column that is not there; columns that contradict each other. ConfigError: another number of columns than three or four.
    """
    if given:
        named = table.names(given, "--vote_columns") if len(given) > 2 else given  # a name may have commas
        if len(named) not in (3, 4):
            raise ConfigError(
                f"--vote_columns={','.join(given)}: {len(named)} columns; give the left image's, the right image's and the "
                "winner's, and a fourth with the question if there are several"
            )
        return VoteColumns(named[0], named[1], named[2], named[3] if len(named) > 3 else None)
    known, pairs = _known(table)
    usable = [sides for sides in pairs if _winner_of(known, sides)]
    if not usable:
        return None
    named_pairs = named_images(table, pairs, further_pairs(known, pairs), matcher)
    first = table.take(sampled_rows(len(table.frame)))
    sides = _right_pair(first, known, named_pairs) if named_pairs else usable[0]
    winner = _winner_of(known, sides) or ""
    columns = VoteColumns(sides.left, sides.right, winner)
    if sides.kind == WON:
        others = [known[word] for word in WINNERS if word in known and known[word] not in (sides.left, sides.right)]
        _check_no_ties(table, (sides.left, sides.right), others)
    else:
        columns = _told_by(first, columns, sides, pairs)
        ours = next((named for named in named_pairs if named.sides == sides), None)
        orders = [named.sides for named in named_pairs if ours and not named.same_order(ours)]
        _check_one_choice(table, known, columns, [name for other in orders for name in (other.left, other.right)])
        for other in (named.sides for named in named_pairs if named.sides.kind == WON):
            _check_winners(table, columns, other)
    return replace(columns, question=question_column(table, known, (sides.left, sides.right, winner)))


def _known(table: Table) -> tuple[dict[str, str], list[Sides]]:
    """The columns by their words in small letters, and the pairs of them that may name the images."""
    plainly = {plain_name(str(name)): str(name) for name in table.frame.columns}
    known = {OF_A_FORM.sub("", word): name for word, name in plainly.items()} | plainly
    pairs = pairs_of_sides(known)
    if any(sides.kind == WON for sides in pairs):  # where the winner is a side, it and the loser are no pair of images
        first = table.take(sampled_rows(len(table.frame)))
        said = {_winner_of(known, sides) for sides in pairs if sides.kind != WON and _says_sides(first, known, sides)}
        pairs = [sides for sides in pairs if sides.kind != WON or sides.left not in said]
    return known, pairs


def _says_sides(table: Table, known: dict[str, str], sides: Sides) -> bool:
    """Whether the winners of a pair of columns are sides and no images."""
    return _winner_of(known, sides) is not None and bool(read_winners(table, _columns(known, sides))[1].any())


def _winner_of(known: dict[str, str], sides: Sides) -> str | None:
    """The column that says which image of a pair won; None where there is none."""
    if sides.kind == WON:
        return sides.left  # the image on the left has always won, whatever key was pressed
    return next(
        (known[word] for word in WINNERS if word in known and known[word] not in (sides.left, sides.right)), None
    )


def _right_pair(table: Table, known: dict[str, str], pairs: Sequence[Named]) -> Sides:
    """Of pairs that name the same two images in each row the one whose sides the winner means.

    Raises:
        DataError: they have different orders, and the winner's words tell none; the winner's words are those of columns that name no images.
    """
    best = max(pairs, key=lambda named: named.level)
    usable = [named for named in pairs if _winner_of(known, named.sides)]
    if not usable:
        raise DataError(
            f"--metadata={table.name}: {best} name the images, but no column says which of them won; add a column winner of left, right or tie, or "
            "of the winning images' names, or name the columns as --vote_columns=LEFT,RIGHT,WINNER"
        )
    plainly = [named for named in usable if named.sides.kind != WON and _reads_winners(table, known, named.sides)]
    if not plainly:
        plainly = [named for named in usable if named.sides.kind == WON] or usable
    first = max(plainly, key=lambda named: named.level)
    if all(named.same_order(first) for named in pairs if named.sides.kind != WON) or first.sides.kind == WON:
        return _of_the_winners_kind(table, known, first)
    winner = _winner_of(known, first.sides) or ""
    words = table.column(winner, "--metadata")
    if not any(_says_sides(table, known, named.sides) for named in plainly):
        return first.sides  # winners are named by their images
    kinds = _kinds_of(words)
    fitting = [named for named in plainly if named.sides.kind in kinds or _are_names_of(words, named.sides)]
    others = {named.sides.kind for named in pairs if not (fitting and named.same_order(fitting[0]))}
    twins = any(
        kind in kinds and twin in others for kind, twin in ((NUMBERS, ORDER), (ORDER, NUMBERS))
    )  # 1 may be the first one
    if not fitting or twins or not all(named.same_order(fitting[0]) for named in fitting):
        other = next(named for named in pairs if named.sides.kind != WON and not named.same_order(first))
        raise DataError(
            f"--metadata={table.name}: {first.sides} and {other.sides} name the same images in different orders, and {winner} "
            f"({some(values_of(table, winner), 3)}) does not say which of them it means; name them as --vote_columns=LEFT,RIGHT,{winner}"
        )
    return max(fitting, key=lambda named: named.level).sides


def _of_the_winners_kind(table: Table, known: dict[str, str], chosen: Named) -> Sides:
    """The chosen pair; DataError where winners are left and right, but only columns that name no images are called so."""
    sides = chosen.sides
    winner = _winner_of(known, sides) or ""
    kinds = set() if sides.kind == WON else _kinds_of(table.column(winner, "--metadata"))
    if kinds and sides.kind not in kinds and _says_sides(table, known, sides):
        for other in _known(table)[1]:
            if other.kind in kinds and not {other.left, other.right} & {sides.left, sides.right, winner}:
                raise DataError(
                    f"--metadata={table.name}: {winner} says {other.kind}, as the columns {other} are called, but {chosen} name the images; write the name "
                    f"of the winning image, or name the right columns as --vote_columns=LEFT,RIGHT,{winner}"
                )
    return sides


def _columns(known: dict[str, str], sides: Sides) -> VoteColumns:
    return VoteColumns(sides.left, sides.right, _winner_of(known, sides) or "")


def _reads_winners(table: Table, known: dict[str, str], sides: Sides) -> bool:
    """Whether most winners are sides, ties or images of a pair of columns."""
    return bool(np.isfinite(read_winners(table, _columns(known, sides))[0]).mean() > 0.5)


def _told_by(table: Table, columns: VoteColumns, sides: Sides, pairs: Sequence[Sides]) -> VoteColumns:
    """The columns, with those by which the winner is named: left_id where the files are named by left_file."""
    if np.isfinite(read_winners(table, columns)[0]).mean() > 0.5:
        return columns
    for other in pairs:
        told = replace(columns, told=(other.left, other.right))
        if other != sides and other.kind == sides.kind and np.isfinite(read_winners(table, told)[0]).mean() > 0.5:
            return told
    return columns


def _kinds_of(cells: np.ndarray) -> set[str]:
    """The kinds of words that most of a column's cells may be, without ties and empty ones."""
    words = [word for cell in cells.tolist() if not is_missing(cell) and (word := side_word(cell)) not in TIE_WORDS]
    counts = {kind: 0 for kind in KINDS.values() if kind != WON}
    for pair, kind in KINDS.items():
        if kind in counts:
            counts[kind] += sum(word in pair for word in words)
    found = {kind for kind, count in counts.items() if words and count >= 0.9 * len(words)}
    numbers = found & {NUMBERS, FROM_ZERO}
    return found - {FROM_ZERO} if len(numbers) == 2 else found  # all of them are 1


def _are_names_of(cells: np.ndarray, sides: Sides) -> bool:
    """Whether a column's cells are the names of two other columns."""
    said = {
        plain_name(cell) for cell in set(cells.tolist()) if not is_missing(cell) and plain_name(cell) not in TIE_WORDS
    }
    return bool(said) and said <= {plain_name(sides.left), plain_name(sides.right)}


def _check_winners(table: Table, columns: VoteColumns, other: Sides) -> None:
    """DataError where two further columns name a winner and a loser, and the winner is another one."""
    outcome = read_winners(table, columns)[0]
    second = read_winners(table, replace(columns, winner=other.left))[0]
    if len(
        apart := np.flatnonzero(np.isfinite(outcome) & np.isfinite(second) & (outcome != second) & (outcome != TIE))
    ):
        raise DataError(
            f"--metadata={table.name}: {columns.winner} and {other.left} may both say who won, and differ in line "
            f"{table.frame.index[apart[0]]} ({len(apart):,} such rows); name the right one: "
            f"--vote_columns={columns.left},{columns.right},{columns.winner}"
        )


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


def _check_one_choice(table: Table, known: dict[str, str], columns: VoteColumns, orders: Sequence[str]) -> None:
    """DataError where two columns may say who won, and differ, or where the sides were swapped in some rows.

    orders: columns with the same images in another order, which the winner's words do not mean.
    """
    used = (columns.left, columns.right, columns.winner)
    others = [name for name in dict.fromkeys(known[word] for word in WINNERS if word in known) if name not in used]
    exchanges = [
        name
        for name in dict.fromkeys(known.values())
        if name not in table.twice
        and EXCHANGED.search(plain_name(name))
        and are_yes_and_no(table.column(name, "--metadata"))
    ]
    free = [name for name in known.values() if name not in (*used, *others, *exchanges, *orders)]
    if not (others or exchanges):
        _check_sides(table, columns, known, free)
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
    names = of_each(winner, image_name)
    by_name = (names == of_each(left, image_name)) | (names == of_each(right, image_name))
    for name in exchanges:
        cells = table.column(name, "--metadata")
        swapped = says_yes(cells) & ~by_name & np.isfinite(outcome)
        if swapped.any():
            raise DataError(
                f"--metadata={table.name}: {name} is {cells[np.flatnonzero(swapped)[0]]!r} in {plural(int(swapped.sum()), 'row')}, so which image "
                f"{columns.winner} means there is not known; write the name of the winning image, or remove column {name} if the sides are as "
                "they were shown"
            )
    _check_sides(table, columns, known, free)


def _check_sides(table: Table, columns: VoteColumns, known: dict[str, str], others: Sequence[str]) -> None:
    """DataError where winners are sides, and one of other columns may say which of the two images was on which side."""
    first = table.take(sampled_rows(len(table.frame)))
    outcome, by_side = read_winners(first, columns)
    by_side &= outcome != TIE
    if not by_side.any():
        return
    further = [
        (sides.left, sides.right)
        for sides in pairs_of_sides(known)
        if sides.kind != WON and {sides.left, sides.right} <= set(others)
    ]
    pairs = [  # a column may name an image by its number of a database, as left_id and right_id do
        (first.column(one, "--metadata"), first.column(other, "--metadata"))
        for one, other in ((columns.left, columns.right), *further)
    ]
    winner = first.column(columns.winner, "--metadata")
    told, kinds = told_apart(columns.left, columns.right), _kinds_of(winner)
    kind = told[0] if told and told[0] in kinds else ""  # the winner's words are those of the columns' names
    for name in dict.fromkeys(others):
        if name in table.twice or name in (columns.told or ()):
            continue
        word, cells = plain_name(name), first.column(name, "--metadata")
        if kind == LETTERS and _of_left_and_right(word, cells):
            continue  # what was on the left is another thing than A
        other_things = OF_OTHER_SIDES.search(word) or OF_A_RATER.search(word)
        shown = next((said for pair in pairs if (said := _image_of_pair(cells, *pair)) is not None), None)
        if EXCHANGED.search(word) and shown is None:
            says_place = 1 < len(_few(table, name)) <= MOST_ORDERS
        elif other_things and (shown is None or not re.search("left|right", word)):
            says_place = False
        elif shown is not None:
            says_place = _contradict(shown, outcome, by_side, word)
        elif kind == LEFT_AND_RIGHT:
            says_place = False  # the columns say what was on the left
        elif OF_SIDES.search(word) and 1 < len(_few(table, name)) <= MOST_ORDERS:
            says_place = True
        else:
            said = _sides_of(cells, columns, word)
            says_place = said is not None and _contradict(said, outcome, by_side, word)
        if says_place:
            raise DataError(
                f"--metadata={table.name}: {columns.winner} names sides, and column {name} ({some(values_of(table, name), 3)}) may say which image "
                f"was on which side; write the name of the winning image, or remove column {name} if {columns.left} was always on the left"
            )


def _few(table: Table, name: str) -> set[str]:
    return {cell.lower() for cell in table.column(name, "--metadata").tolist()}


def _of_left_and_right(word: str, cells: np.ndarray) -> bool:
    """Whether a column is about the left and the right side by its name, or names images by the letters of their columns: AB, BA."""
    if re.search(r"(?:^|_)(?:left|right)(?:_|$)", word):
        return True
    return bool(set(map(side_word, set(cells.tolist()))) <= {"ab", "ba", "a_b", "b_a", ""})


def _image_of_pair(cells: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray | None:
    """Which image of the pair each cell names, float64 (M,) LEFT, RIGHT or NaN; None where most name none, or all the same side."""
    named, lefts, rights = (of_each(of_each(column, image_name), image_number) for column in (cells, left, right))
    of_left, of_right = (named == lefts) & (named != rights), (named == rights) & (named != lefts)
    filled = int((~missing(cells)).sum())
    if 2 * (of_left | of_right).sum() <= filled or not (of_left.any() and of_right.any()):
        return None
    return np.where(of_left, LEFT, np.where(of_right, RIGHT, np.nan))


def _sides_of(cells: np.ndarray, columns: VoteColumns, name: str) -> np.ndarray | None:
    """Which side each cell says, float64 (M,) LEFT, RIGHT or NaN; None for other things than sides, or the same side everywhere.

    Whole words, the names of the two columns and both numbers in some order are sides in any column; 1 or A are, where its name says that
    it may tell what was shown first, and yes, where it names one of the images, too.
    """
    words, _ = words_of_winners(columns)
    sides = {word: share for word, share in words.items() if len(word) > 2 and share != TIE}
    sides |= dict.fromkeys(("top", "upper", "above"), LEFT) | dict.fromkeys(("bottom", "lower", "below"), RIGHT)
    one, other = number_of(columns.left, columns.right), number_of(columns.right, columns.left)
    for sign in ("", "_", "|", ">", "/", "_|_", "_>_"):
        sides |= {f"{one}{sign}{other}": LEFT, f"{other}{sign}{one}": RIGHT}
    if OF_SHOWING.search(name) and not OF_OTHER_FIRSTS.search(name):
        sides |= {"0": RIGHT, "1": LEFT, "2": RIGHT, "ab": LEFT, "ba": RIGHT} | words
        if OF_AN_ORDER.search(name):
            sides |= dict.fromkeys(YES - {""}, LEFT) | dict.fromkeys(NO - {""}, RIGHT)

    def side(cell: str) -> float:
        word = plain_name(label_key(cell))
        word = re.sub(r"_(?:first|second|left|top)$", "", word) if word not in sides else word  # image_1 first
        if of_an_image := A_SIDE_OF_IMAGES.fullmatch(word):
            return words.get(of_an_image[1], np.nan)
        return next(
            (sides[form] for form in (word, word.replace("_", ""), side_word(word), cell.lower()) if form in sides),
            np.nan,
        )

    said = of_each(cells, side).astype(np.float64)
    known = np.isfinite(said) & (said != TIE)
    filled = ~of_each(cells, is_missing).astype(bool)
    if not filled.any() or (filled & ~known).any() or len(set(said[known])) < 2:
        return None
    return np.where(known, said, np.nan)


def _contradict(said: np.ndarray, outcome: np.ndarray, by_side: np.ndarray, word: str) -> bool:
    """Whether a column of sides or images is not merely that of the winners, or of the losers."""
    both = by_side & np.isfinite(said)
    agree = said[both] == outcome[both]
    return bool(agree.any() if LOST.search(word) else not agree.all())


def unused_words(table: Table, columns: VoteColumns, group: str | None) -> list[str]:
    """A line about columns of few words that are not read: one of them may be the question."""
    used = {columns.left, columns.right, columns.winner, group}
    found = []
    for name in (str(name) for name in table.frame.columns if str(name) not in table.twice):
        word = plain_name(name)
        if name in used or word in COUNTS or word in TIES or OF_A_SIDE.search(word) or OF_A_RATER.search(word):
            continue
        values = values_of(table, name)
        if 1 < len(values) <= FEW_WORDS and not parse(np.array(values, dtype=object)).all_read:
            found.append(f"{name} ({some(values, 3)})")
    if not found:
        return []
    return [
        f"Not used: {some(found, 4, '; ')}. If a column says which question was asked, add "
        f"--vote_columns={columns.left},{columns.right},{columns.winner},COLUMN"
    ]


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
    pair = [matcher.match(first.column(side, "--metadata")).positions for side in (left, right)]
    for name in map(str, table.frame.columns):
        if name in (left, right, columns.winner) or not third.fullmatch(name) or name in table.twice:
            continue
        files = matcher.match(first.column(name, "--metadata")).positions
        another = (files != -1) & (files != pair[0]) & (files != pair[1])  # a column may name one of the two again
        if 2 * another.sum() > len(first.frame):
            raise DataError(
                f"--metadata={table.name}: {left}, {right} and {name} all name images, but a vote is between two; write the choice of one of "
                "three as two votes, the chosen image against each of the others, or name the columns as --vote_columns"
            )


def looks_like_votes(table: Table) -> bool:
    """Whether a table has the columns of votes, and its winners are sides, ties or images of the pair."""
    known, pairs = _known(table)
    first = table.take(np.arange(min(SAMPLE, len(table.frame))))
    return any(_reads_winners(first, known, sides) for sides in pairs if _winner_of(known, sides))


def check_no_unknown_codes(table: Table, matcher: Matcher) -> None:
    """DataError where a table has the columns of votes, whose winners are unknown codes: keys, numbers."""
    known, pairs = _known(table)
    first = table.take(sampled_rows(len(table.frame)))
    for sides in pairs:
        winner = _winner_of(known, sides)
        if winner is None or sides.kind == WON or {sides.left, sides.right, winner} & set(table.twice):
            continue
        cells = np.concatenate([first.column(name, "--metadata") for name in (sides.left, sides.right)])
        images = matcher.match(cells).found, sum(map(looks_like_image, cells.tolist()))
        unknown = np.isnan(read_winners(table, _columns(known, sides))[0]) & ~missing(
            table.column(winner, "--metadata")
        )
        if 2 * max(images) > len(cells) and unknown.any():
            row = np.flatnonzero(unknown)[0]
            raise DataError(
                f"--metadata={table.name}: {sides.left}, {sides.right} and {winner} look like votes, but {winner} is "
                f"{table.column(winner, '--metadata')[row]!r} in line {table.frame.index[row]} (values: {some(values_of(table, winner), 4)}), which is no "
                "side; write left, right, tie or the winning image's name, or give --target to learn something else"
            )
