"""The likelihood of values that are 0 or 1."""

from __future__ import annotations

from typing import Any, Self

from keras import ops

from genloom import random
from genloom.data import DataSpec
from genloom.errors import ConfigError
from genloom_vae.likelihoods.likelihood import Likelihood

__all__ = ["BernoulliLikelihood"]


class BernoulliLikelihood(Likelihood):
    """p(x|z) = Bernoulli(σ(decoder(z))) for samples whose lowest and highest value mean 0 and 1."""

    @classmethod
    def made(cls, spec: DataSpec, options: Any) -> Self:
        """Return it for data with a range.

        Raises:
            ConfigError: data without one.
        """
        if spec.value_range is None:
            raise ConfigError("likelihood=bernoulli needs data with a value range.", mend="Use likelihood=gaussian.")
        return cls()

    def log_probs(self, x: Any, output: Any) -> Any:
        """Return log p(x|z) of each value in nats; grey values count as probabilities of 1."""
        return 0.5 * (x + 1.0) * output - ops.softplus(output)

    def mean(self, output: Any) -> Any:
        """Return E[x|z] in [-1, 1]."""
        return 2.0 * ops.sigmoid(output) - 1.0

    def drawn(self, keys: Any, output: Any) -> Any:
        """Return x in {-1, 1} (n, *shape) for keys (n, 2)."""
        uniform = random.uniform(keys, tuple(output.shape[1:]))
        return 2.0 * ops.cast(uniform < ops.sigmoid(output), "float32") - 1.0
