"""Which samples there are: class folders, or a folder of images with a table; columns as arrays."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from deep_cnn.config.fields import grid_size
from deep_cnn.config.registries import IMAGE_FORMATS
from deep_cnn.data.archived_table import read_any_table
from deep_cnn.data.archives import Members, Source
from deep_cnn.data.cells import alike, missing, spelled
from deep_cnn.data.certainty import Certainty, read_certainty, with_mean_rating
from deep_cnn.data.files import Files, Paths
from deep_cnn.data.folders import read_class_folders, tables_beside
from deep_cnn.data.groups import cells_of_grid, coded_groups, given_split, read_groups, unused_splits
from deep_cnn.data.match import Matcher
from deep_cnn.data.parquet import is_parquet
from deep_cnn.data.place_pulse import name_parts
from deep_cnn.data.rater_groups import RaterGroups, with_mean_ratings
from deep_cnn.data.rows import Rows, one_row_per_file, rows_of_images, rows_where, rows_with_files
from deep_cnn.data.sources import archive_above, find_files, without_top
from deep_cnn.data.space import about_places, places_of
from deep_cnn.data.split_names import FREE, NO_FOLDER, SPLITS, TEST, TRAIN, VALIDATION, Asked
from deep_cnn.data.table import Table, find_table
from deep_cnn.data.table_folders import contradicted_folders, split_of_folders
from deep_cnn.data.targets import Targets, candidates, choose
from deep_cnn.data.vote_columns import (
    check_no_unknown_codes,
    check_two_images,
    looks_like_votes,
    unused_words,
    vote_columns,
)
from deep_cnn.data.votes import Votes, of_images, read_votes, side_columns
from deep_cnn.data.webdataset import CLASS, has_classes, has_values, sidecar_table
from deep_cnn.runtime.errors import ConfigError, DataError
from deep_cnn.runtime.format import plural, some

__all__ = ["FREE", "SPLITS", "TEST", "TRAIN", "VALIDATION", "Index", "Paths", "build_index"]


@dataclass(frozen=True)
class Index:
    """The samples in the order of their folders and names, whatever the order on disk or in the table."""

    root: Path
    paths: Paths
    sizes: np.ndarray  # int64 (N,) bytes
    mtimes: np.ndarray  # int64 (N,) ns
    task: str  # what of --task can be learnt of these targets
    classes: tuple[str, ...]  # class or label names; () for scores
    target_names: tuple[str, ...]  # columns of scores; ("class",) or the column's name otherwise
    targets: np.ndarray  # int64 (N,) | float32 (N, K) of 0 and 1 | float64 (N, T), NaN where missing
    given_split: np.ndarray  # int8 (N,) FREE, TRAIN, VALIDATION or TEST
    groups: np.ndarray | None  # int64 (N,) into group_names
    group_names: tuple[str, ...]
    table_digest: str  # sha256 of the table's bytes and the selection; "" without a table
    notes: tuple[str, ...]  # lines for the log
    reason: str  # why this task
    members: Members | None = None  # where the images lie in archives; None: files on the disk
    certainty: Certainty | None = None  # how sure the scores are, where --raters, --target_std or --weigh_by ask for it
    places: np.ndarray | None = None  # float64 (N, 2) latitude and longitude, degrees, NaN where unknown
    rater_groups: RaterGroups | None = None  # of evaluate --rater_group, where targets are means of ratings
    votes: Votes | None = None  # --task=pairwise: between the images, whose targets are their shares of won votes

    def __len__(self) -> int:
        return len(self.paths)

    def source(self, i: int) -> Source:
        """Where the bytes of the i-th sample are."""
        return self.root / self.paths[i] if self.members is None else self.members.at(i, self.paths[i])

    def take(self, indices: np.ndarray) -> "Index":
        """The samples at `indices`, e.g. without unreadable ones. Classes stay as they are."""
        rows = np.asarray(indices, dtype=np.int64)
        return replace(
            self,
            paths=self.paths.take(rows),
            sizes=self.sizes[rows],
            mtimes=self.mtimes[rows],
            targets=self.targets[rows],
            given_split=self.given_split[rows],
            groups=None if self.groups is None else self.groups[rows],
            members=None if self.members is None else self.members.take(rows),
            certainty=None if self.certainty is None else self.certainty.take(rows),
            places=None if self.places is None else self.places[rows],
            rater_groups=None if self.rater_groups is None else self.rater_groups.take(rows),
            votes=None if self.votes is None else self.votes.among(rows, len(self)),
        )


@dataclass(frozen=True)
class IndexOptions:
    """What the flags say about images and targets.

    task: auto, classification, multilabel, regression or pairwise.
    metadata: a table, also in an archive, or the folder of one; without it the classes are the names of folders.
    image_column: the table's column of image names; None: the one whose names are those of the files.
    target: columns to learn. vote_columns: of a table of votes, see data/votes.py. study_id: the question of a Place Pulse table.
    where: conditions like "votes>=5", all of which must hold.
    group: a column, city or grid:500m: images of one group stay in one split. split_column: the column that gives each image its split.
    raters, target_std, weigh_by: how sure the targets are, see data/certainty.py.
    rater_group: the column that says who rated, of a table with a row for each rating.
    places_needed: whether wrong coordinates are a mistake.
    val_folder, test_folder: names beside train/; val, valid, validation, dev, test, testing are known too.
    folder_splits: whether folders of these names split the images of a table.
    """

    task: str = "auto"
    metadata: Path | None = None
    image_column: str | None = None
    target: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    group: str | None = None
    split_column: str | None = None
    study_id: str | None = None
    vote_columns: tuple[str, ...] = ()
    raters: tuple[str, ...] = ()
    target_std: tuple[str, ...] = ()
    weigh_by: str | None = None
    places_needed: bool = False
    rater_group: str | None = None
    val_folder: str = "val"
    test_folder: str = "test"
    folder_splits: bool = True


def build_index(
    data_dir: Path | str, options: IndexOptions | None = None, cache_dir: Path | None = None, **fields: Any
) -> Index:
    """Find the images and what is to be learnt of each.

    Args:
        cache_dir: where the list of files is kept from one start to the next (files.scan).
        fields: of IndexOptions, instead of those in `options`.

    Raises:
        DataError: nothing to train on as asked; ConfigError: flags that contradict each other. One line each.
    """
    options = replace(options or IndexOptions(), **fields)
    if options.val_folder == options.test_folder != NO_FOLDER:
        raise ConfigError(
            f"--val_folder={options.val_folder}: the same folder as --test_folder; to use it for the test and hold "
            f"validation images out of train, give --val_folder={NO_FOLDER}"
        )
    files = find_files(Path(data_dir), cache_dir, splits=options.folder_splits)
    if not len(files.paths):
        where = "folder" if files.members is None else "archive, or this folder of it,"
        found = files.notes() or [f"The {where} is empty"]
        raise DataError(f"--data_dir={data_dir}: no images found ({', '.join(IMAGE_FORMATS)}). {found[0]}")
    if options.metadata is None:
        if has_classes(files) or (_table_flags(options) and has_values(files)):
            return _from_sidecars(files, options)
        return _from_folders(without_top(files), options)
    return _from_table(without_top(files), options, Path(options.metadata))


def _selection_digest(table: Table, options: IndexOptions) -> str:
    """Names the table's bytes and what is taken of them."""
    selection = {
        "target": options.target,
        "where": options.where,
        "group": options.group,
        "split": options.split_column,
        "study": options.study_id,
        "image": options.image_column,
    } | ({"votes": options.vote_columns} if options.vote_columns else {})
    return hashlib.sha256((table.digest + json.dumps(selection)).encode()).hexdigest()


