"""Convolutions over time: encoder and decoder of signals (length, channels), with a trend beside them."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from genloom.data import DataSpec
from genloom.layers import convolution
from genloom.model.networks import Inputs
from genloom_vae.likelihoods import decoder_shape
from genloom_vae.residual import residual_blocks

__all__ = ["Trend", "lengths", "signal_decoder", "signal_encoder"]

_ACTIVATION = "silu"  # Smooth, so that gradients can be checked by finite differences.
_SIDE = 5  # moments that a convolution sees


def lengths(length: int, levels: int) -> list[int]:
    """Return the length at each level, longest first: every level halves it, rounding up."""
    return [-(-length // 2**level) for level in range(levels + 1)]


class Trend(keras.layers.Layer):
    """A polynomial of time: coefficients (n, c (degree + 1)) to (n, length, c), t from -1 to 1.

    The trend block of TimeVAE (Desai et al. 2021, §3.2), in Legendre polynomials, which no degree makes alike.

    Args:
        length: moments.
        channels: c.
        degree: of the polynomial.
    """

    def __init__(self, length: int, channels: int, degree: int) -> None:
        super().__init__()
        self.channels, self.degree = channels, degree
        self.basis = np.polynomial.legendre.legvander(np.linspace(-1.0, 1.0, length), degree).T.astype("float32")
        self.built = True

    def call(self, coefficients: Any) -> Any:
        """Return the polynomials (n, length, c)."""
        each = ops.reshape(coefficients, (-1, self.channels, self.degree + 1))
        basis = ops.cast(ops.convert_to_tensor(self.basis), each.dtype)
        return ops.transpose(ops.matmul(each, basis), (0, 2, 1))


def signal_encoder(spec: DataSpec, options: Any, classes: int, width: int) -> keras.Model:
    """Return an encoder (n, length, c) → (n, width); each of `options.channels` halves the length."""
    inputs, residual = Inputs(spec.shape, classes), residual_blocks(options.blocks, axes=1)
    x = inputs.x
    for channels in options.channels:
        x = residual(_convolution(channels, strides=2)(x))
    x = inputs.with_labels(layers.Flatten()(x))
    for hidden in options.hidden:
        x = _dense(hidden)(x)
    return inputs.network(layers.Dense(width)(x), "encoder")


def signal_decoder(spec: DataSpec, options: Any, classes: int) -> keras.Model:
    """Return a decoder (n, latent) → (n, *decoder_shape), the encoder's levels upwards, and a trend added to it."""
    inputs, residual = Inputs((options.latent,), classes), residual_blocks(options.blocks, axes=1)
    length, outputs = decoder_shape(spec, options)
    found = lengths(length, len(options.channels))
    given = x = inputs.with_labels(inputs.x)
    for hidden in (*options.hidden[::-1], math.prod((found[-1], options.channels[-1]))):
        x = _dense(hidden)(x)
    x = layers.Reshape((found[-1], options.channels[-1]))(x)
    for level in reversed(range(len(options.channels))):
        x = layers.UpSampling1D(2)(residual(x))
        x = layers.Cropping1D((0, int(x.shape[1]) - found[level]))(x)
        x = _convolution(options.channels[max(level - 1, 0)])(x)
    x = convolution(1, outputs, _SIDE, kernel_initializer="glorot_uniform")(residual(x))
    if options.trend:
        trend = layers.Dense(outputs * (options.trend + 1))(given)
        x = layers.Add()([x, Trend(length, outputs, options.trend)(trend)])
    return inputs.network(x, "decoder")


def _convolution(channels: int, **options: Any) -> keras.Layer:
    return convolution(1, channels, _SIDE, activation=_ACTIVATION, kernel_initializer="he_normal", **options)


def _dense(width: int) -> keras.Layer:
    return layers.Dense(width, activation=_ACTIVATION, kernel_initializer="he_normal")
