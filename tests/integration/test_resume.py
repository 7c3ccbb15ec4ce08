"""A training that is killed again and again ends where one ends that never was: weights, metrics.csv, test.json, bit by bit.

`DEEP_CNN_KILLS=100 pytest tests/integration/test_resume.py -k killed -s` kills more often and shows what was hit; 20 times in
tests/slow/test_training_killed.py.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from conftest import PLACES, ROOT

if not hasattr(os, "fork") or sys.platform == "darwin":
    pytest.skip("forks a process that has imported torch, which is safe on Linux alone", allow_module_level=True)

import crashes
import kills
import torch
from kills import PLAIN, files_of, linked, same, status_of

from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.tools.verify_resume import differences


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return linked(tmp_path_factory.mktemp("many"), 40)


@pytest.fixture(scope="module")
def torments(tmp_path_factory):
    return kills.torments(tmp_path_factory.mktemp, int(os.environ.get("DEEP_CNN_KILLS", "2")))


@pytest.mark.parametrize("name", ["plain", "everything", "features"])
def test_killed_at_random_moments_the_result_is_the_same(torments, name):
    kills.check(name, *torments[name])


def test_the_comparison_sees_a_single_bit(whole, tmp_path):
    for name in ("best.pt", "last.pt"):
        shutil.rmtree(tmp_path / "outputs", ignore_errors=True)
        shutil.copytree(whole / "outputs", tmp_path / "outputs")
        (files_of(tmp_path).results / "digests.json").unlink()  # else the edited file is refused before it is compared
        path = files_of(tmp_path).models / name
        state = torch.load(path, weights_only=True)
        mean = next(t for key, t in state["weights"].items() if "running_mean" in key)
        mean.view(torch.int32)[0] ^= 1
        torch.save(state, path)
        assert len(differences(files_of(whole), files_of(tmp_path))) == 1
    (files_of(tmp_path).results / "metrics.csv").write_text("epoch\n", encoding="utf-8")
    assert "metrics.csv: line 1 differs" in differences(files_of(whole), files_of(tmp_path))


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR1"])
def test_a_signal_in_validation_is_honoured_between_two_batches(server, many, tmp_path, name):
    child = crashes.Child(server, [*PLAIN, f"--data_dir={many}", f"--root_dir={tmp_path}"], tmp_path)
    assert child.wait_until(lambda: child.phase == crashes.VALIDATION and child.steps == 5), child.words()
    begun = time.monotonic()
    child.kill(getattr(signal, name))
    assert child.ended() == 75
    print(f"\n{name} in validation: exit code 75 after {time.monotonic() - begun:.2f} s")
    assert "Epoch 0: training loss" not in child.words()  # as there is at the end of a validation
    status = status_of(tmp_path)
    assert (status["state"], status["epoch"], status["step"], status["steps"]) == ("stopped", 0, 5, 15)
    assert name in status["reason"] and "everything is saved" in status["reason"]


def test_a_signal_while_the_cache_is_filled(server, many, tmp_path):
    flags = [*PLAIN, f"--data_dir={many}", "--on_bad_image=skip", "--workers=1", f"--root_dir={tmp_path}"]
    child = crashes.Child(server, flags, tmp_path)
    assert child.wait_until(lambda: "reading all" in child.words()), child.words()
    begun = time.monotonic()
    child.kill(signal.SIGTERM)
    assert child.ended() == 75, child.words()
    print(f"\nSIGTERM while the cache is filled: exit code 75 after {time.monotonic() - begun:.2f} s")
    assert status_of(tmp_path)["state"] == "stopped" and "before the first step" in status_of(tmp_path)["reason"]
    # a later link of a chain insists on going on, and begins, since nothing had to be saved
    child = crashes.Child(server, [*PLAIN, f"--root_dir={tmp_path}", "--resume=must", "--epochs=1"], tmp_path)
    assert child.ended() == 0, child.words()


def test_under_torchrun_a_clean_stop_is_no_failure(server, many, tmp_path):
    child = crashes.Child(
        server,
        [*PLAIN, f"--data_dir={many}", f"--root_dir={tmp_path}"],
        tmp_path,
        environment={"TORCHELASTIC_RUN_ID": "1"},
    )
    assert child.wait_until(lambda: child.steps >= 2)
    child.kill(signal.SIGTERM)
    assert child.ended() == 0
    assert status_of(tmp_path)["state"] == "stopped" and status_of(tmp_path)["step"] >= 2


def test_a_second_ctrl_c_stops_at_once(server, many, tmp_path):
    child = crashes.Child(server, [*PLAIN, "--epochs=50", "--save_every=1h", f"--root_dir={tmp_path}"], tmp_path)
    assert child.wait_until(lambda: child.steps >= 2)
    child.kill(signal.SIGSTOP)  # so that both are there when it goes on
    child.kill(signal.SIGINT)
    child.kill(signal.SIGCONT)
    child.wait_until(lambda: child.phase == crashes.SAVING)
    child.kill(signal.SIGINT)
    code = child.ended()
    assert code in (130, 75), child.words()  # 75: the first one's end was faster
    assert "Traceback" not in child.words()
    assert status_of(tmp_path)["state"] == "stopped"


def test_a_disk_that_fills_loses_nothing(server, whole, tmp_path):
    """No file may grow beyond a megabyte, which last.pt (4 MB) and best.pt (1.6 MB) do, from the middle of the run on."""
    flags = [*PLAIN, f"--root_dir={tmp_path}"]
    child = crashes.Child(server, flags, tmp_path)
    assert child.wait_until(lambda: child.steps >= 7)
    child.kill(signal.SIGTERM)
    assert child.ended() == 75
    before = files_of(tmp_path).last.read_bytes()
    child = crashes.Child(server, flags, tmp_path, file_size=1_000_000)
    code = child.ended()
    words = child.words()
    assert "last.pt (File too large); the previous checkpoint is intact" in words
    assert files_of(tmp_path).last.read_bytes() == before
    assert "Traceback" not in words and not list(files_of(tmp_path).models.glob("*.tmp"))
    assert code in (0, 2)  # 2 where an epoch of this process was the best
    assert server.finish(flags, tmp_path)
    same(whole, tmp_path)


def training_that_lost_an_image(server, folder):
    """A training in its second epoch, its flags, and the validation image that has been moved to the folder meanwhile."""
    data = folder / "data"
    shutil.copytree(PLACES, data)
    flags = [*PLAIN, "--cache=off", f"--data_dir={data}", f"--root_dir={folder}"]
    child = crashes.Child(server, flags, folder)
    assert child.wait_until(lambda: child.steps >= 6)
    victim = next(data.glob("val/*/*.jpg"))
    victim.rename(folder / victim.name)
    return flags, child, victim


def test_a_file_that_vanishes_is_named_and_the_state_is_kept(server, whole, tmp_path):
    flags, child, victim = training_that_lost_an_image(server, tmp_path)
    assert child.ended() == 2
    assert str(victim) in child.words() and "No such file" in child.words() and "Traceback" not in child.words()
    assert status_of(tmp_path)["state"] == "mistake" and status_of(tmp_path)["step"] == 10  # of two whole epochs
    (tmp_path / victim.name).rename(victim)
    server.finish(flags, tmp_path)
    same(whole, tmp_path)


def test_a_signal_while_a_file_server_hangs(server, whole, tmp_path):
    """An image that cannot be read to its end, for now: a pipe that nobody writes to."""
    flags, child, victim = training_that_lost_an_image(server, tmp_path)
    os.mkfifo(victim)
    assert child.wait_until(lambda: child.steps == 10 and child.phase == crashes.VALIDATION)
    time.sleep(0.3)
    child.kill(signal.SIGTERM)
    assert child.ended() == 75
    assert status_of(tmp_path)["step"] == 10 and "everything is saved" in status_of(tmp_path)["reason"]
    victim.unlink()
    (tmp_path / victim.name).rename(victim)
    server.finish(flags, tmp_path)
    same(whole, tmp_path)


def test_a_loss_that_is_no_number_ends_the_run_by_name(server, tmp_path):
    flags = [*PLAIN, "--lr=1e4", "--optimizer=sgd", "--warmup=0", "--save_every=1", f"--root_dir={tmp_path}"]
    child = crashes.Child(server, flags, tmp_path)
    assert child.ended() == 2
    last_line = child.words().strip().splitlines()[-1]
    assert "--lr" in last_line and "step" in last_line and "--clip" in last_line
    for path in files_of(tmp_path).models.glob("*.pt"):
        assert all(t.isfinite().all() for t in torch.load(path, weights_only=True)["weights"].values())


def test_two_processes_cannot_hold_one_name(server, tmp_path):
    flags = [*PLAIN, "--epochs=50", f"--root_dir={tmp_path}"]
    first = crashes.Child(server, flags, tmp_path / "first")
    assert first.wait_until(lambda: first.steps >= 1)
    second = crashes.Child(server, flags, tmp_path / "second")
    assert second.ended() == 2
    assert f"in use by process {first.pid}" in second.words()
    first.kill(signal.SIGKILL)
    first.ended()
    third = crashes.Child(server, [*flags, "--steal_lock"], tmp_path / "third")
    assert third.wait_until(lambda: third.steps >= 1), third.words()  # a dead process holds nothing
    third.kill(signal.SIGTERM)
    assert third.ended() == 75


def test_another_run_of_the_name_is_moved_aside_with_its_log(server, tmp_path):
    flags = [*PLAIN, "--epochs=1", f"--root_dir={tmp_path}"]
    server.finish([*flags, "--seed=1"], tmp_path)
    old = files_of(tmp_path).best.read_bytes()
    server.finish([*flags, "--seed=2"], tmp_path)
    moved = RunFiles(tmp_path / "outputs", "default.1")
    assert moved.best.read_bytes() == old and json.loads(moved.status.read_text())["state"] == "finished"
    assert (moved.results / "test.json").exists() and (files_of(tmp_path).results / "test.json").exists()
    logs = [files.log.read_text(encoding="utf-8") for files in (moved, files_of(tmp_path))]
    assert [log.count("Running on") for log in logs] == [1, 1] and "--seed was 1, is 2" in logs[1]


def test_a_real_process_stops_cleanly_while_it_imports(tmp_path):
    command = [sys.executable, "-m", "deep_cnn", *PLAIN, f"--root_dir={tmp_path}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NCPUS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, text=True)
    time.sleep(1)  # torch takes longer
    process.terminate()
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 75, said
    assert said.strip().splitlines()[-1].startswith("deep_cnn: stopped by SIGTERM") and "Traceback" not in said
    # with --max_time: the first step is taken, and saved
    process = subprocess.run([*command, "--max_time=1s"], capture_output=True, env=environment, text=True, timeout=120)
    assert process.returncode == 75 and "before the time limit" in process.stderr
    assert status_of(tmp_path)["step"] == 1
