"""The residual block of a U-Net: two convolutions, conditioned by a vector."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from genloom.layers.convolutions import convolution
from genloom.layers.dropout import Dropout
from genloom.layers.normalisation import GroupNorm

__all__ = ["ResidualBlock"]


@keras.saving.register_keras_serializable(package="genloom")
class ResidualBlock(keras.layers.Layer):
    """x + conv(silu(modulated norm(conv(silu(norm(x)))))), after Ho et al. 2020, app. B.

    The vector scales and shifts the second normalisation (Dhariwal and Nichol 2021, eq. 9). The last convolution
    starts at zero, so that the block starts as the identity.

    Args:
        filters: output channels.
        data_format: "channels_last" (n, *sides, c) or "channels_first" (n, c, *sides).
        dropout: rate before the last convolution.
        kernel_size: side of both convolutions.
        axes: number of sides, 2 for images.
    """

    def __init__(
        self,
        filters: int,
        data_format: str = "channels_last",
        dropout: float = 0.0,
        kernel_size: int = 3,
        axes: int = 2,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters, self.data_format, self.rate, self.kernel_size = filters, data_format, dropout, kernel_size
        self.axes = axes
        axis = -1 if data_format == "channels_last" else 1
        self.norm1, self.norm2 = GroupNorm(axis=axis), GroupNorm(axis=axis)
        self.conv1 = self._convolution(kernel_size)
        self.conv2 = self._convolution(kernel_size, "zeros")
        self.modulation = keras.layers.Dense(2 * filters)
        self.dropout = Dropout(dropout)
        self.shortcut: keras.Layer | None = None

    def _convolution(self, side: int, initializer: str = "glorot_uniform") -> keras.Layer:
        return convolution(self.axes, self.filters, side, data_format=self.data_format, kernel_initializer=initializer)

    def build(self, x_shape: tuple[int | None, ...], e_shape: tuple[int | None, ...]) -> None:
        """Create the weights for x (n, *sides, c) or (n, c, *sides) and a vector (n, size)."""
        axis = -1 if self.data_format == "channels_last" else 1
        inner = list(x_shape)
        inner[axis] = self.filters
        self.norm1.build(x_shape)
        self.conv1.build(x_shape)
        self.modulation.build(e_shape)
        self.norm2.build(tuple(inner))
        self.conv2.build(tuple(inner))
        if x_shape[axis] != self.filters:
            self.shortcut = self._convolution(1)
            self.shortcut.build(x_shape)

    def call(self, x: Any, e: Any, training: bool = False) -> Any:
        """Map x and the vector e (n, size) to x's shape with `filters` channels."""
        y = self.conv1(ops.silu(self.norm1(x)))
        ones, last = (1,) * self.axes, self.data_format == "channels_last"
        wide = (-1, *ones, 2 * self.filters) if last else (-1, 2 * self.filters, *ones)
        axis = -1 if last else 1
        scale, shift = ops.split(ops.reshape(self.modulation(ops.silu(e)), wide), 2, axis=axis)
        y = ops.silu(self.norm2(y) * (1.0 + scale) + shift)
        y = self.conv2(self.dropout(y, training=training))
        return y + (x if self.shortcut is None else self.shortcut(x))

    def get_config(self) -> dict[str, Any]:
        """Return the configuration."""
        own = {"filters": self.filters, "data_format": self.data_format, "axes": self.axes}
        return {**super().get_config(), **own, "dropout": self.rate, "kernel_size": self.kernel_size}
