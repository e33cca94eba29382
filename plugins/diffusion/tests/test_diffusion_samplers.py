"""The samplers with an exact denoiser: order of convergence, moments, determinism."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from keras import ops
from scipy import optimize, stats

from genloom import backend, random
from genloom_diffusion.adaptive import solved
from genloom_diffusion.process import PROCESSES, process_named
from genloom_diffusion.samplers import SAMPLERS, ancestral, ddim, evaluations, prior
from genloom_diffusion.walk import Walk

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


# A mixture of two Gaussians on a line: its probability flow keeps each point's quantile.
WEIGHTS, MEANS, DEVIATIONS = np.array([0.35, 0.65]), np.array([-1.0, 0.8]), np.array([0.4, 0.5])


def mixture_denoiser(process: object) -> Callable[[object, object, object], object]:
    """E[x | z] of the mixture: the mean of its parts' posterior means, weighed by their responsibilities."""
    weights, means, deviations = (ops.convert_to_tensor(v.astype("float32")) for v in (WEIGHTS, MEANS, DEVIATIONS))

    def denoise(z: object, t: object, held: object) -> object:
        alpha, sigma = (ops.reshape(f(t), (-1, 1)) for f in (process.alpha, process.sigma))
        variance = alpha**2 * deviations**2 + sigma**2
        off = z - alpha * means
        share = ops.softmax(ops.log(weights) - 0.5 * ops.log(variance) - 0.5 * off * off / variance, axis=-1)
        return ops.sum(share * (means + alpha * deviations**2 / variance * off), axis=-1, keepdims=True)

    return denoise


def quantile_of(z: np.ndarray, alpha: float, sigma: float) -> np.ndarray:
    deviations = np.sqrt(alpha**2 * DEVIATIONS**2 + sigma**2)
    return np.sum(WEIGHTS * stats.norm.cdf((z - alpha * MEANS) / deviations), axis=-1)


def exact_end(process: object, z: np.ndarray) -> np.ndarray:
    """Where the probability flow ends: the point of the least noise with the quantile of z, and there E[x | z]."""
    ends = [process.time(ops.full((1,), float(u))) for u in (1.0, 0.0)]
    first, last = ([float(numbers(part(t))[0]) for part in (process.alpha, process.sigma)] for t in ends)
    quantiles = quantile_of(z, *first)
    points = [optimize.brentq(lambda x, q=q: quantile_of(np.array([[x]]), *last)[0] - q, -6, 6) for q in quantiles]
    points = ops.convert_to_tensor(np.array(points, "float32")[:, None])
    return numbers(mixture_denoiser(process)(points, ops.broadcast_to(ends[1], (len(z),)), None))


def errors_of(sampler: str, name: str, counts: tuple[int, ...]) -> list[float]:
    process, keys = process_named(name, 10.0), random.keys(0, 48)
    z = prior(process, keys, (1,))
    truth, denoise = exact_end(process, numbers(z)), mixture_denoiser(process)
    found = [numbers(SAMPLERS[sampler](denoise, Walk(process, n, "log_snr"), z, keys)) for n in counts]
    return [float(np.sqrt(np.mean((x - truth) ** 2))) for x in found]


@pytest.mark.parametrize("name", tuple(PROCESSES))
@pytest.mark.parametrize(("sampler", "order"), [("ddim", 1), ("heun", 2), ("dpm_2m", 2)])
def test_the_error_falls_with_the_order_of_the_sampler(sampler: str, order: int, name: str) -> None:
    first, second = errors_of(sampler, name, (48, 96))
    slope = np.log2(first / second)
    assert abs(slope - order) < 0.15


@pytest.mark.parametrize("name", ["linear", "exploding"])
def test_a_corrected_prediction_is_of_an_order_between_two_and_three(name: str) -> None:
    (two, _), (corrected, fine) = (errors_of(sampler, name, (48, 96)) for sampler in ("dpm_2m", "unipc"))
    assert corrected < 0.5 * two and 1.9 < np.log2(corrected / fine) < 3.6


@pytest.mark.parametrize("name", ["linear", "exploding"])
def test_adaptive_steps_keep_to_their_tolerance_and_a_looser_one_costs_less(name: str) -> None:
    process, keys = process_named(name, 10.0), random.keys(0, 48)
    z = prior(process, keys, (1,))
    truth, denoise = exact_end(process, numbers(z)), mixture_denoiser(process)
    tolerances = (1e-2, 1e-3, 1e-4, 1e-5)
    found = [solved(denoise, Walk(process, 60, tolerance=each), z) for each in tolerances]
    errors = [np.sqrt(np.mean((numbers(x) - truth) ** 2)) for x, _ in found]
    assert all(error < 2 * tolerance for error, tolerance in zip(errors, tolerances, strict=True))
    calls = [numbers(count).mean() for _, count in found]
    assert calls == sorted(calls) and 2 * calls[0] < calls[-1] + 5 and calls[-1] < 60


