"""Random folds are too optimistic for new places, grid folds are right: the simulation of benchmarks/spatial.py."""

import pytest

from benchmarks.spatial import simulate

pytestmark = pytest.mark.slow


def test_grid_folds_are_right_for_new_places_and_random_folds_are_not():
    found = simulate(maps=20)
    assert found["random"] - found["far"] > 0.03
    assert abs(found["grid"] - found["far"]) < 0.03
