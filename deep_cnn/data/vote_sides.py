"""Which two columns of a table of votes name the images: by their names, and by the files that their cells mean."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deep_cnn.data.cells import missing
from deep_cnn.data.match import HOW, NAME, NUMBER, Match, Matcher, sampled_rows
from deep_cnn.data.table import Table, looks_like_image
from deep_cnn.runtime.errors import DataError

LEFT_AND_RIGHT, LETTERS, NUMBERS, FROM_ZERO = "left or right", "a or b", "1 or 2", "0 or 1"
ORDER, HEIGHT, WON = "first or second", "top or bottom", "won"
# words for left and right: English, German and Dutch, French, Spanish, Italian, Portuguese
LONG_WORDS = (
    ("left", "right"), ("links", "rechts"), ("gauche", "droite"), ("izquierda", "derecha"), ("sinistra", "destra"),
    ("esquerda", "direita"), ("linke", "rechte"), ("izquierdo", "derecho"), ("sinistro", "destro"), ("esquerdo", "direito"),
)  # fmt: skip
SHORT_WORDS = (("l", "r"), ("izq", "der"), ("sx", "dx"), ("esq", "dir"), ("li", "re"))
# two words that tell the columns of the two images apart, and what kind of words they are; the first found is the better one
KINDS = {
    ("left", "right"): LEFT_AND_RIGHT,
    ("1", "2"): NUMBERS,
    ("a", "b"): LETTERS,
    ("first", "second"): ORDER,
    ("winner", "loser"): WON,
    ("0", "1"): FROM_ZERO,
    ("top", "bottom"): HEIGHT,
    ("upper", "lower"): HEIGHT,
    **dict.fromkeys((*LONG_WORDS[1:], *SHORT_WORDS), LEFT_AND_RIGHT),
}
OF_AN_IMAGE = (
    "image", "img", "photo", "picture", "pic", "place", "stimulus", "stim", "id", "path", "file", "filename", "url", "uri", "link", "name",
)  # fmt: skip
_OTHERS = rf"(?:{'|'.join(OF_AN_IMAGE)})"
SIDE = re.compile(
    rf"(?P<before>(?:{_OTHERS}_?)*)(?P<side>{'|'.join(sorted({word for pair in KINDS for word in pair}, key=len, reverse=True))})"
    rf"(?P<after>(?:_?{_OTHERS})*)"
)
PARTS = re.compile(r"[\W_]+|(?<=[a-z])(?=[A-Z])|(?<=[^\W\d_])(?=\d)")


@dataclass(frozen=True)
class Sides:
    """The two columns of a pair, by their names in the table, and what kind of words tells them apart."""

    left: str
    right: str
    kind: str

    def __str__(self) -> str:
        return f"{self.left}, {self.right}"


def pairs_of_sides(known: dict[str, str]) -> list[Sides]:
    """All pairs of columns whose names say that they name the two images, the plainest names first.

    known: the table's columns by their words in small letters.
    """
    told = {found.groups(): name for word, name in known.items() if (found := SIDE.fullmatch(word))}
    pairs = [
        (rank, len(before) + len(after), Sides(name, told[before, second, after], kind))
        for rank, ((first, second), kind) in enumerate(KINDS.items())
        for (before, side, after), name in told.items()
        if side == first and (before, second, after) in told
    ]
    return list(dict.fromkeys(sides for *_, sides in sorted(pairs, key=lambda pair: pair[:2])))


def further_pairs(known: dict[str, str], pairs: Sequence[Sides]) -> list[Sides]:
    """Pairs of columns that may name the images if their cells do, whatever else their names say: shown_left and shown_right."""
    found = []
    for word, name in known.items():
        parts = word.split("_")
        for (first, second), kind in KINDS.items():
            for k in (k for k, part in enumerate(parts) if part == first and kind != WON):
                other = known.get("_".join([*parts[:k], second, *parts[k + 1 :]]))
                found += [] if other is None else [Sides(name, other, kind)]
    return [sides for sides in dict.fromkeys(found) if sides not in pairs]


def told_apart(left: str, right: str) -> tuple[str, bool] | None:
    """What tells the names of two columns apart, and whether they stand in reversed order (img_r, img_l); None for other words."""
    parts = [PARTS.split(name.strip()) for name in (left, right)]
    words = [[word.lower() for word in name if word] for name in parts]
    apart = [(a, b) for a, b in zip(*words, strict=False) if a != b] if len(words[0]) == len(words[1]) else []
    forms = [SIDE.fullmatch("_".join(name)) for name in words]
    if forms[0] and forms[1] and forms[0]["before"] == forms[1]["before"] and forms[0]["after"] == forms[1]["after"]:
        apart.append((forms[0]["side"], forms[1]["side"]))
    known = [(KINDS[a, b], False) for a, b in apart if (a, b) in KINDS]
    known += [(KINDS[b, a], True) for a, b in apart if (b, a) in KINDS]
    if known:
        return next((found for found in known if found[0] == LEFT_AND_RIGHT), known[0])  # 1_left, 2_right
    for one, other in LONG_WORDS:  # as a part of a longer word
        for exchanged, (a, b) in ((False, (one, other)), (True, (other, one))):
            if a in left.lower() and b in right.lower():
                return LEFT_AND_RIGHT, exchanged
    return None


@dataclass(frozen=True)
class Named:
    """What the cells of a pair of columns mean in some rows."""

    sides: Sides
    match: Match  # of the left cells, then of the right ones

    @property
    def files(self) -> np.ndarray:
        """The files of each row, int64 (n, 2)."""
        return self.match.positions.reshape(2, -1).T

    @property
    def way(self) -> int:
        """How the worse one of the columns names its files; -1 where it names none."""
        return min(
            int(np.bincount(ways + 1, minlength=2)[1:].argmax()) if ways.max() >= 0 else -1
            for ways in self._halves(self.match.ways)
        )

    @property
    def level(self) -> int:
        """NUMBER, STEM or NAME: how sure it is that the cells name these files."""
        return min(self.way, NAME)  # a path is no better than a file name

    @property
    def different(self) -> int:
        """How many files the cells of each column name."""
        return min(len(np.unique(files[files != -1])) for files in self._halves(self.match.positions))

    @staticmethod
    def _halves(values: np.ndarray) -> np.ndarray:
        return values.reshape(2, -1)

    def both(self, other: "Named") -> tuple[np.ndarray, np.ndarray]:
        """The files of the rows in which each of the two pairs has its two files."""
        rows = (self.files != -1).all(axis=1) & (other.files != -1).all(axis=1)
        return self.files[rows], other.files[rows]

    def same_order(self, other: "Named") -> bool:
        """Whether another pair names the same images on the same sides."""
        ours, theirs = self.both(other)
        return len(ours) > 0 and np.array_equal(ours, theirs)

    def same_images(self, other: "Named") -> bool:
        """Whether another pair names the same images, on whatever sides."""
        ours, theirs = self.both(other)
        return len(ours) > 0 and np.array_equal(np.sort(ours, axis=1), np.sort(theirs, axis=1))

    def beats(self, other: "Named") -> bool:
        """Whether another pair, which names different images, is clearly worse."""
        if self.level > other.level:
            return 2 * self.match.found >= other.match.found
        # ratings from 1 to 5 are names of 1.jpg to 5.jpg, too
        return self.different > 2 * other.different and 4 * self.match.found >= 3 * other.match.found

    def __str__(self) -> str:
        return f"{self.sides} ({HOW[self.way]})"


def named_images(table: Table, pairs: Sequence[Sides], further: Sequence[Sides], matcher: Matcher) -> list[Named]:
    """The pairs that name the images of a table, all of them the same two in each row; [] where no cell of a pair names a file.

    further: pairs whose names do not say that they name images; their numbers may be anything.

    Raises:
        DataError: two pairs that are equally good and name different images; numbers beside the names of files that are not there.
    """
    first = table.take(sampled_rows(len(table.frame)))
    cells = {
        sides: np.concatenate([first.column(name, "--metadata") for name in (sides.left, sides.right)])
        for sides in (*pairs, *further)
        if not {sides.left, sides.right} & set(table.twice)
    }
    everything = [Named(sides, matcher.match_values(said)) for sides, said in cells.items()]
    found = [named for named in everything if named.level >= NUMBER]
    if not found:
        return []
    sure = [named for named in found if named.sides in pairs or named.level > NUMBER]
    if not sure:
        return []
    best = max(sure, key=lambda named: (named.level, named.sides in pairs, named.different))
    for other in sure:
        named_so = best.sides in pairs and other.sides not in pairs  # left_image beside left_mask
        if other is best or best.same_images(other) or best.beats(other) or named_so:
            continue
        raise DataError(
            f"--metadata={table.name}: {best} and {other} name different images; name the right columns as --vote_columns=LEFT,RIGHT,WINNER"
        )
    if best.level == NUMBER:
        for sides, said in cells.items():
            names = [cell for cell in said[~missing(said)].tolist() if looks_like_image(cell) and "://" not in cell]
            if (
                sides in pairs
                and not any(named.sides == sides for named in found)
                and 2 * len(names) > (~missing(said)).sum()
            ):
                raise DataError(
                    f"--metadata={table.name}: no file of {sides} is there (e.g. {names[0]}), and {best.sides} fit only {HOW[NUMBER]}; check "
                    "--data_dir, or name the right columns as --vote_columns=LEFT,RIGHT,WINNER"
                )
    return [named for named in found if named is best or best.same_images(named)]
