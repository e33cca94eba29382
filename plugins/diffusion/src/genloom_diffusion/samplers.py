"""Samplers, all with one signature: `sampler(denoise, walk, z, keys, held)` -> samples.

`denoise(z, t, held) -> x̂` predicts the clean data from z (n, …) at times t (n,). `held` carries what varies between
calls (labels) through the loop. A sampler moves from each level of the walk to the next; x̂ at the last is the sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from keras import ops

from genloom import backend, random
from genloom_diffusion.process import Process
from genloom_diffusion.walk import Level, Walk

__all__ = [
    "SAMPLERS",
    "ancestral",
    "ancestral_deviation",
    "ddim",
    "dpm_2m",
    "dpm_2m_sde",
    "dpm_3m",
    "evaluations",
    "heun",
    "prior",
    "renoise",
]

Denoise = Callable[[Any, Any, Any], Any]
State = dict[str, Any]
Move = Callable[[Any, State, Level, Level], State]

_START = 1_000_003  # Folds the key of the first noise apart from those of the steps.


def prior(process: Process, keys: Any, shape: tuple[int, ...]) -> Any:
    """Return z at t = 1 (n, *shape) from per-sample keys (n, 2)."""
    return process.prior_deviation * random.normal(random.fold(keys, _START), shape)


def evaluations(sampler: str, steps: int) -> int:
    """Return how often the network is called for one sample."""
    return 2 * steps - 1 if sampler == "heun" else steps


def _walked(move: Move, denoise: Denoise, walk: Walk, z: Any, keys: Any, held: Any, **memory: Any) -> Any:
    """Move from each level to the next, and return the last prediction."""

    def step(i: Any, state: State) -> State:
        i = ops.cast(i, "int32")
        return {**state, **move(i, state, walk.level(i), walk.level(i + 1))}

    state = {"z": z, "keys": keys, "held": {} if held is None else held, **memory}
    if walk.steps > 1:
        state = backend.loop(step, walk.steps - 1, state)
    return _clean(denoise, state["z"], walk.level(walk.steps - 1), state)


def _clean(denoise: Denoise, z: Any, level: Level, state: State) -> Any:
    return denoise(z, ops.broadcast_to(level.t, (z.shape[0],)), state["held"])


def _fresh(i: Any, state: State) -> Any:
    return random.normal(random.fold(state["keys"], i), tuple(state["z"].shape[1:]))


def ancestral_deviation(alpha_s: Any, sigma_s: Any, alpha_t: Any, sigma_t: Any) -> Any:
    """Return the standard deviation of q(z_s | z_t, x), s before t (Ho et al. 2020, eq. 7, for any α and σ)."""
    ratio = alpha_t * sigma_s / (alpha_s * sigma_t)
    return sigma_s * ops.sqrt(ops.maximum(1.0 - ratio * ratio, 0.0))


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
        x = _clean(denoise, state["z"], at, state)
        noise = (state["z"] - at.alpha * x) / at.sigma
        if walk.eta == 0.0:
            return {"z": to.alpha * x + to.sigma * noise}
        deviation = walk.eta * ancestral_deviation(to.alpha, to.sigma, at.alpha, at.sigma)
        kept = ops.sqrt(ops.maximum(to.sigma * to.sigma - deviation * deviation, 0.0))
        return {"z": to.alpha * x + kept * noise + deviation * _fresh(i, state)}

    return _walked(move, denoise, walk, z, keys, held)


def euler(denoise: Denoise, walk: Walk, z: Any, keys: Any, held: Any = None) -> Any:
    """Euler's rule for the probability flow: DDIM that adds no noise. `walk.eta` is not used."""
    return ddim(denoise, _with_eta(walk, 0.0), z, keys, held)


def ancestral(denoise: Denoise, walk: Walk, z: Any, keys: Any, held: Any = None) -> Any:
    """Sample each step from q(z_s | z_t, x̂) (Ho et al. 2020, algorithm 2): DDIM at eta = 1. `walk.eta` is not used."""
    return ddim(denoise, _with_eta(walk, 1.0), z, keys, held)


def _with_eta(walk: Walk, eta: float) -> Walk:
    return Walk(walk.process, walk.steps, walk.spacing, eta)


def renoise(denoise: Denoise, walk: Walk, z: Any, keys: Any, held: Any = None) -> Any:
    """Noise each prediction anew, z_s = α_s x̂ + σ_s ε (Song et al. 2023, algorithm 1): for consistency models."""

    def move(i: Any, state: State, at: Level, to: Level) -> State:
        return {"z": to.alpha * _clean(denoise, state["z"], at, state) + to.sigma * _fresh(i, state)}

    return _walked(move, denoise, walk, z, keys, held)


