"""What the tests share: the committed images, and the command line run in this process."""

import logging
import os
import signal
import sys
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
def train(run_cli):
    """A function: flags -> (exit code, RunFiles) of a tiny training on the committed places."""

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


@pytest.fixture(autouse=True)
def quiet_log():
    """Leave no handler of one test's log behind for the next."""
    yield
    logger = logging.getLogger("deep_cnn")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
