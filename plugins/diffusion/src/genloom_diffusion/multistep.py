"""Samplers that remember the predictions before: second and third order at one evaluation a step.

Their time is λ = log α/σ, h the step in it. The linear part is solved exactly, x̂ is a polynomial in λ.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from genloom_diffusion.stepping import Denoise, State, ancestral_deviation, clean, fresh, shrunk, walked
from genloom_diffusion.walk import Level, Walk

__all__ = ["dpm_2m", "dpm_2m_sde", "dpm_3m", "unipc"]


def dpm_2m(denoise: Denoise, walk: Walk, z: Any, keys: Any, held: Any = None) -> Any:
    """DPM-Solver++(2M): second order at one evaluation a step (Lu et al. 2022b, algorithm 2)."""

    def move(i: Any, state: State, at: Level, to: Level) -> State:
        x = clean(denoise, state["z"], at, state)
        return {"z": shrunk(state["z"], at, to, _ahead(i, x, state, walk)), "x": x}

    return walked(move, denoise, walk, z, keys, held, x=ops.zeros_like(z))


def dpm_2m_sde(denoise: Denoise, walk: Walk, z: Any, keys: Any, held: Any = None) -> Any:
    """SDE-DPM-Solver++(2M): the same with the noise of the reverse diffusion (Lu et al. 2022b, eq. 18 and app. B)."""

    def move(i: Any, state: State, at: Level, to: Level) -> State:
        x = clean(denoise, state["z"], at, state)
        kept = at.alpha * to.sigma / (to.alpha * at.sigma)  # e^-h
        mean = kept * to.sigma / at.sigma * state["z"] + to.alpha * (1.0 - kept * kept) * _ahead(i, x, state, walk)
        return {"z": mean + ancestral_deviation(to.alpha, to.sigma, at.alpha, at.sigma) * fresh(i, state), "x": x}

    return walked(move, denoise, walk, z, keys, held, x=ops.zeros_like(z))


def dpm_3m(denoise: Denoise, walk: Walk, z: Any, keys: Any, held: Any = None) -> Any:
    """DPM-Solver++(3M): a parabola through the last three predictions, integrated exactly (Lu et al. 2022b, eq. 9)."""

    def move(i: Any, state: State, at: Level, to: Level) -> State:
        x = clean(denoise, state["z"], at, state)
        h, h1, h2 = (_length(walk, i - k) for k in (0, 1, 2))
        first = ops.where(i > 0, 1.0, 0.0) * (x - state["x"]) / h1
        second = ops.where(i > 1, 1.0, 0.0) * (first - (state["x"] - state["y"]) / h2) / (h1 + h2)
        z = shrunk(state["z"], at, to, x) + to.alpha * _bent(h, first + h1 * second, second)
        return {"z": z, "x": x, "y": state["x"]}

    return walked(move, denoise, walk, z, keys, held, x=ops.zeros_like(z), y=ops.zeros_like(z))


def unipc(denoise: Denoise, walk: Walk, z: Any, keys: Any, held: Any = None) -> Any:
    """UniPC of order 2 with B(h) = e^h - 1 (Zhao et al. 2023, algorithms 5 to 8, for predictions of the data).

    Each z is predicted as by DPM-Solver++(2M), and corrected once x̂ is known there, at no further evaluation: by the
    parabola through that x̂ and the two before, of third order.
    """

    def move(i: Any, state: State, at: Level, to: Level) -> State:
        x = clean(denoise, state["z"], at, state)
        z = ops.where(i > 0, _corrected(i, x, state, walk), state["z"])
        return {"z": shrunk(z, at, to, _ahead(i, x, state, walk)), "from": z, "x": x, "y": state["x"]}

    return walked(move, denoise, walk, z, keys, held, **{name: ops.zeros_like(z) for name in ("from", "x", "y")})


def _corrected(i: Any, x: Any, state: State, walk: Walk) -> Any:
    """Return z at level i again, from the one before, now that x̂ is known at both ends of the step."""
    at, to = walk.level(ops.maximum(i - 1, 0)), walk.level(i)
    h, h1 = _length(walk, i - 1), _length(walk, i - 2)
    across, before = (x - state["x"]) / h, (state["x"] - state["y"]) / h1
    curve = (across - before) / (h + h1)
    first = 0.5 * (1.0 - ops.exp(-h)) * (x - state["x"])
    bend = ops.where(i > 1, _bent(h, across - h * curve, curve), first)
    return shrunk(state["from"], at, to, state["x"]) + to.alpha * bend


def _length(walk: Walk, i: Any) -> Any:
    """Return the step in λ from level i to the next; 1 before the first level, where nothing is known."""
    known = ops.maximum(i, 0)
    return ops.where(i >= 0, walk.half_log_snr(known + 1) - walk.half_log_snr(known), 1.0)


def _ahead(i: Any, x: Any, state: State, walk: Walk) -> Any:
    """Extrapolate x̂ to the middle of a step, from the step before; the first step has none."""
    share = ops.where(i > 0, 0.5 * _length(walk, i) / _length(walk, i - 1), 0.0)
    return x + share * (x - state["x"])


def _bent(h: Any, slope: Any, curve: Any) -> Any:
    """Return ∫ e^(τ-h) (slope τ + curve τ²) dτ over a step of length h."""
    decay = ops.exp(-h)
    linear, square = h - 1.0 + decay, h * h - 2.0 * (h - 1.0 + decay)
    return linear * slope + square * curve
