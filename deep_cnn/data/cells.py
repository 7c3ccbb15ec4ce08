"""What the cells of a table mean: missing or not, numbers in the notations of several countries, labels in several spellings."""

import functools
import html
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pandas as pd

from deep_cnn.data.table import Lines, Table, visible
from deep_cnn.runtime.errors import ConfigError, DataError
from deep_cnn.runtime.format import some

# Missing values as R, pandas, Excel (also the German one), SQL, MySQL's files, SAS, MATLAB, ARFF and people write them, in any case
MISSING = frozenset(
    [
        "na",
        "n/a",
        "n.a.",
        "nan",
        "null",
        "<na>",
        "<null>",
        "(null)",
        "[null]",
        "nat",
        "#n/a",
        "#na",
        "#nv",
        "#n/d",
        "<undefined>",
        "<missing>",
        "-nan",
        "1.#ind",
        "-1.#ind",
        "1.#qnan",
        "-1.#qnan",
        "\\n",
        "-",
        "--",
        "---",
        "–",
        "—",
        ".",
        "..",
        "...",
        "…",
        "?",
    ]
) | {"", "#n/a n/a"}
SHEET_ERROR = re.compile(r"#[^\s!?]+[!?]")  # what a spreadsheet shows instead of a value: #DIV/0!, #WERT!, #NAME?
EXTENDED = re.compile(r"\.[a-zA-Z_]")  # Stata's and SAS's reasons why a number is missing: .a to .z
EXACTLY_MISSING = frozenset(("None", "NONE"))  # Python's; "none" is a word: none, mild, severe
DECIMAL_COMMA = re.compile(r"[+-]?(?:\d{1,3}(?:[. \u00a0\u202f'’]\d{3})+|\d*),\d+(?:[eE][+-]?\d+)?")
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:[, \u00a0\u202f'’]\d{3})+(?:\.\d+)?")
CURRENCY = re.compile(r"[+-]?[$€£¥]\s?\d[\d.,]*|[+-]?\d[\d.,]*\s?[$€£¥]")
PERCENT = re.compile(r"[+-]?\d+(?:[.,]\d+)?\s?[%‰]")
DEGREES = re.compile(r"[+-]?\d{1,3},\d+")  # 47,37: no latitude has thousands
POINTS = re.compile(r"[+-]?[1-9]\d{0,2}(?:\.\d{3})+")  # 1.234 among decimal commas
WHOLE = re.compile(r"[+-]?\d{1,3}")
SEVERAL_CELLS = 3  # so many different ones are no chance
MOST_RATINGS = 30  # of an image, whose mean may end in whatever three digits
MARKS = (777, 888, 997, 998, 999)  # of missing values
PLAIN_THOUSANDS = re.compile(r"\.\d{3}[.,]")  # 1.234.567 and 1.234,5
IDENTIFIER = re.compile(r"0\d+|\d{16,}")  # 02139 is not 2139, and float64 has 15 digits
FULL_WIDTH = re.compile("[\uff0b-\uff0e\uff10-\uff19]")
ONE_NUMBER = re.compile(r"\+?(-?)(0|[1-9]\d*)(?:\.(\d*?)0*)?")  # 3, 3.0, 3.50; not 007
SEPARATORS_OF_NUMBERS = re.compile("[. \u00a0\u202f'’]")
ALIKE = str.maketrans(
    dict.fromkeys("_-‐‑‒–—−’‘`´ʼ“”„'\".,/\\()[]{}", " ")
)  # with blanks; what is left of + # < > may be all that a label is told by
AROUND = "/\\.,'\"()[]{} "  # but not the dash of the mark A-
DECIMAL_DIGITS = 28  # that Decimal keeps
ANY_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?")  # also 007, .5 and 1e3
ADDRESS = re.compile(r"^https?://(?:www\.)?")
MIDNIGHT = re.compile(r"(?<=\d)[ t]00:00(?::00(?:\.0+)?)?z?$")  # pandas writes a date so where others have a time
ZEROS = re.compile(r"(?<![\d.,])0+(?=\d)")  # site 01
DAY_MONTH_YEAR = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})")
MONTH_DAY_YEAR = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})")
SHORT_WORDS = {"t": "true", "f": "false", "y": "yes", "n": "no"}
ROUNDED = re.compile(r"\d(?:[.,]\d+)?[eE]\+(?:0?9|\d\d)")  # 1.23E+15: so a spreadsheet shows and saves long numbers
COMMA_SEPARATORS = (";", "\t", "|")  # separators of columns that leave the comma to numbers
# a second condition in the value of the first one: "1 and votes<5"
ANOTHER = re.compile(r"(?:\b(?:and|or)\b|&|\||[,;])\s*[^=!<>]+(?:==|!=|<=|>=|<|>)", re.IGNORECASE)
COMPARISONS = {
    "==": np.equal,
    "!=": np.not_equal,
    "<=": np.less_equal,
    ">=": np.greater_equal,
    "<": np.less,
    ">": np.greater,
}


