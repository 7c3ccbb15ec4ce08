"""Tables with a row for each rating: the mean rating of each image, of all raters and of each subgroup of them."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from deep_cnn.data.cells import labels, missing, numbers, spelled
from deep_cnn.data.rows import Rows
from deep_cnn.data.targets import far_values
from deep_cnn.runtime.errors import DataError
from deep_cnn.runtime.format import plural, some


@dataclass(frozen=True)
class RaterGroups:
    """Ratings of N images by G subgroups of raters.

    Attributes:
        column: that says who rated. names: of the subgroups, in alphabetical order.
        means: of the ratings, float64 (N, G, T), NaN where there is none. counts: int64 (N, G, T).
    """

    column: str
    names: tuple[str, ...]
    means: NDArray[np.float64]
    counts: NDArray[np.int64]

    def take(self, rows: np.ndarray) -> "RaterGroups":
        """Of these images."""
        return replace(self, means=self.means[rows], counts=self.counts[rows])


def with_mean_ratings(rows: Rows, column: str) -> tuple[Rows, RaterGroups, list[str]]:
    """The rows with each image's mean rating as target; the ratings by subgroup; lines for the log.

    Args:
        rows: one for each rating, all of them with a file.
        column: --rater_group.

    Returns:
        The subgroups' arrays have a row for each different file, in the order of `rows.positions`.

    Raises:
        DataError: no such column, a target that is no number, or all raters are in one subgroup.
    """
    table = rows.table
    cells = table.column(column, "--rater_group")
    if column in rows.target:
        raise DataError(f"--rater_group={column}: this is the column of the ratings; give the one that says who rated")
    name, lines = table.find(column, "--rater_group"), table.frame.index
    ratings = np.stack(
        [numbers(table.column(t, "--target"), lines, f"--target={t}", table.separator) for t in rows.target], axis=1
    )  # (M, T)
    far = [line for t, values in zip(rows.target, ratings.T, strict=True) for line in far_values(t, values)]
    said, notes = labels(cells, f"--rater_group={name}", table.separator)
    empty = missing(cells)
    names, code = np.unique(said[~empty].astype(str), return_inverse=True)
    if len(names) < 2:
        found = f"all ratings are of {str(names[0])!r}" if len(names) else "all cells are empty"
        raise DataError(f"--rater_group={name}: {found}; give a column with two or more subgroups")
    if empty.any():
        notes.append(
            f"--rater_group={name}: {plural(int(empty.sum()), 'rating')} without a subgroup ({spelled(cells[empty])})"
        )
    _, file = np.unique(rows.positions, return_inverse=True)
    files = int(file.max()) + 1
    overall, _ = _means(ratings, file, files)
    means, counts = _means(ratings[~empty], file[~empty] * len(names) + code, files * len(names))
    shape = (files, len(names), len(rows.target))
    groups = RaterGroups(name, tuple(map(str, names)), means.reshape(shape), counts.reshape(shape))
    notes.append(
        f"--rater_group={name}: {plural(int((~np.isnan(ratings).all(axis=1)).sum()), 'rating')} of {plural(files, 'image')} by "
        f"{plural(len(names), 'subgroup')} ({some(names, 6)}); an image's score is the mean of its ratings"
    )
    written = {
        t: ["" if np.isnan(x) else repr(x) for x in overall[file, k].tolist()] for k, t in enumerate(rows.target)
    }
    return replace(rows, table=replace(table, frame=table.frame.assign(**written))), groups, [*notes, *far]


def _means(ratings: np.ndarray, code: np.ndarray, count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The mean and the number of the known ratings (M, T) of each code, (count, T) each."""
    known = ~np.isnan(ratings)
    sums = np.stack([np.bincount(code, np.where(k, r, 0.0), count) for k, r in zip(known.T, ratings.T, strict=True)], 1)
    numbers_of = np.stack([np.bincount(code, k, count) for k in known.T], axis=1).astype(np.int64)
    return np.where(numbers_of > 0, sums / np.maximum(numbers_of, 1), np.nan), numbers_of
