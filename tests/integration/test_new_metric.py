"""A metric is a row and a function: with these two it is on the console, in the files, in the report, in compare and in search."""

import json
import logging

import pytest

from deep_cnn.config import registries
from deep_cnn.config.registries import Metric
from deep_cnn.reporting.compare.job import Asked, compare
from deep_cnn.runtime.errors import ConfigError
from deep_cnn.tasks.make import new_task
from deep_cnn.tools.search.searching import choose_metric
from deep_cnn.tools.search.study import open_study


def share_of_wrong(selection) -> float:
    return (selection.targets != selection.predicted).mean()


ROW = Metric(
    "wrong", "wrong ones", ("classification",), f"{__name__}:share_of_wrong", share=True, higher_is_better=False
)


@pytest.fixture
def new_metric(monkeypatch):
    monkeypatch.setitem(registries.METRICS, ROW.name, ROW)


def test_a_new_metric_is_found_everywhere(new_metric, pictures, train, capsys, tmp_path, caplog):
    code, files = train()
    said = capsys.readouterr().out
    test = json.loads((files.results / "test.json").read_text())
    assert code == 0 and test["wrong"] == pytest.approx(1 - test["top1"]) and test["intervals"]["wrong"]
    shown = f"{100 * test['wrong']:.2f}%"
    assert f"wrong ones         {shown}" in said and ", wrong ones " in said  # the test, and the epoch's line
    assert "val_wrong" in (files.results / "metrics.csv").read_text().splitlines()[0]
    page = (files.results / "report.html").read_text(encoding="utf-8")
    assert '<th scope="row">wrong ones</th>' in page and f"<td>{100 * test['wrong']:.1f}%</td>" in page
    assert "validation wrong ones" in page

    with caplog.at_level(logging.INFO, "deep_cnn"):
        (block,) = compare(files.outputs, tmp_path / "compared", Asked(("*",), "wrong", None, False))
    assert block.panel is not None and "lower is better" in block.panel.alt
    table = (tmp_path / "compared" / "table.txt").read_text(encoding="utf-8")
    assert "validation wrong ones" in table and "test wrong ones" in table and shown in table
    assert (tmp_path / "compared" / "wrong_by_parameters.png").exists()


def test_a_search_can_be_for_a_new_metric(new_metric, tmp_path):
    task = new_task("classification", ("ant", "bee"))
    assert choose_metric("wrong", task) == "wrong"
    study, _ = open_study("s", tmp_path, None, {"metric": "wrong", "pruner": "none"}, epochs=1)
    assert study.direction.name == "MINIMIZE"
    with pytest.raises(ConfigError, match="choose one of mae"):
        choose_metric("wrong", new_task("regression", ("price",)))
