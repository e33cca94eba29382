"""The exact likelihood of a diffusion model, by its probability flow.

y = z/√(α² + σ²) moves with the velocity v in the angle θ = arctan σ/α, and its log density falls by the divergence of v
(Song et al. 2021, eq. 39; Chen et al. 2018, eq. 8): log p(y_0) = log p(y_1) + ∫ tr ∂v/∂y dθ.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from keras import ops

from genloom import backend, random
from genloom.objectives import per_sample
from genloom_diffusion.stepping import Denoise, velocity
from genloom_diffusion.walk import Level, Walk

__all__ = ["EXACT", "flow_log_prob"]

#: Up to this size of a sample the divergence is exact, beyond it estimated.
EXACT = 8


def flow_log_prob(denoise: Denoise, walk: Walk, x: Any, keys: Any, held: Any = None) -> Any:
    """Return log p(x) per sample (n,), in nats, of data blurred by the walk's least noise.

    Heun's rule from the last level of the walk, whose spacing should be "log_snr", to its first. The divergence takes
    one derivative per dimension, or beyond `EXACT` dimensions one along random signs (Hutchinson's estimator).

    Args:
        denoise: `denoise(z, t, held)` -> x̂.
        walk: the levels, noisiest first.
        x: data (n, …), as they are noised.
        keys: per-sample keys (n, 2) of the random signs.
        held: dict of arrays (n, …) handed on to `denoise`.
    """
    n, shape = x.shape[0], tuple(x.shape[1:])
    size = math.prod(shape)
    signs = ops.sign(random.uniform(random.fold(keys, 0), shape) - 0.5)

    def slopes(y: Any, level: Level, state: dict[str, Any]) -> tuple[Any, Any]:
        """Return v and its divergence (n,) at y."""
        v, divergence = None, 0.0
        for direction in _directions(shape, state["signs"], n):
            v, along = backend.jvp(lambda y: velocity(denoise, y, level, state), (y,), (direction,))
            divergence = divergence + per_sample(along * direction)
        return v, divergence

    def step(i: Any, state: dict[str, Any]) -> dict[str, Any]:
        last = walk.steps - 1 - ops.cast(i, "int32")
        at, to = walk.level(last), walk.level(last - 1)
        turn, y = to.angle - at.angle, state["y"]
        v, divergence = slopes(y, at, state)
        w, further = slopes(y + turn * v, to, state)
        return {**state, "y": y + 0.5 * turn * (v + w), "gain": state["gain"] + 0.5 * turn * (divergence + further)}

    least, most = walk.level(walk.steps - 1), walk.level(0)
    state = {"y": least.alpha * x / least.size, "gain": ops.zeros((n,)), "signs": signs, "held": held or {}}
    state = backend.loop(step, walk.steps - 1, state)
    prior = walk.process.prior_deviation
    z = state["y"] * most.size
    log_prior = -0.5 * per_sample(z * z) / prior**2 - 0.5 * size * math.log(2.0 * math.pi * prior**2)
    # Densities of y from those of z, and of x from those of y at the other end.
    return log_prior + state["gain"] + size * (ops.log(most.size) - ops.log(least.size) + ops.log(least.alpha))


def _directions(shape: tuple[int, ...], signs: Any, n: int) -> list[Any]:
    size = math.prod(shape)
    if size > EXACT:
        return [signs]
    units = np.eye(size, dtype="float32").reshape(size, 1, *shape)
    return [ops.broadcast_to(ops.convert_to_tensor(unit), (n, *shape)) for unit in units]
