"""`compare` on runs that were trained, not written by the test."""

import csv

import pytest
from conftest import PERCEPTION, TINY

from deep_cnn.cli.main import main

pytestmark = pytest.mark.usefixtures("undrawn")


def test_scores_are_compared_by_r2_or_any_metric_of_a_target(run_cli, tmp_path, capsys):
    def compared(**flags):
        code = main(["compare", f"--root_dir={tmp_path}", *(f"--{name}={value}" for name, value in flags.items())])
        said = capsys.readouterr()
        table = tmp_path / "outputs/compare/table.csv"
        return code, said.out + said.err, list(csv.DictReader(table.open(encoding="utf-8")))

    for model in ("shufflenet_v2_x0_5", "squeezenet1_1"):
        flags = TINY | {"model": model, "data_dir": PERCEPTION, "metadata": "meta", "study_id": "safety,wealthy"}
        assert run_cli(run_name=model, **flags)[0] == 0
    capsys.readouterr()
    code, said, rows = compared()
    assert code == 0 and "scores of safety, wealthy" in said and "test R2" in said and len(rows) == 2
    flags = TINY | {"data_dir": PERCEPTION, "metadata": "meta", "study_id": "safety", "val_split": 0, "test_split": 0}
    assert run_cli(run_name="all_train", **flags)[0] == 0
    code, said, rows = compared()
    assert code == 0 and "left out: all_train: it was neither validated nor tested" in said and len(rows) == 2
    code, said, rows = compared(metric="safety/mae", baseline="squeezenet1_1")
    assert code == 0 and "test safety MAE" in said
    values = [float(row["test_safety/mae"]) for row in rows]
    assert values == sorted(values)  # the smaller error first
    other = next(row for row in rows if row["run"] != "squeezenet1_1")
    (base,) = (row for row in rows if row["run"] == "squeezenet1_1")
    found = float(other["difference_safety/mae"])
    assert found == pytest.approx(float(other["test_safety/mae"]) - float(base["test_safety/mae"]))
    assert float(other["difference_safety/mae_low"]) <= found <= float(other["difference_safety/mae_high"])
    code, said, _ = compared(metric="loss", baseline="squeezenet1_1")  # the loss is not in the predictions' own units
    assert code == 2 and "--baseline cannot compare it; choose one of mae" in said


def test_a_report_that_is_no_comparison_is_not_overwritten(places_run, capsys, tmp_path):
    folder = places_run.files.results
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert main(["compare", f"--root_dir={places_run.files.outputs.parent}", f"--output={folder}"]) == 2
    assert "is the folder of a run" in capsys.readouterr().err
    (tmp_path / "report.html").write_text("mine")
    assert main(["compare", f"--root_dir={places_run.files.outputs.parent}", f"--output={tmp_path}"]) == 2
    assert "its report.html is not one of compare" in capsys.readouterr().err
    for _ in range(2):
        assert main(["compare", f"--root_dir={places_run.files.outputs.parent}", f"--output={tmp_path / 'new'}"]) == 0
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
