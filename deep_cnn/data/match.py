"""Which file a cell of a table means, and which column names the images: on evidence, and refused where in doubt."""

import functools
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from deep_cnn.config.registries import IMAGE_FORMATS
from deep_cnn.data.cells import ROUNDED
from deep_cnn.data.split_names import split_word
from deep_cnn.data.table import INVISIBLE, Lines, as_text, stem
from deep_cnn.data.written import IS_NUMBER, Said, unwrapped
from deep_cnn.runtime.atomic import unescaped
from deep_cnn.runtime.errors import DataError

NUMBER, STEM, NAME, PATH = range(4)  # how a cell names a file: "17", "street17", "street17.jpg", "boston/street17.jpg"
HOW = ("by number", "by name without ending", "by file name", "by path")
SEVERAL = -2  # the position of a cell that fits several files
SAMPLE = 200  # rows by which columns are compared


def sampled_rows(count: int) -> np.ndarray:
    """At most SAMPLE of so many rows, int64, in order: at random, since tables that repeat themselves would be seen in step."""
    return np.sort(np.random.default_rng(0).choice(count, min(count, SAMPLE), replace=False))


# What people call the column of images, without signs and capitals
COLUMN_NAMES = frozenset(
    (
        *("image", "images", "img", "file", "files", "filename", "filenames", "filepath", "path", "paths", "photo"),
        *("picture", "pic", "frame", "imagefile", "imagefilename", "imagename", "imagepath", "imageid", "imageindex"),
        *("imgfile", "imgname", "imgpath", "imgid", "photofile", "photoname", "photopath", "photoid", "fullname"),
        *(
            "relativepath",
            "relpath",
            "bild",
            "bilddatei",
            "datei",
            "dateiname",
            "dateipfad",
            "foto",
            "fichier",
            "imagen",
        ),
    )
)
# What people call a column that says where an image is, its words joined
LOCATOR = re.compile(
    r"(?=.*(?:ima?ge?|photo|pic|file|stim|url|uri|src|href|link|bild|foto))"
    r"(?:ima?ge?|photo(?:graph)?|pic(?:ture)?|file|stim(?:ulus|uli)?|url|uri|src|href|link|bild|foto|path|name|html|source|key|ref|address|\d)+s?"
)
# What programs call the number of a row: nothing, pandas, R, tibble
ROW_NUMBERS = re.compile(
    r"column \d+|unnamed: ?\d+|index|level_0|x\.?\d*|\.\.\.\d+|v1|row\.?names?|row_?(id|number)?", re.I
)
FORMAT_OF = {ending: name for name, row in IMAGE_FORMATS.items() for ending in row.endings}  # .jpg and .jpeg are one
ABSOLUTE = re.compile(r"/|~|[A-Za-z][A-Za-z0-9+.-]*:/")  # also C:/ and https://
WHOLE = re.compile(r"(\d+)(?:[.,]0*)?")  # 7 and 7.0: what a spreadsheet or pandas makes of 007
THOUSAND = re.compile(r"[1-9]\d{0,2}[.,]000")
FIFTEEN_DIGITS = re.compile(r"\d{15,}0")  # 1234567890123450: more are zeros after Excel
COUNTED = re.compile(r"\d+|(?<=[a-z_ -])[A-Z]$|(?<=[_ -])[a-z]$")  # site1, fold_2, siteA, set_b


def plain(path: str) -> str:
    """One spelling of a path: slashes as in POSIX, no "." and "..", composed accents (macOS writes them decomposed).

    An address loses its query: https://host/1.jpg?size=3. HTML, Markdown or JSON around a single name goes, too.
    """
    if not path.isascii():
        path = unicodedata.normalize("NFC", as_text(path)).strip(INVISIBLE)
    path = unwrapped(path.strip()).replace("\\", "/")
    if "://" in path:
        path = re.split("[?#]", path, maxsplit=1)[0]
    if "//" in path or "./" in path:
        first, *parts = path.split("/")
        kept = [first] if first not in (".", "..") else []
        for part in parts:
            if part == ".." and kept and kept[-1]:  # a/../b is b; what is above the first folder is not known
                kept.pop()
            elif part not in ("", ".", ".."):
                kept.append(part)
        path = "/".join(kept)
    return path


