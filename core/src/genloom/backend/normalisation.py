"""Group and layer normalisation in `keras.ops`, for engines whose compiler fuses them by itself."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

__all__ = ["group_norm_in_ops", "layer_norm_in_ops"]


def group_norm_in_ops(x: Any, groups: int, gamma: Any, beta: Any, epsilon: float, axis: int) -> Any:
    """Normalise channels in groups per sample (Wu and He 2018, eq. 7).

    Args:
        x: (n, …, c) with axis -1, or (n, c, …) with axis 1.
        groups: number of groups, which divides c.
        gamma: scale (c,).
        beta: shift (c,).
        epsilon: added to the variance.
        axis: -1 or 1.
    """
    shape = tuple(x.shape)
    axis = axis % len(shape)
    channels = shape[axis]
    split = (-1, *shape[1:axis], groups, channels // groups, *shape[axis + 1 :])
    y = ops.reshape(ops.cast(x, keras.config.floatx()), split)
    over = [i for i in range(1, len(split)) if i != axis]
    mean = ops.mean(y, axis=over, keepdims=True)
    centred = y - mean
    variance = ops.mean(ops.square(centred), axis=over, keepdims=True)
    y = ops.reshape(centred * ops.rsqrt(variance + epsilon), (-1, *shape[1:]))
    per_channel = [1] * len(shape)
    per_channel[axis] = channels
    y = y * ops.reshape(gamma, per_channel) + ops.reshape(beta, per_channel)
    return ops.cast(y, x.dtype)


def layer_norm_in_ops(x: Any, gamma: Any, beta: Any, epsilon: float) -> Any:
    """Normalise the last axis, in floatx (Ba, Kiros and Hinton 2016, eq. 4).

    Args:
        x: (…, c).
        gamma: scale (c,).
        beta: shift (c,), or None.
        epsilon: added to the variance.
    """
    floatx = keras.config.floatx()
    y = ops.cast(x, floatx)
    y = y - ops.mean(y, axis=-1, keepdims=True)
    y = y * ops.rsqrt(ops.mean(ops.square(y), axis=-1, keepdims=True) + epsilon) * ops.cast(gamma, floatx)
    return ops.cast(y if beta is None else y + ops.cast(beta, floatx), x.dtype)
