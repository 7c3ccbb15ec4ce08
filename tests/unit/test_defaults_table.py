"""The figures of `benchmarks.defaults`: each image's share of a metric, and the correction for many comparisons."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, r2_score

from benchmarks import defaults_table
from benchmarks.defaults_sets import SETS, write_table


def test_the_mean_of_the_contributions_is_the_metric():
    rng = np.random.default_rng(0)
    true = rng.choice(["a", "b", "c"], 90, p=[0.7, 0.2, 0.1])
    said = np.where(rng.random(90) < 0.6, true, "a")
    found = pd.DataFrame({"target": true, "predicted": said})
    assert defaults_table.score(found, "top1") == pytest.approx((true == said).mean())
    assert defaults_table.score(found, "balanced") == pytest.approx(balanced_accuracy_score(true, said))
    scores = rng.normal(size=50)
    predicted = scores + rng.normal(size=50)
    found = pd.DataFrame({"target": scores, "predicted": predicted})
    assert defaults_table.score(found, "r2") == pytest.approx(r2_score(scores, predicted))


def test_holms_correction():
    """Of Holm, 1979: the smallest p times their number, the next one less, and never less than the one before."""
    assert defaults_table.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_intervals_of_a_difference_contain_images_and_seeds():
    rng = np.random.default_rng(1)
    images = rng.normal(0.1, 1.0, (1, 400))
    means = defaults_table.resampled(images, rng)
    assert means.std() == pytest.approx(1 / 20, rel=0.15)
    seeds = np.repeat(np.array([[0.0], [0.1], [0.2]]), 400, axis=1)  # images alike: only the seeds differ
    assert defaults_table.resampled(seeds, rng).std() == pytest.approx(np.std([0, 0.1, 0.2]) / 3**0.5, rel=0.15)


def test_a_set_has_the_same_test_images_with_every_seed(tmp_path):
    for split, count in (("train", 20), ("test", 4)):
        for name in ("cat", "dog"):
            folder = tmp_path / "cifar10" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{number:03}.jpg").write_bytes(b"")
    tables = [
        pd.read_csv(write_table(SETS["cats_dogs_200"], tmp_path / "cifar10", seed, tmp_path / "set")) for seed in (0, 1)
    ]
    first, second = ({split: set(rows["file"]) for split, rows in table.groupby("split")} for table in tables)
    assert {split: len(files) for split, files in first.items()} == {"train": 34, "val": 6, "test": 8}
    assert first["test"] == second["test"] and first["val"] != second["val"]
