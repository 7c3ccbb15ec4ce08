"""Names of images within other text: HTML, Markdown, JSON and formulas of spreadsheets."""

import html
import json
import re
from collections.abc import Iterator

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
