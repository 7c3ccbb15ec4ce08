"""What is done to an image before a network sees it."""

import pytest

from deep_cnn.data.preprocess import Preprocessing

SOUND = Preprocessing(64, 56).to_dict()


@pytest.mark.parametrize(
    "values",
    [
        {"crop": 65},
        {"crop": -1},
        {"crop": 0},
        {"crop": "56"},
        {"crop": 10**9, "resize": 10**9},
        {"std": [0, 0, 0]},
        {"std": [1, 1]},
        {"mean": [float("nan"), 0, 0]},
        {"fit": "cut"},
        {"interpolation": "magic"},
        {"bits": 3},
    ],
)
def test_what_a_damaged_checkpoint_says_is_refused(values):
    assert Preprocessing.from_dict(SOUND) == Preprocessing(64, 56)
    with pytest.raises((ValueError, TypeError)):
        Preprocessing.from_dict(SOUND | values)
