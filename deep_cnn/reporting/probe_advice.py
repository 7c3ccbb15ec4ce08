"""Is fine-tuning worth it? A fine-tuned run beside a probe, a run of the same network whose backbone stayed frozen."""

from typing import Any

from deep_cnn.config.registries import metric_row
from deep_cnn.reporting.compare.paired import difference_of_rows
from deep_cnn.reporting.compare.rows import shown_difference
from deep_cnn.reporting.compare.runs import Row, Run
from deep_cnn.reporting.report.record import Record, read_record
from deep_cnn.runtime.atomic import read_json
from deep_cnn.runtime.errors import DataError
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.runtime.status import seen_status, unfinished
from deep_cnn.tasks.differences import Difference

FROZEN = "backbone"  # of --freeze


def all_advice(record: Record) -> list[str]:
    """What its learning curves say, and what a probe beside it says."""
    beside = probe_advice(record)
    return [*record.advice(), *([beside] if beside else [])]


def probe_advice(record: Record) -> str | None:
    """That the probe is as good, where it is; None where there is no such other run, or fine-tuning is better.

    The runs have the same network, data and test images; the interval is that of the difference on these images, see
    `differences.difference`.
    """
    other = _counterpart(record)
    if other is None:
        return None
    probe, tuned = (record, other) if _is_probe(record.config) else (other, record)
    metric = next((name for name in tuned.task.headline if name in (tuned.test or {})), None)
    if metric is None:
        return None
    found = difference_of_rows(Row((Run(tuned, None),)), Row((Run(probe, None),)), metric)
    if not isinstance(found, Difference) or found.interval is None:
        return None
    low, high = found.interval if metric_row(metric).higher_is_better else (-found.interval[1], -found.interval[0])
    if low > 0:
        return None
    ends = " to ".join(shown_difference(metric, end) for end in found.interval)
    much = "worse" if high < 0 else "not measurably better"
    return (
        f"Fine-tuning ({tuned.files.name}) is {much} than the probe ({probe.files.name}), which trains the head alone: "
        f"{metric_row(metric).label} {shown_difference(metric, found.value)} (95% interval {ends}). "
        + (
            "Use the probe."
            if high < 0
            else "The probe takes less time; to tell which is better, test on more images (--folds=5)."
        )
    )


def _is_probe(config: dict[str, Any]) -> bool:
    flags: dict[str, Any] = config["identity"]["flags"]
    return flags["freeze"] == FROZEN and flags["unfreeze_epoch"] is None


def _counterpart(record: Record) -> Record | None:
    """The probe of a fine-tuned run, or the fine-tuned run of a probe; of several the first by name."""
    if record.test is None:
        return None
    for folder in sorted(record.files.results.parent.iterdir()):
        files, config = RunFiles(record.files.outputs, folder.name), read_json(folder / "config.json")
        if not config or not _pairs(record.config, config) or unfinished(seen_status(files)) is not None:
            continue
        try:
            return read_record(files)
        except DataError:  # a damaged file is named by `compare`, which was asked for that run
            continue
    return None


def _pairs(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Whether one is the probe of the other: the same network, data and kind of task."""
    same = all(ours.get(key) == theirs.get(key) for key in ("model", "task"))
    try:
        return same and ours["identity"]["data"] == theirs["identity"]["data"] and _is_probe(ours) != _is_probe(theirs)
    except KeyError:  # of a version that did not say
        return False
