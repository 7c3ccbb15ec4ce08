"""Columns of text that may be something else than one class a cell: several labels, or numbers with words and signs."""

import html
import re
from collections import Counter

import numpy as np

from deep_cnn.data.cells import parse

FEW = 20  # whole numbers with at most this many values may be classes: ratings, floors, digits
MANY = 0.1  # share of cells that hold several labels from which on it is no accident
# How other programs separate several labels in a cell; ";" is ours
SEVERAL = {"list": "written as a list", "#": "written as hashtags"} | {
    separator: f"separated by {'blanks' if separator == ' ' else repr(separator)}" for separator in "|、；,，،/\n+&· "
}
SURE = ("list", "#", "|", "、", "；")  # which separate labels also where none of them recurs
# the same and others, between texts that all are labels of other cells
BETWEEN = re.compile(r"\s+(?:and|und|et|y|e|-)\s+|[|、；,，،/\n+&·>:#]|__", re.IGNORECASE)
HASHTAGS = re.compile(r"(?:#[^\s#,]+[\s,]*){2,}")
ENTITY = re.compile(r"&(?:[a-zA-Z]+|#\d+|#x[0-9a-fA-F]+);")  # of HTML: bed &amp; breakfast
DIGITS = re.compile(r"\d+(?:[.,'’]\d+|[ \u00a0\u202f]\d{3}(?!\d))*")
THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
FRACTION = re.compile(r"\d+[.,]\d+")
MEASURE = re.compile(r"[^\w#]*#")  # a number behind at most a few signs
# words before numbers that are amounts, however few: currencies, and that a number is not exact
CURRENCIES = (
    "chf usd eur gbp jpy cny rmb inr rs rp idr krw twd hkd sgd aud cad nzd brl mxn sek nok dkk isk pln czk huf rub zar"
)
AMOUNTS = frozenset(
    f"{CURRENCIES} sfr fr kr kč zł ca circa cca approx approximately about around roughly etwa rund environ".split()
)
PLAIN = ("#", "-#", "+#")
VERSIONS = frozenset(("v", "ver", "version", "release", "model"))  # whose points are no decimal ones
RECURRING = 5  # cells of each number from which on numbers behind a word, such as Plot 117, are names
OF_CLASSES = re.compile(
    "class(?:es)?|labels?|categor(?:y|ies)|species|breeds?|genus|klasse|kategorie|classe|categoria|catégorie|especie"
)
MOST_TEXTS = 300  # different ones that are compared with each other
SAME_FORM = 0.9  # share of cells
LIST = re.compile(r"\[.*\]|\{.*\}|\(.*,.*\)", re.DOTALL)  # ['a', 'b'], {"choices": [...]}, (a, b): Python, NumPy, JSON


def unescaped(cell: str) -> str:
    """With the letters that HTML's entities mean; R&B; has none."""
    return ENTITY.sub(lambda found: html.unescape(found[0]), cell) if "&" in cell else cell