# --- missing ---------------------------------------------------------------------------------------------------------


def is_missing(cell: str) -> bool:
    """Whether a cell means that there is no value."""
    if cell in EXACTLY_MISSING or cell.lower() in MISSING:
        return True
    return bool(SHEET_ERROR.fullmatch(cell) or EXTENDED.fullmatch(cell))


def missing(cells: np.ndarray) -> np.ndarray:
    """Which cells mean that there is no value, bool (M,)."""
    return of_each(cells, is_missing).astype(bool)


def one_cell(labels_of_image: Iterable[str]) -> str:
    """Several labels as a cell of a table has them.

    Raises:
        DataError: a label with a semicolon, which would be two.
    """
    several = list(labels_of_image)
    if bad := [label for label in several if ";" in label]:
        raise DataError(f"the label {bad[0]!r} has a semicolon, which separates labels; rename it")
    return ";".join(several)


def spelled(cells: Iterable[str]) -> str:
    """The spellings of missing cells with their counts: 'NA: 6, empty: 2'."""
    counts = Counter(cells).most_common(5)
    return ", ".join(f"{cell or 'empty'}: {count:,}" for cell, count in counts)


def of_each(cells: np.ndarray, function: Callable[[str], object]) -> np.ndarray:
    """A function of each cell, object (M,), called once for each different cell."""
    codes, distinct = pd.factorize(cells)
    return np.array([function(cell) for cell in distinct], dtype=object)[codes]


# --- numbers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Numbers:
    """Cells read as numbers.

    Attributes:
        missing: bool (M,). values: float64 (M,), NaN where missing and where a cell is no number.
        notation: what makes cells numbers that are not read: "decimal commas", "percent signs"...; "" where there are none.
        written: which cells are so, bool (M,).
    """

    missing: np.ndarray
    values: np.ndarray
    notation: str
    written: np.ndarray

    @property
    def share(self) -> float:
        """The share of numbers, in whatever notation, among the cells that are not missing; 0 when all are missing."""
        present = ~self.missing
        return float((~np.isnan(self.values) | self.written)[present].mean()) if present.any() else 0.0

    @property
    def all_read(self) -> bool:
        """Whether each cell that is not missing is a number that was read."""
        return bool((~self.missing).any() and not np.isnan(self.values[~self.missing]).any())


def parse(cells: np.ndarray, separator: str = ",") -> Numbers:
    """Read numbers. Decimal commas are read where the table's separator of columns is another sign and no cell contradicts."""
    codes, distinct = pd.factorize(np.asarray(cells, dtype=object))
    empty = np.array([is_missing(cell) or cell.lower() == "none" for cell in distinct], dtype=bool)
    texts = np.where(empty, "nan", [_digits(cell) for cell in distinct]).astype(object)
    values = pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce").to_numpy(dtype=np.float64).copy()
    strange = np.flatnonzero(np.isnan(values) & ~empty)
    notation, written = "", np.zeros(len(distinct), dtype=bool)
    if len(strange):
        written[strange] = [_number_like(cell) for cell in texts[strange]]
        notation = _notation(texts[written], texts[~empty & ~np.isnan(values)])
    if notation == "decimal commas" and separator in COMMA_SEPARATORS:
        with_points = np.array([bool(POINTS.fullmatch(cell)) for cell in texts], dtype=bool) & ~empty
        if with_points.any() and not any(PLAIN_THOUSANDS.search(cell) for cell in texts[written | with_points]):
            return Numbers(
                empty[codes], values[codes], "decimal commas beside points that may be decimal, too", with_points[codes]
            )
        values[written | with_points] = [_from_commas(cell) for cell in texts[written | with_points]]
        notation, written = "", np.zeros(len(distinct), dtype=bool)
    elif not notation and (points := _thousands_points(texts, empty)).any():
        notation, written, values[points] = "points that separate thousands", points, np.nan
    return Numbers(empty[codes], values[codes], notation, written[codes])


