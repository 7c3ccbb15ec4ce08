"""The commands of the course's page, run as they are written, on stand-ins: a few images, and random weights for ImageNet's."""

import os
import shlex
import shutil
import signal
import subprocess
import sys

import manual
import pytest
import torch
from conftest import PLACES, ROOT

from deep_cnn.models.zoo.networks import find

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "tutorials" / "course.md").read_text(encoding="utf-8")
WRITTEN = PAGE.replace("%%bash\npython ", "%%bash\nNOTEBOOK ")  # the notebook's own cells run when the site is built
COMMANDS = [
    line for line in manual.commands(WRITTEN) if f"python3 -m deep_cnn {line}" in WRITTEN.replace(" \\\n       ", "")
]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course")
    for name in ("deep_cnn", "tests"):
        (folder / name).symlink_to(ROOT / name)
    for place in ("places365standard_easyformat/places365_standard", "photos"):
        shutil.copytree(PLACES, folder / "input" / place)
    weights = folder / "torch" / "hub" / "checkpoints"
    weights.mkdir(parents=True)
    family = find("resnet101")
    torch.manual_seed(0)
    torch.save(family.networks["resnet101"]().state_dict(), weights / family.published("resnet101").file)
    return folder


def test_all_commands_of_the_page_are_here():
    assert len(COMMANDS) == 7


@pytest.mark.parametrize("line", COMMANDS)
def test_the_command_runs_to_its_first_validation(line, project):
    pytest.importorskip("wandb" if "--wandb=True" in line else "torch")
    environment = os.environ | {"TORCH_HOME": str(project / "torch"), "PYTHONUNBUFFERED": "1", "WANDB_MODE": "offline"}
    words = [sys.executable, "-m", "deep_cnn", *shlex.split(line)]
    with subprocess.Popen(
        words, cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        said = []
        for text in process.stdout:
            said.append(text)
            if text.startswith("Epoch 0: training loss"):
                process.send_signal(signal.SIGINT)
    trains = line.startswith("--") and line != "-h"
    assert process.returncode in ((0, 75) if trains else (0,)), "".join(said)
    assert any(text.startswith("Epoch 0: training loss") for text in said) == trains, "".join(said)
