"""The rows of a table that are samples: chosen by --where and --study_id, each with its image file."""

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from deep_cnn.config.fields import grid_size
from deep_cnn.data import place_pulse
from deep_cnn.data.cells import label_key, missing, parse, parse_where, where_mask
from deep_cnn.data.certainty import CertaintyColumns, certainty_columns
from deep_cnn.data.files import Files
from deep_cnn.data.match import (
    NUMBER,
    PATH,
    Match,
    Matcher,
    check_evidence,
    check_no_row_numbers,
    check_not_rounded,
    check_single,
    choose_column,
    choose_numbers,
    contradicts,
    plain,
    sampled_rows,
    standing,
)
from deep_cnn.data.questions import check_one_question
from deep_cnn.data.space import place_columns
from deep_cnn.data.split_names import split_word
from deep_cnn.data.table import ROW_PER_IMAGE, Table, looks_like_image
from deep_cnn.data.written import candidates, file_names
from deep_cnn.runtime.errors import ConfigError, DataError, nearest
from deep_cnn.runtime.format import some

if TYPE_CHECKING:
    from deep_cnn.data.index import IndexOptions


FEW_COLUMNS = 5  # that differ in a number alone
PARTICIPANT = re.compile(
    r"(?:p_?id|participants?|respond[ae]nts?|response|raters?|workers?|prolific|observers?|annotators?)(?:_?(?:pid|id|no|nr|number|code|name))*$",
    re.IGNORECASE,
)
PERSON = re.compile(  # images may be of subjects, too
    rf"{PARTICIPANT.pattern}|(?:subjects?|users?|persons?)(?:_?(?:id|no|nr|number|code|name))*$", re.IGNORECASE
)
BETWEEN_WORDS = re.compile(r"[\s\[\](){}<>\"':]+")
MOST_FOLDERS = 1000  # that a column names
# What people call a column of folders beside one of bare names
FOLDER_COLUMNS = frozenset(
    ("folder", "foldername", "dir", "dirname", "directory", "subfolder", "subdir", "subdirectory", "ordner", "dossier")
)


@dataclass(frozen=True)
class Rows:
    """The rows of a table that --where leaves, the file of each, and of the whole table.

    positions: int64 (M,) among the files, -1 without one. listed: bool (number of files,), which have any row.
    certainty: columns that say how sure the targets are.
    """

    table: Table
    positions: np.ndarray
    listed: np.ndarray
    target: tuple[str, ...]
    notes: list[str]
    certainty: CertaintyColumns = field(default_factory=CertaintyColumns)


def rows_with_files(files: Files, table: Table, options: "IndexOptions") -> Rows:
    """The rows that the flags choose, and their files.

    Raises:
        DataError: no such rows or columns, no files, or doubt which file or column is meant. ConfigError: flags that
            contradict each other.
    """
    if options.study_id is not None or (options.image_column is None and place_pulse.is_place_pulse(table)):
        return _of_place_pulse(files, table, options)
    return _of_table(files, table, options)


def rows_of_images(files: Files, table: Table, positions: np.ndarray, options: "IndexOptions") -> Rows:
    """The rows that --where chooses of a table whose rows are about the images `positions`, int64 (M,)."""
    kept, rows, notes = rows_where(table, options.where)
    target = table.names(options.target, "--target")
    about = certainty_columns(kept, options, target)
    check_one_question(kept, positions[rows], target, _used(options, about))
    return Rows(kept, positions[rows], _listed(positions, len(files.paths)), target, notes, about)


def _of_place_pulse(files: Files, table: Table, options: "IndexOptions") -> Rows:
    if options.rater_group:
        raise ConfigError(
            f"--rater_group={options.rater_group}: a Place Pulse table has scores, not a row for each rating"
        )
    if len(options.target) > 1:
        raise ConfigError(
            f"--target={','.join(options.target)}: a Place Pulse table has one score column; give several studies as --study_id=A,B"
        )
    table, positions = place_pulse.add_places(table, files.paths)
    studies = place_pulse.choose_studies(table, options.study_id)
    chosen = table.frame["study_id"].str.strip().isin(studies).to_numpy()
    table, positions = table.take(chosen), positions[chosen]
    kept, rows, notes = rows_where(table, options.where)
    score = options.target[0] if options.target else place_pulse.SCORE
    wide, of_wide, target = place_pulse.widen(kept, positions[rows], studies, score)
    wide, about = place_pulse.with_certainty(wide, kept, studies, options)
    return Rows(wide, of_wide, _listed(positions, len(files.paths)), target, notes, about)


