"""The noising processes: z_t = α(t) x + σ(t) ε, for t from 0 (data) to 1 (noise)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

from keras import ops

__all__ = ["PROCESSES", "Cosine", "Exploding", "Linear", "Process", "add_noise", "log_snr", "process_named"]


class Process(Protocol):
    """A Gaussian process: α, σ, and how training and sampling walk along it. All functions take tensors (n,)."""

    prior_deviation: float = 1.0
    """Standard deviation of the noise that sampling starts from."""

    def alpha(self, t: Any) -> Any:
        """Return the signal's scale α(t) in (0, 1]."""

    def sigma(self, t: Any) -> Any:
        """Return the noise's standard deviation σ(t), in units of the data."""

    def time(self, u: Any) -> Any:
        """Return the time at position u in [0, 1]: training draws u uniformly, samplers step evenly in it."""
        return u

    def position(self, t: Any) -> Any:
        """Undo `time`; networks are conditioned on it."""
        return t

    def time_of_log_snr(self, value: Any) -> Any:
        """Return the time at which log α²/σ² has this value."""

    def log_snr_range(self) -> tuple[float, float]:
        """Return log α²/σ² at t = 1 and at t = 0."""


class Cosine(Process):
    """Variance preserving, α = cos θ, σ = sin θ with θ linear in t (Nichol and Dhariwal 2021, eq. 17).

    Truncated to log-SNR in [-10, 10] instead of their offset and clipping (Kingma and Gao 2023, app. D).
    """

    def __init__(self, extent: float = 10.0) -> None:
        self.extent = extent
        self.start, self.end = math.atan(math.exp(-extent / 2)), math.atan(math.exp(extent / 2))

    def _angle(self, t: Any) -> Any:
        return self.start + t * (self.end - self.start)

    def alpha(self, t: Any) -> Any:
        """Return α(t) = cos θ(t)."""
        return ops.cos(self._angle(t))

    def sigma(self, t: Any) -> Any:
        """Return σ(t) = sin θ(t)."""
        return ops.sin(self._angle(t))

    def time_of_log_snr(self, value: Any) -> Any:
        """Return t with log cot² θ(t) = value."""
        return (ops.arctan(ops.exp(-0.5 * value)) - self.start) / (self.end - self.start)

    def log_snr_range(self) -> tuple[float, float]:
        """Return (-extent, extent)."""
        return -self.extent, self.extent


class Linear(Process):
    """Variance preserving with β linear in t: log α = -¼ (β₁ - β₀) s² - ½ β₀ s (Song et al. 2021, eq. 33).

    The continuous form of Ho et al. 2020 with β₀ = 0.1 and β₁ = 20. Time starts at s = 0.001, where σ ≈ 0.01 as in
    their first of a thousand steps.
    """

    beta_min, beta_max, start = 0.1, 20.0, 1e-3

    def _log_alpha(self, t: Any) -> Any:
        s = self.start + t * (1.0 - self.start)
        return -0.25 * (self.beta_max - self.beta_min) * s * s - 0.5 * self.beta_min * s

    def alpha(self, t: Any) -> Any:
        """Return α(t)."""
        return ops.exp(self._log_alpha(t))

    def sigma(self, t: Any) -> Any:
        """Return σ(t) = √(1 - α²)."""
        return ops.sqrt(-ops.expm1(2.0 * self._log_alpha(t)))

    def time_of_log_snr(self, value: Any) -> Any:
        """Return t: α² = sigmoid(value), then the root of a quadratic in s."""
        # c = -2 log α, and b s + a s² = c with b = β₀, a = (β₁ - β₀) / 2; written without cancellation.
        c = ops.softplus(-value)
        a, b = 0.5 * (self.beta_max - self.beta_min), self.beta_min
        s = 2.0 * c / (b + ops.sqrt(b * b + 4.0 * a * c))
        return (s - self.start) / (1.0 - self.start)

    def log_snr_range(self) -> tuple[float, float]:
        """Return log α²/σ² at t = 1 and t = 0."""

        def value(s: float) -> float:
            log_alpha = -0.25 * (self.beta_max - self.beta_min) * s * s - 0.5 * self.beta_min * s
            return 2.0 * log_alpha - math.log(-math.expm1(2.0 * log_alpha))

        return value(1.0), value(self.start)


class Exploding(Process):
    """Variance exploding: α = 1, σ² = σ_max² t (Song et al. 2021, sec. 3.4, with variance linear in time).

    Training and sampling walk in σ^(1/ρ) with ρ = 7 (Karras et al. 2022, eq. 5): even steps in t would spend them all
    where nothing but noise is left.

    Args:
        sigma_max: noise at t = 1, in units of the data.
        sigma_min: noise at position 0.
    """

    rho = 7.0

    def __init__(self, sigma_max: float = 20.0, sigma_min: float = 0.01) -> None:
        self.sigma_max, self.sigma_min, self.prior_deviation = sigma_max, sigma_min, sigma_max
        self.low, self.high = sigma_min ** (1 / self.rho), sigma_max ** (1 / self.rho)

    def alpha(self, t: Any) -> Any:
        """Return 1."""
        return ops.ones_like(t)

    def sigma(self, t: Any) -> Any:
        """Return σ_max √t."""
        return self.sigma_max * ops.sqrt(t)

    def time(self, u: Any) -> Any:
        """Return the time whose σ^(1/ρ) lies at share u of the way."""
        return ops.square((self.low + u * (self.high - self.low)) ** self.rho / self.sigma_max)

    def position(self, t: Any) -> Any:
        """Undo `time`."""
        return (self.sigma(t) ** (1.0 / self.rho) - self.low) / (self.high - self.low)

    def time_of_log_snr(self, value: Any) -> Any:
        """Return t = exp(-value) / σ_max²."""
        return ops.exp(-value) / self.sigma_max**2

    def log_snr_range(self) -> tuple[float, float]:
        """Return -2 log σ at both ends."""
        return -2.0 * math.log(self.sigma_max), -2.0 * math.log(self.sigma_min)


PROCESSES: dict[str, Callable[[float], Process]] = {
    "cosine": lambda _: Cosine(),
    "linear": lambda _: Linear(),
    "exploding": Exploding,
}


def process_named(name: str, sigma_max: float = 20.0) -> Process:
    """Return the process called "cosine", "linear" or "exploding"."""
    return PROCESSES[name](sigma_max)


def log_snr(process: Process, t: Any) -> Any:
    """Return log α(t)²/σ(t)²."""
    return 2.0 * (ops.log(process.alpha(t)) - ops.log(process.sigma(t)))


def add_noise(process: Process, x: Any, noise: Any, t: Any) -> Any:
    """Return z_t = α(t) x + σ(t) ε for x, ε (n, …) and t (n,)."""
    shape = (-1,) + (1,) * (len(x.shape) - 1)
    return ops.reshape(process.alpha(t), shape) * x + ops.reshape(process.sigma(t), shape) * noise
