"""Is one row better than another, or was it luck? The differences to --baseline, on the same test images."""

from collections.abc import Sequence

import numpy as np

from deep_cnn.reporting.compare.runs import Row
from deep_cnn.runtime.errors import ConfigError
from deep_cnn.tasks.differences import LINEAR_BASELINE, Difference, difference
from deep_cnn.tasks.pair_differences import beyond_a_coin, difference_of_votes


def difference_of_rows(ours: Row, theirs: Row | str, metric: str) -> Difference | str:
    """A metric's mean over the runs of a row minus that of another; the reason, in words, where two rows cannot be paired.

    theirs: a row, or the name of a prediction without a network, see `Run.baseline`.

    Raises:
        ConfigError: the metric is not one of predictions.
    """
    other = [] if isinstance(theirs, str) else [theirs]
    if not ours.test_set:
        return "its runs were not tested on the same images"
    if any(row.test_set != ours.test_set for row in other):
        return "not tested on the same images"
    runs = [run for row in (ours, *other) for run in row.runs]
    groups = next((run.groups for run in runs if run.groups is not None), None)
    if groups is None and any(run.has_groups for run in runs):
        return "tested with --group by version 0.1.0, whose files do not name the groups"
    if metric.rpartition("/")[2] in ours.first.record.task.vote_metrics:
        return _of_votes(ours, theirs, metric)
    known = ours.first.samples.scores()
    if metric not in known:
        raise ConfigError(f"--metric={metric}: --baseline cannot compare it; choose one of {', '.join(known)}")
    samples = [run.samples for run in ours.runs]
    if isinstance(theirs, str):
        baseline = ours.first.baseline(theirs)
        if baseline is None and theirs == LINEAR_BASELINE:
            return "was tested by a version without this baseline"
        if baseline is None:
            return f"this task has {ours.first.record.task.blind_name}"
        found = difference(samples, [baseline], metric, groups, fixed=True)
    else:
        found = difference(samples, [run.samples for run in theirs.runs], metric, groups)
    return f"{metric} is undefined" if found is None else found


def meaning(found: Sequence[Difference | str]) -> list[str]:
    """What differences say, and what they do not say."""
    known = [each for each in found if isinstance(each, Difference)]
    if not known:
        return []
    lines = []
    if any(not each.seeds for each in known):
        lines.append(
            "One run on each side: the interval is about these two networks on new images of this kind. It says nothing of their "
            "flags, since another seed may turn the result around; train 3 or more seeds of each"
        )
    if any(each.seeds for each in known):
        lines.append(
            "Several seeds: the interval is about the two sets of flags, on new images and with new seeds, with this training set; the "
            "spread between seeds is taken to be the same on both sides"
        )
    if any(each.interval is None for each in known):
        lines.append("Fewer than 5 groups in the test set: no interval, since the groups are all that varies")
    return lines


def _of_votes(ours: Row, theirs: Row | str, metric: str) -> Difference | str:
    """The same of pair accuracy, from the votes between two test images."""
    question = metric.rpartition("/")[0]
    tables = [run.votes(question) for row in (ours, *([] if isinstance(theirs, str) else [theirs])) for run in row.runs]
    if any(table is None for table in tables):
        return "has no votes_test.csv"
    votes = [table for table in tables if table is not None]
    if any(table.names != votes[0].names for table in votes):
        return "not tested on the same votes"
    rights = [table.right for table in votes]
    # codes of the units that votes share: groups where there are any, else images
    groups = votes[0].groups
    grouped = groups is not None
    sides = np.array([name[:2] for name in votes[0].names]) if groups is None else groups
    units = np.unique(sides, return_inverse=True)[1].reshape(-1, 2)
    if isinstance(theirs, str):
        found = beyond_a_coin(rights, units, grouped=grouped)
    else:
        found = difference_of_votes(rights[: len(ours.runs)], rights[len(ours.runs) :], units, grouped=grouped)
    return f"{metric} is undefined" if found is None else found
