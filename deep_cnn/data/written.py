"""Names of images within other text (HTML, Markdown, JSON, formulas of spreadsheets), and what they say beside a column of numbers."""

import functools
import html
import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from deep_cnn.config.registries import IMAGE_ENDINGS

OPENING = frozenset("<!['\"=“„‘«`{")  # with which a cell begins that may hold a name
CLOSING = {"'": "'", '"': '"', "“": "”", "„": "“”", "‘": "’", "«": "»", "`": "`"}
ENDING = r"(?:" + "|".join(sorted(map(re.escape, IMAGE_ENDINGS), reverse=True)) + r")(?![A-Za-z0-9])"
ENDED = re.compile(rf"{ENDING}(?!{ENDING})", re.IGNORECASE)
BETWEEN = re.compile(r"[\s\"'“”„‘’«»<>()\[\]{}=,;|?&#/\\]")  # before a file name without its folders
LONGEST = 255  # bytes of a file name
NUMBER = re.compile(r"[0-9]{1,18}")
BETWEEN_WORDS = re.compile(r"[\W_]+")
NUMBERED = re.compile(r"[^\W\d_]*([0-9]{1,18})")
SRC = re.compile(r"\ssrc\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>\"']+))", re.I)
MARKDOWN = re.compile(r"!?\[[^\]]*\]\(\s*<?(.+?)>?(?:\s+(?:\"[^\"]*\"|'[^']*'))?\s*\)")
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"|\'([^\']*)\'')  # of JSON, or of Python
LINK = re.compile(r'=\s*(?:HYPERLINK|IMAGE)\(\s*"([^"]*)"\s*(?:[,;].*)?\)', re.I | re.DOTALL)
IS_NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)?")
WORDED = re.compile(r"[^\W\d_]|^[#('\"“‘\[]")  # Place 27, loc_27, 27 - street, #27, '27'; not 2024-01-27
MEASURED = re.compile(r"\W*\d+(?:[.,]\d+)?\s*(?:[^\W\d_]{1,8}\.?|%)")  # 27 km, 27th
ENOUGH_NAMES = 0.1  # of the rows
AGREED = 0.9  # of the cells that a column agrees with another one
FEW_TEXTS = 12  # kinds of images rather than images


def file_names(text: str) -> list[str]:
    """The different names of images in a text, without their folders, in order."""
    heads = ((text[max(0, found.start() - LONGEST) : found.start()], found[0]) for found in ENDED.finditer(text))
    names = (BETWEEN.split(head)[-1] + ending for head, ending in heads)
    return list(dict.fromkeys(name for name in names if not name.startswith(".")))


def whole_numbers(text: str) -> list[int]:
    """The whole numbers in a text in order, each as long as it can be: 7 and 12 of a/007-b12.jpg."""
    return [int(digits) for digits in NUMBER.findall(text)]


def numbers_of_names(text: str) -> set[int]:
    """The numbers of the files that a text names: 27 of street-27.jpg, IMG27.jpg and 3f2a8c1d-27.jpg, whose first part is a hash."""
    words = (word for name in file_names(text) for word in BETWEEN_WORDS.split(name))
    return {int(found[1]) for word in words if (found := NUMBERED.fullmatch(word))}


def candidates(text: str) -> Iterator[str]:
    """What may be the name of an image within a text, the longest first: a name may have blanks and brackets."""
    for found in ENDED.finditer(text):
        starts = (
            k for k in range(max(0, found.start() - LONGEST), found.start()) if k == 0 or not text[k - 1].isalnum()
        )
        yield from (text[k : found.end()] for k in starts)


def unwrapped(text: str) -> str:
    """The one name of an image that a cell holds: a.jpg of '<img src="a.jpg">', '![](a.jpg)', '["a.jpg"]' and '"a.jpg"'.

    The text itself where it has none or several. No path of an image is changed: it ends in an image's ending.
    """
    if text[:1] not in OPENING or len(file_names(text)) != 1:
        return text
    found = dict.fromkeys(name for name in map(_without_query, _names(text)) if ENDED.search(name[name.rfind(".") :]))
    return next(iter(found)) if len(found) == 1 else text


