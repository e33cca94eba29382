"""The variational bound is the exact negative log-likelihood when the denoiser is exact."""

from __future__ import annotations

import math

import numpy as np
import pytest
from keras import ops

from genloom_diffusion.bound import variational_bound
from genloom_diffusion.process import PROCESSES, process_named

DEVIATION = 0.6


def bound_of(predict_noise: object, process: object, *arrays: np.ndarray) -> np.ndarray:
    bound = variational_bound(predict_noise, process, *map(ops.convert_to_tensor, arrays))
    return np.asarray(ops.convert_to_numpy(bound), "float64")


@pytest.mark.parametrize("name", tuple(PROCESSES))
def test_bound_of_a_gaussian(name: str) -> None:
    process, rng = process_named(name), np.random.default_rng(0)
    n, k, d = 4_000, 16, 2
    x = (DEVIATION * rng.standard_normal((n, d))).astype("float32")

    def predict_noise(z: object, t: object) -> object:
        alpha, sigma = (ops.reshape(f(t), (-1, 1)) for f in (process.alpha, process.sigma))
        return sigma * z / (alpha**2 * DEVIATION**2 + sigma**2)

    u = ((rng.random((n, 1)) + np.arange(k)) / k).astype("float32")
    noise = rng.standard_normal((n, k, d)).astype("float32")
    found = bound_of(predict_noise, process, x, u, noise)
    exact = 0.5 * d * math.log(2 * math.pi * DEVIATION**2) + 0.5 * (x.astype("float64") ** 2).sum(1) / DEVIATION**2
    assert found.shape == (n,)
    assert abs(found.mean() - exact.mean()) < 5 * (found - exact).std() / math.sqrt(n) + 0.01
    # Sample by sample, too: the bound's expectation given x is -log p(x), so the regression has slope 1.
    assert 0.8 < np.polyfit(exact, found, 1)[0] < 1.2


def test_a_worse_denoiser_has_a_larger_bound() -> None:
    process, rng = process_named("cosine"), np.random.default_rng(0)
    x = rng.standard_normal((500, 2)).astype("float32")
    u, noise = rng.random((500, 4)).astype("float32"), rng.standard_normal((500, 4, 2)).astype("float32")

    def bound(scale: float) -> float:
        def predict_noise(z: object, t: object) -> object:
            return scale * z * ops.reshape(process.sigma(t), (-1, 1))

        return float(bound_of(predict_noise, process, x, u, noise).mean())

    assert bound(1.0) + 0.1 < min(bound(0.5), bound(1.5))