def _thousands_points(texts: np.ndarray, empty: np.ndarray) -> np.ndarray:
    """Which numbers are written with points between thousands, bool (M,): 850, 1.200, 45.300; 353, 1.216, 8.705.

    Decimals would all have three digits, and yet the other numbers, all of them whole, would have none. Of few cells that may be
    chance, unless decimals would have zeros at the end, or the whole numbers would be far larger than all others.
    """
    points = np.array([bool(POINTS.fullmatch(cell)) for cell in texts], dtype=bool) & ~empty
    nowhere = np.zeros(len(texts), dtype=bool)
    others = texts[~points & ~empty]
    if not (points.any() and len(others)) or not all(WHOLE.fullmatch(cell) for cell in others):
        return nowhere
    whole = [abs(int(cell)) for cell in others]
    zeros = any(cell.endswith("0") for cell in texts[points])
    if zeros and max(whole) >= 100:
        return points
    if min(int(points.sum()), len(others)) >= SEVERAL_CELLS:
        return nowhere if _means(texts[points]) else points
    decimal = [abs(float(cell)) if cell.count(".") == 1 else np.inf for cell in texts[points]]
    far = all(value >= 100 and value not in MARKS and value > 10 * max(decimal) for value in whole)
    return points if far and len(decimal) >= SEVERAL_CELLS else nowhere


def _means(cells: Iterable[str]) -> bool:
    """Whether the digits behind the point are those of means of equally many ratings: 1.333 and 2.667 of three."""
    behind = {int(cell.rpartition(".")[2]) for cell in cells}
    if any(cell.count(".") > 1 for cell in cells):
        return False
    return any(behind <= {round(1000 * k / n) for k in range(n)} for n in range(3, MOST_RATINGS + 1))


def _digits(cell: str) -> str:
    """Minus signs and digits as ASCII has them: of Word, and of Chinese and Japanese keyboards."""
    if cell.isascii():
        return cell
    return FULL_WIDTH.sub(lambda found: unicodedata.normalize("NFKC", found[0]), cell.replace("\u2212", "-"))


def numbers(cells: np.ndarray, lines: Lines, what: str, separator: str = ",") -> np.ndarray:
    """Text to float64 (M,), missing cells to NaN.

    Raises:
        DataError: a cell that is no number, an infinite one, or one in a notation that is not read; names its line.
    """
    read = parse(cells, separator)
    if read.notation:
        row = int(np.flatnonzero(read.written)[0])
        raise DataError(
            f"{what}: {cells[row]!r} in line {lines[row]}: {read.notation} ({int(read.written.sum()):,} such cells); "
            f"{_remedy(read.notation)}"
        )
    wrong = np.flatnonzero(~read.missing & np.isnan(read.values))
    if len(wrong):
        raise DataError(
            f"{what}: {cells[wrong[0]]!r} in line {lines[wrong[0]]} is not a number ({len(wrong):,} such cells); correct them, or "
            + (
                "use --task=classification for a column of classes"
                if what.startswith("--target=")
                else "leave them empty"
            )
        )
    endless = np.flatnonzero(np.isinf(read.values))
    if len(endless):
        raise DataError(
            f"{what}: infinite value in line {lines[endless[0]]} ({len(endless):,} such cells); "
            f"correct them, or leave the cells empty to ignore them"
        )
    return read.values


def coordinate(cell: str, limit: float) -> float | None:
    """Degrees with a decimal point or comma, NaN for a missing cell; None for what is not between -limit and limit."""
    cell = cell.strip()
    try:
        value = float(cell)
    except ValueError:
        if is_missing(cell):
            return math.nan
        if not DEGREES.fullmatch(cell):
            return None
        value = float(cell.replace(",", "."))
    return value if math.isnan(value) or abs(value) <= limit else None


