"""Light and dark: gamma and contrast."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from genloom import DataSpec
from genloom_post.options import ContrastOptions, GammaOptions
from genloom_post.unit import in_unit_range

__all__ = ["contrast", "gamma"]


def gamma(samples: NDArray[Any], spec: DataSpec, options: GammaOptions) -> tuple[NDArray[Any], DataSpec]:
    """Return u^γ over the range scaled to u in [0, 1]."""
    return in_unit_range(samples, spec, lambda unit: unit**options.gamma), spec


def contrast(samples: NDArray[Any], spec: DataSpec, options: ContrastOptions) -> tuple[NDArray[Any], DataSpec]:
    """Return ½ + a (u − ½) over the range scaled to u in [0, 1], clipped."""
    return in_unit_range(samples, spec, lambda unit: 0.5 + options.amount * (unit - 0.5)), spec