def _spellings(cell: str) -> Iterator[str]:
    """What a cell may mean, the most literal first."""
    yield cell
    if "\\x" in cell and (name := unescaped(cell)) != cell:  # as our own tables write bytes that are not UTF-8
        yield name
    if "%" in cell and (name := unquote(cell)) != cell:  # an address: my%20photos
        yield name
    if "?" in cell:  # the query of an address without its host: 1.jpg?size=large
        yield unquote(cell.partition("?")[0])


@dataclass(frozen=True)
class Match:
    """The files that the cells of a column mean.

    Attributes:
        positions: int64 (M,) among the files; -1 none, SEVERAL.
        ways: int8 (M,) NUMBER, STEM, NAME or PATH; -1 without a file.
        dropped: the folder of another computer with which the cells begin, or "".
        endings: whether the files have other endings than the cells say (.png for .jpg).
        valued: how many cells fit by the value of a number alone (7 for 007.jpg).
    """

    positions: np.ndarray
    ways: np.ndarray
    dropped: str = ""
    endings: bool = False
    valued: int = 0

    @property
    def found(self) -> int:
        """How many cells have a file (or several)."""
        return int((self.positions != -1).sum())

    @property
    def theirs(self) -> str:
        """The dropped folder as people write it: https://host/photos/."""
        return re.sub(r"^(\w[\w+.-]+):/", r"\1://", self.dropped) + "/"

    @property
    def way(self) -> int:
        """How most of them name it."""
        return int(np.bincount(self.ways[self.ways >= 0], minlength=len(HOW)).argmax())

    def evidence(self) -> str:
        """In words: '58 of 60 rows found, by file name'."""
        how = f", {HOW[self.way]}{' with another ending' if self.endings else ''}" if self.found else ""
        valued = f", {self.valued:,} of them by its value (007 for 7 or 7.0)" if self.valued else ""
        return f"{self.found:,} of {len(self.positions):,} rows found{how}{valued}"