def _number_like(cell: str) -> bool:
    return any(form.fullmatch(cell) for form in (DECIMAL_COMMA, THOUSANDS, PERCENT, CURRENCY))


def _notation(strange: np.ndarray, plain: np.ndarray) -> str:
    """What these cells have in common; plain: the cells of the column that are numbers as they stand."""
    if not len(strange):
        return ""
    if any(PERCENT.fullmatch(cell) for cell in strange):
        return "percent signs"
    if any(CURRENCY.fullmatch(cell) for cell in strange):
        return "signs of a currency"
    commas = [bool(DECIMAL_COMMA.fullmatch(cell)) for cell in strange]
    thousands = [bool(THOUSANDS.fullmatch(cell)) for cell in strange]
    points = any("." in cell and not POINTS.fullmatch(cell) for cell in plain)
    if all(commas) and not all(thousands):
        return "decimal commas beside decimal points" if points else "decimal commas"
    if all(thousands) and (points or not all(commas)):
        return "thousands separators"
    return "commas that may be decimal or separate thousands"


def _remedy(notation: str) -> str:
    return {
        "percent signs": "write 10 or 0.1 for 10%",
        "signs of a currency": "write the numbers alone",
        "decimal commas": "write decimal points, or separate the columns by semicolons; several labels are separated by ';'",
        "thousands separators": "write 1000 for 1,000",
        "points that separate thousands": "write 1200 for 1.200, or 1.2000 if the point is a decimal one",
        "decimal commas beside decimal points": "write all of them in one way",
        "decimal commas beside points that may be decimal, too": "write all of them in one way: 1200 for one thousand two hundred",
    }.get(notation, "write 1000 or 1.000")


def _from_commas(cell: str) -> float:
    return float(SEPARATORS_OF_NUMBERS.sub("", cell).replace(",", "."))


# --- labels ----------------------------------------------------------------------------------------------------------


def label_key(cell: str, separator: str = ",") -> str:
    """The same for spellings of one label: 1 and 1.0, True and TRUE, composed accents or not, any blanks.

    separator: of the table's columns; where it is not a comma, 1,0 is 1, too.
    """
    if not cell.isascii():
        cell = visible(unicodedata.normalize("NFC", cell))
    cell = " ".join(cell.split())
    number = cell.replace(",", ".", 1) if "," in cell and separator in COMMA_SEPARATORS else cell
    if found := ONE_NUMBER.fullmatch(number):
        sign, whole, rest = found.groups()
        return f"{sign}{whole}.{rest}" if rest else whole if whole == "0" else f"{sign}{whole}"
    return cell.capitalize() if cell.lower() in ("true", "false") else cell


def labels(cells: np.ndarray, what: str, separator: str = ",") -> tuple[np.ndarray, list[str]]:
    """Each cell's label in one spelling, object (M,), and lines for the log.

    A label that is always spelled in one way keeps it. what: names the column in the notes; separator: of the columns.
    """
    codes, distinct = pd.factorize(cells)
    spellings: dict[str, list[str]] = {}
    for cell in distinct:
        spellings.setdefault(label_key(cell, separator), []).append(cell)
    chosen = {key: same[0] if len(same) == 1 else key for key, same in spellings.items()}
    notes = []
    if same := [" and ".join(map(repr, sorted(words))) for words in spellings.values() if len(words) > 1]:
        notes.append(f"{what}: {some(same, between='; ')} are each taken as one")
    if rounded := [cell for cell in distinct if ROUNDED.fullmatch(cell)]:
        notes.append(
            f"{what}: {rounded[0]} looks like a long number that a spreadsheet has rounded, so several may have become one; if so, "
            "export the column as text"
        )
    if near := [" and ".join(map(repr, sorted(names))) for names in _near(chosen)]:
        more = f" ({len(near):,} such cases)" if len(near) > 1 else ""
        notes.append(f"{what}: {near[0]} are not the same{more}; correct the table if they should be")
    words = np.array([chosen[label_key(cell, separator)] for cell in distinct], dtype=object)
    return words[codes] if len(distinct) else cells, notes


