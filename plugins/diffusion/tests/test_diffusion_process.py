"""The noising processes, targets and weightings against their closed forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from keras import ops

from genloom_diffusion.parameterisation import TARGETS, predictions, target_of
from genloom_diffusion.process import PROCESSES, add_noise, log_snr, process_named
from genloom_diffusion.stepping import ancestral_deviation
from genloom_diffusion.weighting import weight

NAMES = tuple(PROCESSES)
GRID = np.linspace(0.0, 1.0, 101).astype("float32")


def normal(rng: np.random.Generator, *shape: int) -> Any:
    return ops.convert_to_tensor(rng.standard_normal(shape).astype("float32"))


def numbers(x: object) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x), "float64")


@pytest.mark.parametrize("name", ["cosine", "linear", "sigmoid", "interpolant"])
def test_variance_is_preserved(name: str) -> None:
    process = process_named(name)
    total = numbers(process.alpha(GRID)) ** 2 + numbers(process.sigma(GRID)) ** 2
    np.testing.assert_allclose(total, 1.0, atol=1e-5)


def test_cosine_is_half_signal_half_noise_in_the_middle() -> None:
    process = process_named("cosine")
    middle = np.array([0.5], "float32")
    np.testing.assert_allclose(numbers(process.alpha(middle)), math.sqrt(0.5), atol=1e-6)
    np.testing.assert_allclose(numbers(log_snr(process, middle)), 0.0, atol=1e-5)


def test_linear_ends_where_ddpm_does() -> None:
    # Ho et al. 2020: the product of 1 - β_i over a thousand steps from 1e-4 to 0.02 is 4.04e-5.
    end = numbers(process_named("linear").alpha(np.ones(1, "float32")))[0] ** 2
    betas = np.linspace(1e-4, 0.02, 1000)
    assert math.isclose(end, np.prod(1.0 - betas), rel_tol=0.1)


def test_exploding_variance_grows_linearly_in_time() -> None:
    process = process_named("exploding", 8.0)
    np.testing.assert_allclose(numbers(process.sigma(GRID)) ** 2, 64.0 * GRID, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(numbers(process.alpha(GRID)), 1.0)


@pytest.mark.parametrize("name", NAMES)
def test_log_snr_falls_all_the_way_and_inverts(name: str) -> None:
    process = process_named(name)
    t = process.time(ops.convert_to_tensor(GRID))
    values = numbers(log_snr(process, t))
    assert (np.diff(values) < 0).all()
    low, high = process.log_snr_range()
    np.testing.assert_allclose([values[-1], values[0]], [low, high], rtol=1e-3)
    inner = ops.convert_to_tensor(np.linspace(low + 0.5, high - 0.5, 41).astype("float32"))
    np.testing.assert_allclose(numbers(log_snr(process, process.time_of_log_snr(inner))), numbers(inner), atol=5e-3)
    np.testing.assert_allclose(numbers(process.position(t)), GRID, atol=2e-4)


@pytest.mark.parametrize("name", NAMES)
def test_forward_moments(name: str) -> None:
    process, rng = process_named(name), np.random.default_rng(0)
    x = ops.full((40_000, 1), 0.7)
    t = process.time(ops.full((40_000,), 0.4))
    z = numbers(add_noise(process, x, normal(rng, 40_000, 1), t))
    alpha, sigma = numbers(process.alpha(t))[0], numbers(process.sigma(t))[0]
    assert abs(z.mean() - 0.7 * alpha) < 5 * sigma / 200
    assert abs(z.std() / sigma - 1.0) < 0.02


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NAMES)
def test_each_target_recovers_data_and_noise(name: str, target: str) -> None:
    process, rng = process_named(name), np.random.default_rng(1)
    x, noise = normal(rng, 9, 3), normal(rng, 9, 3)
    t = process.time(ops.convert_to_tensor(np.linspace(0.1, 0.9, 9).astype("float32")))
    alpha, sigma = (ops.reshape(f(t), (-1, 1)) for f in (process.alpha, process.sigma))
    output = target_of(target, x, noise, alpha, sigma)
    found_x, found_noise = predictions(target, output, add_noise(process, x, noise, t), alpha, sigma)
    np.testing.assert_allclose(numbers(found_x), numbers(x), atol=2e-3)
    np.testing.assert_allclose(numbers(found_noise), numbers(noise), atol=2e-3)


def test_ancestral_variance_is_that_of_ddpm() -> None:
    # Ho et al. 2020, eq. 7: β̃_t = (1 - ᾱ_{t-1}) / (1 - ᾱ_t) β_t, with β_t = 1 - ᾱ_t / ᾱ_{t-1}.
    before, after = 0.9, 0.6
    expected = (1 - before) / (1 - after) * (1 - after / before)
    scales = [np.float32(math.sqrt(v)) for v in (before, 1 - before, after, 1 - after)]
    assert math.isclose(float(ancestral_deviation(*scales)) ** 2, expected, rel_tol=1e-5)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("simple", lambda snr: np.ones_like(snr)),
        ("noise", lambda snr: snr / (1 + snr)),
        ("data", lambda snr: 1 / (1 + snr)),
        ("velocity", lambda snr: np.ones_like(snr)),
        ("flow", lambda snr: np.minimum((1 + np.sqrt(snr)) ** 2, math.exp(6.0)) / (1 + snr)),
        ("min_snr", lambda snr: np.minimum(snr, 5.0) / (1 + snr)),
        ("sigmoid", lambda snr: snr / (1 + snr * math.exp(-2.0)) / (1 + snr)),
    ],
)
def test_weights_of_the_velocity(name: str, expected: object) -> None:
    values = np.linspace(-8, 8, 33).astype("float32")
    found = numbers(weight(name, "velocity", ops.convert_to_tensor(values)))
    np.testing.assert_allclose(found, expected(np.exp(values.astype("float64"))), rtol=1e-4)
