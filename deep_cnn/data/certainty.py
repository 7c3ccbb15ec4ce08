"""How sure the scores of a table are: columns of raters, standard errors, numbers of votes."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from deep_cnn.data.cells import numbers
from deep_cnn.data.table import Table
from deep_cnn.data.targets import far_values
from deep_cnn.runtime.errors import ConfigError, DataError
from deep_cnn.runtime.format import plural

if TYPE_CHECKING:
    from deep_cnn.data.index import IndexOptions

FEW_RATINGS = 10  # of one rater: their correlation and range say little
REVERSED = -0.3
APART_SCALES = 3.0  # times as wide a range
MEAN_RATING = "mean_rating"  # what --raters alone learns
# columns that hold how many votes or ratings a score is made of
VOTE_COUNTS = (
    "num_votes",
    "n_votes",
    "votes",
    "vote_count",
    "number_of_votes",
    "num_ratings",
    "n_ratings",
    "ratings",
)
POSTERIOR = (
    "trueskill"  # in a column's name: means and standard deviations of a posterior, shrunk towards the prior's mean
)
APART = 1e-3  # of the scores' spread: rounded means are still means


@dataclass(frozen=True)
class CertaintyColumns:
    """Where a table says it. std, votes: one column for each target, or none. posterior: the targets are means of a posterior."""

    raters: tuple[str, ...] = ()
    std: tuple[str, ...] = ()
    votes: tuple[str, ...] = ()
    posterior: bool = False

    def __bool__(self) -> bool:
        return bool(self.raters or self.std or self.votes)


@dataclass(frozen=True)
class Certainty:
    """The same as numbers, a row per sample; NaN where missing.

    Attributes:
        ratings: float64 (N, R), one column per rater, of the only target; None without --raters.
        std: float64 (N, T), standard errors of the targets, or posterior standard deviations.
        votes: float64 (N, T), how many votes or ratings each target is made of.
        posterior: whether the targets are means of a posterior, such as TrueSkill's.
    """

    ratings: np.ndarray | None = None
    std: np.ndarray | None = None
    votes: np.ndarray | None = None
    posterior: bool = False

    def take(self, rows: np.ndarray) -> "Certainty":
        """Of these samples."""

        def some(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[rows]

        return Certainty(some(self.ratings), some(self.std), some(self.votes), self.posterior)


def with_mean_rating(table: Table, options: "IndexOptions") -> tuple[Table, "IndexOptions"]:
    """--raters without --target: the mean of each row's ratings is what is learnt, in a column of its own."""
    if not options.raters:
        return table, options
    raters = table.names(options.raters, "--raters")
    if len(raters) < 2:
        raise ConfigError(
            f"--raters={','.join(raters)}: a single rater; give the columns of at least two, separated by commas"
        )
    if twice := [name for name, count in Counter(raters).items() if count > 1]:
        raise ConfigError(f"--raters={','.join(raters)}: {twice[0]} is given twice; give each rater's column once")
    options = replace(options, raters=raters)
    if options.target:
        return table, options
    ratings = _numbers(table, raters, "--raters")
    if MEAN_RATING in table.frame.columns:
        raise ConfigError(
            f"--raters={','.join(raters)}: {table.name} has a column {MEAN_RATING} already; give the column to learn as --target"
        )
    counts = (~np.isnan(ratings)).sum(axis=1)
    means = np.where(counts > 0, np.nansum(ratings, axis=1) / np.maximum(counts, 1), np.nan)
    cells = ["" if np.isnan(mean) else repr(mean) for mean in means.tolist()]
    return replace(table, frame=table.frame.assign(**{MEAN_RATING: cells})), replace(options, target=(MEAN_RATING,))


def certainty_columns(table: Table, options: "IndexOptions", target: tuple[str, ...]) -> CertaintyColumns:
    """What the flags name, and the number of votes where --weigh_by=votes needs it."""
    std = table.names(options.target_std, "--target_std") if options.target_std else ()
    if options.raters and len(target) > 1:
        raise ConfigError(f"--raters={','.join(options.raters)}: they rated one thing, so give one --target, or none")
    if std and len(std) != len(target):
        raise ConfigError(
            f"--target_std={','.join(std)}: {len(std)} columns for {len(target)} targets; give one for each, in their order"
        )
    if own := [name for name in std if name in target]:
        raise ConfigError(
            f"--target_std={','.join(std)}: {own[0]} is the target; give the column of its standard errors"
        )
    votes: tuple[str, ...] = ()
    if options.weigh_by == "votes" and not options.raters:
        known = {str(column).lower(): str(column) for column in table.frame.columns}
        found = next((known[name] for name in VOTE_COUNTS if name in known), None)
        if found is None:
            raise ConfigError(
                f"--weigh_by=votes: {table.name} has no column with the number of votes ({', '.join(VOTE_COUNTS)}); rename "
                "yours, or give the columns of raters as --raters"
            )
        if found in target:
            raise ConfigError(
                f"--weigh_by=votes: the only column with a number of votes is the target {found}; rename the column with the numbers of votes "
                f"to {VOTE_COUNTS[0]}"
            )
        votes = (found,) * len(target)
    posterior = any(POSTERIOR in name.lower() for name in (*std, *(target if std else ())))
    return CertaintyColumns(options.raters, std, votes, posterior)


