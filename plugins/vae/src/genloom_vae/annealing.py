"""How the weight of the KL term grows: training step → share of it, in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

__all__ = ["ramp_of"]

_RISING = 0.5  # R, the share of a cycle in which the weight grows (Fu et al. 2019, §3.2)


def ramp_of(kind: str, steps: int) -> Callable[[Any], Any] | None:
    """Return the ramp: `linear` reaches 1 after `steps` (Bowman et al. 2016), `cyclic` grows anew in each cycle.

    Args:
        kind: "none", "linear" or "cyclic".
        steps: length of the ramp, or of one cycle, of which the first half grows (Fu et al. 2019, eq. 6).

    Returns:
        A function of the int32 step, None for a weight that is whole from the first step.
    """
    if kind == "none":
        return None
    if kind == "linear":
        return lambda step: ops.minimum(ops.cast(step, "float32") / steps, 1.0)
    return lambda step: ops.minimum(ops.cast(step % steps, "float32") / (_RISING * steps), 1.0)
