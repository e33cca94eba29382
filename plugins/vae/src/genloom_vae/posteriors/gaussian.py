"""q(z|x) = N(μ(x), diag σ²(x)), the form of Kingma and Welling 2014."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from keras import ops

from genloom.objectives import gaussian_log_prob
from genloom_vae.posteriors.posterior import Posterior, Q

__all__ = ["DiagonalGaussian", "GaussianPosterior"]

_LOG_2PI = math.log(2.0 * math.pi)
_LOG_VARIANCE_BOUND = 10.0  # |log σ²| of q(z|x); keeps exp() finite before the encoder has settled.


@dataclasses.dataclass(frozen=True)
class DiagonalGaussian(Q):
    """N(μ, diag σ²) of a batch: mean and log-variance (n, d)."""

    mean: Any
    log_variance: Any

    def code(self) -> Any:
        """Return μ."""
        return self.mean

    def sample(self, noise: Any) -> tuple[Any, Any]:
        """Return z = μ + σ ε and log q(z|x)."""
        z = self.mean + ops.exp(0.5 * self.log_variance) * noise
        return z, self.log_prob(z)

    def repeated(self, k: int) -> DiagonalGaussian:
        """Return q of each sample k times, (k n, d)."""
        return DiagonalGaussian(ops.tile(self.mean, (k, 1)), ops.tile(self.log_variance, (k, 1)))

    def log_prob(self, z: Any) -> Any:
        """Return log q(z|x) (n,) of z (n, d)."""
        return gaussian_log_prob(z, self.mean, self.log_variance)

    def stopped(self) -> DiagonalGaussian:
        """Return q with parameters that no gradient reaches."""
        return DiagonalGaussian(ops.stop_gradient(self.mean), ops.stop_gradient(self.log_variance))

    def log_probs_of_all(self, z: Any) -> Any:
        """Return log N(z_ij; μ_mj, σ²_mj), (n, m, d)."""
        shift = ops.square(z[:, None, :] - self.mean) * ops.exp(-self.log_variance)
        return -0.5 * (shift + self.log_variance + _LOG_2PI)

    def kl_to_standard_normal(self) -> Any:
        """Return ½ (μ² + σ² − 1 − log σ²) (n, d) (Kingma and Welling 2014, appendix B)."""
        return 0.5 * (ops.square(self.mean) + ops.exp(self.log_variance) - 1.0 - self.log_variance)


class GaussianPosterior(Posterior):
    """A diagonal Gaussian: the encoder gives μ and log σ²."""

    @staticmethod
    def width(latent: int) -> int:
        """Return 2 d."""
        return 2 * latent

    def of(self, output: Any) -> DiagonalGaussian:
        """Return q(z|x), its log-variance softly kept within ±10."""
        mean, log_variance = ops.split(output, 2, axis=-1)
        return DiagonalGaussian(mean, _LOG_VARIANCE_BOUND * ops.tanh(log_variance / _LOG_VARIANCE_BOUND))
