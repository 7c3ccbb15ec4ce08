"""A run on --dataset=cifar10, and its evaluation."""

import json

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("undrawn")


def test_a_run_on_it_and_its_evaluation(pickles, run_cli, capsys):
    """--recipe=tutorial, the labs' subset, no validation; `evaluate` gives the very numbers of the training."""
    flags = {
        "dataset": "cifar10",
        "data_dir": pickles.parent,
        "recipe": "tutorial",
        "subset": 30,
        "subset_order": "lab",
    }
    code, files = run_cli(**flags, epochs=1, cache="off")
    said = capsys.readouterr().out
    assert code == 0 and "using 30 of 48 training images in the labs' order" in said
    assert "Recipe: tutorial (--model=net" in said and "overridden: --epochs=1" in said
    assert "no validation set (the last weights are kept" in said
    trained = [row.split(",")[0] for row in (files.results / "splits.csv").read_text().splitlines() if ",train" in row]
    indices = list(range(48))
    np.random.RandomState(2147483647).shuffle(indices)
    assert sorted(int(path[-9:-4]) for path in trained) == sorted(indices[:30])
    result = json.loads((files.results / "test.json").read_text())
    right = round(18 * result["top1"])
    assert f"Accuracy of the network on the 18 test images: {100 * right // 18} %" in said
    assert f"Accuracy for class: cat   is {100 * result['per_class']['cat']['recall']:.1f} %" in said
    assert run_cli("evaluate")[0] == 0
    again = capsys.readouterr().out
    block = said[said.index("Test result") : said.index("Accuracy of the network")]
    assert block.strip() == again[again.index("Test result") :].strip()
