"""The command that proves exact resuming on the user's machine."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import HERE, ROOT

from deep_cnn.cli.commands import verify_resume as command
from deep_cnn.config.schema import Config
from deep_cnn.tools import verify_resume

FLAGS = {
    "data_dir": str(HERE / "places_test_input"),
    "model": "shufflenet_v2_x0_5",
    "weights": "none",
    "image_size": 32,
}


def test_the_short_version_is_short_and_keeps_what_is_to_be_proved(tmp_path):
    config = Config(
        epochs=90, batch_size=128, unfreeze_epoch=10, freeze="backbone", ema=0.99, patience=7, wandb=True, max_time="1h"
    )
    short = verify_resume.short_version(config, tmp_path)
    assert (short.epochs, short.batch_size, short.unfreeze_epoch, short.ema, short.patience) == (3, 16, 2, 0.99, 7)
    assert not short.wandb and short.max_time is None and short.resume == "auto"
    assert verify_resume.short_version(Config(epochs=1, batch_size=4), tmp_path).epochs == 1


@pytest.mark.parametrize(("found", "code"), [([], 0), (["last.pt: weights.w differs by at most 1e-9"], 1)])
def test_its_answer(found, code, tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(verify_resume, "verify", lambda config, kills, *rest: asked.append((config, kills)) or found)
    assert command.main(command.Options(**FLAGS, kills=7, root_dir=str(tmp_path), device="cpu")) == code
    said = capsys.readouterr().out
    assert said.startswith("identical") if code == 0 else "DIFFERENT" in said and found[0] in said
    config, kills = asked[0]
    assert kills == 7 and type(config) is Config and config.root == tmp_path.resolve() / "outputs" / "verify_resume"
    assert Path(config.data_dir).is_absolute()


@pytest.mark.slow
def test_it_really_kills_and_compares(tmp_path):
    flags = [f"--{name}={value}" for name, value in FLAGS.items()]
    command = [
        sys.executable,
        "-m",
        "deep_cnn",
        "verify_resume",
        *flags,
        f"--root_dir={tmp_path}",
        "--kills=2",
        "--kill_seed=3",
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NCPUS": "1"}
    answer = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert len(re.findall(r"killed \d of 2: epoch \d+, step \d+ of \d+", answer.stdout)) == 2
    assert answer.stdout.strip().endswith("identical: weights, metrics.csv, test.json and predictions_test.csv")
    assert not (tmp_path / "outputs" / "verify_resume").exists()
