"""Signals as a wish to stop, and a run's files that are moved aside."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from deep_cnn.cli import main as command_line
from deep_cnn.runtime import signals
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.runtime.signals import Interrupted, Stopped
from deep_cnn.runtime.status import Status


@pytest.fixture
def caught(monkeypatch):
    """Handlers as in a run; pytest's own afterwards."""
    monkeypatch.setattr(signals, "_requests", [])
    monkeypatch.setattr(signals, "_between_steps", [])
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    names = [name for name in ("SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.getsignal(getattr(signal, name)) for name in names}
    signals.catch_signals()
    yield
    for name, handler in before.items():
        signal.signal(getattr(signal, name), handler)


pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals between processes are POSIX's")


def send(name: str) -> None:
    os.kill(os.getpid(), getattr(signal, name))


def test_before_the_first_step_a_signal_stops_at_once(caught):
    with pytest.raises(Stopped, match="SIGTERM before the first step"):
        send("SIGTERM")
    send("SIGTERM")  # the scheduler's own, after the job script has passed it on: it must not break the end
    with pytest.raises(Stopped):
        signals.raise_if_requested()  # in threads
    assert not issubclass(Stopped, Exception)  # `except Exception` around a broken image does not swallow it


def test_between_steps_a_signal_is_only_noted(caught):
    with signals.between_steps():
        assert signals.requested() is None
        send("SIGUSR1")
        send("SIGTERM")
        assert signals.requested() == "SIGUSR1"
        signals.raise_if_requested()


def test_a_second_ctrl_c_stops_at_once_but_not_torchruns_echo(caught, monkeypatch):
    with signals.between_steps():
        send("SIGINT")
        with pytest.raises(KeyboardInterrupt):
            send("SIGINT")
        signals._requests.clear()
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
        send("SIGINT")
        send("SIGINT")  # torchrun passes on what the terminal has sent to all
        monkeypatch.setattr(signals, "SAME_KEY", 0.0)
        with pytest.raises(KeyboardInterrupt):
            send("SIGINT")


def test_waiting_for_a_thread_ends_with_a_signal(caught):
    release = threading.Event()
    with ThreadPoolExecutor(1) as pool, signals.between_steps():
        assert signals.result_of(pool.submit(lambda: 3)) == 3
        with pytest.raises(TimeoutError, match="own"):
            signals.result_of(pool.submit(raising, TimeoutError("the thread's own")))
        task = pool.submit(release.wait)
        threading.Timer(0.1, send, ["SIGTERM"]).start()
        with pytest.raises(Interrupted):
            signals.result_of(task)
        release.set()


def raising(error: Exception):
    raise error


def fill(files: RunFiles, text: str) -> None:
    files.make_folders()
    for path in (files.last, files.best, files.results / "config.json", files.results / "test.json", files.status):
        path.write_text(text)


def test_a_death_while_a_run_is_moved_aside_mixes_no_two_runs(tmp_path, monkeypatch):
    """Of results, tensorboard and models the checkpoints go last, and what is left is moved by the next process."""
    for fatal in range(4):
        files = RunFiles(tmp_path / str(fatal), "run")
        fill(files, "old")
        files.tensorboard.mkdir(parents=True)
        (files.tensorboard / "events").write_text("old")
        rename, count = os.rename, [0]

        def dying(source, target, *, fatal=fatal, rename=rename, count=count):
            if count[0] == fatal:
                raise KeyboardInterrupt
            count[0] += 1
            rename(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", dying)
            try:
                files.move_aside()
            except KeyboardInterrupt:
                assert files.last.exists()  # so the next process sees that there is something to move
        files.make_folders()
        Status(files).say("mistake", "the next process")
        if files.has_results():
            files.move_aside()
        assert not files.has_results() and not (files.results / "config.json").exists()
        moved = RunFiles(files.outputs, "run.1")
        for path in (moved.last, moved.best, moved.results / "test.json", moved.tensorboard / "events"):
            assert path.read_text() == "old", (fatal, path)


def test_the_first_free_number_is_taken(tmp_path):
    files = RunFiles(tmp_path, "run")
    for number in (1, 2):
        fill(files, str(number))
        assert files.move_aside() == f"run.{number}"
    assert RunFiles(tmp_path, "run.2").last.read_text() == "2" and files.models.is_dir()
    assert Status(files).before() is None
    status = Status(files)
    status.note(epoch=1, step=7, steps=10)
    status.say("running")
    assert Status(files).before() == "running"
    assert '"step": 7' in files.status.read_text()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_command_that_saves_nothing_ends_in_a_line_and_gives_the_handlers_back(monkeypatch, capsys, name):
    before = signal.getsignal(getattr(signal, name))
    monkeypatch.setattr(command_line, "_run", lambda command, argv: send(name) or 0)
    assert command_line.main(["compare"]) == 75
    assert capsys.readouterr().err == f"deep_cnn: stopped by {name}; run the same command again\n"
    assert signal.getsignal(getattr(signal, name)) is before and signals.requested() is None
    monkeypatch.setattr(command_line, "_run", lambda command, argv: 0)
    assert command_line.main(["compare"]) == 0


def test_a_command_in_another_thread_leaves_signals_alone(monkeypatch):
    monkeypatch.setattr(command_line, "_run", lambda command, argv: 3)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(command_line.main, ["compare"]).result() == 3


def test_a_stop_that_is_raised_where_python_takes_no_exception_is_raised_again(monkeypatch, capsys):
    class Kept:
        def __del__(self):
            send("SIGTERM")
            time.sleep(0)  # where the handler runs

    def work(command, argv):
        kept = Kept()
        del kept
        for _ in range(500):
            time.sleep(0.01)
        raise AssertionError("the stop was lost")

    monkeypatch.setattr(command_line, "_run", work)
    assert command_line.main(["compare"]) == 75
    assert capsys.readouterr().err == "deep_cnn: stopped by SIGTERM; run the same command again\n"


def test_a_library_is_imported_to_its_end(monkeypatch, capsys, tmp_path):
    """C++ of torch that is being set up calls std::terminate when the handler raises: exit code 134 in place of 75."""
    (tmp_path / "set_up_in_c.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGTERM)\nfor _ in range(20): time.sleep(0.01)\nwhole = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    imported = []

    def work(command, argv):
        import set_up_in_c

        imported.append(set_up_in_c.whole)
        for _ in range(500):
            time.sleep(0.01)
        raise AssertionError("the stop was lost")

    monkeypatch.setattr(command_line, "_run", work)
    assert command_line.main(["compare"]) == 75
    assert imported == [True]
    assert capsys.readouterr().err == "deep_cnn: stopped by SIGTERM; run the same command again\n"


def test_what_a_library_makes_of_a_stop_is_the_stop(monkeypatch, capsys):
    def work(command, argv):
        try:
            send("SIGINT")
        except Stopped:
            raise ImportError("initialization failed") from None

    monkeypatch.setattr(command_line, "_run", work)
    assert command_line.main(["export"]) == 75 and "stopped by SIGINT" in capsys.readouterr().err
    monkeypatch.setattr(command_line, "_run", lambda command, argv: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        command_line.main(["export"])
