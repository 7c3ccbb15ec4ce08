"""The ways in which programs of this kind are known to fail, each with a test: here, or where this list says.

`--wandb=False` taken for true: test_cli. The learning rate multiplied in twice: test_optim. Top-5 of two classes: test_metrics.
Classes counted by listing a folder: test_index. Backbones cut apart: test_models. (B, 1) against (B,): test_tasks. A corrupt
or truncated image: test_bad_input. Predictions that disagree with validation: test_predict. A resumed run that forgets:
test_resume. Cores of the whole node: test_machine. The others follow.
"""

import csv
import json

import numpy as np
import pytest
import torch
from conftest import PLACES

from deep_cnn.data.feed import Feed, FeedSettings, Pixels
from deep_cnn.data.index import Paths
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.inference.predict.inputs import Images
from deep_cnn.models import memory
from deep_cnn.models.build import ModelSpec, build_model


def test_metrics_are_of_all_batches_not_of_the_last(train):
    _, files = train(epochs=1, data_dir=PLACES)
    decisions = json.loads((files.results / "config.json").read_text(encoding="utf-8"))["decisions"]
    with open(files.results / "predictions_test.csv", encoding="utf-8", newline="") as stream:
        table = list(csv.DictReader(stream))
    result = json.loads((files.results / "test.json").read_text(encoding="utf-8"))
    losses = [-np.log(float(row[f"p_{row['target']}"])) for row in table]
    assert result["count"] == len(table) == 15
    assert result["loss"] == pytest.approx(np.mean(losses), rel=1e-6)
    assert decisions["eval_batch"] >= 1


def test_every_sample_is_scored_once_when_batches_do_not_come_out_even():
    files = sorted(PLACES.rglob("*.jpg"))[:23]
    pixels = Pixels(
        Images(PLACES, Paths.from_list([f.relative_to(PLACES).as_posix() for f in files])), Preprocessing(32, 32), None
    )
    feed = Feed(pixels, np.arange(23), torch.zeros(23), FeedSettings(torch.device("cpu")))
    batches = list(feed.eval_batches(8))
    assert [len(batch.images) for batch in batches] == [8, 8, 8]  # padded: other sizes differ in the last bits
    assert np.concatenate([batch.indices for batch in batches]).tolist() == list(range(23))
    feed.close()


def test_looking_at_a_network_moves_no_statistics():
    model = build_model(ModelSpec("resnet18", 3, 0.0, 64), 0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    memory.saved_bytes_per_image(model, 64, "fp32")  # a forward pass in train mode, but of a copy without memory
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_what_is_trained_does_not_depend_on_the_test_sets_scores(train, tmp_path):
    names = sorted(file.relative_to(PLACES).as_posix() for file in PLACES.rglob("*.jpg"))
    weights = []
    for run, factor in (("one", 1.0), ("two", 1000.0)):
        rows = [f"{name},{(n % 7) * (factor if name.startswith('test') else 1)}" for n, name in enumerate(names)]
        table = tmp_path / f"{run}.csv"
        table.write_text("\n".join(["image,score", *rows]) + "\n", encoding="utf-8")
        code, files = train(metadata=table, target="score", task="regression", run_name=run)
        assert code == 0
        weights.append(torch.load(files.last, weights_only=True)["weights"])
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_weights_are_saved_from_the_first_epoch_on_into_folders_that_were_not_there(train, tmp_path, monkeypatch):
    from deep_cnn.models import checkpoint
    from deep_cnn.training.trainer import Trainer

    def fails_later(self):
        if self.state.progress.epoch == 1:
            raise RuntimeError("the power went")
        return original(self)

    original = Trainer.train_epoch
    monkeypatch.setattr(Trainer, "train_epoch", fails_later)
    with pytest.raises(RuntimeError, match="the power went"):
        train(epochs=3)
    models = tmp_path / "outputs" / "models" / "default"
    assert checkpoint.load(models / "best.pt")["epoch"] == 0
    assert checkpoint.load(models / "last.pt")["progress"]["epoch"] == 1
    assert (
        json.loads((tmp_path / "outputs/results/default/status.json").read_text(encoding="utf-8"))["state"] == "failed"
    )
