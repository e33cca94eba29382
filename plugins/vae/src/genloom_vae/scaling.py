"""The scale of a latent, measured in training: what is built over it gets values of about unit deviation."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

__all__ = ["LatentScale"]

_SLOWEST = 0.01  # of the running moments: the mean over the last hundred steps, in which the encoder hardly moves
_WARMUP = 10.0  # steps after which the rate is half: what the encoder gave at its beginning is forgotten soon
_LEAST = 1e-6  # of a variance, for a channel that is constant


class LatentScale(keras.layers.Layer):
    """Mean and variance of each channel, as running moments (Rombach et al. 2022, app. G, by channel).

    Args:
        channels: length of the latent's last axis.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mean = self.add_weight(shape=(channels,), initializer="zeros", trainable=False, name="mean")
        self.variance = self.add_weight(shape=(channels,), initializer="ones", trainable=False, name="variance")
        self.built = True

    def measure(self, z: Any, step: Any) -> None:
        """Move the moments towards those of a batch z (n, …, channels), at first by those of few steps.

        The mean of the last steps: a tenth of those that are done, a hundred at most.
        """
        z = ops.stop_gradient(z)
        axes = tuple(range(len(z.shape) - 1))
        rate = ops.maximum(_WARMUP / (_WARMUP + ops.cast(step, z.dtype)), _SLOWEST)
        for moment, found in zip((self.mean, self.variance), (ops.mean(z, axes), ops.var(z, axes)), strict=True):
            moment.assign(moment + ops.cast(rate * (found - moment), moment.dtype))

    def scaled(self, z: Any) -> Any:
        """Return z (n, …, channels) with mean 0 and deviation 1 in every channel."""
        return (z - self.mean) / self._deviation()

    def unscaled(self, z: Any) -> Any:
        """Return z (n, …, channels) as the encoder gave it: the inverse of `scaled`."""
        return z * self._deviation() + self.mean

    def _deviation(self) -> Any:
        return ops.sqrt(self.variance + _LEAST)
