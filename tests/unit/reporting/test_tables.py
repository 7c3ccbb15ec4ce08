"""Tables of a report."""

from types import SimpleNamespace
from typing import Any

from deep_cnn.reporting.report.tables import Small, metric_tables
from deep_cnn.tasks.make import new_task

INTERVAL = {
    "method": "split conformal",
    "reached": 0.9,
    "interval": [0.8, 0.96],
    "calibration_images": 1,
    "mean_width": 3.5,
}
UNKNOWN = {"method": "too few validation images (4)"}


def tables_of(names: tuple[str, ...], coverage: dict[str, Any]) -> dict[str, list]:
    result = {"count": 9, "coverage": {"level": 0.9, "per_target": coverage}}
    record = SimpleNamespace(result=result, test=result, task=new_task("regression", names))
    return {table.title: table.rows for table in metric_tables(record)}


def test_prediction_intervals_of_several_targets_are_a_table():
    rows = tables_of(("price", "area"), {"price": INTERVAL, "area": UNKNOWN})["90% prediction intervals"]
    assert rows == [
        ["price", Small("90.0%", "80.0% to 96.0%"), "3.5", "split conformal, 1 image"],
        ["area", "", "", "too few validation images (4)"],
    ]


def test_those_of_one_target_are_a_sentence():
    assert list(tables_of(("price",), {"price": INTERVAL})) == ["Metrics"]
