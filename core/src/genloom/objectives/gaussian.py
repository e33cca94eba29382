"""Diagonal Gaussians: log-densities and divergences in nats, summed over all axes but the first."""

from __future__ import annotations

import math
from typing import Any

from keras import ops

from genloom.objectives.reduction import per_sample

__all__ = ["gaussian_log_prob", "kl_between_gaussians", "kl_to_standard_normal", "standard_normal_log_prob"]

_LOG_2PI = math.log(2.0 * math.pi)


def gaussian_log_prob(x: Any, mean: Any, log_variance: Any) -> Any:
    """Return log N(x; μ, diag σ²) per sample: (n, …) → (n,) nats.

    Args:
        x: points (n, …).
        mean: μ, of x's shape or broadcastable to it.
        log_variance: log σ², of x's shape or broadcastable to it (a scalar is one σ for all).
    """
    log_variance = ops.cast(log_variance, x.dtype)
    return per_sample(-0.5 * (ops.square(x - mean) * ops.exp(-log_variance) + log_variance + _LOG_2PI))


def standard_normal_log_prob(x: Any) -> Any:
    """Return log N(x; 0, I) per sample: (n, …) → (n,) nats."""
    return per_sample(-0.5 * (ops.square(x) + _LOG_2PI))


def kl_to_standard_normal(mean: Any, log_variance: Any) -> Any:
    """Return KL(N(μ, σ²) ‖ N(0, I)) = ½ Σ (μ² + σ² − 1 − log σ²): (n, d) → (n,) nats.

    Source: Kingma and Welling 2014, appendix B.
    """
    return 0.5 * per_sample(ops.square(mean) + ops.exp(log_variance) - 1.0 - log_variance)


def kl_between_gaussians(mean: Any, log_variance: Any, other_mean: Any, other_log_variance: Any) -> Any:
    """Return KL(N(μ, σ²) ‖ N(m, s²)) = ½ Σ ((σ² + (μ − m)²)/s² − 1 + log s² − log σ²): (n, d) → (n,) nats.

    `other_mean` and `other_log_variance` broadcast against (n, d).
    """
    ratio = log_variance - other_log_variance
    shift = ops.square(mean - other_mean) * ops.exp(-other_log_variance)
    return 0.5 * per_sample(ops.exp(ratio) + shift - 1.0 - ratio)
