"""What the tests share: the committed images, and the command line run in this process."""

import gc
import logging
import os
import signal
import sys
import warnings
from pathlib import Path

import pytest

# One thread a process, before torch is imported: the tensors are tiny, two workers of pytest-xdist share two cores, and
# two threads that wait for each other on busy cores take ten times as long. A test of threads sets what it needs.
for variable in ("NCPUS", "OMP_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
sys.path.insert(0, str(Path(__file__).parent))  # tests/scenes.py, the generator of images

HERE = Path(__file__).parent
ROOT = HERE.parent
PLACES = HERE / "places_test_input"
PERCEPTION = HERE / "test_input"

# The smallest run that exercises everything: a real network with BatchNorm and 350,000 weights, 32 pixels, one epoch
TINY = {
    "model": "shufflenet_v2_x0_5",
    "weights": "none",
    "image_size": 32,
    "epochs": 1,
    "batch_size": 16,
    "cache": "off",
}


@pytest.fixture(scope="module")
def server():
    """A process that has imported the program and forks a child for each command, see crashes.py."""
    import crashes  # here, since it imports torch

    with crashes.Server() as server:
        yield server


@pytest.fixture(scope="module")
def whole(server, tmp_path_factory):
    """The folder of a plain training that was never stopped."""
    from kills import PLAIN

    folder = tmp_path_factory.mktemp("whole")
    server.finish([*PLAIN, f"--root_dir={folder}"], folder)
    return folder


def pytest_xdist_auto_num_workers(config) -> int:
    """Two processes for whole folders; none for single files or tests, which are through before two have imported torch."""
    single = any(not Path(argument).is_dir() for argument in config.args)
    return 0 if single else min(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())


def pytest_collection_finish():
    """What was imported and collected stays: not looking through it in each collection of garbage is a tenth of the suite's time."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def run_cli(tmp_path, monkeypatch):
    """A function: flags (and a command) -> (exit code, RunFiles). Outputs go below tmp_path; signals stay pytest's own."""
    from deep_cnn.cli.main import main
    from deep_cnn.runtime import signals
    from deep_cnn.runtime.run_files import RunFiles

    monkeypatch.chdir(tmp_path)

    def run(command: str | None = None, /, **flags):
        flags = {"root_dir": tmp_path, "run_name": "default"} | flags
        words = [f"--{name}={value}" for name, value in flags.items()]
        handlers = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
        monkeypatch.setattr(signals, "_requests", [])
        try:
            code = main([*([command] if command else []), *words])
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return code, RunFiles(Path(flags["root_dir"]) / "outputs", flags["run_name"])

    return run


@pytest.fixture
def pictures():
    """Asked for by a test that wants the figures and the report of its runs, which take half of a tiny run's time."""


@pytest.fixture
def undrawn(monkeypatch):
    """Runs of this process write neither figures nor a report."""
    from deep_cnn.training import outputs, records

    monkeypatch.setattr(outputs, "write_plots", lambda *args, **kwargs: None)
    monkeypatch.setattr(records, "write_report_of", lambda *args, **kwargs: None)


@pytest.fixture
def train(run_cli, request):
    """A function: flags -> (exit code, RunFiles) of a tiny training on the committed places, drawn only with `pictures`."""
    if "pictures" not in request.fixturenames:
        request.getfixturevalue("undrawn")

    def run(**flags):
        return run_cli(**(TINY | {"data_dir": PLACES} | flags))

    return run


@pytest.fixture(scope="session")
def places_run(tmp_path_factory):
    """A tiny finished classification, as `deep_cnn.train` gives it; for tests that only read it."""
    from deep_cnn import train

    return train(PLACES, root_dir=str(tmp_path_factory.mktemp("places")), **TINY)


@pytest.fixture(scope="session")
def scores_run(tmp_path_factory):
    """A tiny finished regression of two scores of Place Pulse images, one of them missing here and there."""
    from deep_cnn import train

    flags = {"metadata": "meta", "study_id": "safety,wealthy", "root_dir": str(tmp_path_factory.mktemp("scores"))}
    return train(PERCEPTION, **(TINY | flags))


@pytest.fixture
def pickles(tmp_path, monkeypatch):
    """A CIFAR-10 of three classes in tmp_path/data, whose MD5 sums torchvision's class takes for the published ones."""
    from cifar_pickles import PER_FILE, write_pickles
    from torchvision import datasets

    folder = tmp_path / "data" / "cifar-10-batches-py"
    sums = write_pickles(folder)
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [[n, sums[n]] for n in PER_FILE if n != "test_batch"])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(datasets.CIFAR10, "meta", datasets.CIFAR10.meta | {"md5": sums["batches.meta"]})
    return folder


@pytest.fixture(autouse=True)
def own_warnings_are_errors():
    """A warning that points at a line of deep_cnn is an error: a deprecated call, an overflow, a file left open."""
    warnings.filterwarnings("error", module=r"deep_cnn(\.|$)")


@pytest.fixture(autouse=True)
def quiet_log():
    """Leave no handler of one test's log behind for the next."""
    yield
    logger = logging.getLogger("deep_cnn")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
