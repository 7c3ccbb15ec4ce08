"""Flags of `predict` that contradict each other."""

import pytest

from deep_cnn.config.prediction import Prediction
from deep_cnn.errors import ConfigError


def test_the_networks_are_given_once():
    with pytest.raises(ConfigError, match="--run_name=c: --checkpoint gives the networks already; omit one of the two"):
        Prediction(images="x", checkpoint=("best.pt",), run_name="c")
    assert Prediction(images="x", run_name="c").run_name == "c"
    assert Prediction(images="x", checkpoint=("best.pt",), run_name="default").checkpoint == ("best.pt",)


@pytest.mark.parametrize(("given", "classes"), [("all", None), ("3", 3), (3, 3)])
def test_a_number_of_classes(given, classes):
    assert Prediction(images="x", top=given).classes == classes
