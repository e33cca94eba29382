"""Masking, the noise of tokens: each turns into the mask at a time of its own and stays it (Austin et al. 2021).

At time t a share m(t) = 1 - α(t) of all tokens is masked. For data x and a network p of the tokens behind the masks of
z the bound is -log p(x) ≤ E_t m'(t)/m(t) Σ_masked -log p(x_i | z), whatever the schedule m (Sahoo et al. 2024, eq. 10;
Shi et al. 2024, eq. 5).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from keras import ops

__all__ = ["SCHEDULES", "Schedule", "first", "weight"]


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How the masked share grows from 0 at t = 0 to 1 at t = 1.

    Attributes:
        share: m(t) of times.
        rate: its derivative.
    """

    share: Callable[[Any], Any]
    rate: Callable[[Any], Any]


_QUARTER = 0.5 * math.pi

#: `linear` as in Sahoo et al. 2024; `cosine` masks more, so that sampling begins with few tokens (Chang et al. 2022).
SCHEDULES: dict[str, Schedule] = {
    "linear": Schedule(lambda t: t, ops.ones_like),
    "cosine": Schedule(lambda t: ops.sin(_QUARTER * t), lambda t: _QUARTER * ops.cos(_QUARTER * t)),
}


def weight(name: str, schedule: Schedule, t: Any) -> Any:
    """Return what the loss of each masked token counts at times t (n,) in (0, 1].

    Args:
        name: "bound" for that of the bound, m'/m; "simple" for 1/m, where all times count alike.
        schedule: of the masking.
        t: times.
    """
    share = schedule.share(t)
    return (schedule.rate(t) if name == "bound" else ops.ones_like(share)) / share


def first(count: Any, order: Any) -> Any:
    """Return which places (n, length) are among the first of an order.

    Args:
        count: how many, integers (n,).
        order: numbers (n, length); the least comes first.
    """
    rank = ops.argsort(ops.argsort(order, axis=-1), axis=-1)
    return ops.less(ops.cast(rank, "int32"), ops.cast(count, "int32")[:, None])
