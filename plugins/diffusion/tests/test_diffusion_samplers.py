"""The samplers with an exact denoiser: order of convergence, moments, determinism."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from keras import ops

from genloom import backend, random
from genloom_diffusion.process import PROCESSES, process_named
from genloom_diffusion.samplers import ancestral, ddim, prior

MEAN, DEVIATION = 0.3, 0.5


def numbers(x: object) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x), "float64")


def gaussian_denoiser(process: object) -> Callable[[object, object, object], object]:
    """E[x | z] for x ~ N(MEAN, DEVIATION²)."""

    def denoise(z: object, t: object, held: object) -> object:
        alpha, sigma = (ops.reshape(f(t), (-1, 1)) for f in (process.alpha, process.sigma))
        gain = alpha * DEVIATION**2 / (alpha**2 * DEVIATION**2 + sigma**2)
        return MEAN + gain * (z - alpha * MEAN)

    return denoise


def exact_flow(process: object, z: np.ndarray) -> np.ndarray:
    """The probability-flow solution for a Gaussian keeps each point's quantile; then E[x | z] at position 0."""
    ends = [process.time(ops.full((1,), float(u))) for u in (1.0, 0.0)]
    (a1, s1), (a0, s0) = ((float(numbers(process.alpha(t))[0]), float(numbers(process.sigma(t))[0])) for t in ends)
    quantile = (z - a1 * MEAN) / np.sqrt(a1**2 * DEVIATION**2 + s1**2)
    z0 = a0 * MEAN + quantile * np.sqrt(a0**2 * DEVIATION**2 + s0**2)
    gain = a0 * DEVIATION**2 / (a0**2 * DEVIATION**2 + s0**2)
    return MEAN + gain * (z0 - a0 * MEAN)


@pytest.mark.parametrize("name", tuple(PROCESSES))
def test_ddim_converges_with_order_one(name: str) -> None:
    process = process_named(name, 10.0)
    keys = random.keys(0, 64)
    z = prior(process, keys, (1,))
    truth = exact_flow(process, numbers(z))
    errors = []
    counts = (32, 64, 128)
    for steps in counts:
        found = numbers(ddim(gaussian_denoiser(process), process, z, keys, steps))
        errors.append(np.sqrt(np.mean((found - truth) ** 2)))
    slope = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert 0.8 < slope < 1.3, errors


@pytest.mark.parametrize(("sampler", "eta"), [(ddim, 0.0), (ddim, 0.5), (ddim, 1.0), (ancestral, 0.0)])
def test_samplers_reach_the_gaussian(sampler: object, eta: float) -> None:
    process, keys = process_named("cosine"), random.keys(3, 20_000)

    def run(keys: object) -> object:
        return sampler(gaussian_denoiser(process), process, prior(process, keys, (1,)), keys, 100, eta=eta)

    class Owner:
        variables: tuple = ()

    found = numbers(backend.compiled(run, Owner())(keys))
    assert abs(found.mean() - MEAN) < 4 * DEVIATION / np.sqrt(20_000)
    assert abs(found.std() / DEVIATION - 1.0) < 0.03


def test_ancestral_is_ddim_with_eta_one_and_eta_zero_adds_no_noise() -> None:
    process, keys = process_named("linear"), random.keys(5, 8)
    z = prior(process, keys, (2,))
    denoise = gaussian_denoiser(process)
    np.testing.assert_array_equal(
        numbers(ancestral(denoise, process, z, keys, 10)), numbers(ddim(denoise, process, z, keys, 10, eta=1.0))
    )
    other = random.keys(6, 8)
    np.testing.assert_array_equal(
        numbers(ddim(denoise, process, z, keys, 10)), numbers(ddim(denoise, process, z, other, 10))
    )
    noisy = [numbers(ancestral(denoise, process, z, k, 10)) for k in (keys, other)]
    assert np.abs(noisy[0] - noisy[1]).max() > 0.01


def test_exploding_prior_has_its_deviation() -> None:
    found = numbers(prior(process_named("exploding", 8.0), random.keys(1, 20_000), (1,)))
    assert abs(found.std() / 8.0 - 1.0) < 0.02