def _of_table(files: Files, table: Table, options: "IndexOptions") -> Rows:
    if not options.target:
        columns = some(table.frame.columns, 12)
        raise ConfigError(
            f"--metadata={options.metadata}: needs --target, the column to predict; choose one or several of {columns}"
        )
    target = table.names(options.target, "--target")
    matcher = Matcher(files.paths, files.root)
    column = options.image_column or _image_column(table, matcher, target, options.raters)
    cells = table.column(column, "--image_column")
    match = matcher.match_values(cells)
    check_not_rounded(match, cells, table.frame.index, f"--image_column={column}")
    if options.image_column is None:
        check_evidence(column, match, len(files.paths), f"--metadata={table.name}")
        check_no_row_numbers(column, match, cells, f"--metadata={table.name}")
    kept, rows, notes = rows_where(table, options.where)
    notes = [f"Image column: {column} ({match.evidence()})", *notes]
    if match.dropped:
        notes.insert(
            1, f"The paths of column {column} are of another computer: {match.theirs} is taken as {files.root}"
        )
    positions = match.positions[rows]
    of_rows = replace(match, positions=positions, ways=match.ways[rows])
    _check_folder_columns(kept, of_rows, matcher)
    notes += _other_folders(kept, of_rows, matcher)
    check_single(
        replace(match, positions=positions), cells[rows], kept.frame.index, matcher, f"--image_column={column}"
    )
    about = certainty_columns(kept, options, target)
    check_one_question(kept, positions, target, (column, *_used(options, about)))
    return Rows(kept, positions, _listed(match.positions, len(files.paths)), target, notes, about)


def _used(options: "IndexOptions", about: CertaintyColumns) -> tuple[str | None, ...]:
    """The columns that flags give for something else than the target."""
    return options.group, options.split_column, options.rater_group, *about.raters, *about.std, *about.votes


def _check_folder_columns(table: Table, match: Match, matcher: Matcher) -> None:
    """DataError where a column folder or directory says that images are elsewhere than the files of their bare names.

    A column that agrees with no file may be of a tree that was made flat or renamed: only train for test, or site1 for site2,
    contradicts then.
    """
    rows = np.flatnonzero((match.positions >= 0) & (match.ways != PATH))
    for name in table.frame.columns:
        if "".join(re.split(r"[\W_]+", name)).lower() not in FOLDER_COLUMNS:
            continue
        cells = table.column(name, "--metadata")
        said = ((row, plain(cells[row]).strip("/")) for row in rows[~missing(cells[rows])].tolist())
        written = [(row, folder) for row, folder in said if folder not in ("", ".")]
        own = {row: matcher.folder(int(match.positions[row])) for row, _ in written}
        apart = [(row, folder) for row, folder in written if f"/{folder}/".casefold() not in f"/{own[row]}/".casefold()]
        if len(apart) == len(written):
            apart = [(row, folder) for row, folder in apart if contradicts(folder, own[row])]
        for row, folder in apart[:1]:
            raise DataError(
                f"--metadata={table.name}: column {name} has {cells[row]} in line {table.frame.index[row]}, but the image found is "
                f"{matcher.paths[int(match.positions[row])]}; write folder and name in one column ({folder}/...), or remove column {name}"
            )


def _other_folders(table: Table, match: Match, matcher: Matcher) -> list[str]:
    """A line about each column whose words are all names of folders, and say of some images another one than that of the file found.

    No line where a column of such words says of every image what its folder says: then the others are labels, or another rater's.
    """
    rows = np.flatnonzero((match.positions >= 0) & (match.ways != PATH))
    said: list[str] = []
    for name in (str(name) for name in table.frame.columns if len(rows) and name not in table.twice):
        words = {cell.strip().casefold() for cell in table.frame[name].unique()} - {""}
        if not 1 < len(words) <= MOST_FOLDERS or not words <= matcher.folder_names:
            continue
        if any(split_word(word)[0] is not None for word in words):
            continue
        cells = table.column(name, "--metadata")
        own = {
            row: matcher.folder(int(match.positions[row])).casefold().split("/") for row in rows.tolist() if cells[row]
        }
        apart = [row for row, parts in own.items() if cells[row].casefold() not in parts]
        if not apart:
            return []
        said.append(
            f"Column {name} has {cells[apart[0]]} in line {table.frame.index[apart[0]]}, but the image found is "
            f"{matcher.paths[int(match.positions[apart[0]])]} ({len(apart):,} such rows); if the column names folders, write folder and name in one "
            "column"
        )
    return said[:1]


