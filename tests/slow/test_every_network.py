"""What the default suite tests with a few networks, with each of them; slow, run with `pytest -m slow`."""

import os
import subprocess
import sys

import network_checks
import pytest
from conftest import HERE, ROOT
from torchvision import models as torchvision_models

from deep_cnn.models.build import ModelSpec, build_model, model_names

pytestmark = pytest.mark.slow
TORCHVISION = sorted(torchvision_models.list_models(module=torchvision_models))


@pytest.mark.parametrize("name", model_names())
def test_every_network_takes_a_batch_and_its_stages_cover_it(name):
    network_checks.a_batch_and_stages(name)


@pytest.mark.parametrize("name", TORCHVISION)
def test_totals_are_torchinfos_and_torchvisions(name):
    network_checks.totals(name)


@pytest.mark.parametrize("name", ["resnet18", "maxvit_t", "swin_t", "densenet121", "efficientnet_b0"])
def test_weights_are_a_pure_function_of_the_seed(name):
    network_checks.weights_are_a_function_of_the_seed(name)


def test_weights_are_the_same_in_another_process():
    program = (
        "import network_checks as t; from deep_cnn.models.build import ModelSpec, build_model;"
        "print(t.digest(build_model(ModelSpec('resnet18', 3), seed=1)))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, HERE)))}
    command = [sys.executable, "-c", program]
    other = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert other.stdout.strip() == network_checks.digest(build_model(ModelSpec("resnet18", 3), seed=1))


@pytest.mark.skipif(os.name != "posix", reason="pipes of a shell")
def test_a_reader_of_the_list_that_leaves_is_no_error():
    network_checks.a_reader_that_leaves(["summary", "--list"])