class Matcher:
    """Finds files by what cells of a table write: a path, the end of a path, a file name, or a name without its ending.

    A folder that a cell writes must be the file's. Other letter case and another ending count where nothing fits better.
    """

    def __init__(self, paths: Sequence[str], root: Path | None = None):
        """paths: relative to root, which is the folder of images; without it only their own folders can agree."""
        self.paths = paths
        roots = () if root is None else dict.fromkeys((root.absolute(), root.resolve()))
        self.roots = [plain(str(path)) for path in roots] or [""]
        self._stems: dict[str, int | list[int]] = {}
        for i, path in enumerate(paths):
            key = stem(plain(path).rpartition("/")[2]).casefold()
            if (known := self._stems.setdefault(key, i)) is not i:
                self._stems[key] = [known, i] if isinstance(known, int) else [*known, i]

    def find(self, cell: str, dropped: str = "", endings: bool = False) -> tuple[list[int], int]:
        """Positions of the files that a cell may mean (one when it is clear), and how it names them (-1 for none).

        Args:
            dropped: the folder of another computer with which the cell begins; the rest is then a file's whole path.
            endings: whether a file in another format counts, street.png for street.jpg.
        """
        best: list[int] = []
        for spelling in _spellings(cell):
            wanted = plain(spelling)
            if best := self._best(wanted, dropped, endings):
                break
        else:
            return [], -1
        wanted = wanted[len(dropped) :].lstrip("/")
        if "/" in wanted:
            return best, PATH
        if stem(wanted) != wanted:
            return best, NAME
        return best, NUMBER if IS_NUMBER.fullmatch(wanted) else STEM

    @functools.cached_property
    def _values(self) -> dict[int, list[int]]:
        """The files whose names are numbers, by their values."""
        values: dict[int, list[int]] = {}
        for name, found in self._stems.items():
            if name.isascii() and name.isdecimal():
                values.setdefault(int(name), []).extend([found] if isinstance(found, int) else found)
        return values

    @property
    def numbers(self) -> Collection[int]:
        """The numbers that files are named."""
        return self._values.keys()

    def by_value(self, cell: str) -> list[int]:
        """Positions of the files whose names are the number in a cell but for zeros: 007.jpg for 7 and 7.0."""
        number = WHOLE.fullmatch(cell.strip())
        if not number or not cell.isascii():
            return []
        found = self._values.get(int(number[1]), [])
        if THOUSAND.fullmatch(cell.strip()):  # 1,000 may be both
            found = [*found, *self._values.get(int(re.sub("[.,]", "", cell)), [])]
        return found

    def _best(self, wanted: str, dropped: str, endings: bool) -> list[int]:
        folder, _, name = wanted.rpartition("/")
        candidates = self._stems.get(stem(name).casefold(), [])
        best: list[int] = []
        best_grade: tuple = ()
        for i in [candidates] if isinstance(candidates, int) else candidates:
            path = plain(self.paths[i])
            own_folder, _, own = path.rpartition("/")
            agreed = self._agreement(folder, own_folder, dropped)
            if not agreed or not (endings or _same_format(name, own)):
                continue
            grade = (_likeness(name, own), agreed, path == wanted)
            if grade > best_grade:
                best, best_grade = [i], grade
            elif grade == best_grade:
                best.append(i)
        return best

    def _agreement(self, written: str, own: str, dropped: str) -> int:
        """2: the folder that is written is the end of the file's; 1: but for letter case; 0: it is not."""
        if not written:
            return 2
        if dropped:
            rest = written[len(dropped) :].strip("/")
            return 2 * (rest == own) or rest.casefold() == own.casefold()
        end = f"/{written.lstrip('/')}"
        whole = [f"/{root}/{own}".rstrip("/") for root in self.roots]
        if any(folder.endswith(end) for folder in whole):
            return 2
        return int(any(folder.casefold().endswith(end.casefold()) for folder in whole))

    def match_values(self, cells: Sequence[str] | np.ndarray) -> Match:
        """The same as `match`; cells without a file may be numbers that have lost their zeros."""
        match = self.match(cells)
        valued = 0
        for row in np.flatnonzero(match.positions == -1).tolist():
            if found := self.by_value(cells[row]):
                match.positions[row], match.ways[row] = found[0] if len(found) == 1 else SEVERAL, NUMBER
                valued += 1
        return replace(match, valued=valued)

    def match(self, cells: Sequence[str] | np.ndarray) -> Match:
        """The file of each cell.

        Where no written folder agrees with the files', the paths may be those of another computer: what is common to all
        of them is then dropped as a whole, and the rest must be whole paths below the folder of images. Where nothing is
        found, the images may have been converted: other endings count then.
        """
        for endings in (False, True):
            as_written = self._match(cells, "", endings)
            if not (as_written.ways == PATH).any() and (dropped := self._foreign(cells, endings)):
                return self._match(cells, dropped, endings)
            if as_written.found:
                break
        return as_written

    def _match(self, cells: Sequence[str] | np.ndarray, dropped: str, endings: bool) -> Match:
        positions, ways = np.full(len(cells), -1, dtype=np.int64), np.full(len(cells), -1, dtype=np.int8)
        for row, cell in enumerate(cells):
            found, way = self.find(cell, dropped if dropped and plain(cell).startswith(dropped) else "", endings)
            if found:
                positions[row], ways[row] = found[0] if len(found) == 1 else SEVERAL, way
        return Match(positions, ways, dropped, endings and bool((positions != -1).any()))

    def _foreign(self, cells: Sequence[str] | np.ndarray, endings: bool) -> str:
        """The folder with which all absolute paths begin and behind which most of them are files here; "" for none."""
        folders = [path.rpartition("/")[0] for path in map(plain, cells) if ABSOLUTE.match(path)]
        if not folders:
            return ""
        first, last = min(folders).split("/"), max(folders).split("/")  # what these share, all share
        shared = next(
            (k for k, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last))
        )
        some = [cell for cell in (cells[row] for row in sampled_rows(len(cells))) if ABSOLUTE.match(plain(cell))]
        counts = {
            prefix: sum(bool(self.find(cell, prefix, endings)[0]) for cell in some)
            for prefix in ("/".join(first[:k]) for k in range(1, shared + 1))
            if prefix and not any(contradicts(prefix, root) for root in self.roots)
        }
        best = max(counts, key=counts.__getitem__, default="")
        return best if best and counts[best] else ""

    def folder(self, position: int) -> str:
        """The folder of a file, from the root of the disk on."""
        return f"{self.roots[0]}/{plain(self.paths[position]).rpartition('/')[0]}".strip("/")

    @functools.cached_property
    def folder_names(self) -> set[str]:
        """The names of all folders that images are in, in small letters."""
        folders = {self.paths[i].rpartition("/")[0] for i in range(len(self.paths))}
        return {part.casefold() for folder in folders for part in plain(folder).split("/")}

    def of_this_name(self, cell: str) -> str | None:
        """A file of the same name in whatever folder, for messages."""
        found = self._stems.get(stem(plain(cell).rpartition("/")[2]).casefold())
        return None if found is None else self.paths[found if isinstance(found, int) else found[0]]