def read_certainty(table: Table, columns: CertaintyColumns, targets: np.ndarray) -> tuple[Certainty | None, list[str]]:
    """The columns as numbers, checked against the targets float64 (N, T); lines for the log.

    Raises:
        DataError: a standard error that is not positive, a rater with a single rating, no image with two ratings.
    """
    if not columns:
        return None, []
    notes: list[str] = []
    ratings = _ratings(table, columns.raters, targets, notes) if columns.raters else None
    std = _numbers(table, columns.std, "--target_std") if columns.std else None
    if std is not None:
        _check_std(table, columns.std, std)
        for name, known in zip(columns.std, (~np.isnan(std) & ~np.isnan(targets)).any(axis=0), strict=True):
            if not known:
                raise DataError(f"--target_std={name}: no score has a standard error; leave the flag out")
        if unknown := int((np.isnan(std) & ~np.isnan(targets)).sum()):
            notes.append(
                f"--target_std: {plural(unknown, 'score', 'have')} no standard error; the noise ceiling uses the others"
            )
    votes = _numbers(table, columns.votes, "--weigh_by", "--weigh_by=votes: column ") if columns.votes else None
    if votes is not None and (votes < 0).any():
        row = int(np.flatnonzero((votes < 0).any(axis=1))[0])
        raise DataError(
            f"--weigh_by=votes: {columns.votes[0]} in line {table.frame.index[row]} is below 0; correct the table"
        )
    if votes is not None and len(strange := np.flatnonzero((votes % 1 > 0).any(axis=1))):
        raise DataError(
            f"--weigh_by=votes: {columns.votes[0]} in line {table.frame.index[strange[0]]} is no whole number, so no number of votes "
            f"({len(strange):,} such rows); rename the column with the numbers of votes to {VOTE_COUNTS[0]}"
        )
    if votes is not None:
        notes.append(f"--weigh_by=votes: the numbers of votes are those of column {columns.votes[0]}")
    if votes is not None and not (votes > 0).any():
        raise DataError(f"--weigh_by=votes: no image has a vote in column {columns.votes[0]}; leave the flag out")
    if ratings is not None:
        votes = (~np.isnan(ratings)).sum(axis=1, keepdims=True).astype(np.float64)
    return Certainty(ratings, std, votes, columns.posterior), notes


def _ratings(table: Table, raters: tuple[str, ...], targets: np.ndarray, notes: list[str]) -> np.ndarray:
    ratings = _numbers(table, raters, "--raters")
    there = ~np.isnan(ratings)
    for name, count in zip(raters, there.sum(axis=0).tolist(), strict=True):
        if count < 2:
            raise DataError(
                f"--raters={name}: this rater has {'a single rating' if count else 'no rating'} of an image that is used; leave "
                "the column out"
            )
    notes += [*far_values("--raters", ratings.ravel()), *_unlike_the_others(raters, ratings)]
    twice = int((there.sum(axis=1) > 1).sum())
    if not twice:
        raise DataError(
            f"--raters={','.join(raters)}: no image has ratings of two raters, so how well they agree is not known; leave "
            "the flag out"
        )
    means = np.nansum(ratings, axis=1) / np.maximum(there.sum(axis=1), 1)
    known = there.any(axis=1) & ~np.isnan(targets[:, 0])
    if np.abs(means - targets[:, 0])[known].max(initial=0) > APART * max(float(np.std(targets[known, 0])), 1e-300):
        notes.append(
            "--raters: the target is not the mean of the raters' columns; the noise ceiling is that of their mean, so it is "
            "right only if the target is made of the same ratings"
        )
    notes.append(
        f"--raters: {len(raters)} raters, {there.sum() / max(1, there.any(axis=1).sum()):.3g} ratings an image"
    )
    return ratings


