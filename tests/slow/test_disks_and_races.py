"""Full and read-only disks, a clock that jumps, and commands that start at once: slow, run with `pytest -m slow`."""

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

if not hasattr(os, "fork") or sys.platform == "darwin":
    pytest.skip("forks a process that has imported torch, which is safe on Linux alone", allow_module_level=True)

import crashes
from conftest import PLACES
from kills import PLAIN, files_of, same, status_of

pytestmark = pytest.mark.slow
RACES = 50
SIZES = [int(size) for size in np.geomspace(4e3, 12e6, 20)]  # bytes; a whole run has 11 MB


@pytest.fixture
def disk(tmp_path):
    """A function that mounts, or mounts again with other options, an empty file system in memory; skips where that is not allowed."""
    place = tmp_path / "disk"
    place.mkdir()

    def mounted(options: str) -> Path:
        again = "remount," if os.path.ismount(place) else ""
        command = ["mount", "-t", "tmpfs", "-o", again + options, "tmpfs", str(place)]
        if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("mounting a file system needs root")
        return place

    yield mounted
    if os.path.ismount(place):
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("size", SIZES)
def test_a_disk_that_is_full_ends_the_run_by_name_and_more_room_continues_it(server, whole, disk, tmp_path, size):
    root = disk(f"size={size}")
    flags = [*PLAIN, "--cache=off", "--save_every=1", f"--root_dir={root}"]
    child = crashes.Child(server, flags, tmp_path / "said")
    code, words = child.ended(), child.words()
    assert code in (0, 2) and "Traceback" not in words, (code, words[-2000:])
    print(f"\n{size:,} bytes: exit code {code}, {child.steps} steps")
    if code == 2:
        assert "No space left" in words.splitlines()[-1] or "no room" in words.splitlines()[-1], words[-2000:]
    disk("size=100m")
    for command in (["report"], ["compare"]):  # of what is there; an unfinished run is named
        child = crashes.Child(server, [*command, f"--root_dir={root}"], tmp_path / "shown")
        assert child.ended() in (0, 2) and "Traceback" not in child.words(), child.words()
    server.finish(flags, tmp_path / "again")
    same(whole, root)
    assert not list((root / "outputs").rglob("*.tmp"))


def test_a_finished_run_on_a_read_only_disk_is_shown(server, whole, disk, tmp_path):
    root = disk("size=100m")
    shutil.copytree(whole / "outputs", root / "outputs")
    disk("ro")
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    shown = Counter()
    flags = [*PLAIN, "--cache=off"]
    for command in (
        ["train", *flags],
        ["train", *flags, "--run_name=new"],
        ["train", *flags, "--resume=never"],
        ["evaluate", f"--data_dir={PLACES}", "--cache=off"],
        ["predict", f"--images={PLACES}", f"--output={tmp_path / 'out.csv'}"],
        ["predict", f"--images={PLACES}", f"--output={root / 'out.csv'}"],
        ["report"],
        ["compare"],
        ["explain", f"--data_dir={PLACES}"],
        ["export", "--format=torchscript"],
        ["search", *flags, "--trials=1", "--space", "lr=1e-3,1e-2"],
        ["train", *flags, "--folds=3"],
    ):
        child = crashes.Child(server, [*command, f"--root_dir={root}"], tmp_path / "said")
        code, words = child.ended(), child.words()
        shown[" ".join(command[:1]), code] += 1
        assert code in (0, 2) and "Traceback" not in words, (command, code, words[-2000:])
        if code == 2:
            assert "Read-only file system" in words.splitlines()[-1], (command, words[-2000:])
        (tmp_path / "said" / "said.txt").unlink()
    print("\n", dict(shown))
    assert shown["predict", 0] == 1 and shown["evaluate", 0] == 1
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_a_clock_that_jumps_changes_nothing(server, whole, tmp_path):
    """Each look at the clock is a year before or after the last one, in a run that is stopped twice and killed once."""
    flags = [*PLAIN, "--cache=off", "--max_time=1h", f"--root_dir={tmp_path}"]
    for steps, number, code in ((3, signal.SIGTERM, 75), (2, signal.SIGKILL, -9), (4, signal.SIGTERM, 75)):
        child = crashes.Child(server, flags, tmp_path, clock=True)
        assert child.wait_until(lambda child=child, steps=steps: child.steps >= steps), child.words()
        child.kill(number)
        assert child.ended() == code, child.words()
    child = crashes.Child(server, flags, tmp_path, clock=True)
    assert child.ended() == 0, child.words()
    same(whole, tmp_path)


def test_of_commands_that_start_at_once_one_trains(server, whole, tmp_path):
    codes = Counter()
    for number in range(RACES):
        root = tmp_path / str(number)
        flags = [*PLAIN, "--cache=off", f"--root_dir={root}"]
        pair = [crashes.Child(server, flags, root / name) for name in ("one", "two")]
        ended = tuple(sorted(child.ended() for child in pair))
        codes[ended] += 1
        words = [child.words() for child in pair]
        assert ended in ((0, 2), (0, 0)) and not any("Traceback" in said for said in words), (ended, words)
        if ended == (0, 2):
            assert any("in use by process" in said.splitlines()[-1] for said in words), words
        assert sum("Epoch 0:" in said for said in words) == 1
        assert status_of(root)["state"] == "finished" and not files_of(root).lock.exists()
        same(whole, root)
        shutil.rmtree(root)
    print(f"\n{RACES} pairs: exit codes {dict(codes)}")