def _same_format(written: str, own: str) -> bool:
    """Whether the endings of a cell and of a file are the same format's, or the cell has none."""
    ending = written[len(stem(written)) :].lower()
    return not ending or FORMAT_OF[ending] == FORMAT_OF.get(own[len(stem(own)) :].lower())


def _likeness(written: str, own: str) -> int:
    """Of two names whose stems are equal but for letter case: 4 the same, down to 0."""
    if own == written:
        return 4
    if stem(written) == written and stem(own) == written:
        return 3
    if own.casefold() == written.casefold():
        return 2
    return int(stem(own) == stem(written))


def contradicts(theirs: str, ours: str) -> bool:
    """Whether two folders are plainly two: train and test, site1 and site2. Others may be one that was renamed."""
    for a, b in zip(reversed(theirs.split("/")), reversed(ours.split("/")), strict=False):
        if a.casefold() != b.casefold():
            splits = [split_word(name)[0] for name in (a, b)]
            return (None not in splits and splits[0] != splits[1]) or COUNTED.sub("#", a) == COUNTED.sub("#", b)
    return False


def check_single(match: Match, cells: Sequence[str] | np.ndarray, lines: Lines, matcher: Matcher, what: str) -> None:
    """DataError for a cell that fits several files; names them."""
    for row in np.flatnonzero(match.positions == SEVERAL)[:1].tolist():
        found = matcher.find(cells[row], match.dropped, match.endings)[0] or matcher.by_value(cells[row])
        raise DataError(
            f"{what}: {cells[row]!r} in line {lines[row]} matches {len(found)} files ({matcher.paths[found[0]]}, "
            f"{matcher.paths[found[1]]}); write paths relative to the data folder in the table"
        )


# --- which column names the images -------------------------------------------------------------------------------------


def standing(name: str) -> int:
    """How much a column's name says that it names images: 3 it does, 2 a word of it, 1 nothing, 0 it numbers the rows."""
    words = [word for word in re.split(r"[\W_]+|(?<=[a-z])(?=[A-Z])", name) if word]
    if "".join(words).lower() in COLUMN_NAMES:
        return 3
    if any(word.lower() in COLUMN_NAMES for word in words):
        return 2
    return 0 if not name.strip() or ROW_NUMBERS.fullmatch(name.strip()) else 1


