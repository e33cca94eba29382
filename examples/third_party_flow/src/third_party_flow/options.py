"""Options of the flows."""

from __future__ import annotations

import dataclasses

from genloom import option

__all__ = ["FlowOptions", "RealNVPOptions", "SplineOptions"]


@dataclasses.dataclass(frozen=True)
class FlowOptions:
    """Options of every flow."""

    layers: int = option(8, "coupling layers; each moves half of the values", minimum=2)
    hidden: int = option(64, "units of each of the two layers that compute a coupling", minimum=1)
    levels: int = option(0, "values that bounded data were rounded to, 0 for data that were not", minimum=0)
    learning_rate: float = option(1e-3, "Adam's rate", minimum=0.0)


@dataclasses.dataclass(frozen=True)
class RealNVPOptions(FlowOptions):
    """Options of `flow/realnvp`."""

    stretch: float = option(2.0, "largest log scale of one coupling, so that none runs away", minimum=0.1)


@dataclasses.dataclass(frozen=True)
class SplineOptions(FlowOptions):
    """Options of `flow/spline`."""

    bins: int = option(8, "pieces of each spline", minimum=2, maximum=64)
    bound: float = option(4.0, "splines bend values in [-bound, bound] and leave the others", minimum=0.5)