def _names(text: str) -> list[str]:
    first, last = text[0], text[-1]
    if first == "<" and last == ">":
        return [html.unescape("".join(parts)) for parts in SRC.findall(text)]
    if found := MARKDOWN.fullmatch(text) or LINK.fullmatch(text):
        return [found[1]]
    if first + last in ("[]", "{}"):
        return [_of_json(double) or single for double, single in STRING.findall(text)]
    return [text[1:-1]] if last in CLOSING.get(first, "") and len(text) > 1 and first not in text[1:-1] else []


def _of_json(inside: str) -> str:
    try:
        return str(json.loads(f'"{inside}"'))
    except ValueError:  # C:\photos\1.jpg, as people write it
        return inside


def _without_query(name: str) -> str:
    """A name as the disk has it: addresses in pages have queries."""
    name = name.strip()
    return name if ENDED.fullmatch(name[name.rfind(".") :]) else re.split("[?#]", name, maxsplit=1)[0]


@dataclass(frozen=True)
class Said:
    """What the cells of a column say about images, beside a column of numbers.

    Attributes:
        rows: (number, cell) of each row where both are. images: those whose cells have the name of an image, or all if none has.
        names_images: whether there are enough names of images. files: the numbers that files are named.
    """

    files: Collection[int]
    rows: list[tuple[int, str]]
    images: list[tuple[int, str]]
    names_images: bool

    @classmethod
    def of(cls, cells: Sequence[str], numbers: Sequence[int | None], files: Collection[int]) -> "Said":
        """numbers: those of the column that may name the images, None where a cell has none."""
        both = zip(numbers, (" ".join(cell.split()) for cell in cells), strict=True)
        rows = [(number, cell) for number, cell in both if number is not None and cell]
        images = [(number, cell) for number, cell in rows if file_names(cell)]
        # few trials of an experiment show images; few comments name them
        names_images = len(images) >= ENOUGH_NAMES * len(cells) or 2 * len(images) > len(rows) > 0
        return cls(files, rows, images if names_images else rows, names_images)

    @property
    def example(self) -> str:
        """A cell to show; `rows` may not be empty."""
        return self.images[0][1]

    @functools.cached_property
    def agrees(self) -> bool:
        """Whether nearly all cells have the number of the row's image in them: in the names of their images, if these tell them apart."""
        names = [" ".join(file_names(cell)) for _, cell in self.images]
        by_name = self.names_images and self.within_range and 2 * len(set(names)) > len({n for n, _ in self.images})
        texts = names if by_name else [cell for _, cell in self.images]
        agreed = sum(
            number in whole_numbers(unquote(text)) for (number, _), text in zip(self.images, texts, strict=True)
        )
        return agreed >= AGREED * len(self.images)

    @property
    def within_range(self) -> bool:
        """Whether the names have numbers as files here have them, so that they may name other ones."""
        own = [numbers_of_names(cell) for _, cell in self.images]
        return 2 * sum(any(number in self.files for number in found) for found in own) > len(own)

    def numbered(self, count: int) -> bool:
        """Whether most cells are words with a number, such as Place 27, and these are the numbers of nearly so many files."""
        found = [whole_numbers(cell) for _, cell in self.rows if WORDED.search(cell) and not MEASURED.fullmatch(cell)]
        if 2 * len(found) <= len(self.rows):
            return False
        for place in (0, 1, 2, -1, -2, -3):
            at = [numbers[place] for numbers in found if len(numbers) > (place if place >= 0 else -place - 1)]
            within = {number for number in at if number in self.files}
            if 2 * len(at) > len(self.rows) and len(within) > 1 and len(within) >= AGREED * count:
                return True
        return False

    def tells_apart(self, count: int) -> bool:
        """Whether the cells are texts, and as different as names of images would be."""
        texts = {cell for _, cell in self.rows if not IS_NUMBER.fullmatch(cell)}
        return len(texts) > FEW_TEXTS or (len(texts) > 1 and 2 * len(texts) >= count)
