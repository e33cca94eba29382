"""The noise levels that a sampler visits on its way from noise to data."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

from keras import ops

from genloom_diffusion.process import Process, log_snr

__all__ = ["SPACINGS", "Level", "Walk"]

SPACINGS = ("uniform", "log_snr", "karras")

_RHO = 7.0  # Karras et al. 2022, eq. 5


class Level(NamedTuple):
    """One noise level, as scalars."""

    t: Any
    alpha: Any
    sigma: Any

    @property
    def ratio(self) -> Any:
        """The noise of z/α, σ/α: the time of Karras et al. 2022."""
        return self.sigma / self.alpha

    @property
    def size(self) -> Any:
        """√(α² + σ²)."""
        return ops.sqrt(self.alpha * self.alpha + self.sigma * self.sigma)

    @property
    def angle(self) -> Any:
        """The arc whose tangent is σ/α."""
        return ops.arctan2(self.sigma, self.alpha)


@dataclasses.dataclass(frozen=True)
class Walk:
    """How to go from noise to data.

    Args:
        process: the noising process.
        steps: noise levels at which the network is asked; after the last one, its prediction of the data is the sample.
        spacing: "uniform", even in the process's own position, from 1 down to 1/steps; "log_snr", even in log α²/σ²
            from the most to the least noise; "karras", even in (σ/α)^(1/7) between the same ends.
        eta: noise that DDIM adds: 0 none, 1 as much as ancestral sampling.
        churn: noise that the stochastic sampler of Karras et al. 2022 adds, S_churn.
        tolerance: error that an adaptive sampler allows a step, in z/√(α² + σ²), root mean square.
        start: position of the process, in (0, 1], at which to begin.
        kept: return z at every level, and the sample after them: (steps + 1, n, …).
    """

    process: Process
    steps: int
    spacing: str = "uniform"
    eta: float = 0.0
    churn: float = 0.0
    tolerance: float = 1e-4
    start: float = 1.0
    kept: bool = False

    def level(self, i: Any) -> Level:
        """Return level number i in 0 … steps - 1, 0 the noisiest."""
        i = ops.cast(i, "float32")
        if self.spacing == "uniform":
            return self.at(self.process.time(self.start * (self.steps - i) / self.steps))
        share = i / max(self.steps - 1, 1)
        low, high = self.log_snr_range()
        if self.spacing == "log_snr":
            return self.at(self.process.time_of_log_snr(low + share * (high - low)))
        most, least = ops.exp(-0.5 * low / _RHO), math.exp(-0.5 * high / _RHO)
        return self.at(self.process.time_of_log_snr(-2.0 * _RHO * ops.log(most + share * (least - most))))

    def log_snr_range(self) -> tuple[Any, float]:
        """Return log α²/σ² where the walk begins, and at the least noise."""
        low, high = self.process.log_snr_range()
        return (low if self.start == 1.0 else log_snr(self.process, self.process.time(self.start))), high

    def at(self, t: Any) -> Level:
        """Return the level of a time."""
        return Level(t, self.process.alpha(t), self.process.sigma(t))

    def at_ratio(self, ratio: Any) -> Level:
        """Return the level whose σ/α is this, within the process's range."""
        low, high = self.process.log_snr_range()
        return self.at(self.process.time_of_log_snr(ops.clip(-2.0 * ops.log(ratio), low, high)))

    def at_angle(self, angle: Any) -> Level:
        """Return the level whose arctan σ/α is this, within the process's range."""
        return self.at_ratio(ops.tan(angle))

    def half_log_snr(self, i: Any) -> Any:
        """Return λ = log α/σ of level i, the time of Lu et al. 2022."""
        return 0.5 * log_snr(self.process, self.level(i).t)
