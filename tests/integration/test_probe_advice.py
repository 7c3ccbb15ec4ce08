"""A fine-tuned run and a probe of the same network and data: the report says when the probe is as good."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from deep_cnn.reporting.probe_advice import probe_advice
from deep_cnn.reporting.report.record import read_record
from deep_cnn.runtime.run_files import RunFiles


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run and its probe, untrained: one epoch at no learning rate to speak of."""
    from conftest import PLACES, TINY

    from deep_cnn import train

    root = str(tmp_path_factory.mktemp("probe"))
    train(PLACES, root_dir=root, run_name="tuned", lr=1e-9, **TINY)
    found = train(PLACES, root_dir=root, run_name="probe", lr=1e-9, freeze="backbone", **TINY)
    return found.files.outputs


def test_the_probe_is_as_good(runs, capsys):
    tuned, probe = (read_record(RunFiles(runs, name)) for name in ("tuned", "probe"))
    said = probe_advice(tuned)
    assert said == probe_advice(probe) and said is not None
    assert said.startswith("Fine-tuning (tuned) is not measurably better than the probe (probe)"), said
    assert said.split("(--folds")[0] in (probe.files.results / "report.html").read_text(encoding="utf-8")


def with_accuracy(record, right: int):
    """The record, as if so many of its 15 test images were classified right."""
    table = pd.DataFrame(record.predictions)
    names = record.task.names
    for i, truth in enumerate(table["target"]):
        said = truth if i < right else names[(names.index(truth) + 1) % len(names)]
        for name in names:
            table.loc[i, f"p_{name}"] = str(float(name == said))
    changed = replace(record)
    changed.__dict__["predictions"] = table
    return changed


@pytest.mark.parametrize(
    ("right", "expected"), [(15, None), (9, "not measurably better"), (0, "is worse than the probe")]
)
def test_only_what_the_interval_allows_is_said(runs, monkeypatch, right, expected):
    from deep_cnn.reporting import probe_advice as module

    tuned, probe = (read_record(RunFiles(runs, name)) for name in ("tuned", "probe"))
    monkeypatch.setattr(module, "read_record", lambda files: with_accuracy(probe, 8))
    said = probe_advice(with_accuracy(tuned, right))
    assert (said is None) if expected is None else expected in said, said
    assert np.isfinite(tuned.test["top1"])


def test_another_network_or_data_is_no_probe_of_it(runs):
    tuned = read_record(RunFiles(runs, "tuned"))
    other = replace(tuned, config=tuned.config | {"model": tuned.config["model"] | {"name": "resnet18"}})
    assert probe_advice(other) is None
    identity = tuned.config["identity"] | {"data": "other"}
    assert probe_advice(replace(tuned, config=tuned.config | {"identity": identity})) is None
    assert probe_advice(replace(tuned, test=None)) is None
