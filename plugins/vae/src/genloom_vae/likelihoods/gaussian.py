"""Gaussian likelihoods: one σ learned for all values, or a σ of each value from the decoder."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

from keras import ops

from genloom import random
from genloom.data import DataSpec
from genloom_vae.likelihoods.likelihood import Likelihood

__all__ = ["DiagonalLikelihood", "GaussianLikelihood"]

_LOG_2PI = math.log(2.0 * math.pi)
_FLOOR = -4.0  # smallest log σ; stops the density of noiseless data from growing without bound


def _above(log_sigma: Any, floor: float) -> Any:
    """Return log σ, softly kept above the floor as Rybkin et al. do."""
    return floor + ops.softplus(log_sigma - floor)


def _log_normal(x: Any, mean: Any, log_sigma: Any) -> Any:
    log_sigma = ops.cast(log_sigma, x.dtype)
    return -0.5 * (ops.square((x - mean) * ops.exp(-log_sigma)) + _LOG_2PI) - log_sigma


class GaussianLikelihood(Likelihood):
    """p(x|z) = N(x; decoder(z), σ² I) with one learned σ (σ-VAE, Rybkin et al. 2021, §3.1).

    Learning σ balances reconstruction and KL without a weight to tune.

    Args:
        floor: smallest log σ.
    """

    density: ClassVar[bool] = True

    def __init__(self, floor: float = _FLOOR) -> None:
        super().__init__()
        self.floor = floor
        self.log_sigma = self.add_weight(shape=(), initializer="zeros", name="log_sigma")

    @classmethod
    def made(cls, spec: DataSpec, options: Any) -> Self:
        """Return it; any numbers have one."""
        return cls()

    def bounded_log_sigma(self) -> Any:
        """Return log σ, above the floor."""
        return _above(self.log_sigma, self.floor)

    def log_probs(self, x: Any, output: Any) -> Any:
        """Return log N(x; decoder(z), σ²) of each value, in nats of the normalised data."""
        return _log_normal(x, output, self.bounded_log_sigma())

    def mean(self, output: Any) -> Any:
        """Return E[x|z]: the output."""
        return output

    def drawn(self, keys: Any, output: Any) -> Any:
        """Return x (n, *shape) for keys (n, 2)."""
        return output + ops.exp(self.bounded_log_sigma()) * random.normal(keys, tuple(output.shape[1:]))


class DiagonalLikelihood(Likelihood):
    """p(x|z) = Π N(x_i; μ_i(z), σ_i²(z)): the decoder gives μ, then log σ, along the last axis.

    Source: Kingma and Welling 2014, appendix C.2.
    """

    density: ClassVar[bool] = True

    @classmethod
    def made(cls, spec: DataSpec, options: Any) -> Self:
        """Return it; any numbers have one."""
        return cls()

    @staticmethod
    def decoder_shape(spec: DataSpec, options: Any) -> tuple[int, ...]:
        """Return (…, 2 c) for samples (…, c)."""
        return (*spec.shape[:-1], 2 * spec.shape[-1])

    def log_probs(self, x: Any, output: Any) -> Any:
        """Return log N(x; μ, σ²) of each value, in nats of the normalised data."""
        mean, log_sigma = ops.split(output, 2, axis=-1)
        return _log_normal(x, mean, _above(log_sigma, _FLOOR))

    def mean(self, output: Any) -> Any:
        """Return E[x|z] = μ."""
        return ops.split(output, 2, axis=-1)[0]

    def drawn(self, keys: Any, output: Any) -> Any:
        """Return x (n, *shape) for keys (n, 2)."""
        mean, log_sigma = ops.split(output, 2, axis=-1)
        return mean + ops.exp(_above(log_sigma, _FLOOR)) * random.normal(keys, tuple(mean.shape[1:]))
