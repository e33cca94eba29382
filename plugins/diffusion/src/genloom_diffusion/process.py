"""The noising processes: z_t = α(t) x + σ(t) ε, for t from 0 (data) to 1 (noise)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import keras
from keras import ops

__all__ = [
    "PROCESSES",
    "Cosine",
    "Exploding",
    "Flow",
    "Interpolant",
    "Linear",
    "Process",
    "Sigmoid",
    "add_noise",
    "even_positions",
    "log_snr",
    "process_named",
]


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


class Sigmoid(Process):
    """Variance preserving, α² a sigmoid's course in t, rescaled to [0, 1] (Jabri et al. 2022, algorithm 1).

    Their start, end and τ: -3, 3 and 1. Truncated to log-SNR in [-extent, extent].
    """

    start, end = -3.0, 3.0

    def __init__(self, extent: float = 10.0) -> None:
        self.extent = extent
        self.first, self.last = 1 / (1 + math.exp(-self.start)), 1 / (1 + math.exp(-self.end))
        self.low, self.high = (self._untruncated(1 / (1 + math.exp(-value))) for value in (extent, -extent))

    def _untruncated(self, kept: float) -> float:
        inside = self.last - kept * (self.last - self.first)
        return (math.log(inside / (1.0 - inside)) - self.start) / (self.end - self.start)

    def _shares(self, t: Any) -> tuple[Any, Any]:
        """Return α² and σ², each from its own end of the course: a difference of sigmoids would cancel."""
        width = self.end - self.start
        before = width * (self.low + t * (self.high - self.low))
        after = width * ((1.0 - self.high) + (1.0 - t) * (self.high - self.low))
        scale = math.sinh(0.5 * width) * ops.cosh(0.5 * (self.start + before))
        kept = ops.sinh(0.5 * after) * math.cosh(0.5 * self.start) / scale
        return kept, ops.sinh(0.5 * before) * math.cosh(0.5 * self.end) / scale

    def alpha(self, t: Any) -> Any:
        """Return α(t)."""
        return ops.sqrt(self._shares(t)[0])

    def sigma(self, t: Any) -> Any:
        """Return σ(t) = √(1 - α²)."""
        return ops.sqrt(self._shares(t)[1])

    def time_of_log_snr(self, value: Any) -> Any:
        """Return t: α² = sigmoid(value), then the sigmoid's inverse."""
        inside = self.last - ops.sigmoid(value) * (self.last - self.first)
        s = (ops.log(inside) - ops.log(1.0 - inside) - self.start) / (self.end - self.start)
        return (s - self.low) / (self.high - self.low)

    def log_snr_range(self) -> tuple[float, float]:
        """Return (-extent, extent)."""
        return -self.extent, self.extent


class Flow(Process):
    """A straight line from data to noise, α = 1 - s, σ = s (Lipman et al. 2023, eq. 20; Liu et al. 2023, eq. 1).

    Truncated to log-SNR in [-extent, extent]: s runs from 0.0067 to 0.9933.
    """

    def __init__(self, extent: float = 10.0) -> None:
        self.extent = extent
        self.low, self.high = (1 / (1 + math.exp(0.5 * value)) for value in (extent, -extent))
        self.width, self.prior_deviation = self.high - self.low, self.high

    def _place(self, t: Any) -> Any:
        return self.low + t * self.width

    def alpha(self, t: Any) -> Any:
        """Return 1 - s(t)."""
        return 1.0 - self._place(t)

    def sigma(self, t: Any) -> Any:
        """Return s(t)."""
        return self._place(t)

    def time_of_log_snr(self, value: Any) -> Any:
        """Return t: s = sigmoid(-value / 2)."""
        return (ops.sigmoid(-0.5 * value) - self.low) / self.width

    def log_snr_range(self) -> tuple[float, float]:
        """Return (-extent, extent)."""
        return -self.extent, self.extent


class Interpolant(Process):
    """A straight line with noise of its own around it: (1 - s) x + s ε₁ + √(2 s (1 - s)) ε₂.

    A stochastic interpolant (Albergo et al. 2023, def. 2.1) of data and a Gaussian. Both noises are one of variance
    s (2 - s), which keeps α² + σ² = 1. Truncated to log-SNR in [-extent, extent].
    """

    def __init__(self, extent: float = 10.0) -> None:
        self.extent = extent
        self.low, self.high = (self._untruncated(1 / (1 + math.exp(value)), math.sqrt) for value in (extent, -extent))

    @staticmethod
    def _untruncated(variance: Any, root: Callable[[Any], Any]) -> Any:
        """Return s of σ² = s (2 - s), without cancellation near 0."""
        return variance / (1.0 + root(1.0 - variance))

    def _place(self, t: Any) -> Any:
        return self.low + t * (self.high - self.low)

    def alpha(self, t: Any) -> Any:
        """Return 1 - s(t)."""
        return 1.0 - self._place(t)

    def sigma(self, t: Any) -> Any:
        """Return √(s (2 - s))."""
        s = self._place(t)
        return ops.sqrt(s * (2.0 - s))

    def time_of_log_snr(self, value: Any) -> Any:
        """Return t with σ² = sigmoid(-value)."""
        return (self._untruncated(ops.sigmoid(-value), ops.sqrt) - self.low) / (self.high - self.low)

    def log_snr_range(self) -> tuple[float, float]:
        """Return (-extent, extent)."""
        return -self.extent, self.extent


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


PROCESSES: dict[str, Callable[[float, float], Process]] = {
    "cosine": lambda *_: Cosine(),
    "linear": lambda *_: Linear(),
    "sigmoid": lambda *_: Sigmoid(),
    "exploding": Exploding,
    "flow": lambda *_: Flow(),
    "interpolant": lambda *_: Interpolant(),
}


def process_named(name: str, sigma_max: float = 20.0, sigma_min: float = 0.01) -> Process:
    """Return the process called by a name in `PROCESSES`; the bounds of the noise are those of "exploding"."""
    return PROCESSES[name](sigma_max, sigma_min)


def log_snr(process: Process, t: Any) -> Any:
    """Return log α(t)²/σ(t)²."""
    return 2.0 * (ops.log(process.alpha(t)) - ops.log(process.sigma(t)))


def even_positions(shift: Any, n: int) -> Any:
    """Return a regular grid (n,) in [0, 1), moved by a uniform (1,): a batch sees all (Kingma et al. 2021)."""
    return (shift + ops.arange(n, dtype=keras.config.floatx()) / n) % 1.0


def add_noise(process: Process, x: Any, noise: Any, t: Any) -> Any:
    """Return z_t = α(t) x + σ(t) ε for x, ε (n, …) and t (n,)."""
    shape = (-1,) + (1,) * (len(x.shape) - 1)
    return ops.reshape(process.alpha(t), shape) * x + ops.reshape(process.sigma(t), shape) * noise
