"""Opening trained networks: what a run's settings become on this machine."""

import dataclasses

import pytest
import torch

from deep_cnn.inference.load import image_folders, open_network, open_networks
from deep_cnn.models import checkpoint
from deep_cnn.runtime.errors import CheckpointError, ConfigError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def changed(places_run, tmp_path_factory):
    """A function: settings of the run, other than they were -> a checkpoint that says so."""

    def write(**settings):
        state = checkpoint.load(places_run.checkpoint)
        path = tmp_path_factory.mktemp("changed") / "best.pt"
        checkpoint.save(path, state | {"decisions": state["decisions"] | settings})
        return path

    return write


def test_the_precision_is_that_of_the_run_where_the_device_has_it(places_run, changed):
    run = open_network(places_run.checkpoint, CPU)
    assert dataclasses.asdict(run.settings) == run.meta["decisions"] and run.reference is not None
    assert open_network(changed(precision="fp16"), CPU).settings.precision == "fp32"
    double = open_network(places_run.checkpoint, CPU, "fp64")
    assert double.settings.precision == "fp64" and next(double.model.parameters()).dtype == torch.float64
    with pytest.raises(ConfigError, match="--precision=fp16: slow on a CPU"):
        open_network(places_run.checkpoint, CPU, "fp16")


def test_as_many_threads_as_in_the_run(changed):
    before = torch.get_num_threads()
    try:
        open_networks([changed(threads=3), changed(threads=2)], device="cpu")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_networks_of_an_ensemble_predict_the_same(places_run, scores_run):
    with pytest.raises(ConfigError, match=r"--checkpoint=.*: predicts safety, wealthy .* must predict the same"):
        open_networks([places_run.checkpoint, scores_run.checkpoint], device="cpu")


def test_where_images_may_lie(places_run, tmp_path):
    network = open_network(places_run.checkpoint, CPU)
    (tmp_path / "photos").mkdir()
    folders = image_folders(tmp_path, "photos", network)
    assert [str(folder) for folder in folders] == [
        "photos",
        str(tmp_path / "photos"),
        str(tmp_path),
        network.meta["config"]["data_dir"],
    ]


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ({"preprocessing": {"std": (0.0, 0.0, 0.0)}}, "its preprocessing is"),
        ({"preprocessing": {"crop": 10**9}}, "its preprocessing is"),
        ({"task": {"name": "magic"}}, "there is no task 'magic'"),
    ],
)
def test_a_checkpoint_that_only_claims_to_be_one_is_refused(places_run, tmp_path, part, reason):
    state = checkpoint.load(places_run.checkpoint)
    checkpoint.save(tmp_path / "odd.pt", state | {key: state[key] | values for key, values in part.items()})
    with pytest.raises(CheckpointError, match=reason):
        open_network(tmp_path / "odd.pt", CPU)


def test_a_network_of_nan_is_not_used(places_run, tmp_path):
    state = checkpoint.load(places_run.checkpoint)
    state["weights"]["conv1.0.weight"][0] = float("nan")
    torch.save(state, tmp_path / "nan.pt")
    with pytest.raises(CheckpointError, match=r"conv1\.0\.weight contains NaN"):
        open_network(tmp_path / "nan.pt", CPU)