def gaussian_flow(process: object, z: np.ndarray) -> np.ndarray:
    """Where the flow of N(MEAN, DEVIATION²) leads: (z - α m) over its deviation stays."""
    ends = (process.time(ops.full((1,), u)) for u in (1.0, 0.0))
    first, last = ([float(numbers(part(t))[0]) for part in (process.alpha, process.sigma)] for t in ends)
    size = [np.sqrt(alpha**2 * DEVIATION**2 + sigma**2) for alpha, sigma in (first, last)]
    rest = (z - first[0] * MEAN) / size[0]
    return MEAN + last[0] * DEVIATION**2 / size[1] * rest


@pytest.mark.parametrize("steps", [4, 40])
def test_adaptive_steps_arrive_within_their_number(steps: int) -> None:
    process, keys = process_named("cosine"), random.keys(1, 6)
    z = prior(process, keys, (1,))
    x, calls = solved(gaussian_denoiser(process), Walk(process, steps, tolerance=1e-5), z)
    error = np.abs(numbers(x) - gaussian_flow(process, numbers(z))).max()
    assert error < (1e-2 if steps == 4 else 5e-5)
    assert numbers(calls).max() <= evaluations("rk45", steps) == 6 * steps + 1
    alone, _ = solved(gaussian_denoiser(process), Walk(process, steps, tolerance=1e-5), z[:1])
    np.testing.assert_allclose(numbers(alone), numbers(x)[:1], atol=1e-6)  # steps of its own


@pytest.mark.parametrize("name", tuple(PROCESSES))
def test_three_predictions_are_better_than_two(name: str) -> None:
    (two, coarse), (three, fine) = (errors_of(sampler, name, (24, 48)) for sampler in ("dpm_2m", "dpm_3m"))
    assert three < 0.5 * two and fine < 0.25 * coarse


@pytest.mark.parametrize(
    ("sampler", "setting"),
    [
        ("ddim", {}),
        ("ddim", {"eta": 0.5}),
        ("ddim", {"eta": 1.0}),
        ("ancestral", {}),
        ("dpm_2m_sde", {}),
        ("heun", {"churn": 20.0}),
    ],
)
def test_samplers_reach_the_gaussian(sampler: str, setting: dict[str, float]) -> None:
    process, keys = process_named("cosine"), random.keys(3, 20_000)
    walk = Walk(process, 100, **setting)

    def run(keys: object) -> object:
        return SAMPLERS[sampler](gaussian_denoiser(process), walk, prior(process, keys, (1,)), keys)

    class Owner:
        variables: tuple = ()

    found = numbers(backend.compiled(run, Owner())(keys))
    assert abs(found.mean() - MEAN) < 4 * DEVIATION / np.sqrt(20_000)
    assert abs(found.std() / DEVIATION - 1.0) < 0.03


def test_ancestral_is_ddim_with_eta_one_and_eta_zero_adds_no_noise() -> None:
    process, keys = process_named("linear"), random.keys(5, 8)
    z = prior(process, keys, (2,))
    denoise = gaussian_denoiser(process)
    still, noisy = Walk(process, 10), Walk(process, 10, eta=1.0)
    np.testing.assert_array_equal(numbers(ancestral(denoise, still, z, keys)), numbers(ddim(denoise, noisy, z, keys)))
    other = random.keys(6, 8)
    np.testing.assert_array_equal(numbers(ddim(denoise, still, z, keys)), numbers(ddim(denoise, still, z, other)))
    noisy = [numbers(ancestral(denoise, still, z, k)) for k in (keys, other)]
    assert np.abs(noisy[0] - noisy[1]).max() > 0.01


# From JAX; the noise is the same everywhere.
AGREED = {
    "heun": [1.79225, -1.23584, 1.11968],
    "dpm_2m_sde": [1.43962, 0.93749, -1.09232],
    "dpm_3m": [1.96934, -1.49445, 1.27885],
    "unipc": [1.83438, -1.33886, 1.18185],
    "rk45": [1.70082, -1.18729, 1.09176],
}


@pytest.mark.parametrize("sampler", AGREED)
def test_samples_are_the_same_on_every_engine(sampler: str) -> None:
    process, keys = process_named("cosine"), random.keys(9, 3)
    walk, z = Walk(process, 8, "log_snr"), prior(process, keys, (1,))
    found = numbers(SAMPLERS[sampler](mixture_denoiser(process), walk, z, keys))
    np.testing.assert_allclose(found[:, 0], AGREED[sampler], atol=1e-4)


def test_exploding_prior_has_its_deviation() -> None:
    found = numbers(prior(process_named("exploding", 8.0), random.keys(1, 20_000), (1,)))
    assert abs(found.std() / 8.0 - 1.0) < 0.02
