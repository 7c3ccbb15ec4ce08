"""A run with the cache of decoded images is the run without it."""

import os

import numpy as np
import torch
from conftest import PLACES

from deep_cnn.models import checkpoint


def spoil(folder, half=False, damaged=False):
    (path,), (sums,) = folder.glob("*.pixels"), folder.glob("*.rows")
    rows = os.path.getsize(sums) // 8
    pixels = np.memmap(path, np.uint8, "r+").reshape(rows, -1)
    if half:
        pixels[: rows // 2] = 0
        np.memmap(sums, np.uint64, "r+")[: rows // 2] = 0
    if damaged:
        pixels[rows // 4 : rows // 2, 1000] ^= 255


def test_the_weights_are_the_same_with_any_cache(train, tmp_path):
    """Off, filled on the way, full, half filled, and with damaged rows; with any number of reading threads."""
    found, folder = {}, tmp_path / "cache"

    def run(name, **flags):
        code, files = train(
            run_name=name, data_dir=PLACES / "train", val_split=0, test_split=0, augment="basic", epochs=2, **flags
        )
        assert code == 0
        found[name] = checkpoint.load(files.last)["weights"], (files.results / "metrics.csv").read_bytes()

    run("off", cache="off", workers=1)
    run("filled", cache=folder, workers=3)
    run("full", cache=folder, workers=1)
    spoil(folder, half=True)
    run("half", cache=folder, workers=2)
    spoil(folder, damaged=True)
    run("damaged", cache=folder)
    weights, metrics = found.pop("off")
    for name, (others, other_metrics) in found.items():
        assert all(torch.equal(weights[key], others[key]) for key in weights), name
        assert metrics == other_metrics, name
