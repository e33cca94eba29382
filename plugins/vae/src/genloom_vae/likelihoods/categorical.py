"""The likelihood that knows nothing of the order of levels: a probability for each."""

from __future__ import annotations

from typing import Any, Self

from keras import ops

from genloom import random
from genloom.data import DataSpec
from genloom.model.networks import one_hot
from genloom_vae.likelihoods.likelihood import Likelihood, check_levels, level_of, value_of

__all__ = ["CategoricalLikelihood"]

_MOST = 256  # logits of a value


class CategoricalLikelihood(Likelihood):
    """p(x|z) = Π softmax(decoder(z)_i)[x_i] over the levels of the data (van den Oord et al. 2016, §2.2).

    Args:
        shape: of one sample.
        levels: L, evenly from -1 to 1.
    """

    def __init__(self, shape: tuple[int, ...], levels: int) -> None:
        super().__init__()
        self.shape, self.levels = tuple(shape), levels

    @classmethod
    def made(cls, spec: DataSpec, options: Any) -> Self:
        """Return it for data of known levels.

        Raises:
            ConfigError: levels unknown, or too many.
        """
        check_levels(spec, "categorical", _MOST)
        return cls(spec.shape, spec.levels)

    @staticmethod
    def decoder_shape(spec: DataSpec, options: Any) -> tuple[int, ...]:
        """Return (…, c L) for samples (…, c)."""
        return (*spec.shape[:-1], spec.shape[-1] * spec.levels)

    def logits(self, output: Any) -> Any:
        """Return the decoder's output as logits (n, *shape, L)."""
        return ops.reshape(output, (-1, *self.shape, self.levels))

    def log_probs(self, x: Any, output: Any) -> Any:
        """Return log softmax(l)[x] of each value, in nats."""
        picked = one_hot(level_of(x, self.levels), self.levels)
        return ops.sum(ops.log_softmax(self.logits(output), axis=-1) * picked, axis=-1)

    def mean(self, output: Any) -> Any:
        """Return E[x|z] in [-1, 1]."""
        shares = ops.softmax(self.logits(output), axis=-1)
        return value_of(ops.sum(shares * ops.arange(self.levels, dtype=shares.dtype), axis=-1), self.levels)

    def drawn(self, keys: Any, output: Any) -> Any:
        """Return x (n, *shape) on the levels, for keys (n, 2), by the Gumbel-max trick."""
        uniform = random.uniform(keys, (*self.shape, self.levels))
        chosen = ops.argmax(self.logits(output) - ops.log(-ops.log(uniform)), axis=-1)
        return value_of(ops.cast(chosen, output.dtype), self.levels)