def heun(denoise: Denoise, walk: Walk, z: Any, keys: Any, held: Any = None) -> Any:
    """Heun's rule, of second order (Karras et al. 2022, algorithms 1 and 2), in the angle arctan σ/α.

    z/√(α² + σ²) moves by the velocity in that angle; for Gaussian data of unit variance it rests. In their time, σ/α,
    the first steps are too long to be of any order. With `walk.churn` each step first adds noise: σ/α grows by
    min(churn / steps, √2 - 1) where it is in [0.05, 50]. The network is called twice a step, once at the last level.
    """
    growth = min(walk.churn / walk.steps, math.sqrt(2.0) - 1.0)

    def velocity(z: Any, level: Level, state: State) -> Any:
        return (level.alpha * z - level.size * _clean(denoise, z * level.size, level, state)) / level.sigma

    def churned(i: Any, state: State, at: Level) -> tuple[Any, Level]:
        ratio = at.ratio
        inside = ops.logical_and(ratio >= 0.05, ratio <= 50.0)
        up = walk.at_ratio(ops.where(inside, ratio * (1.0 + growth), ratio))
        added = ops.sqrt(ops.maximum(up.ratio * up.ratio - ratio * ratio, 0.0))
        return up.alpha * (state["z"] / at.alpha + added * _fresh(i, state)), up

    def move(i: Any, state: State, at: Level, to: Level) -> State:
        z, at = churned(i, state, at) if growth else (state["z"], at)
        z = z / at.size
        turn = to.angle - at.angle
        first = velocity(z, at, state)
        second = velocity(z * ops.cos(turn) + first * ops.sin(turn), to, state)
        return {"z": to.size * (z + 0.5 * turn * (first + second))}

    return _walked(move, denoise, walk, z, keys, held)


def dpm_2m(denoise: Denoise, walk: Walk, z: Any, keys: Any, held: Any = None) -> Any:
    """DPM-Solver++(2M): second order at one evaluation a step (Lu et al. 2022b, algorithm 2)."""

    def move(i: Any, state: State, at: Level, to: Level) -> State:
        x = _clean(denoise, state["z"], at, state)
        return {"z": _shrunk(state["z"], at, to, _ahead(i, x, state, walk)), "x": x}

    return _walked(move, denoise, walk, z, keys, held, x=ops.zeros_like(z))


def dpm_2m_sde(denoise: Denoise, walk: Walk, z: Any, keys: Any, held: Any = None) -> Any:
    """SDE-DPM-Solver++(2M): the same with the noise of the reverse diffusion (Lu et al. 2022b, eq. 18 and app. B)."""

    def move(i: Any, state: State, at: Level, to: Level) -> State:
        x = _clean(denoise, state["z"], at, state)
        kept = at.alpha * to.sigma / (to.alpha * at.sigma)  # e^-h
        mean = kept * to.sigma / at.sigma * state["z"] + to.alpha * (1.0 - kept * kept) * _ahead(i, x, state, walk)
        return {"z": mean + ancestral_deviation(to.alpha, to.sigma, at.alpha, at.sigma) * _fresh(i, state), "x": x}

    return _walked(move, denoise, walk, z, keys, held, x=ops.zeros_like(z))


def _shrunk(z: Any, at: Level, to: Level, x: Any) -> Any:
    """Solve the linear part exactly for a constant x̂: (σ_s/σ_t) z + α_s (1 - e^-h) x̂."""
    return to.sigma / at.sigma * z + (to.alpha - at.alpha * to.sigma / at.sigma) * x


def _ahead(i: Any, x: Any, state: State, walk: Walk) -> Any:
    """Extrapolate x̂ to the middle of a step, from the step before; the first step has none."""
    before, now, after = (walk.half_log_snr(j) for j in (ops.maximum(i - 1, 0), i, i + 1))
    share = ops.where(i > 0, 0.5 * (after - now) / ops.where(i > 0, now - before, 1.0), 0.0)
    return x + share * (x - state["x"])


def dpm_3m(denoise: Denoise, walk: Walk, z: Any, keys: Any, held: Any = None) -> Any:
    """DPM-Solver++(3M): a parabola through the last three predictions, integrated exactly (Lu et al. 2022b, eq. 9)."""

    def move(i: Any, state: State, at: Level, to: Level) -> State:
        x = _clean(denoise, state["z"], at, state)
        oldest, older, now, after = (walk.half_log_snr(j) for j in (*(ops.maximum(i - k, 0) for k in (2, 1)), i, i + 1))
        h, h1, h2 = after - now, ops.where(i > 0, now - older, 1.0), ops.where(i > 1, older - oldest, 1.0)
        first = ops.where(i > 0, 1.0, 0.0) * (x - state["x"]) / h1
        second = ops.where(i > 1, 1.0, 0.0) * (first - (state["x"] - state["y"]) / h2) / (h1 + h2)
        # ∫ e^(τ-h) τ^k dτ over a step of length h, k = 1 and 2.
        decay = ops.exp(-h)
        linear, square = h - 1.0 + decay, h * h - 2.0 * (h - 1.0 + decay)
        bent = to.alpha * (linear * (first + h1 * second) + square * second)
        return {"z": _shrunk(state["z"], at, to, x) + bent, "x": x, "y": state["x"]}

    return _walked(move, denoise, walk, z, keys, held, x=ops.zeros_like(z), y=ops.zeros_like(z))


SAMPLERS: dict[str, Callable[..., Any]] = {
    "ddim": ddim,
    "ancestral": ancestral,
    "euler": euler,
    "heun": heun,
    "dpm_2m": dpm_2m,
    "dpm_2m_sde": dpm_2m_sde,
    "dpm_3m": dpm_3m,
    "renoise": renoise,
}
