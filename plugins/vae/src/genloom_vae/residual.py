"""Residual blocks over images or signals, for networks in Keras's functional form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import layers

from genloom.layers import GroupNorm, convolution

__all__ = ["normalised", "residual_blocks"]

_ACTIVATION = "silu"  # Smooth, so that gradients can be checked by finite differences.


def residual_blocks(blocks: int, axes: int = 2, data_format: str = "channels_last") -> Callable[[Any], Any]:
    """Return x + conv(silu(norm(conv(silu(norm(x)))))), so many times (He et al. 2016, with Wu and He's norm).

    Args:
        blocks: how many; with 0 x is returned as it is.
        axes: sides of x, 2 for images and 1 for signals.
        data_format: where the channels of x are.
    """
    first = data_format == "channels_first"

    def block(x: Any) -> Any:
        width, y = int(x.shape[1 if first else -1]), x
        for start in ("he_normal", "zeros"):  # the last starts at zero: the block starts as the identity
            y = layers.Activation(_ACTIVATION)(normalised(y, data_format))
            y = convolution(axes, width, data_format=data_format, kernel_initializer=start)(y)
        return layers.Add()([x, y])

    def run(x: Any) -> Any:
        for _ in range(blocks):
            x = block(x)
        return x

    return run


def normalised(x: Any, data_format: str = "channels_last") -> Any:
    """Return x with the mean and deviation of each group of channels taken out (Wu and He 2018)."""
    return GroupNorm(axis=1 if data_format == "channels_first" else -1)(x)
