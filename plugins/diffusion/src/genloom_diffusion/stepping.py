"""What samplers are made of: one walk over the levels, the parts of a step, and the flow they follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from genloom import backend, random
from genloom_diffusion.walk import Level, Walk

__all__ = ["Denoise", "Move", "State", "ancestral_deviation", "clean", "fresh", "shrunk", "velocity", "walked"]

Denoise = Callable[[Any, Any, Any], Any]
State = dict[str, Any]
Move = Callable[[Any, State, Level, Level], State]


def walked(move: Move, denoise: Denoise, walk: Walk, z: Any, keys: Any, held: Any, **memory: Any) -> Any:
    """Move from each level to the next, and return the last prediction; `walk.kept` puts every z before it."""
    memory = {**memory, "path": _noted(ops.zeros((walk.steps + 1, *z.shape)), 0, z)} if walk.kept else memory

    def step(i: Any, state: State) -> State:
        i = ops.cast(i, "int32")
        state = {**state, **move(i, state, walk.level(i), walk.level(i + 1))}
        return {**state, "path": _noted(state["path"], i + 1, state["z"])} if walk.kept else state

    state = {"z": z, "keys": keys, "held": {} if held is None else held, **memory}
    if walk.steps > 1:
        state = backend.loop(step, walk.steps - 1, state)
    x = clean(denoise, state["z"], walk.level(walk.steps - 1), state)
    return _noted(state["path"], walk.steps, x) if walk.kept else x


def _noted(path: Any, i: Any, z: Any) -> Any:
    """Return a path with z in its row i; by comparison, which every engine captures."""
    rows = ops.reshape(ops.arange(path.shape[0], dtype="int32"), (-1,) + (1,) * len(z.shape))
    return ops.where(ops.equal(rows, i), z[None], path)


def clean(denoise: Denoise, z: Any, level: Level, state: State) -> Any:
    """Return x̂ at a level, whose time is a scalar or one per sample."""
    return denoise(z, ops.broadcast_to(ops.reshape(level.t, (-1,)), (z.shape[0],)), state["held"])


def fresh(i: Any, state: State) -> Any:
    """Return the noise (n, …) of step i."""
    return random.normal(random.fold(state["keys"], i), tuple(state["z"].shape[1:]))


def velocity(denoise: Denoise, y: Any, level: Level, state: State) -> Any:
    """Return dy/dθ of the probability flow, y = z/√(α² + σ²), θ = arctan σ/α (Salimans and Ho 2022, app. D).

    For Gaussian data of unit variance it is zero.
    """
    return (level.alpha * y - level.size * clean(denoise, y * level.size, level, state)) / level.sigma


def shrunk(z: Any, at: Level, to: Level, x: Any) -> Any:
    """Solve the linear part exactly for a constant x̂: (σ_s/σ_t) z + α_s (1 - e^-h) x̂."""
    return to.sigma / at.sigma * z + (to.alpha - at.alpha * to.sigma / at.sigma) * x


def ancestral_deviation(alpha_s: Any, sigma_s: Any, alpha_t: Any, sigma_t: Any) -> Any:
    """Return the standard deviation of q(z_s | z_t, x), s before t (Ho et al. 2020, eq. 7, for any α and σ)."""
    ratio = alpha_t * sigma_s / (alpha_s * sigma_t)
    return sigma_s * ops.sqrt(ops.maximum(1.0 - ratio * ratio, 0.0))