def _from_sidecars(files: Files, options: IndexOptions) -> Index:
    """Images of archives in WebDataset's naming: KEY.cls is the class, KEY.json has the columns of a table."""
    table, positions = sidecar_table(files)
    table, options = with_mean_rating(table, options)
    if not options.target:
        if CLASS not in table.frame.columns:
            columns = some(table.frame.columns, 12)
            raise ConfigError(
                f"--target: needed to learn from the .json files in {files.root}; choose one or several of {columns}"
            )
        task = "classification" if options.task == "auto" else options.task
        options = replace(options, task=task, target=(CLASS,))
    passed = {kind: count for kind, count in files.ignored.items() if kind not in (".cls", ".json")}
    notes = replace(files, ignored=passed).notes()
    notes += [f"Targets: the .cls and .json files beside {len(positions):,} images", *table.notes]
    rows = rows_of_images(files, table, positions, options)
    return _join(files, rows, options, _selection_digest(table, options), [*notes, *rows.notes])


def _without(files: Files, metadata: Path) -> Files:
    """The same files, their table not counted among what was ignored."""
    table = metadata if is_parquet(metadata) or archive_above(metadata) else find_table(metadata)
    ending, inside = table.suffix.lower(), table.resolve().is_relative_to(files.root.resolve())
    left = {kind: count - (inside and kind == ending) for kind, count in files.ignored.items()}
    return replace(files, ignored={kind: count for kind, count in left.items() if count})


