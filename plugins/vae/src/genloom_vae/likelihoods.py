"""What the decoder's output means: p(x|z) over normalised samples in [-1, 1], and how a sample is read from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import keras
from keras import ops

from genloom import random
from genloom.data import DataSpec
from genloom.errors import ConfigError
from genloom.objectives import per_sample

__all__ = ["LIKELIHOODS", "BernoulliLikelihood", "GaussianLikelihood", "Likelihood"]

_LOG_2PI = math.log(2.0 * math.pi)


class Likelihood(keras.layers.Layer):
    """p(x|z) of normalised samples, given what the decoder made of z.

    Attributes:
        density: whether it is one, so that its nats change with the data's units; False for probabilities.
    """

    density: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.built = True

    @classmethod
    def check(cls, spec: DataSpec) -> None:
        """Raise ConfigError for data that it cannot describe."""

    def log_probs(self, x: Any, output: Any) -> Any:
        """Return log p(x|z) by independent value, in nats: an array that broadcasts against x (n, *shape)."""
        raise NotImplementedError

    def log_prob(self, x: Any, output: Any, seen: Any = None) -> Any:
        """Return log p(x|z) per sample (n,) in nats, of the values alone that are `seen` (1, else 0, as x)."""
        each = self.log_probs(x, output)
        return per_sample(each if seen is None else each * seen)

    def mean(self, output: Any) -> Any:
        """Return E[x|z] (n, *shape) in [-1, 1]."""
        raise NotImplementedError

    def sample(self, keys: Any, output: Any, share: float) -> Any:
        """Return E[x|z] plus `share` of the likelihood's noise, for keys (n, 2)."""
        raise NotImplementedError


class GaussianLikelihood(Likelihood):
    """p(x|z) = N(x; decoder(z), σ² I) with one learned σ (σ-VAE, Rybkin et al. 2021, §3.1).

    Learning σ balances reconstruction and KL without a weight to tune.

    Args:
        floor: smallest log σ; stops the density of noiseless data from growing without bound.
    """

    def __init__(self, floor: float = -4.0) -> None:
        super().__init__()
        self.floor = floor
        self.log_sigma = self.add_weight(shape=(), initializer="zeros", name="log_sigma")

    def bounded_log_sigma(self) -> Any:
        """Return log σ, softly kept above the floor as Rybkin et al. do."""
        return self.floor + ops.softplus(self.log_sigma - self.floor)

    def log_probs(self, x: Any, output: Any) -> Any:
        """Return log N(x; decoder(z), σ²) of each value, in nats of the normalised data."""
        log_variance = 2.0 * self.bounded_log_sigma()
        return -0.5 * (ops.square(x - output) * ops.exp(-log_variance) + log_variance + _LOG_2PI)

    def mean(self, output: Any) -> Any:
        """Return E[x|z] in [-1, 1]."""
        return output

    def sample(self, keys: Any, output: Any, share: float) -> Any:
        """Return E[x|z] plus `share` of the likelihood's noise, for keys (n, 2)."""
        if not share:
            return output
        noise = random.normal(keys, tuple(output.shape[1:]))
        return output + share * ops.exp(self.bounded_log_sigma()) * noise


class BernoulliLikelihood(Likelihood):
    """p(x|z) = Bernoulli(σ(decoder(z))) for samples whose lowest and highest value mean 0 and 1."""

    density: ClassVar[bool] = False

    @classmethod
    def check(cls, spec: DataSpec) -> None:
        """Raise ConfigError for data without a range."""
        if spec.value_range is None:
            raise ConfigError("likelihood=bernoulli needs data with a value range.", mend="Use likelihood=gaussian.")

    def log_probs(self, x: Any, output: Any) -> Any:
        """Return log p(x|z) of each value in nats; grey values count as probabilities of 1."""
        return 0.5 * (x + 1.0) * output - ops.softplus(output)

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


#: Value of the option `likelihood` → its class.
LIKELIHOODS: Mapping[str, type[Likelihood]] = {"gaussian": GaussianLikelihood, "bernoulli": BernoulliLikelihood}
