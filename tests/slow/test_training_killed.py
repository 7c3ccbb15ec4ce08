"""Trainings that are killed twenty times, or as often as DEEP_CNN_KILLS says; slow, run with `pytest -m slow`."""

import os
import sys

import pytest

if not hasattr(os, "fork") or sys.platform == "darwin":
    pytest.skip("forks a process that has imported torch, which is safe on Linux alone", allow_module_level=True)

import kills

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def torments(tmp_path_factory):
    return kills.torments(tmp_path_factory.mktemp, int(os.environ.get("DEEP_CNN_KILLS", "20")))


@pytest.mark.parametrize("name", ["plain", "everything", "features"])
def test_killed_at_random_moments_the_result_is_the_same(torments, name):
    kills.check(name, *torments[name])
