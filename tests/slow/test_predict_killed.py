"""predict, killed at random moments, ten times or a quarter of DEEP_CNN_KILLS: slow, run with `pytest -m slow`."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT, TINY
from scenes import write_perception_set

if not hasattr(os, "fork") or sys.platform == "darwin":
    pytest.skip("forks a process that has imported torch, which is safe on Linux alone", allow_module_level=True)

import crashes

IMAGES, KILLS = 1000, -(-int(os.environ.get("DEEP_CNN_KILLS", "40")) // 4)


@pytest.mark.slow
def test_each_image_once_and_the_same_bytes_after_kills_and_in_three_shards(tmp_path):
    write_perception_set(tmp_path / "many", IMAGES, 48)
    images = tmp_path / "many" / "images"
    for number in (0, 700, 701, 999):  # failures at the ends and in a row are resumed over, too
        (images / f"street_{number:05d}.jpg").write_bytes(b"\xff\xd8\xffbroken")
    training = TINY | {
        "data_dir": tmp_path / "many",
        "metadata": "scores.csv",
        "target": "score",
        "on_bad_image": "skip",
        "subset": "100",
        # large enough that most of the time goes into the rows
        "model": "resnet18",
        "image_size": "96",
    }
    whole, killed = tmp_path / "whole.csv", tmp_path / "killed.csv"

    with crashes.Server() as server:

        def start(command: str, **flags) -> crashes.Child:
            words = [f"--{name}={value}" for name, value in (flags | {"root_dir": tmp_path}).items()]
            return crashes.Child(server, [command, *words], tmp_path / "said")

        def same() -> None:
            assert killed.read_bytes() == whole.read_bytes()
            assert (tmp_path / "killed.failed.csv").read_bytes() == (tmp_path / "whole.failed.csv").read_bytes()

        child = start("train", **training)
        assert child.ended() == 0, child.words()
        begun = time.monotonic()
        assert start("predict", images=images, output=whole).ended() == 3
        duration = time.monotonic() - begun

        moments, hits, wholes = random.Random(0), {"SIGKILL": 0, "SIGTERM": 0}, 0
        rows = []
        while sum(hits.values()) < KILLS:
            number = signal.SIGTERM if len(rows) % 3 == 2 else signal.SIGKILL
            child = start("predict", images=images, output=killed, workers=moments.randint(1, 3))
            time.sleep(moments.uniform(0, duration))
            child.kill(number)
            if (code := child.ended()) in (-signal.SIGKILL, 75):
                hits[number.name] += 1
                rows.append(killed.read_bytes().count(b"\n") if killed.exists() else 0)
            else:  # it was done before: from the start again
                assert code == 3, (code, child.words())
                same()
                wholes += 1
                killed.unlink()
                (tmp_path / "killed.failed.csv").unlink()
        assert start("predict", images=images, output=killed).ended() == 3
        same()
        print(f"\n{hits}, {wholes + 1} tables finished; lines there at each kill: {rows}")
    assert len(set(whole.read_text().splitlines())) == IMAGES - 4 + 1

    command = [sys.executable, "-m", "deep_cnn", "predict"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    shards = tmp_path / "parts.csv"
    for i in (1, 2, 3):
        part = [f"--root_dir={tmp_path}", f"--images={images}", f"--output={shards}", f"--shard={i}/3"]
        subprocess.run([*command, *part], env=environment)
    assert subprocess.run([*command, "--merge", f"--output={shards}"], env=environment).returncode == 3
    assert shards.read_bytes() == whole.read_bytes()
