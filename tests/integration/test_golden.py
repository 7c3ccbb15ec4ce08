"""Three small trainings in float64 give the numbers that they gave when tests/integration/golden_numbers.json was written.

Float64 and a tolerance make the numbers the same on every processor. After a change that is meant to change them:

    DEEP_CNN_WRITE_GOLDEN=1 python -m pytest tests/integration/test_golden.py
"""

import csv
import json
import os
from pathlib import Path

import pytest
from golden_data import make_data

from deep_cnn import train

NUMBERS = Path(__file__).parent / "golden_numbers.json"

# Images have the size that the network takes and are no JPEG files: decoding and resizing round differently elsewhere.
COMMON = {
    "epochs": 2,
    "batch_size": 8,
    "image_size": 16,
    "model": "net",
    "weights": "none",
    "lr": 0.01,
    "precision": "fp64",
    "device": "cpu",
    "cache": "off",
}
TABLE = {"metadata": "table.csv", "image_column": "image"}
RUNS = {
    # pretrained weights of a network with BatchNorm; a new head
    # batchnorm: of 32 images the statistics would be kept, and the golden numbers are older
    "classes": {
        "model": "cifar_resnet20",
        "weights": "pretrained",
        "subset": "32",
        "augment": "flip",
        "ema": 0.5,
        "batchnorm": "update",
    },
    "scores": TABLE | {"target": ("price", "area"), "group": "city", "augment": "flip", "dropout": 0.2, "lr": 0.002},
    "multilabel": TABLE | {"target": "labels", "task": "multilabel", "augment": "none", "lr": 0.005},
}


def numbers_of(value, name: str = "") -> dict[str, float]:
    """All numbers within nested dicts and lists, by their path."""
    if isinstance(value, dict):
        return {k: v for key, inner in value.items() for k, v in numbers_of(inner, f"{name}/{key}").items()}
    if isinstance(value, list):
        return {k: v for i, inner in enumerate(value) for k, v in numbers_of(inner, f"{name}/{i}").items()}
    return {name: value} if isinstance(value, int | float) else {}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    make_data(folder, size=(16, 16), endings=("png",))
    return folder


@pytest.mark.parametrize("name", RUNS)
def test_training_gives_the_stored_numbers(name, data, tmp_path, monkeypatch):
    monkeypatch.setenv("NCPUS", "1")  # one thread
    flags = COMMON | RUNS[name]
    if "metadata" in flags:
        flags |= {"metadata": str(data / flags["metadata"])}
    train(data / "photos", root_dir=str(tmp_path), **flags)
    results = tmp_path / "outputs" / "results" / "default"
    with open(results / "metrics.csv", encoding="utf-8") as file:
        epochs = [{key: float(cell) for key, cell in row.items() if cell} for row in csv.DictReader(file)]
    found = numbers_of({"metrics": epochs, "test": json.loads((results / "test.json").read_text(encoding="utf-8"))})

    stored = json.loads(NUMBERS.read_text(encoding="utf-8")) if NUMBERS.exists() else {}
    if "DEEP_CNN_WRITE_GOLDEN" in os.environ:
        NUMBERS.write_text(json.dumps(stored | {name: found}, indent=1) + "\n", encoding="utf-8")
        return
    missing = stored[name].keys() - found.keys()  # more numbers than these are welcome
    assert not missing
    # initial weights are drawn, and outputs collected, in float32, whose last bit is up to the processor: 1e-6 of a loss
    assert {key: found[key] for key in stored[name]} == pytest.approx(stored[name], rel=1e-5, abs=1e-5)
