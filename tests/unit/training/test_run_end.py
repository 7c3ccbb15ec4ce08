"""A run's end is said in status.json, and signals that come meanwhile change nothing in it."""

import os
import signal

import pytest

from deep_cnn.config.schema import Config
from deep_cnn.runtime import signals, status
from deep_cnn.runtime.errors import ConfigError, LostPeer
from deep_cnn.runtime.signals import Stopped
from deep_cnn.runtime.status import read_status
from deep_cnn.training.run import opened_run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals between processes are POSIX's")


@pytest.fixture
def handlers(monkeypatch):
    monkeypatch.setattr(signals, "_between_steps", [])
    with signals.caught():
        yield


def terminate(*_) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    ("fault", "state"),
    [(LostPeer("connection closed by peer"), "failed"), (ConfigError("--lr=x"), "mistake"), (RuntimeError(), "failed")],
)
def test_a_signal_while_the_end_is_said(handlers, tmp_path, monkeypatch, fault, state):
    """torchrun terminates a process 0.1 s after another one has died: while the first one still says so."""
    write = status.write_json
    monkeypatch.setattr(status, "write_json", lambda path, values: (terminate(), write(path, values)))
    with pytest.raises(type(fault)), opened_run(Config(root_dir=str(tmp_path))) as run:
        raise fault
    assert read_status(run.files)["state"] == state


def test_a_signal_on_the_way_out_of_the_steps(handlers, tmp_path):
    """After a fault, and after the last save of a run that is finished."""
    for fault, state in ((LostPeer("connection closed by peer"), "failed"), (None, "finished")):
        try:
            with opened_run(Config(root_dir=str(tmp_path), run_name=state)) as run:
                run.at_end.enter_context(signals.between_steps())
                run.at_end.callback(terminate)  # the ranks' connection is closed
                try:
                    if fault:
                        raise fault
                finally:
                    terminate()  # the feeds are closed
        except LostPeer as raised:
            assert raised is fault
        assert read_status(run.files)["state"] == state
        signals._requests.clear()


def test_a_signal_before_the_steps_stops(handlers, tmp_path):
    with pytest.raises(Stopped, match="before the first step"), opened_run(Config(root_dir=str(tmp_path))) as run:
        terminate()
    assert read_status(run.files)["state"] == "stopped"
