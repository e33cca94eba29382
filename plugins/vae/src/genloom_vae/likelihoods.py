"""What the decoder's output means: p(x|z) over normalised samples in [-1, 1], and how a sample is read from it."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from genloom import random
from genloom.objectives import bernoulli_log_prob, gaussian_log_prob

__all__ = ["BernoulliLikelihood", "GaussianLikelihood"]


class GaussianLikelihood(keras.layers.Layer):
    """p(x|z) = N(x; decoder(z), σ² I) with one learned σ (σ-VAE, Rybkin et al. 2021, §3.1).

    Learning σ balances reconstruction and KL without a weight to tune.

    Args:
        floor: smallest log σ; stops the density of noiseless data from growing without bound.
    """

    def __init__(self, floor: float = -4.0) -> None:
        super().__init__()
        self.floor = floor
        self.log_sigma = self.add_weight(shape=(), initializer="zeros", name="log_sigma")
        self.built = True

    def bounded_log_sigma(self) -> Any:
        """Return log σ, softly kept above the floor as Rybkin et al. do."""
        return self.floor + ops.softplus(self.log_sigma - self.floor)

    def log_prob(self, x: Any, output: Any) -> Any:
        """Return log p(x|z) per sample (n,) in nats of the normalised data."""
        return gaussian_log_prob(x, output, 2.0 * self.bounded_log_sigma())

    def mean(self, output: Any) -> Any:
        """Return E[x|z] in [-1, 1]."""
        return output

    def sample(self, keys: Any, output: Any, share: float) -> Any:
        """Return E[x|z] plus `share` of the likelihood's noise, for keys (n, 2)."""
        if not share:
            return output
        noise = random.normal(keys, tuple(output.shape[1:]))
        return output + share * ops.exp(self.bounded_log_sigma()) * noise


class BernoulliLikelihood:
    """p(x|z) = Bernoulli(σ(decoder(z))) for samples whose lowest and highest value mean 0 and 1."""

    def log_prob(self, x: Any, output: Any) -> Any:
        """Return log p(x|z) per sample (n,) in nats; grey values count as probabilities of 1."""
        return bernoulli_log_prob(0.5 * (x + 1.0), output)

    def mean(self, output: Any) -> Any:
        """Return E[x|z] in [-1, 1]."""
        return 2.0 * ops.sigmoid(output) - 1.0

    def sample(self, keys: Any, output: Any, share: float) -> Any:
        """Return E[x|z], or with `share` 1 a draw in {-1, 1}; in between, their mixture."""
        mean = self.mean(output)
        if not share:
            return mean
        uniform = random.uniform(keys, tuple(output.shape[1:]))
        drawn = 2.0 * ops.cast(uniform < ops.sigmoid(output), "float32") - 1.0
        return mean + share * (drawn - mean)