def _table_flags(options: IndexOptions) -> list[str]:
    """The flags that were given and need a table."""
    names = (
        "target",
        "where",
        "group",
        "split_column",
        "study_id",
        "image_column",
        "vote_columns",
        "raters",
        "target_std",
        "weigh_by",
    )
    return [f"--{name}" for name in names if getattr(options, name)]


# --- class folders ---------------------------------------------------------------------------------------------------


def _from_folders(files: Files, options: IndexOptions) -> Index:
    tasks = [f"--task={options.task}"] if options.task in ("regression", "multilabel", "pairwise") else []
    if wishes := [*tasks, *_table_flags(options)]:
        wish = wishes[0]
        raise ConfigError(f"{wish}: needs a table with the images; add --metadata=FILE.csv.{tables_beside(files.root)}")
    found = read_class_folders(files, Asked(options.val_folder, options.test_folder))
    keep = np.flatnonzero(found.class_of[files.folder_of] >= 0)
    everything = len(keep) == len(files.paths)
    return Index(
        root=files.root,
        paths=files.paths if everything else files.paths.take(keep),
        sizes=files.sizes[keep],
        mtimes=files.mtimes[keep],
        task="classification",
        classes=found.classes,
        target_names=("class",),
        targets=found.class_of[files.folder_of[keep]],
        given_split=found.split_of[files.folder_of[keep]],
        groups=None,
        group_names=(),
        table_digest="",
        notes=(*files.notes(), *found.notes, *_classes_alike(found.classes)),
        reason=f"{len(found.classes)} class folders -> classification",
        members=None if files.members is None else files.members.take(keep),
    )


def _classes_alike(classes: tuple[str, ...]) -> list[str]:
    """A line about folders whose names look like one: Cat and cat."""
    if not (same := [" and ".join(map(repr, names)) for names in alike(classes)]):
        return []
    return [f"{some(same, between='; ')} are different classes; if they should be one, give their folders one name"]


# --- tables ----------------------------------------------------------------------------------------------------------


def _from_table(files: Files, options: IndexOptions, metadata: Path) -> Index:
    table = read_any_table(metadata)
    notes = [*_without(files, metadata).notes(), *table.notes]
    votes = looks_like_votes(table)
    columns = {str(column) for column in table.frame.columns}
    asked = votes and not columns & set(options.target)
    if options.task == "pairwise" or (options.task == "auto" and (asked or options.vote_columns)):
        return _from_votes(files, table, options, notes)
    if options.vote_columns:
        given = ",".join(options.vote_columns)
        raise ConfigError(f"--vote_columns={given}: is for votes (--task=pairwise), not for --task={options.task}")
    if votes and options.image_column is None:
        raise DataError(
            f"--metadata={table.name}: a table of votes (which of two images was preferred), not of scores; add --task=pairwise to "
            "learn from the votes"
        )
    if options.task == "auto" and not (options.target or options.raters):
        check_no_unknown_codes(table, Matcher(files.paths, files.root))
    table, options = with_mean_rating(table, options)
    rows = rows_with_files(files, table, options)
    return _join(files, rows, options, _selection_digest(table, options), [*notes, *rows.notes])


