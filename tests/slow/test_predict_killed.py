"""predict, killed with SIGKILL at random moments: slow, run with `pytest -m slow`."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT, TINY
from scenes import write_perception_set

IMAGES, KILLS = 2000, 10


def predict_command(root, images, output, *more):
    return [
        sys.executable,
        "-m",
        "deep_cnn",
        "predict",
        f"--root_dir={root}",
        f"--images={images}",
        f"--output={output}",
        *more,
    ]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_each_image_once_and_the_same_bytes_after_ten_kills_and_in_three_shards(tmp_path):
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    write_perception_set(tmp_path / "many", IMAGES, 48)
    for number in (0, 700, 701, 1999):  # failures at the ends and in a row are resumed over, too
        (tmp_path / "many" / "images" / f"street_{number:05d}.jpg").write_bytes(b"\xff\xd8\xffbroken")
    flags = [
        f"--{k}={v}"
        for k, v in (
            TINY
            | {
                "data_dir": tmp_path / "many",
                "metadata": "scores.csv",
                "target": "score",
                "on_bad_image": "skip",
                "subset": "100",
                # large enough that most of the time goes into the rows
                "model": "resnet18",
                "image_size": "96",
            }
        ).items()
    ]
    subprocess.run([sys.executable, "-m", "deep_cnn", f"--root_dir={tmp_path}", *flags], env=env, check=True)
    images = tmp_path / "many" / "images"
    whole, killed = tmp_path / "whole.csv", tmp_path / "killed.csv"
    begun = time.monotonic()
    assert subprocess.run(predict_command(tmp_path, images, whole), env=env).returncode == 3
    duration = time.monotonic() - begun

    def same():
        assert killed.read_bytes() == whole.read_bytes()
        assert (tmp_path / "killed.failed.csv").read_bytes() == (tmp_path / "whole.failed.csv").read_bytes()

    moments, kills = random.Random(0), 0
    while kills < KILLS:
        process = subprocess.Popen(predict_command(tmp_path, images, killed, "--tta=False"), env=env)
        time.sleep(moments.uniform(0, duration))
        process.kill()
        if process.wait() == -signal.SIGKILL:
            kills += 1
            print("kill", kills, "rows", killed.read_bytes().count(b"\n") if killed.exists() else 0)
        else:  # it was done before: from the start again
            same()
            killed.unlink()
            (tmp_path / "killed.failed.csv").unlink()
    assert subprocess.run(predict_command(tmp_path, images, killed), env=env).returncode == 3
    same()
    assert len(set(whole.read_text().splitlines())) == IMAGES - 4 + 1

    shards = tmp_path / "parts.csv"
    for i in (1, 2, 3):
        subprocess.run(predict_command(tmp_path, images, shards, f"--shard={i}/3"), env=env)
    merge = [sys.executable, "-m", "deep_cnn", "predict", "--merge", f"--output={shards}"]
    assert subprocess.run(merge, env=env).returncode == 3
    assert shards.read_bytes() == whole.read_bytes()