def speaks_of_classes(name: str) -> bool:
    """Whether a column is called class, fine_label, label_index, taxon_id, speciesId and the like."""
    words = re.split(r"[\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip()).lower())
    if len(words) > 1 and words[-1] in ("id", "ids"):
        return True
    if len(words) > 1 and words[-1] in ("no", "nr", "number", "index", "idx", "code"):
        words.pop()
    return OF_CLASSES.fullmatch(words[-1]) is not None


def doubtful_semicolons(cells: np.ndarray, name: str, separator: str) -> str:
    """What to say where a ';' may be a part of a text, or a slip in a number: few cells have one, or none of the parts recurs."""
    several = [cell for cell in cells if ";" in unescaped(cell)]
    lists = [frozenset(part.strip() for part in unescaped(cell).split(";") if part.strip()) for cell in several]
    single = {cell.strip() for cell in cells if ";" not in unescaped(cell)}
    times = Counter(part for parts in set(lists) for part in parts)
    known = {part for part, count in times.items() if part in single or count > 1}  # labels that recur
    if len(several) >= MANY * len(cells):
        texts = sorted(set(cells.tolist()))[:MOST_TEXTS]
        recurs = any(
            part in other for cell in texts for part in unescaped(cell).split(";") for other in texts if other != cell
        )
        vectors = parse(np.array(sorted(times), dtype=object), separator).all_read  # which have a message of their own
        if known or recurs or vectors or max(map(len, lists)) < 2:
            return ""
    else:
        amounts = parse(np.array(sorted(single), dtype=object), separator).share >= 0.5
        if not amounts and any(len(parts & known) > 1 for parts in lists):
            return ""
    return (
        f"--target={name}: {len(several):,} of {len(cells):,} cells {'has' if len(several) == 1 else 'have'} ';' (e.g. {several[0]!r}), which "
        "separates labels; correct these cells, or use --task=multilabel if they hold several labels, --task=classification if they do not"
    )


def several_labels(cells: np.ndarray, name: str) -> str:
    """What to say where many cells hold several labels that are not separated by ';', whose combinations are no classes."""
    plain = {cell: THOUSANDS.sub("", cell) for cell in cells}
    for separator, how in SEVERAL.items():
        form = {"list": LIST, "#": HASHTAGS}.get(separator)
        several = [cell for cell in cells if (form.fullmatch(cell) if form else separator in plain[cell])]
        if len(several) < max(MANY * len(cells), 2):
            continue
        if separator not in SURE and not _labels_recur(set(plain.values()), separator):
            continue
        return (
            f"--target={name}: {len(several):,} of {len(cells):,} cells seem to hold several labels {how} (e.g. "
            f"{several[0]!r}); write ';' between labels, or use --task=classification to learn each combination as a class"
        )
    return ""


def measures(cells: np.ndarray, name: str) -> str:
    """What to say where cells are numbers written with the same signs or letters: 450 k, (1.5), <3, 2±1, 12:30, 2020-05-01, CHF 900."""
    forms = Counter(DIGITS.sub("#", cell) for cell in cells.tolist())
    plain = sum(forms[form] for form in PLAIN)  # among them, as negative ones in brackets have beside them
    if 0 < plain < SAME_FORM * len(cells):
        forms = Counter({form: count for form, count in forms.items() if form not in PLAIN})
    else:
        plain = 0
    heads: Counter[str] = Counter()
    for form, count in forms.items():
        heads[form.partition("#")[0]] += count if "#" in form else 0
    if not heads.total():
        return ""
    head, alike = heads.most_common(1)[0]
    amount = _word(head) in AMOUNTS or head.strip().lower() == "c." or head.rstrip()[-1:] in tuple("$€£¥₹₽₩")
    if head[-1:].isalpha() and len(_word(head)) < 3:
        amount &= len(set(cells)) > FEW  # Rs950 and Rs1150, but FR1 and FR2
    form, same = forms.most_common(1)[0]
    if not amount:
        head, alike = form.partition("#")[0], same  # what is behind the numbers is the same, too
    if alike + plain < SAME_FORM * len(cells):
        return ""  # 001.Albatross is a name
    these = [cell for cell in cells if DIGITS.sub("#", cell) in forms]
    these = [cell for cell in these if (cell.startswith(head) if amount else DIGITS.sub("#", cell) == form)]
    if not amount and not _amounts(these, head):
        return ""
    if amount and len(set(these)) <= 2:
        return ""
    return (
        f"--target={name}: {alike:,} of {len(cells):,} cells hold numbers with something else (e.g. {these[0]!r}); write the numbers alone, or "
        "use --task=classification to learn each of these texts as a class"
    )


def _word(head: str) -> str:
    return re.sub(r"[\W_]+", " ", head).strip().casefold()


def _amounts(cells: list[str], head: str) -> bool:
    """Whether texts of one form, with `head` before their first number, are amounts rather than names or bins: not Grade 1."""
    rows = [DIGITS.findall(cell) for cell in cells]
    distinct, first = len(set(cells)), {row[0] for row in rows if row}
    fraction = any(FRACTION.fullmatch(number) for number in first)
    if MEASURE.match(f"{head}#"):
        if distinct > FEW:
            return True
        one_number = len({tuple(row[1:]) for row in rows}) == 1  # 3.5/5; but 0.5-1.0 is a bin
        return fraction and one_number and distinct > 2  # ages of 18-30, 3 rooms, 1.5T and 3T: they may be classes
    if head[-1:].isalpha() or _word(head) in VERSIONS:  # n01440764, T1, C50.9
        return False
    if fraction:
        return distinct > 2
    if distinct <= FEW or len(cells) >= RECURRING * distinct or any(number[0] == "0" < number[1:] for number in first):
        return False
    numbers_of = [int(re.sub(r"\D", "", number)) for number in first]
    return len(first) < (max(numbers_of) - min(numbers_of) + 1) / 2  # site 1 to site 25 are names


def _labels_recur(cells: set[str], separator: str) -> bool:
    """Whether the parts of different cells are the same few labels; those of "Boston, MA" and "Paris, France" are not."""
    parts = [[part.strip() for part in cell.split(separator) if part.strip()] for cell in cells]
    words = [word for part in parts for word in part]
    if separator == " " and not all(word.isdecimal() for word in words):  # names of classes have blanks, too
        several = max(map(len, parts)) > 3 and 2 * len(set(words)) <= len(words)
        if not several:
            return False
    places = {(word, place) for part in parts for place, word in enumerate(part)}
    in_columns = len({len(part) for part in parts}) == 1 and len(places) == len(set(words))  # city, state
    return not in_columns and len(set(words)) <= 0.75 * len(words)


def combinations(name: str, classes: list[str]) -> list[str]:
    """A line about classes that are several others in one cell: 'trees, cars' beside 'trees' and 'cars'."""
    known, found = set(classes), {}
    for label in classes:
        for between in (BETWEEN, re.compile(r"\s+")):
            parts = [part.strip() for part in between.split(label) if part.strip()]
            if len(set(parts)) > 1 and known.issuperset(parts):
                found[label] = parts
    if not found:
        return []
    label, parts = next(iter(found.items()))
    more = f" ({len(found):,} such classes)" if len(found) > 1 else ""
    return [
        f"{name}: {label!r} is a class of its own beside {' and '.join(map(repr, parts))}{more}; if its images have several labels, write "
        "';' between them"
    ]