def _join(files: Files, rows: Rows, options: IndexOptions, digest: str, notes: list[str]) -> Index:
    """Rows and files together, in the order of the files."""
    table, found = rows.table, rows.positions >= 0
    if not found.any():
        first = ", ".join(str(cell) for cell in table.frame.iloc[0][:4])
        raise DataError(
            f"--metadata={table.name}: no row matches an image in {files.root} (a row: {first}; an image: {files.paths[0]})"
        )
    if gone := int((~found).sum()):
        rows_of = (", ".join(map(str, row[:2])) for row in table.frame[~found].itertuples(index=False))
        notes.append(
            f"{plural(gone, 'row')} of {table.name} {'has' if gone == 1 else 'have'} no image file: {some(rows_of, between='; ')}"
        )
    found_rows = replace(rows, table=table.take(found), positions=rows.positions[found])
    by_raters: RaterGroups | None = None
    if options.rater_group:
        found_rows, by_raters, said = with_mean_ratings(found_rows, options.rater_group)
        notes += said
    rated = np.unique(found_rows.positions)
    rows, repeated = one_row_per_file(found_rows, options, files)
    notes += [] if by_raters else repeated
    order = np.argsort(rows.positions, kind="stable")
    table, positions = rows.table.take(order), rows.positions[order]
    rowless = np.flatnonzero(~rows.listed)
    if len(rowless):
        notes.append(
            f"{plural(len(rowless), 'image', 'have')} no row in the table: {some(files.paths[int(i)] for i in rowless)}"
        )

    chosen = choose(candidates(table, rows.target), options.task, rows.target)
    targets = chosen.read(table, rows.target)
    notes += [*_missing_targets(table, rows.target, targets), *targets.notes]
    if unlabelled := int((~targets.rows).sum()):
        notes.append(f"{plural(unlabelled, 'image', 'have')} no target; not used")
    table, positions = table.take(targets.rows), positions[targets.rows]
    certainty, said = _certainty(table, rows, chosen.task, targets.values)
    notes += said
    paths = files.paths.take(positions)
    places = places_of(table, paths, needed=options.places_needed or grid_size(options.group) is not None)
    notes += about_places(places)
    groups, group_names = read_groups(table, places, options.group, notes)
    used = None
    if options.split_column:
        given = given_split(table, options.split_column, notes)
        notes += contradicted_folders(paths, given, options.split_column)
    elif not options.folder_splits:
        given = np.full(len(paths), FREE, dtype=np.int8)
    else:
        folders = split_of_folders(paths, Asked(options.val_folder, options.test_folder))
        given, used = folders.split, folders.used
        notes += [*folders.notes, *unused_splits(table, rows.target)]
    index = Index(
        root=files.root,
        paths=paths,
        sizes=files.sizes[positions],
        mtimes=files.mtimes[positions],
        task=chosen.task,
        classes=targets.classes,
        target_names=targets.names,
        targets=targets.values,
        given_split=given,
        groups=groups,
        group_names=group_names,
        table_digest=digest,
        notes=tuple(" ".join(note.splitlines()) for note in notes),  # a column's name may have a line break
        reason=" ".join(chosen.reason.splitlines()),
        members=None if files.members is None else files.members.take(positions),
        certainty=certainty,
        places=places,
        rater_groups=None if by_raters is None else by_raters.take(np.searchsorted(rated, positions)),
    )
    return index if used is None or used.all() else index.take(np.flatnonzero(used))