def _unlike_the_others(raters: tuple[str, ...], ratings: np.ndarray) -> list[str]:
    """Lines about raters whose ratings fall where the others' rise, or are on another scale. ratings: float64 (M, R)."""
    notes = []
    for k, name in enumerate(raters):
        others = np.delete(ratings, k, axis=1)
        counts = (~np.isnan(others)).sum(axis=1)
        both = ~np.isnan(ratings[:, k]) & (counts > 0)
        own, mean = ratings[both, k], np.nansum(others[both], axis=1) / counts[both]
        if len(own) < FEW_RATINGS:
            continue
        if own.std() > 0 and mean.std() > 0 and (found := float(np.corrcoef(own, mean)[0, 1])) < REVERSED:
            notes.append(
                f"--raters: {name} has a correlation of {found:.2f} with the mean of the others; if its scale is reversed, turn it back first"
            )
        low, high = float(np.nanmin(others)), float(np.nanmax(others))
        span, wide = float(own.max() - own.min()), high - low
        elsewhere = 4 * abs(own.mean() - mean.mean()) > max(span, wide)  # a cautious rater is in the middle
        if elsewhere and (span > APART_SCALES * wide > 0 or APART_SCALES * span < wide):
            notes.append(
                f"--raters: {name} has values from {own.min():g} to {own.max():g}, the others from {low:g} to {high:g}; bring all to one scale first"
            )
    return notes


def _check_std(table: Table, names: tuple[str, ...], std: np.ndarray) -> None:
    for name, column in zip(names, std.T, strict=True):
        bad = np.flatnonzero(column <= 0)
        if len(bad):
            cell, line = column[bad[0]], table.frame.index[bad[0]]
            raise DataError(
                f"--target_std={name}: {cell:g} in line {line}; a standard error is above 0 ({len(bad):,} such cells); leave the "
                "cell empty where it is not known"
            )


def _numbers(table: Table, columns: tuple[str, ...], flag: str, what: str = "") -> np.ndarray:
    """float64 (M, K). what: is before a column's name in messages; by default FLAG=."""
    lines = table.frame.index
    read = [
        numbers(table.column(name, flag), lines, f"{what or flag + '='}{name}", table.separator) for name in columns
    ]
    return np.stack(read, axis=1)


def _check_known(values: np.ndarray, by: str, what: str) -> None:
    if np.isnan(values).all():
        raise DataError(f"--weigh_by={by}: no training image has a {what}; leave the flag out")


def loss_weights(certainty: Certainty, targets: np.ndarray, train: np.ndarray, by: str) -> np.ndarray:
    """Weight of each sample in the loss (--weigh_by), float64 (N,), mean 1 over the training samples.

    Generalised least squares: the variance of a score around what a network can say of it is that of the true scores, as far as
    the network does not explain them, and the score's own. Early in training it explains nothing: weight = 1 / (var + se^2), var
    the variance of the true scores. Of votes only their number n is known: se^2 = s^2 / n, and s^2 is taken to be var times the mean
    of n, a reliability of 0.5 at the mean.

    Args:
        targets: float64 (N, T), NaN where missing. train: the training samples, int64 (n,). by: "std" or "votes".
    """
    weights = []
    for t in range(targets.shape[1]):
        score = targets[train, t]
        if by == "std":
            assert certainty.std is not None, "checked with the flags"
            se2 = np.square(certainty.std[:, t])
            _check_known(se2[train], "std", "standard error")
            noise = float(np.nanmean(se2[train]))
            spread = float(np.nanvar(score))
            true = spread if certainty.posterior else max(spread - noise, 0.1 * spread)
            weight = 1 / (true + np.where(np.isnan(se2), noise, se2))
        else:
            assert certainty.votes is not None, "checked with the flags"
            n = certainty.votes[:, min(t, certainty.votes.shape[1] - 1)]
            _check_known(n[train], "votes", "number of votes")
            mean = max(float(np.nanmean(n[train])), 1e-9)
            n = np.where(np.isnan(n), 0.0, n)
            weight = np.maximum(n, 0.5) / (np.maximum(n, 0.5) + mean)
        weights.append(np.where(np.isnan(targets[:, t]), np.nan, weight / weight[train].mean()))
    together = np.stack(weights, axis=1)
    known = ~np.isnan(together)
    mean_weight = np.where(known.any(axis=1), np.where(known, together, 0).sum(1) / np.maximum(known.sum(1), 1), 1.0)
    return mean_weight / mean_weight[train].mean()