def alike(names: Iterable[str]) -> list[list[str]]:
    """Names that people take for one: they differ in blanks around them or as `labels` warns of."""
    near: dict[str, list[str]] = {}
    for name in names:
        near.setdefault(_rough(label_key(name)), []).append(name)
    return [sorted(same) for same in near.values() if len(same) > 1]


def _near(chosen: dict[str, str]) -> list[list[str]]:
    """Labels that differ only in letter case, accents, signs between words, or how a number or a date is written; T and TRUE."""
    near: dict[str, list[str]] = {}
    for key, name in chosen.items():
        near.setdefault(_rough(key), []).append(name)
    return [names for names in near.values() if len(names) > 1]


def _rough(label: str) -> str:
    number = label.strip("'")  # '3 is text in Excel
    number = number.replace(",", "") if THOUSANDS.fullmatch(number) else number.replace(",", ".", 1)
    # 3 and 3,0 are one only where the columns are not separated by commas
    if len(number) <= DECIMAL_DIGITS and ANY_NUMBER.fullmatch(number):
        return str(Decimal(number).normalize() + 0)
    letters = unicodedata.normalize("NFKD", html.unescape(_decoded(label)).casefold())
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    plain = MIDNIGHT.sub("", ADDRESS.sub("", plain))
    plain = MONTH_DAY_YEAR.sub(r"\3 \1 \2", DAY_MONTH_YEAR.sub(r"\3 \2 \1", plain))
    plain = re.sub(" +", " ", ZEROS.sub("", plain).strip(AROUND).translate(ALIKE))
    return SHORT_WORDS.get(plain, plain) or label


def _decoded(label: str) -> str:
    """The letters of UTF-8 that was read as Windows-1252: Zürich of ZÃ¼rich."""
    try:
        return label if label.isascii() else label.encode("cp1252").decode("utf-8")
    except UnicodeError:
        return label


# --- conditions ------------------------------------------------------------------------------------------------------


def parse_where(text: str) -> tuple[str, str, str]:
    """ "num_votes>=5" -> ("num_votes", ">=", "5"). Quotes around the value are dropped."""
    found = re.fullmatch(r"\s*(.+?)\s*(==|!=|<=|>=|<|>)\s*(.*?)\s*", text, flags=re.DOTALL)
    if not found:
        raise ConfigError(
            f'--where={text}: expected COLUMN, one of == != < <= > >=, and a value, e.g. --where="city==Boston"'
        )
    column, sign, value = found.groups()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" and value[0] not in value[1:-1]:
        return column, sign, value[1:-1]
    if ANOTHER.search(value):
        raise ConfigError(f"--where={text}: several conditions; give --where once for each of them (all must hold)")
    return column, sign, value


def where_mask(table: Table, condition: str) -> np.ndarray:
    """The rows that satisfy one condition, bool (M,).

    Numbers are compared as numbers; a missing one is unlike any (!=) and satisfies nothing else. `==` without a value
    means missing.
    """
    column, sign, value = parse_where(condition)
    cells = table.column(column, "--where")
    if value == "" and sign in ("==", "!="):
        return missing(cells) == (sign == "==")
    number = parse(np.array([value], dtype=object), table.separator)
    if number.all_read and parse(cells, table.separator).all_read:
        values = numbers(cells, table.frame.index, f"--where={condition}", table.separator)
        found: np.ndarray = COMPARISONS[sign](values, float(number.values[0]))  # with NaN all are false but !=
        same = set(cells[found if sign == "==" else ~found].tolist()) if sign in ("==", "!=") else set()
        if len(same) > 1 and value in same and any(IDENTIFIER.fullmatch(cell) for cell in same):
            return COMPARISONS[sign](cells, value).astype(bool)
        return found
    if sign in ("==", "!="):
        key = functools.partial(label_key, separator=table.separator)
        return COMPARISONS[sign](of_each(cells, key), key(value)).astype(bool)
    raise DataError(
        f"--where={condition}: {sign} needs numbers, but column {column!r} of {table.name} or the value is text"
    )
