"""What is known of the errors of areas, from the files of a run."""

import csv

import numpy as np
import pytest

from deep_cnn.inference.predict.areas import _errors_of
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.tasks.area_means import area_errors

COLUMNS = {
    "predictions_test.csv": ["file", "target_safety", "predicted_safety", "group"],
    "predictions_folds.csv": ["file", "fold", "group", "target_safety", "predicted_safety"],
}


@pytest.mark.parametrize("name", COLUMNS)
def test_errors_of_groups_are_those_of_a_test_or_of_all_folds(tmp_path, name):
    files = RunFiles(tmp_path, "run")
    files.results.mkdir(parents=True)
    assert _errors_of(files, "safety") is None
    rng = np.random.default_rng(0)
    city = np.arange(60) % 6
    said, true = rng.normal(size=60), rng.normal(size=60) + city
    with open(files.results / name, "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS[name], extrasaction="ignore")
        table.writeheader()
        for i in range(60):
            row = {"file": f"{i}.jpg", "fold": 1 + i % 2, "group": f"city {city[i]}"}
            table.writerow(row | {"target_safety": true[i], "predicted_safety": said[i]})
    found, expected = _errors_of(files, "safety"), area_errors(true - said, city)
    assert found is not None and expected is not None and found.groups == 6
    assert (found.between, found.within) == pytest.approx((expected.between, expected.within))
    assert _errors_of(files, "beauty") is None