@dataclass(frozen=True)
class _Candidate:
    name: str
    match: Match

    @property
    def level(self) -> int:
        return min(self.match.way, NAME)  # a path is no better than a file name

    @property
    def named(self) -> int:
        known = standing(self.name)
        if self.level == NUMBER:
            return 1 if known == 2 else known  # file_size is no better than any
        return max(known, 1)  # R's X numbers the rows only where it holds numbers

    @property
    def files(self) -> int:
        return len(np.unique(self.match.positions[self.match.positions != -1]))

    def beats(self, other: "_Candidate") -> bool:
        """Whether there is no doubt between the two."""
        ours, theirs = self.match.positions, other.match.positions
        both = (ours != -1) & (theirs != -1)
        shared = self.level > NUMBER or 2 * both.sum() >= other.match.found  # numbers that fit other rows say nothing
        if self.match.found >= other.match.found and shared and np.array_equal(ours[both], theirs[both]):
            return True  # they name the same files
        if (self.level, self.named) != (other.level, other.named):  # what the cells say and what the name says agree
            better = self.level >= other.level and self.named >= other.named
            enough = 2 * self.match.found >= other.match.found
            return better and enough and (self.level > NUMBER or 2 * self.files >= other.files)
        # ratings from 1 to 5 are names of 1.jpg to 5.jpg, too; the numbers of many raters fit fewer rows than those of images
        return self.files > 2 * other.files and 4 * self.match.found >= 3 * other.match.found


def choose_column(
    matches: Mapping[str, Match],
    cells: Mapping[str, Sequence[str]],
    what: str,
    unread: Sequence[str] = (),
    files: Collection[int] = (),
) -> str | None:
    """The column that names the images; None where no cell names one.

    Names with an ending and paths are better than names without, and those better than bare numbers; of equals the better
    one has the name of such a column. Where the names of the columns contradict that, there is doubt.

    Args:
        matches: of some cells of each column. cells: the same cells. what: names the table in messages.
        unread: names of columns that the table has and that are not read. files: the numbers that files are named; without
            them those between the numbers of the cells.

    Raises:
        DataError: two columns that are equally good and name different files; numbers that may fit by accident.
    """
    candidates = [_Candidate(name, match) for name, match in matches.items() if match.found]
    if not candidates:
        return None
    best = max(candidates, key=lambda c: (c.level, c.named, c.files))
    rivals = [c for c in candidates if c is not best and not best.beats(c)]
    if rivals:
        named = (f"{c.name} ({c.match.evidence()})" for c in (best, max(rivals, key=lambda c: c.match.found)))
        raise DataError(f"{what}: both {' and '.join(named)} may name the images; give one of them as --image_column")
    if best.level == NUMBER:
        _check_numbers(best, matches, cells, what, files)
    for name in unread if best.level == NUMBER and best.named < 3 else ():
        if standing(name) > 1 or locates(name):
            raise DataError(
                f"{what}: column {name} has neither text nor numbers and is not read, and column {best.name} fits only {HOW[NUMBER]} "
                f"({best.match.evidence()}); write the names of the files into a column of text, or give --image_column={best.name}"
            )
    return best.name


def locates(name: str) -> bool:
    """Whether a column's name says that it tells where images are: image_url, stimulus, img_src; not image_quality."""
    return bool(LOCATOR.fullmatch(re.sub(r"[\W_]+", "", name).lower()))


