"""A run with defaults that depend on its training set: what the log says, and which run the same command continues."""

import json

import pytest
from conftest import PLACES

from deep_cnn.config.recipes import with_recipe
from deep_cnn.runtime.signals import Stopped
from deep_cnn.training import trainer

pytestmark = pytest.mark.usefixtures("undrawn")

FLAGS = {"data_dir": PLACES, "model": "cifar_resnet20", "weights": "pretrained", "epochs": 2, "cache": "off"}


def log_of(files) -> str:
    return files.log.read_text(encoding="utf-8")


def config_of(files) -> dict:
    return json.loads((files.results / "config.json").read_text(encoding="utf-8"))


def stopped_in_its_second_epoch(tmp_path, **flags) -> None:
    """A run of a version that chose nothing: its files don't say what was chosen."""

    def stop(row):
        raise Stopped("by the test")

    given = {"root_dir": str(tmp_path), "save_every": "1"} | FLAGS | flags
    config = with_recipe({name: str(value) for name, value in (given | {"batchnorm": "update"}).items()})
    with pytest.raises(Stopped):
        trainer.train(config, trainer.Hooks(after_epoch=stop))
    path = tmp_path / "outputs" / "results" / "default" / "config.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    del record["chosen"]
    record["identity"]["flags"].pop("batchnorm", None)  # a flag that it did not have
    path.write_text(json.dumps(record), encoding="utf-8")
    (path.parent / "digests.json").unlink(missing_ok=True)


def test_the_batch_size_is_chosen_and_the_log_says_why(run_cli, train):
    code, files = run_cli(**FLAGS)
    assert code == 0 and "batches of 8" in log_of(files)
    assert "--batch_size=8 --batchnorm=keep for 40 training images: with 128 an epoch would have only 1 step" in log_of(
        files
    )
    record = config_of(files)
    assert record["chosen"] == {"batch_size": 8, "batchnorm": "keep"} and record["identity"]["flags"]["batch_size"] == 8
    assert record["config"]["batch_size"] == 8 and "--batch_size=8" in record["command"]
    assert record["weights_file"] == "cifar_resnet20.pt (included with deep_cnn)"
    run_cli(**FLAGS)
    assert log_of(files).count("This run is finished") == 1
    run_cli(**FLAGS | {"batch_size": 8})  # the same run, by its value
    assert log_of(files).count("This run is finished") == 2


def test_an_unfinished_run_of_an_older_version_keeps_its_batches(run_cli, train, tmp_path):
    stopped_in_its_second_epoch(tmp_path, batch_size=128)
    code, files = run_cli(**FLAGS)
    assert code == 0 and "Resuming at epoch 0, step 1 of 1" in log_of(files) and "--batch_size=" not in log_of(files)
    flags = config_of(files)["identity"]["flags"]
    assert (flags["batch_size"], flags["batchnorm"]) == (128, "update")
    run_cli(**FLAGS)
    assert log_of(files).count("This run is finished") == 1  # and is not trained again with other batches


def test_an_unfinished_run_with_a_flag_is_another_run(run_cli, train, tmp_path):
    stopped_in_its_second_epoch(tmp_path, batch_size=64)
    code, files = run_cli(**FLAGS)
    assert code == 0 and "--batch_size was 64, is 8" in log_of(files)


def test_all_folds_have_the_same_batches(run_cli, train, tmp_path):
    """By the images that a fold trains on, 70 * 1/2 * 0.85; a plan of an older version keeps 128."""
    flags = FLAGS | {"folds": 2, "epochs": 1}
    assert run_cli(**flags)[0] == 0
    plan = tmp_path / "outputs/results/default/plan.json"
    record = json.loads(plan.read_text(encoding="utf-8"))
    assert record["chosen"] == {"batch_size": 8, "batchnorm": "keep"} and record["identity"]["flags"]["batch_size"] == 8
    of_folds = [json.loads((plan.parent.parent / f"default-fold{k}" / "config.json").read_text()) for k in (1, 2)]
    assert [each["identity"]["flags"]["batch_size"] for each in of_folds] == [8, 8]
