"""Samplers, all with one signature: `sampler(denoise, process, z, keys, steps, eta=…)` -> samples.

`denoise(z, t, held) -> x̂` predicts the clean data from z (n, …) at times t (n,). `held` carries what varies between
calls (labels) through the loop. The walk is even in the process's own position, from 1 to 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from genloom import backend, random
from genloom_diffusion.process import Process

__all__ = ["SAMPLERS", "ancestral", "ancestral_deviation", "ddim", "prior"]

Denoise = Callable[[Any, Any, Any], Any]

_START = 1_000_003  # Folds the key of the first noise apart from those of the steps.


def prior(process: Process, keys: Any, shape: tuple[int, ...]) -> Any:
    """Return z at t = 1 (n, *shape) from per-sample keys (n, 2)."""
    return process.prior_deviation * random.normal(random.fold(keys, _START), shape)


def ancestral_deviation(alpha_s: Any, sigma_s: Any, alpha_t: Any, sigma_t: Any) -> Any:
    """Return the standard deviation of q(z_s | z_t, x), s before t (Ho et al. 2020, eq. 7, for any α and σ)."""
    ratio = alpha_t * sigma_s / (alpha_s * sigma_t)
    return sigma_s * ops.sqrt(ops.maximum(1.0 - ratio * ratio, 0.0))


def ddim(
    denoise: Denoise,
    process: Process,
    z: Any,
    keys: Any,
    steps: int,
    held: Any = None,
    eta: float = 0.0,
) -> Any:
    """Walk from noise to data along z_s = α_s x̂ + √(σ_s² - ς²) ε̂ + ς ε (Song, Meng and Ermon 2021, eq. 12).

    Args:
        denoise: `denoise(z, t, held)` -> x̂.
        process: the noising process.
        z: noise at t = 1 (n, …).
        keys: per-sample keys (n, 2).
        steps: network evaluations.
        held: dict of arrays (n, …) handed on to `denoise`.
        eta: ς is eta times the ancestral deviation: 0 is deterministic, 1 ancestral sampling.
    """
    n, shape = z.shape[0], tuple(z.shape[1:])

    def step(i: Any, state: dict[str, Any]) -> dict[str, Any]:
        z, i = state["z"], ops.cast(i, "int32")
        left = ops.cast(steps - i, "float32")
        t, s = process.time(left / steps), process.time((left - 1.0) / steps)
        alpha_t, sigma_t, alpha_s, sigma_s = process.alpha(t), process.sigma(t), process.alpha(s), process.sigma(s)
        x = denoise(z, ops.broadcast_to(t, (n,)), state["held"])
        noise = (z - alpha_t * x) / sigma_t
        if eta == 0.0:
            return {**state, "z": alpha_s * x + sigma_s * noise}
        deviation = eta * ancestral_deviation(alpha_s, sigma_s, alpha_t, sigma_t)
        kept = ops.sqrt(ops.maximum(sigma_s * sigma_s - deviation * deviation, 0.0))
        fresh = random.normal(random.fold(state["keys"], i), shape)
        return {**state, "z": alpha_s * x + kept * noise + deviation * fresh}

    state = backend.loop(step, steps, {"z": z, "keys": keys, "held": {} if held is None else held})
    # What is left at position 0 is the least noise of the process: the last prediction is free of it.
    end = process.time(ops.zeros((n,)))
    return denoise(state["z"], end, state["held"])


def ancestral(
    denoise: Denoise,
    process: Process,
    z: Any,
    keys: Any,
    steps: int,
    held: Any = None,
    eta: float = 1.0,
) -> Any:
    """Sample each step from q(z_s | z_t, x̂) (Ho et al. 2020, algorithm 2): DDIM with eta = 1. `eta` is not used."""
    return ddim(denoise, process, z, keys, steps, held, eta=1.0)


SAMPLERS: dict[str, Callable[..., Any]] = {"ddim": ddim, "ancestral": ancestral}
