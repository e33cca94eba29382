"""The likelihood by the probability flow, where the density is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from keras import ops

from genloom import random
from genloom_diffusion.likelihood import EXACT, flow_log_prob
from genloom_diffusion.process import PROCESSES, process_named
from genloom_diffusion.walk import Walk

S = 0.6


def denoiser(process: Any) -> Any:
    """E[x | z] for x ~ N(0.2, S²) in each dimension."""

    def denoise(z: Any, t: Any, held: Any) -> Any:
        alpha, sigma = (ops.reshape(part(t), (-1, 1)) for part in (process.alpha, process.sigma))
        return 0.2 + alpha * S**2 / (alpha**2 * S**2 + sigma**2) * (z - 0.2 * alpha)

    return denoise


def found_and_exact(name: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    process, rng = process_named(name, 80.0), np.random.default_rng(0)
    x = (0.2 + S * rng.standard_normal((64, size))).astype("float32")
    walk, keys = Walk(process, 64, "log_snr"), random.keys(0, 64)
    found = flow_log_prob(denoiser(process), walk, ops.convert_to_tensor(x), keys)
    exact = -0.5 * (((x - 0.2) / S) ** 2).sum(1) - 0.5 * size * math.log(2 * math.pi * S**2)
    return np.asarray(ops.convert_to_numpy(found), "float64"), exact


@pytest.mark.parametrize("name", tuple(PROCESSES))
def test_a_gaussian_has_its_density(name: str) -> None:
    found, exact = found_and_exact(name, 2)
    np.testing.assert_allclose(found, exact, atol=0.02)


def test_random_signs_estimate_the_divergence_beyond_a_few_dimensions() -> None:
    # Of a diagonal derivative they give the trace exactly.
    found, exact = found_and_exact("cosine", EXACT + 2)
    np.testing.assert_allclose(found, exact, atol=0.05)
