"""Coordinates, grids, buffers and variograms."""

import numpy as np
import pytest

from deep_cnn.data import space

RNG = np.random.default_rng(0)
MAP = np.stack([RNG.uniform(48.0, 48.2, 400), RNG.uniform(11.0, 11.3, 400)], axis=1)


def haversine(a, b):
    (p, k), (q, m) = np.radians(a), np.radians(b)
    h = np.sin((q - p) / 2) ** 2 + np.cos(p) * np.cos(q) * np.sin((m - k) / 2) ** 2
    return 2 * space.RADIUS * np.arcsin(np.sqrt(h))


def test_distances_on_the_sphere():
    points = space.on_sphere(MAP)
    for i, j in ((0, 1), (5, 9), (17, 300)):
        chord = np.linalg.norm(points[i] - points[j])
        assert space.metres(chord) == pytest.approx(haversine(MAP[i], MAP[j]), rel=1e-6)
    assert space.chord_of(1234.0) == pytest.approx(1234.0 / space.RADIUS, rel=1e-6)
    across = np.array([[10.0, 179.9995], [10.0, -179.9995]])  # the date line
    assert (
        space.nearer_than(across[:1], across[1:], 120).all()
        and not space.nearer_than(across[:1], across[1:], 100).any()
    )


def test_cells_have_the_asked_size_everywhere():
    for latitude in (0.1, 48.1, -70.0):
        line = np.array([[latitude, 5 + k * 0.0005] for k in range(2000)])
        cells = space.grid_cells(line, 500.0)
        length = haversine(line[0], line[-1])
        assert len(set(cells)) == pytest.approx(length / 500, abs=2.5)
    column = np.array([[48 + k * 0.0005, 5.0] for k in range(400)])
    assert len({cell.split(":")[0] for cell in space.grid_cells(column, 500.0)}) == pytest.approx(
        0.2 * 111_195 / 500, abs=2.5
    )


def test_buffers_are_by_brute_force():
    near = space.nearer_than(MAP[:200], MAP[200:], 700)
    expected = [min(haversine(a, b) for b in MAP[200:]) <= 700 for a in MAP[:200]]
    assert near.tolist() == expected and 0 < near.sum() < 200
    assert not space.nearer_than(MAP[:3], MAP[:0], 700).any()


def test_a_length_is_rounded_to_two_digits():
    assert space.round_length(447.0) == "450 m" and space.round_length(1234.0) == "1.2 km"


def smooth_field(reach: float, nugget: float, seed: int = 3) -> np.ndarray:
    """Values whose covariance is exponential with this practical range."""
    points = space.on_sphere(MAP)
    distance = space.metres(np.linalg.norm(points[:, None] - points[None], axis=2))
    root = np.linalg.cholesky(np.exp(-3 * distance / reach) + 1e-9 * np.eye(len(MAP)))
    rng = np.random.default_rng(seed)
    return root @ rng.normal(size=len(MAP)) + np.sqrt(nugget) * rng.normal(size=len(MAP))


def test_the_variogram_finds_the_range_and_knows_when_there_is_none():
    found = [space.variogram(MAP, smooth_field(3000.0, 0.3, seed)) for seed in range(5)]
    assert 1500 < np.median([each.range for each in found]) < 6000
    assert 0.5 < np.median([each.share for each in found]) < 1
    assert "--group=grid:" in space.advice(MAP, smooth_field(3000.0, 0.3), "safety")
    alone = space.variogram(MAP, np.random.default_rng(1).normal(size=len(MAP)))
    assert alone is None
    assert space.variogram(MAP[:20], np.arange(20.0)) is None