def _from_votes(files: Files, table: Table, options: IndexOptions, notes: list[str]) -> Index:
    """Images that have votes; what is learnt of each image is not a column of the table but a score that explains the votes."""
    for flag in ("image_column", "split_column", "raters", "target_std", "weigh_by"):
        if getattr(options, flag):
            raise ConfigError(f"--{flag}: not available for votes (--task=pairwise); leave it out")
    if options.target and options.study_id:
        raise ConfigError(f"--study_id={options.study_id}: --target names the questions already; omit one of the two")
    table, _, said = rows_where(table, options.where)
    notes += said
    matcher = Matcher(files.paths, files.root)
    columns = vote_columns(table, matcher, options.vote_columns)
    if columns is None:
        names = some(table.frame.columns, 12)
        raise DataError(
            f"--metadata={table.name}: no table of votes, whose columns are the left image, the right image and the winner (found "
            f"{names}); name them as --vote_columns=LEFT,RIGHT,WINNER, or learn scores with --task=regression --target=COLUMN"
        )
    asked = options.target or tuple(word.strip() for word in (options.study_id or "").split(",") if word.strip())
    if not options.vote_columns:
        check_two_images(table, columns, matcher)
    notes += [] if columns.question else unused_words(table, columns, options.group)
    votes, rows, said = read_votes(table, columns, matcher, asked)
    notes += said
    used = np.unique(votes.images)
    if without := len(files.paths) - len(used):
        notes.append(f"{plural(without, 'image', 'have')} no vote; not used")
    votes, paths = votes.among(used, len(files.paths)), files.paths.take(used)
    places = places_of(None, paths)
    groups: np.ndarray | None = None
    group_names: tuple[str, ...] = ()
    if options.group and (grid := cells_of_grid(places, options.group, notes)):
        groups, group_names = grid
    elif options.group:
        cells = _group_of_images(table.take(rows), votes, paths, options.group)
        groups, group_names = coded_groups(cells, options.group, notes, table.separator)
    folders = split_of_folders(paths, Asked(options.val_folder, options.test_folder))
    index = Index(
        root=files.root,
        paths=paths,
        sizes=files.sizes[used],
        mtimes=files.mtimes[used],
        task="pairwise",
        classes=(),
        target_names=votes.questions,
        targets=votes.won(len(used)),
        given_split=folders.split,
        groups=groups,
        group_names=group_names,
        table_digest=_selection_digest(table, options),
        notes=tuple(" ".join(note.splitlines()) for note in (*notes, *folders.notes)),
        reason=f"votes in {columns.left}, {columns.right} and {columns.winner} -> pairwise",
        members=None if files.members is None else files.members.take(used),
        places=places,
        votes=votes,
    )
    return index if folders.used.all() else index.take(np.flatnonzero(folders.used))


def _group_of_images(table: Table, votes: Votes, paths: Paths, group: str) -> np.ndarray:
    """Of each image what a table of votes, or Place Pulse's file name, says of the group, object (N,)."""
    places = [name_parts(path) for path in paths]
    field = {"latitude": 0, "longitude": 1, "location_id": 2, "city": 3}.get(group)
    if field is not None and all(places):
        return np.array([place[field] for place in places if place], dtype=object)
    return of_images(side_columns(table, group, "--group"), votes.images, len(paths), f"--group={group}")


def _certainty(table: Table, rows: Rows, task: str, targets: np.ndarray) -> tuple[Certainty | None, list[str]]:
    if rows.certainty and task != "regression":
        flag = "--raters" if rows.certainty.raters else "--target_std" if rows.certainty.std else "--weigh_by"
        raise ConfigError(
            f"{flag}: is for scores, but the task is {task}; add --task=regression, or leave the flag out"
        )
    return read_certainty(table, rows.certainty, targets)


def _missing_targets(table: Table, columns: tuple[str, ...], targets: Targets) -> list[str]:
    """A line for each target with missing values: how many, and how they are written."""
    notes = []
    for name in dict.fromkeys(columns):
        cells = table.column(name, "--target")
        gone = cells[missing(cells)]
        hint = "; if one of them is a class, rename it in the table" if targets.classes and any(gone) else ""
        notes += [f"{name}: {plural(len(gone), 'value', 'are')} missing ({spelled(gone)}){hint}"] if len(gone) else []
    return notes
