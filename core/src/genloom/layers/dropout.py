"""Dropout whose masks are keyed by the saved step counter, so that a resumed run draws the same ones."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from genloom.errors import ConfigError
from genloom.random import ambient

__all__ = ["Dropout"]


@keras.saving.register_keras_serializable(package="genloom")
class Dropout(keras.layers.Layer):
    """Inverted dropout (Srivastava et al. 2014).

    Unlike Keras's own, it keeps no seed state: draw k of step s is a pure function of (seed, s, k), which resumes
    exactly and can be captured on every backend. Outside a training step it does nothing.

    Args:
        rate: share of values set to zero, in [0, 1).
    """

    def __init__(self, rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0.0 <= rate < 1.0:
            raise ConfigError(f"A dropout rate lies in [0, 1), got {rate}.")
        self.rate = rate
        self.built = True

    def call(self, x: Any, training: bool = False) -> Any:
        """Return x of any shape, with a share `rate` of it zeroed while training."""
        stream = ambient()
        if not training or stream is None or self.rate == 0.0:
            return x
        keep = stream.uniform(tuple(x.shape)) >= self.rate
        return x * ops.cast(keep, x.dtype) / (1.0 - self.rate)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration."""
        return {**super().get_config(), "rate": self.rate}
