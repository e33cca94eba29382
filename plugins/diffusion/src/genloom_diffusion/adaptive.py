"""The probability flow solved to a tolerance, with steps as long as each sample allows."""

from __future__ import annotations

import math
from typing import Any

from keras import ops

from genloom import backend
from genloom_diffusion.stepping import Denoise, State, velocity
from genloom_diffusion.walk import Walk

__all__ = ["most_calls", "rk45", "solved"]

# Dormand and Prince 1980, table 2: where each stage lies in the step, and what it is made of. The last is the step.
_PLACES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
#: The step of fifth order less that of fourth.
_ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)


def most_calls(steps: int) -> int:
    """Return the largest number of evaluations of `steps` steps: the last stage of one is the first of the next."""
    return len(_STAGES) * steps + 1


def rk45(denoise: Denoise, walk: Walk, z: Any, keys: Any, held: Any = None) -> Any:
    """The fifth-order rule of Dormand and Prince, its steps by `walk.tolerance`; `walk.spacing` is not used.

    In the angle arctan σ/α, as `heun`. Each sample has steps of its own, so that it does not depend on its neighbours.
    There are at most `walk.steps`, refused ones counted: the second half of them is at least as long as it takes to
    arrive, whatever the error.
    """
    return solved(denoise, walk, z, held)[0]


def solved(denoise: Denoise, walk: Walk, z: Any, held: Any = None) -> tuple[Any, Any]:
    """Return the samples of `rk45`, and how many evaluations each took (n,)."""
    least, most = walk.log_snr_range()
    high, low = ops.arctan(ops.exp(-0.5 * least)), math.atan(math.exp(-0.5 * most))
    each = (z.shape[0],) + (1,) * (len(z.shape) - 1)

    def slope(y: Any, rest: Any, state: State) -> Any:
        return velocity(denoise, y, walk.at_angle(low + rest), state)

    def step(i: Any, state: State) -> State:
        rest, left = state["rest"], ops.cast(walk.steps - i, "float32")
        least = ops.where(2.0 * left > walk.steps, 0.0, rest / left)
        turn = ops.minimum(ops.maximum(state["turn"], least), rest)
        slopes = [state["slope"]]
        for place, row in zip(_PLACES, _STAGES, strict=True):
            y = state["y"] - turn * _mixed(row, slopes)
            slopes.append(slope(y, rest - place * turn, state))
        error = _size(turn * _mixed(_ERROR, slopes)) / walk.tolerance
        taken = ops.logical_or(error <= 1.0, turn <= least)
        # Hairer, Nørsett and Wanner 1993, eq. II.4.13.
        factor = ops.clip(0.9 * ops.maximum(error, 1e-8) ** -0.2, 0.2, 5.0)
        return {
            **state,
            "y": ops.where(taken, y, state["y"]),
            "slope": ops.where(taken, slopes[-1], state["slope"]),
            "rest": ops.where(taken, rest - turn, rest),
            "turn": turn * factor,
            "calls": state["calls"] + ops.where(rest > 0.0, len(_STAGES), 0),
        }

    rest = ops.zeros(each) + (high - low)
    state = {"y": z / walk.at_angle(low + rest).size, "rest": rest, "turn": rest / walk.steps, "held": held or {}}
    state["slope"] = slope(state["y"], rest, state)
    state["calls"] = ops.ones(each, dtype="int32")
    state = backend.loop(step, walk.steps, state, lambda state: ops.all(state["rest"] <= 0.0))
    end = walk.at_angle(low + state["rest"])
    return (end.alpha * state["y"] - end.sigma * state["slope"]) / end.size, ops.reshape(state["calls"], (-1,))


def _mixed(weights: tuple[float, ...], slopes: list[Any]) -> Any:
    """Return the weighted sum of slopes."""
    return sum(weight * slope for weight, slope in zip(weights, slopes, strict=True) if weight)


def _size(error: Any) -> Any:
    """Return the root mean square of each sample, broadcastable against it."""
    return ops.sqrt(ops.mean(ops.square(error), axis=tuple(range(1, len(error.shape))), keepdims=True))
