"""From data to the whole real line and back: a flow of Gaussian noise has no ends, and data may."""

from __future__ import annotations

import math
from typing import Any

from keras import ops

from genloom import DataSpec
from genloom.errors import ConfigError

__all__ = ["Line"]


class Line:
    """Unbounded data are standardised as their spec says; bounded ones go through a logit (Dinh et al. 2017, §4.1).

    With v in [0, 1] over the value range and L levels, w = (v (L - 1) + e) / L spreads level i over [i/L, (i + 1)/L]
    for e in [0, 1), and u = logit(a + (1 - 2a) w). Data that were not rounded have w = v.

    Args:
        spec: gives the range.
        levels: L, 0 for data that were not rounded.

    Raises:
        ConfigError: levels of unbounded data, or a single one.
    """

    edge = 0.05
    """a, which keeps the logit finite."""

    def __init__(self, spec: DataSpec, levels: int) -> None:
        if levels and (spec.value_range is None or levels < 2):
            raise ConfigError(f"levels={levels} needs data with a value range, and two levels or more.")
        self.spec, self.range, self.levels, self.size = spec, spec.value_range, levels, spec.size

    def to(self, x: Any, spread: Any = 0.5) -> tuple[Any, Any]:
        """Map x (n, size) to u, and return log |du/dx| (n,).

        Args:
            x: in the value range.
            spread: e in [0, 1), a number or (n, size): the middle of each step unless noise is given.
        """
        if self.range is None:
            return self.spec.normalise(x), ops.zeros_like(x[:, 0]) - self.spec.log_volume
        low, high = self.range
        v, width = (x - low) / (high - low), high - low
        if self.levels:
            v, width = (v * (self.levels - 1) + spread) / self.levels, width * self.levels / (self.levels - 1)
        s = self.edge + (1.0 - 2.0 * self.edge) * v
        per_value = -ops.log(s) - ops.log(1.0 - s) + math.log((1.0 - 2.0 * self.edge) / width)
        return ops.log(s) - ops.log(1.0 - s), ops.sum(per_value, axis=1)

    def back(self, u: Any) -> Any:
        """Map u (n, size) to the value range, to the middle of each step."""
        if self.range is None:
            return self.spec.denormalise(u)
        low, high = self.range
        v = (ops.sigmoid(u) - self.edge) / (1.0 - 2.0 * self.edge)
        if self.levels:
            v = (v * self.levels - 0.5) / (self.levels - 1)
        return ops.clip(low + (high - low) * v, low, high)

    def bits_per_dimension(self, log_density: Any) -> Any:
        """Return bits per value from log densities over x (n,): of a level's probability where data were rounded."""
        nats = -log_density
        if self.levels:
            low, high = self.range
            nats = nats - self.size * math.log((high - low) / (self.levels - 1))  # p(level) = p(x) times the step
        return nats / (self.size * math.log(2.0))
