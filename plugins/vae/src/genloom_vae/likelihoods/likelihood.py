"""What every likelihood answers: the shape that it reads, a log-probability, an expectation and a draw."""

from __future__ import annotations

import abc
from typing import Any, ClassVar, Self

import keras
from keras import ops

from genloom.data import DataSpec
from genloom.errors import ConfigError
from genloom.objectives import per_sample

__all__ = ["Likelihood", "check_levels", "level_of", "value_of"]


class Likelihood(keras.layers.Layer, abc.ABC):
    """p(x|z), read from the decoder's output."""

    density: ClassVar[bool] = False
    """Whether it is one, so that its nats change with the data's units; False for probabilities of levels."""

    def __init__(self) -> None:
        super().__init__()
        self.built = True

    @classmethod
    @abc.abstractmethod
    def made(cls, spec: DataSpec, options: Any) -> Self:
        """Return it for data and options.

        Raises:
            ConfigError: the data have no such likelihood.
        """

    @staticmethod
    def decoder_shape(spec: DataSpec, options: Any) -> tuple[int, ...]:
        """Return the shape of the decoder's output for one sample; here one number for each value."""
        return spec.shape

    @abc.abstractmethod
    def log_probs(self, x: Any, output: Any) -> Any:
        """Return log p(x|z) by independent value, in nats of the normalised data x (n, *shape).

        An array that broadcasts against x: where the channels of a pixel are one value, (n, *places, 1).
        """

    def log_prob(self, x: Any, output: Any, seen: Any = None) -> Any:
        """Return log p(x|z) per sample (n,) in nats, of the values alone that are `seen` (1, else 0, as x)."""
        each = self.log_probs(x, output)
        if seen is None:
            return per_sample(each)
        return per_sample(each * (ops.min(seen, axis=-1, keepdims=True) if each.shape != x.shape else seen))

    @abc.abstractmethod
    def mean(self, output: Any) -> Any:
        """Return E[x|z] (n, *shape)."""

    @abc.abstractmethod
    def drawn(self, keys: Any, output: Any) -> Any:
        """Return x (n, *shape) drawn from p(x|z) for keys (n, 2)."""

    def sample(self, keys: Any, output: Any, share: float) -> Any:
        """Return E[x|z] plus `share` of the likelihood's noise, for keys (n, 2): 1 is a draw."""
        mean = self.mean(output)
        return mean + share * (self.drawn(keys, output) - mean) if share else mean


def check_levels(spec: DataSpec, name: str, most: int) -> None:
    """Refuse data whose levels are unknown, or more than a likelihood is meant for.

    Raises:
        ConfigError: naming the likelihood and the levels.
    """
    if not spec.levels:
        raise ConfigError(
            f"likelihood={name} needs data of known levels, and these have none stated.",
            mend="Give them (npz:FILE?levels=256, DataSpec(levels=256)), or use likelihood=gaussian.",
        )
    if spec.levels > most:
        raise ConfigError(
            f"likelihood={name} is for {most} levels at most, the data have {spec.levels}.",
            mend="Use likelihood=logistic-mixture or gaussian.",
        )


def level_of(x: Any, levels: int) -> Any:
    """Return the number of each value's level, 0 to levels − 1, for values in [-1, 1]; as floats."""
    return ops.round((x + 1.0) * (0.5 * (levels - 1)))


def value_of(level: Any, levels: int) -> Any:
    """Return the values in [-1, 1] of levels, 0 to levels − 1, given as floats."""
    return level * (2.0 / (levels - 1)) - 1.0
