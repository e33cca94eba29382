"""Self-attention over the positions of a feature map."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from genloom.errors import ConfigError
from genloom.layers.convolutions import channels_first, channels_last
from genloom.layers.normalisation import GroupNorm

__all__ = ["SelfAttention"]


@keras.saving.register_keras_serializable(package="genloom")
class SelfAttention(keras.layers.Layer):
    """Residual multi-head self-attention over all positions (Ho et al. 2020, app. B; Vaswani et al. 2017).

    The output projection starts at zero, so the block starts as the identity.

    Args:
        heads: number of heads, which must divide the channels.
        data_format: "channels_last" (n, *sides, c) or "channels_first" (n, c, *sides).
    """

    def __init__(self, heads: int = 1, data_format: str = "channels_last", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads, self.data_format = heads, data_format

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the projections for an input (n, *sides, c) or (n, c, *sides)."""
        axis = -1 if self.data_format == "channels_last" else 1
        channels = int(input_shape[axis] or 0)
        if channels % self.heads:
            raise ConfigError(f"{channels} channels cannot be cut into {self.heads} heads.")
        self.norm = GroupNorm(axis=axis)
        self.query_key_value = keras.layers.Dense(3 * channels)
        self.out = keras.layers.Dense(channels, kernel_initializer="zeros")
        self.norm.build(input_shape)
        self.query_key_value.build((None, None, channels))
        self.out.build((None, None, channels))

    def call(self, x: Any) -> Any:
        """Return x of the same shape, each position mixed with those it attends to."""
        y = self.norm(x)
        if self.data_format == "channels_first":
            return x + channels_first(self._attend(channels_last(y)))
        return x + self._attend(y)

    def _attend(self, y: Any) -> Any:
        *sides, channels = (int(size) for size in y.shape[1:])
        places = math.prod(sides)
        tokens = ops.reshape(y, (-1, places, channels))  # (n, p, c)
        parts = ops.reshape(self.query_key_value(tokens), (-1, places, 3, self.heads, channels // self.heads))
        q, k, v = parts[:, :, 0], parts[:, :, 1], parts[:, :, 2]  # (n, p, heads, c / heads)
        scores = ops.einsum("nqhc,nkhc->nhqk", q, k) * (channels // self.heads) ** -0.5
        mixed = ops.einsum("nhqk,nkhc->nqhc", ops.softmax(scores, axis=-1), v)
        return ops.reshape(self.out(ops.reshape(mixed, (-1, places, channels))), (-1, *sides, channels))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of x."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the configuration."""
        return {**super().get_config(), "heads": self.heads, "data_format": self.data_format}
