"""What a run does to its images first: its own mean and spread, those of its weights, or what --pre says."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import PLACES, ROOT
from PIL import Image

from deep_cnn import load_model
from deep_cnn.data.assemble import Pixels
from deep_cnn.data.files import Paths
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.inference.predict.inputs import Images
from deep_cnn.models import checkpoint
from deep_cnn.models.build import weights_preprocessing


def test_a_run_without_weights_uses_keeps_and_says_them(train, run_cli, capsys):
    code, files = train(model="cifar_resnet20", image_size=16)
    said = capsys.readouterr().out
    assert code == 0 and "Normalising with mean" in said
    model, meta = load_model(files.best)
    pre = meta["preprocessing"]
    assert f"mean {', '.join(f'{m:.4f}' for m in pre['mean'])}" in said
    rows = [row.split(",") for row in (files.results / "splits.csv").read_text().splitlines()]
    images = Images(PLACES, Paths.from_list([row[0] for row in rows if row[-1] == "train"]))
    seen = Pixels(images, Preprocessing(16, 16), None)
    expected = np.stack([seen[k].numpy() for k in range(len(seen))]).mean((0, 2, 3)) / 255
    assert pre["mean"] == pytest.approx(expected, rel=1e-9)  # of the training images alone
    assert (pre["resize"], pre["crop"]) == (16, 16)
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 16, 16)).shape == (1, len(meta["task"]["names"]))
    assert run_cli("evaluate")[0] == 0
    again = capsys.readouterr().out
    test = said[said.index("Test result") : said.index("Everything is in")]
    assert (
        again[again.index("Test result") :].strip() == test.strip()
    )  # accuracy and loss to the last digit that is shown


def test_a_given_preprocessing_and_small_networks(train, capsys):
    """--pre=half normalises; a network for 32x32 images keeps its own geometry."""
    code, files = train(model="net", pre="half", image_size=32)
    assert code == 0 and "Normalising with" not in capsys.readouterr().out
    pre = load_model(files.best)[1]["preprocessing"]
    assert (pre["resize"], pre["crop"], pre["mean"]) == (32, 32, [0.5, 0.5, 0.5])


def test_a_run_begins_with_the_weights_that_come_with_the_package(train):
    code, files = train(model="cifar_resnet20", weights="pretrained")
    assert code == 0 and (files.results / "test.json").is_file()
    log = files.log.read_text(encoding="utf-8")
    assert (
        "from cifar_resnet20.pt (included with deep_cnn)" in log
        and "Replaced the classifier (10 classes) by a new" in log
    )
    meta = checkpoint.load(files.best)
    assert meta["preprocessing"]["mean"] == list(weights_preprocessing("cifar_resnet20", "pretrained").mean)


def test_a_hundred_megapixels_load_without_a_warning(tmp_path):
    Image.new("L", (10_000, 10_000), 77).save(tmp_path / "huge.png")
    code = (
        "import sys; from deep_cnn.data.decode import decode; from deep_cnn.data.preprocess import Preprocessing; "
        "image = decode(sys.argv[1], Preprocessing(64, 56)); print(image.shape, image.min().item(), image.max().item())"
    )  # a process of its own: pytest has its own filters of warnings
    command = [sys.executable, "-c", code, str(tmp_path / "huge.png")]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert run.stdout.strip() == "torch.Size([3, 64, 64]) 77 77" and "DecompressionBomb" not in run.stderr, run.stderr