def _listed(positions: np.ndarray, files: int) -> np.ndarray:
    """Which files have a row, bool (files,)."""
    return np.bincount(positions[positions >= 0], minlength=files) > 0


def rows_where(table: Table, conditions: tuple[str, ...]) -> tuple[Table, np.ndarray, list[str]]:
    """The rows that satisfy every condition; which they are, bool (M,); a line for the log."""
    rows, notes = np.ones(len(table.frame), dtype=bool), []
    for condition in conditions:
        kept = where_mask(table, condition)
        notes += _leaves_all(table, condition) if kept.all() else []
        notes += _taken_as_one(table, condition, kept)
        rows &= kept
        if not rows.any():
            raise DataError(
                f"--where={condition}: none of the {len(rows):,} rows of {table.name} match; check the value"
            )
    if not conditions:
        return table, rows, []
    notes.append(f"--where: {rows.sum():,} of {len(rows):,} rows of {table.name} match; the others are not used")
    return table.take(rows), rows, notes


def _taken_as_one(table: Table, condition: str, kept: np.ndarray) -> list[str]:
    """A line about several spellings that a condition with == takes for its value: 1.1 and 1.10 may be two."""
    column, sign, value = parse_where(condition)
    words = sorted(set(table.column(column, "--where")[kept].tolist())) if sign == "==" and value else []
    return [f"--where={condition}: takes {some(words)} as equal"] if len(words) > 1 else []


def _leaves_all(table: Table, condition: str) -> list[str]:
    """A line about a condition with != that leaves out no row: its value may be misspelled."""
    column, sign, value = parse_where(condition)
    if sign != "!=" or not value:
        return []
    there = sorted(set(table.column(column, "--where").tolist()))
    same = [cell for cell in there if cell.casefold() == value.casefold()]
    number = parse(np.array([value], dtype=object)).all_read
    hint = f" Did you mean {same[0]}?" if same else "" if number else nearest(value, there)
    return [f"--where={condition}: leaves out no row.{hint}"]


def _image_column(table: Table, matcher: Matcher, target: tuple[str, ...], raters: tuple[str, ...]) -> str:
    """The column that names the images, judged by about 200 rows; none of those to be learnt. raters: their columns."""
    sample = table.frame.iloc[sampled_rows(len(table.frame))]
    cells = {name: sample[name].tolist() for name in sample.columns if name not in target}
    what = f"--metadata={table.name}"
    matches = {name: matcher.match(column) for name, column in cells.items()}
    fitting = [name for name, match in matches.items() if match.found]
    if all(standing(name) < 3 and matches[name].way == NUMBER for name in fitting):
        most = max(fitting, key=lambda name: len(np.unique(matches[name].positions)), default="")
        _check_row_per_image(table, matcher, () if PARTICIPANT.match(_joined(most)) is None else target, raters)
    if (found := choose_column(matches, cells, what, table.unread, matcher.numbers)) is not None:
        return found
    for name in target:
        said = matcher.match(sample[name].tolist())
        if said.way > NUMBER and 2 * said.found > len(sample):
            raise DataError(
                f"--target={name}: this column names the images; choose the column with what is to be learnt"
            )
    for name, column in cells.items():
        if standing(name) >= 2:
            check_not_rounded(matches[name], column, sample.index, f"{what}: column {name}")
    for cell in (cell for column in cells.values() for cell in column if looks_like_image(plain(cell))):
        if (there := matcher.of_this_name(cell)) is not None:
            raise DataError(
                f"--metadata={table.name}: no row matches an image: the table has {cell.strip()}, --data_dir has {there}; "
                "the folders that the table writes must be those on the disk"
            )
    numbers = {name: matcher.match_values(column) for name, column in cells.items()}
    if (found := choose_numbers(numbers, cells, what)) is not None:
        return found
    row, example = table.frame.iloc[0], matcher.paths[0] if len(matcher.paths) else "no files"
    raise DataError(
        f"--metadata={table.name}: no column contains names of image files (first row: "
        f"{', '.join(str(cell) for cell in row[:4])}; an image file: {example}); give --image_column, or another --data_dir"
    )


