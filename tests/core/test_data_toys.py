"""Toy densities are exact: they integrate to one, and samples follow them."""

from __future__ import annotations

import numpy as np
import pytest

from genloom.data.sources.toy import SIGMAS, open_toy
from genloom.errors import DataError

pytestmark = pytest.mark.any_engine


def plane(low: float, high: float, points: int) -> tuple[np.ndarray, float]:
    axis = np.linspace(low, high, points)
    return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2), (axis[1] - axis[0]) ** 2


@pytest.mark.parametrize(
    ("name", "sigma", "reach"), [("8-ring", 0.1, 2.0), ("8-ring", 0.05, 2.0), ("25-grid", 0.2, 6.0)]
)
def test_density_integrates_to_one(name, sigma, reach):
    density = open_toy(name, n=10, sigma=sigma).density
    points, area = plane(-reach, reach, 801)
    assert np.exp(density(points)).sum() * area == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("sigma", "entropy"), [(0.1, 0.312), (0.05, -1.074)])
def test_ring_entropy_is_the_derived_one(sigma, entropy):
    toy = open_toy("8-ring", sigma=sigma)
    points, area = plane(-2, 2, 801)
    logs = toy.density(points)
    assert -(np.exp(logs) * logs).sum() * area == pytest.approx(entropy, abs=1e-3)
    # The mean of 50,000 values of deviation 1 is within 4 / sqrt(50,000) of it.
    assert -toy.density(toy.train.arrays()["x"]).mean() == pytest.approx(entropy, abs=0.018)


def test_grid_entropy_is_that_of_25_separate_gaussians():
    toy = open_toy("25-grid", sigma=0.05)
    entropy = np.log(25) + 1 + np.log(2 * np.pi * 0.05**2)
    assert -toy.density(toy.train.arrays()["x"]).mean() == pytest.approx(entropy, abs=0.018)


@pytest.mark.parametrize(("name", "modes"), [("8-ring", 8), ("25-grid", 25)])
def test_samples_within_three_sigma(name, modes):
    # The share of a round Gaussian of the plane within 3 sigma is 1 - exp(-4.5) = 98.9 %.
    toy = open_toy(name, sigma=0.01)
    distances = np.linalg.norm(toy.train.arrays()["x"][:, None] - toy.density.centres, axis=-1)
    assert toy.density.centres.shape == (modes, 2)
    assert (distances.min(axis=1) < 0.03).mean() == pytest.approx(1 - np.exp(-4.5), abs=0.003)
    shares = np.bincount(distances.argmin(axis=1), minlength=modes) / len(distances)
    np.testing.assert_allclose(shares, 1 / modes, atol=0.008)


def test_two_moons_lie_on_their_arcs():
    x = open_toy("two-moons", sigma=0.001).train.arrays()["x"] + np.array([0.5, 0.25])
    upper = np.abs(np.linalg.norm(x, axis=1) - 1)
    lower = np.abs(np.linalg.norm(x - np.array([1, 0.5]), axis=1) - 1)
    assert np.minimum(upper, lower).max() < 0.01


def test_swiss_roll_is_a_spiral():
    x = open_toy("swiss-roll", sigma=1e-6).train.arrays()["x"].astype(np.float64) * 2.5 * np.pi
    radius = np.linalg.norm(x, axis=1)
    gap = np.angle(np.exp(1j * (np.arctan2(x[:, 1], x[:, 0]) - radius)))
    assert np.abs(gap).max() < 1e-4
    assert radius.min() == pytest.approx(1.5 * np.pi, abs=0.01)
    assert radius.max() == pytest.approx(4.5 * np.pi, abs=0.01)


def test_pinwheel_has_five_equal_arms():
    x = open_toy("pinwheel", sigma=0.01).train.arrays()["x"] / 2
    radius = np.linalg.norm(x, axis=1)
    turns = (np.arctan2(x[:, 1], x[:, 0]) - 0.25 * np.exp(radius))[radius > 0.5] / (2 * np.pi / 5)
    assert np.abs(turns - np.rint(turns)).max() < 0.15
    shares = np.bincount(np.rint(turns).astype(int) % 5) / len(turns)
    np.testing.assert_allclose(shares, 0.2, atol=0.01)


@pytest.mark.parametrize("name", list(SIGMAS))
def test_seed_and_size_fix_the_points(name):
    first, again, other = (open_toy(name, n=100, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.train.arrays()["x"], again.train.arrays()["x"])
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert (len(first.train), len(first.test)) == (100, 20)
    assert (first.spec.shape, first.spec.kind, first.spec.value_range) == ((2,), "signal", None)
    train, test = first.train.arrays()["x"], first.test.arrays()["x"]
    assert not (train[:20] == test).any()


def test_an_unknown_toy_names_the_nearest():
    with pytest.raises(DataError, match=r"'8-rings'.*Did you mean '8-ring'"):
        open_toy("8-rings")
    with pytest.raises(DataError, match="sigma=-1"):
        open_toy("8-ring", sigma=-1)
