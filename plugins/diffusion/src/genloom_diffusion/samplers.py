"""Samplers, all with one signature: `sampler(denoise, walk, z, keys, held)` -> samples.

`denoise(z, t, held) -> x̂` predicts the clean data from z (n, …) at times t (n,). `held` carries what varies between
calls (labels) through the loop. A sampler moves from each level of the walk to the next; x̂ at the last is the sample.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from keras import ops

from genloom import random
from genloom_diffusion.adaptive import most_calls, rk45
from genloom_diffusion.multistep import dpm_2m, dpm_2m_sde, dpm_3m, unipc
from genloom_diffusion.process import Process
from genloom_diffusion.stepping import Denoise, State, ancestral_deviation, clean, fresh, velocity, walked
from genloom_diffusion.walk import Level, Walk

__all__ = [
    "SAMPLERS",
    "ancestral",
    "ddim",
    "euler",
    "evaluations",
    "heun",
    "prior",
    "renoise",
]

_START = 1_000_003  # Folds the key of the first noise apart from those of the steps.


def prior(process: Process, keys: Any, shape: tuple[int, ...]) -> Any:
    """Return z at t = 1 (n, *shape) from per-sample keys (n, 2)."""
    return process.prior_deviation * random.normal(random.fold(keys, _START), shape)


def evaluations(sampler: str, steps: int) -> int:
    """Return how often the network is called for one sample; at most, where the sampler is adaptive."""
    return {"heun": 2 * steps - 1, "rk45": most_calls(steps)}.get(sampler, steps)


def ddim(denoise: Denoise, walk: Walk, z: Any, keys: Any, held: Any = None) -> Any:
    """Walk along z_s = α_s x̂ + √(σ_s² - ς²) ε̂ + ς ε, ς = eta times the ancestral one (Song et al. 2021, eq. 12).

    Without noise it is Euler's rule for z/α in the time σ/α, whatever the process (Karras et al. 2022, sec. 3); for a
    straight process also for z in t.

    Args:
        denoise: `denoise(z, t, held)` -> x̂.
        walk: the levels to visit.
        z: noise at the first of them (n, …).
        keys: per-sample keys (n, 2).
        held: dict of arrays (n, …) handed on to `denoise`.
    """

    def move(i: Any, state: State, at: Level, to: Level) -> State:
        x = clean(denoise, state["z"], at, state)
        noise = (state["z"] - at.alpha * x) / at.sigma
        if walk.eta == 0.0:
            return {"z": to.alpha * x + to.sigma * noise}
        deviation = walk.eta * ancestral_deviation(to.alpha, to.sigma, at.alpha, at.sigma)
        kept = ops.sqrt(ops.maximum(to.sigma * to.sigma - deviation * deviation, 0.0))
        return {"z": to.alpha * x + kept * noise + deviation * fresh(i, state)}

    return walked(move, denoise, walk, z, keys, held)


def euler(denoise: Denoise, walk: Walk, z: Any, keys: Any, held: Any = None) -> Any:
    """Euler's rule for the probability flow: DDIM that adds no noise. `walk.eta` is not used."""
    return ddim(denoise, _with_eta(walk, 0.0), z, keys, held)


def ancestral(denoise: Denoise, walk: Walk, z: Any, keys: Any, held: Any = None) -> Any:
    """Sample each step from q(z_s | z_t, x̂) (Ho et al. 2020, algorithm 2): DDIM at eta = 1. `walk.eta` is not used."""
    return ddim(denoise, _with_eta(walk, 1.0), z, keys, held)


def _with_eta(walk: Walk, eta: float) -> Walk:
    return dataclasses.replace(walk, eta=eta)


def renoise(denoise: Denoise, walk: Walk, z: Any, keys: Any, held: Any = None) -> Any:
    """Noise each prediction anew, z_s = α_s x̂ + σ_s ε (Song et al. 2023, algorithm 1): for consistency models."""

    def move(i: Any, state: State, at: Level, to: Level) -> State:
        return {"z": to.alpha * clean(denoise, state["z"], at, state) + to.sigma * fresh(i, state)}

    return walked(move, denoise, walk, z, keys, held)


def heun(denoise: Denoise, walk: Walk, z: Any, keys: Any, held: Any = None) -> Any:
    """Heun's rule, of second order (Karras et al. 2022, algorithms 1 and 2), in the angle arctan σ/α.

    z/√(α² + σ²) moves by the velocity in that angle; for Gaussian data of unit variance it rests. In their time, σ/α,
    the first steps are too long to be of any order. With `walk.churn` each step first adds noise: σ/α grows by
    min(churn / steps, √2 - 1) where it is in [0.05, 50]. The network is called twice a step, once at the last level.
    """
    growth = min(walk.churn / walk.steps, math.sqrt(2.0) - 1.0)

    def churned(i: Any, state: State, at: Level) -> tuple[Any, Level]:
        ratio = at.ratio
        inside = ops.logical_and(ratio >= 0.05, ratio <= 50.0)
        up = walk.at_ratio(ops.where(inside, ratio * (1.0 + growth), ratio))
        added = ops.sqrt(ops.maximum(up.ratio * up.ratio - ratio * ratio, 0.0))
        return up.alpha * (state["z"] / at.alpha + added * fresh(i, state)), up

    def move(i: Any, state: State, at: Level, to: Level) -> State:
        z, at = churned(i, state, at) if growth else (state["z"], at)
        z = z / at.size
        turn = to.angle - at.angle
        first = velocity(denoise, z, at, state)
        second = velocity(denoise, z * ops.cos(turn) + first * ops.sin(turn), to, state)
        return {"z": to.size * (z + 0.5 * turn * (first + second))}

    return walked(move, denoise, walk, z, keys, held)


SAMPLERS: dict[str, Callable[..., Any]] = {
    "ddim": ddim,
    "ancestral": ancestral,
    "euler": euler,
    "heun": heun,
    "dpm_2m": dpm_2m,
    "dpm_2m_sde": dpm_2m_sde,
    "dpm_3m": dpm_3m,
    "unipc": unipc,
    "rk45": rk45,
    "renoise": renoise,
}