def _check_row_per_image(table: Table, matcher: Matcher, target: tuple[str, ...], raters: tuple[str, ...]) -> None:
    """DataError where columns are named as images: their rows are of participants, whose numbers fit images, too.

    target: the columns to learn, if the column that fits most images is called after participants.
    """
    names = [str(name) for name in table.frame.columns if str(name) not in raters]
    bare = [name for name in names if matcher.match_values([name]).positions[0] >= 0]
    if len(bare) < 3 or 2 * len(bare) < len(names):
        bare = []
    by_file = {name: found for name in names if (found := _file_within(name, matcher)) is not None}
    with_ending = [name for name in by_file if file_names(name)]
    if len({by_file[name] for name in with_ending}) > 1:
        images = with_ending
    elif len(set(by_file.values())) >= FEW_COLUMNS and 2 * len(by_file) >= len(names):
        images = list(by_file)
    else:
        images = bare or _numbered_as_images(names, matcher, target)
    if images:
        raise DataError(
            f"--metadata={table.name}: the columns are named as images ({some(images, 3)}); {ROW_PER_IMAGE}, or give "
            "--image_column=COLUMN if one names the images"
        )


def _joined(name: str) -> str:
    return "_".join(re.split(r"[\W_]+", name))


def _file_within(name: str, matcher: Matcher) -> str | None:
    """The file that is named anywhere within the name of a column: Rate [street/3.jpg], Rate [house_a]."""
    parts = candidates(name) if file_names(name) else (part for part in BETWEEN_WORDS.split(name) if len(part) > 3)
    found = (matcher.of_this_name(part) for part in parts if not part.isdecimal())
    return next((file for file in found if file is not None), None)


def _numbered_as_images(names: list[str], matcher: Matcher, target: tuple[str, ...]) -> list[str]:
    """The columns whose names differ in a number alone, where these are the numbers of most files: Q1_safe to Q60_safe.

    Of a table with a row per participant. Ratings by ten raters, or answers to ten questions, have numbers of few of the files;
    but where one of them is a target of a table of participants, they are about few of the images.
    """
    families: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for name in names:
        for digits in re.finditer(r"[0-9]+", name):
            around = name[: digits.start()], name[digits.end() :]
            families.setdefault(around, []).append((name, digits[0]))
    for family in families.values():
        own = {name for name, _ in family}
        files = [set(matcher.by_value(digits)) for _, digits in family]
        others = [_joined(name) for name in names if name not in own]
        share = 0.5 if any(PERSON.match(name) for name in others) else 0.9
        few = own.intersection(target) and all(files)
        if len(own) >= FEW_COLUMNS and (few or len(set().union(*files)) >= share * len(matcher.paths)):
            return [name for name, _ in family]
    return []


def one_row_per_file(rows: Rows, options: "IndexOptions", files: Files) -> tuple[Rows, list[str]]:
    """Rows that repeat an image: equal ones count once, contradicting ones are an error. Also lines for the log."""
    table, positions = rows.table, rows.positions
    _, first, inverse = np.unique(positions, return_index=True, return_inverse=True)
    again = np.flatnonzero(first[inverse] != np.arange(len(positions)))
    if not len(again):
        return rows, []
    asked = [
        *((name, "--target") for name in rows.target),
        (options.split_column, "--split_column"),
        (options.group if grid_size(options.group) is None else None, "--group"),
        *((name, "--group") for name in (place_columns(table) if grid_size(options.group) is not None else ())),
        *((name, "--raters") for name in rows.certainty.raters),
        *((name, "--target_std") for name in rows.certainty.std),
        *((name, "--weigh_by") for name in rows.certainty.votes),
    ]
    for name, flag in asked:
        if not name:
            continue
        cells = table.column(name, flag)
        one, two = cells[again], cells[first[inverse[again]]]
        for k in np.flatnonzero(one != two).tolist():
            if not same_value(one[k], two[k], table.separator):
                row, lines = again[k], table.frame.index
                raise DataError(
                    f"{table.name}: {files.paths[int(positions[row])]} has two rows with different values of {name} "
                    f"(lines {lines[first[inverse[row]]]} and {lines[row]}); keep one of them, e.g. with --where, or write one row an "
                    "image, with the mean or the most frequent answer"
                )
    note = f"{len(again):,} rows of {table.name} repeat an image with the same values; each image is used once"
    keep = np.sort(first)
    return replace(rows, table=table.take(keep), positions=positions[keep]), [note]


def same_value(one: str, two: str, separator: str) -> bool:
    """Whether two cells say the same in two spellings."""
    if label_key(one, separator) == label_key(two, separator) or _label_set(one) == _label_set(two):
        return True
    read = parse(np.array([one, two], dtype=object), separator)
    return bool(read.missing.all() or read.values[0] == read.values[1])


def _label_set(cell: str) -> set[str]:
    return {label_key(label) for label in cell.split(";") if label.strip()}