def _check_numbers(
    best: _Candidate,
    matches: Mapping[str, Match],
    cells: Mapping[str, Sequence[str]],
    what: str,
    files: Collection[int],
) -> None:
    """Numbers fit by accident where another column names images that are not there, or other ones in a form that is not read.

    A column whose cells have the same numbers as the one that was chosen agrees with it: https://host/27-large.jpg beside 27.
    """
    read = [WHOLE.fullmatch(cell.strip()) for cell in cells[best.name]]
    numbers = [int(found[1][-18:]) if found else None for found in read]
    known = [number for number in numbers if number is not None]
    files = files or range(min(known, default=0), max(known, default=0) + 1)
    others = {name: column for name, column in cells.items() if name != best.name}
    said = {name: Said.of(column, numbers, files) for name, column in others.items()}
    if best.named == 3 and any(one.names_images and one.agrees for one in said.values()):
        return
    for name, one in said.items():
        if not one.rows:
            continue
        called = standing(name) == 3 or locates(name)
        doubt = one.names_images and (best.named < 3 or one.within_range)
        if not (name in matches and matches[name].found):
            doubt = doubt or ((best.named < 3 or called) and one.numbered(best.files))
            doubt = doubt or (best.named < 3 and (standing(name) == 3 or (called and one.tells_apart(best.files))))
        # the number of the row, from pandas, agrees with the names of any files in order
        agrees = one.agrees and (standing(best.name) > 0 or "://" in one.example)
        if doubt and not agrees:
            raise DataError(
                f"{what}: no file of column {name} is there (e.g. {one.example[:80]}), and column {best.name} fits only {HOW[NUMBER]} "
                f"({best.match.evidence()}); check --data_dir, write only the names of the files into column {name}, or give "
                f"--image_column={best.name} if these numbers name the images"
            )


def choose_numbers(matches: Mapping[str, Match], cells: Mapping[str, Sequence[str]], what: str) -> str | None:
    """The column of numbers that name files but for lost zeros, where no cell of the table names a file.

    Raises:
        DataError: only the numbers say so, and not the column's name.
    """
    found = {name: match for name, match in matches.items() if match.found and standing(name) > 0}
    name = choose_column(found, cells, what)
    if name is not None and standing(name) < 2:
        raise DataError(
            f"{what}: no column contains names of image files. The numbers of column {name} fit them by their values only "
            f"(007 for 7; {found[name].found:,} of {len(found[name].positions):,} rows); if they name the images, give --image_column={name}"
        )
    return name


def check_not_rounded(match: Match, cells: Sequence[str] | np.ndarray, lines: Lines, what: str) -> None:
    """DataError where cells without a file are long numbers that a spreadsheet has rounded."""
    distinct = dict.fromkeys(cells[row].strip() for row in range(len(cells)))
    many = 2 * sum(bool(FIFTEEN_DIGITS.fullmatch(cell)) for cell in distinct) > len(distinct)
    without = [row for row in np.flatnonzero(match.positions == -1).tolist() if cells[row].strip()[-1:].isdecimal()]
    lost = [
        row
        for row in without
        if ROUNDED.fullmatch(cells[row].strip()) or (many and FIFTEEN_DIGITS.fullmatch(cells[row].strip()))
    ]
    if lost:
        raise DataError(
            f"{what}: {cells[lost[0]]} in line {lines[lost[0]]} is a long number that a spreadsheet has rounded ({len(lost):,} such "
            "cells), so which image it names is lost; export the table again with this column as text"
        )


def check_no_row_numbers(name: str, match: Match, cells: np.ndarray, what: str) -> None:
    """DataError where a column without a name numbers the rows from 0, as pandas writes it, and files are numbered from 1."""
    numbered = standing(name) == 0 and cells.tolist() == [str(row) for row in range(len(cells))]
    if numbered and len(cells) > 1 and match.positions[0] < 0:
        raise DataError(
            f"{what}: the only column that fits the images numbers the rows ({cells[0]}, {cells[1]}...); write the names of the images into the "
            f"table, or give --image_column={name!r} if they are these numbers"
        )


def check_evidence(name: str, match: Match, files: int, what: str) -> None:
    """DataError where a column was guessed by numbers that fit few rows and few of the files: they may fit by accident."""
    share = len(np.unique(match.positions[match.positions >= 0])) / max(files, 1)
    if match.way == NUMBER and standing(name) < 3 and 2 * match.found < len(match.positions) and share < 0.5:
        raise DataError(
            f"{what}: column {name} fits images only {HOW[NUMBER]} ({match.evidence()}), perhaps by accident; "
            f"if it names them, give --image_column={name}"
        )
