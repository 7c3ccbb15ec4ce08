"""The preprocessing that a checkpoint keeps."""

import pytest

from deep_cnn.data.preprocess import Preprocessing

KEPT = Preprocessing(40, 32).to_dict()


def test_it_comes_back_as_it_was_kept():
    assert (
        Preprocessing.from_dict(KEPT)
        == Preprocessing.from_dict(KEPT | {"mean": list(KEPT["mean"])})
        == Preprocessing(40, 32)
    )


@pytest.mark.parametrize(
    "changed",
    [{"resize": "40"}, {"crop": None}, {"bits": "8"}, {"mean": ["a", 0, 0]}, {"std": ("1",) * 3}, {"mean": 5}],
)
def test_text_in_place_of_a_number_is_refused_by_name(changed):
    (name,) = changed
    with pytest.raises(ValueError, match=f"{name} of its preprocessing is .*; expected (a number|numbers)$"):
        Preprocessing.from_dict(KEPT | changed)


@pytest.mark.parametrize(
    "values",
    [
        {"crop": 41},
        {"crop": -1},
        {"crop": 0},
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
    with pytest.raises((ValueError, TypeError)):
        Preprocessing.from_dict(KEPT | values)
