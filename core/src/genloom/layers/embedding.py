"""Turn a time in [0, 1] and a class label into one vector that conditions a network."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

__all__ = ["ConditionEmbedding", "sinusoids"]


def sinusoids(t: Any, size: int, longest: float = 1000.0) -> Any:
    """Return sines and cosines of t at frequencies from 1 to `longest` (Vaswani et al. 2017, sec. 3.5).

    Args:
        t: times (n,) in [0, 1].
        size: number of features, even.
        longest: highest angular frequency; 1000 tells two of a thousand steps apart.

    Returns:
        features (n, size), in floatx.
    """
    frequencies = np.exp(np.linspace(0.0, math.log(longest), size // 2)).astype(keras.config.floatx())
    frequencies = ops.convert_to_tensor(frequencies)  # a bare array would be frozen into a captured torch step
    angles = ops.cast(t, keras.config.floatx())[:, None] * frequencies[None]  # (n, size / 2)
    return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)


@keras.saving.register_keras_serializable(package="genloom")
class ConditionEmbedding(keras.layers.Layer):
    """Embed a time and, with classes, a label as one vector (n, size).

    Label number `classes` stands for "no label": the unconditional half of classifier-free guidance
    (Ho and Salimans 2022, sec. 3.2).

    Args:
        size: width of the vector.
        classes: number of labels; 0 embeds the time alone.
        longest: highest angular frequency of the time.
        times: how many times there are.
    """

    def __init__(self, size: int, classes: int = 0, longest: float = 1000.0, times: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size, self.classes, self.longest, self.times = size, classes, longest, times
        self.first = keras.layers.Dense(size, activation="silu")
        self.second = keras.layers.Dense(size)
        self.label = keras.layers.Embedding(classes + 1, size) if classes else None

    def build(self, *shapes: Any) -> None:
        """Create the weights; the input sizes are known beforehand."""
        self.first.build((None, self.times * self._features))
        self.second.build((None, self.size))
        if self.label is not None:
            self.label.build((None,))
        self.built = True

    @property
    def _features(self) -> int:
        return 2 * (self.size // 4)

    def call(self, t: Any, label: Any = None) -> Any:
        """Map t (n,), or (n, times), in [0, 1] and label (n,) int32 in 0 … classes to (n, size)."""
        features = sinusoids(ops.reshape(t, (-1,)), self._features, self.longest)
        e = self.second(self.first(ops.reshape(features, (-1, self.times * self._features))))
        return e if self.label is None else e + self.label(label)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration."""
        own = {"size": self.size, "classes": self.classes, "longest": self.longest, "times": self.times}
        return {**super().get_config(), **own}
