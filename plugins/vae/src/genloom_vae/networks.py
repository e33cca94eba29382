"""Encoders and decoders: dense for vectors and small images, convolutional for images of any size.

An encoder maps normalised samples to what describes q(z|x), such as (n, 2 d), mean and log-variance of a Gaussian; a
decoder maps z (n, d) to (n, *decoder_shape), what the likelihood reads. With `classes`, both have a second input for
one-hot labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from genloom.data import DataSpec
from genloom.errors import ConfigError
from genloom.layers import Convolutions, sides
from genloom.model.networks import Inputs
from genloom_vae.likelihoods import decoder_shape
from genloom_vae.posteriors import POSTERIORS
from genloom_vae.residual import residual_blocks
from genloom_vae.signals import signal_decoder, signal_encoder

__all__ = ["conv_decoder", "conv_encoder", "encoder_width", "latent_critic", "mlp_decoder", "mlp_encoder"]

_ACTIVATION = "silu"  # Smooth, so that gradients can be checked by finite differences.
_CRITIC = 256  # width of the critic's hidden layers


def encoder_width(options: Any) -> int:
    """Return how many numbers an encoder gives per sample, for the form of q(z|x) that the options name."""
    return POSTERIORS[options.posterior].width(options.latent)


def _dense(x: Any, widths: Sequence[int]) -> Any:
    for width in widths:
        x = layers.Dense(width, activation=_ACTIVATION, kernel_initializer="he_normal")(x)
    return x


def mlp_encoder(spec: DataSpec, options: Any, classes: int) -> keras.Model:
    """Return a dense encoder."""
    inputs = Inputs(spec.shape, classes)
    x = _dense(inputs.with_labels(layers.Flatten()(inputs.x)), options.hidden)
    return inputs.network(layers.Dense(encoder_width(options))(x), "encoder")


def mlp_decoder(spec: DataSpec, options: Any, classes: int) -> keras.Model:
    """Return a dense decoder."""
    inputs = Inputs((options.latent,), classes)
    x = _dense(inputs.with_labels(inputs.x), options.hidden[::-1])
    shape = decoder_shape(spec, options)
    return inputs.network(layers.Reshape(shape)(layers.Dense(math.prod(shape))(x)), "decoder")


def conv_encoder(spec: DataSpec, options: Any, classes: int) -> keras.Model:
    """Return a convolutional encoder; each level halves the sides."""
    if _over_time(spec, options):
        return signal_encoder(spec, options, classes, encoder_width(options))
    inputs, convolutions = Inputs(spec.shape, classes), Convolutions(_ACTIVATION)
    residual = residual_blocks(options.blocks, data_format=convolutions.format)
    x = inputs.with_labels(convolutions.shrink(inputs.x, options.channels, after=lambda x, level: residual(x)))
    return inputs.network(layers.Dense(encoder_width(options))(_dense(x, options.hidden)), "encoder")


def conv_decoder(spec: DataSpec, options: Any, classes: int) -> keras.Model:
    """Return a convolutional decoder, the encoder's levels upwards."""
    if _over_time(spec, options):
        return signal_decoder(spec, options, classes)
    inputs, channels = Inputs((options.latent,), classes), options.channels
    lowest = math.prod(sides(spec.shape, len(channels))[-1]) * channels[-1]
    x = _dense(inputs.with_labels(inputs.x), (*options.hidden[::-1], lowest))
    convolutions = Convolutions(_ACTIVATION)
    residual = residual_blocks(options.blocks, data_format=convolutions.format)
    return inputs.network(convolutions.grow(x, decoder_shape(spec, options), channels, before=residual), "decoder")


def _over_time(spec: DataSpec, options: Any) -> bool:
    """Say whether samples are signals (length, channels), which convolutions run along, and not images.

    Raises:
        ConfigError: neither, or a trend of images.
    """
    if len(spec.shape) not in (2, 3):
        raise ConfigError(
            f"Convolutions need images (height, width, channels) or signals (length, channels), got {spec.shape}.",
            mend="Use vae/mlp.",
        )
    if options.trend and len(spec.shape) == 3:
        raise ConfigError(f"trend={options.trend} is of signals, the data are images.", mend="Leave it out.")
    return len(spec.shape) == 2


def latent_critic(size: int) -> keras.Model:
    """Return a dense network of two hidden layers from codes (n, size) to logits (n, 1)."""
    codes = keras.Input((size,))
    return keras.Model(codes, layers.Dense(1)(_dense(codes, (_CRITIC, _CRITIC))), name="critic")
