"""Generators and discriminators: dense for vectors and small images, convolutional for images of any size.

A generator maps noise (n, d) to normalised samples (n, *shape), in [-1, 1] where the data have a range; a discriminator
maps those to logits (n, 1). With `classes`, both have a second input for one-hot labels.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import layers

from genloom.data import DataSpec
from genloom.layers import Convolutions, Dropout, sides
from genloom.model.networks import Inputs

__all__ = ["conv_critic", "conv_discriminator", "conv_generator", "mlp_discriminator", "mlp_generator"]

_LEAK = 0.2  # Radford et al. 2016, §3.


def _activate(x: Any, name: str = "leaky_relu", dropout: float = 0.0) -> Any:
    x = (layers.LeakyReLU(_LEAK) if name == "leaky_relu" else layers.Activation(name))(x)
    return Dropout(dropout)(x) if dropout else x


def _dense(width: int) -> keras.Layer:
    return layers.Dense(width, kernel_initializer="he_normal")


def _bounded(spec: DataSpec) -> str | None:
    return None if spec.value_range is None else "tanh"


def mlp_generator(spec: DataSpec, options: Any, classes: int) -> keras.Model:
    """Return a dense generator."""
    inputs = Inputs((options.latent,), classes)
    x = inputs.with_labels(inputs.x)
    for width in options.hidden:
        x = _activate(_dense(width)(x))
    x = layers.Dense(spec.size, activation=_bounded(spec))(x)
    return inputs.network(layers.Reshape(spec.shape)(x), "generator")


def mlp_discriminator(spec: DataSpec, options: Any, classes: int) -> keras.Model:
    """Return a dense discriminator."""
    inputs = Inputs(spec.shape, classes)
    x = inputs.with_labels(layers.Flatten()(inputs.x))
    for width in options.hidden:
        x = _activate(_dense(width)(x), options.activation, options.dropout)
    return inputs.network(layers.Dense(1)(x), "discriminator")


def conv_generator(spec: DataSpec, options: Any, classes: int) -> keras.Model:
    """Return a convolutional generator with batch normalisation (Radford et al. 2016)."""
    inputs, convolutions, channels = Inputs((options.latent,), classes), Convolutions(), options.channels
    lowest = sides(spec.shape, len(channels))[-1]
    x = _dense(math.prod(lowest) * channels[-1])(inputs.with_labels(inputs.x))

    def before(x: Any) -> Any:
        return layers.ReLU()(convolutions.batch_norm(x))

    return inputs.network(convolutions.grow(x, spec.shape, channels, before, _bounded(spec)), "generator")


def conv_discriminator(spec: DataSpec, options: Any, classes: int) -> keras.Model:
    """Return a convolutional discriminator; batch normalisation only without the R1 penalty, one of each sample."""
    return _conv_discriminator(spec, options, classes, norm=not options.r1, dropout=options.dropout)


def conv_critic(spec: DataSpec, options: Any, classes: int) -> keras.Model:
    """Return a convolutional critic without batch normalisation, for its gradient penalty is one of each sample."""
    return _conv_discriminator(spec, options, classes, norm=False)


def _conv_discriminator(spec: DataSpec, options: Any, classes: int, norm: bool, dropout: float = 0.0) -> keras.Model:
    """Return the network; batch normalisation stands behind all but the first convolution.

    The label enters as an extra channel, learned per class (Mirza and Osindero 2014).
    """
    inputs, convolutions = Inputs(spec.shape, classes), Convolutions()
    x, (height, width, _) = inputs.x, spec.shape
    if classes:
        plane = layers.Reshape((height, width, 1))(layers.Dense(height * width)(inputs.labels))
        x = layers.Concatenate()([x, plane])

    def after(x: Any, level: int) -> Any:
        return _activate(convolutions.batch_norm(x) if norm and level else x, options.activation, dropout)

    return inputs.network(layers.Dense(1)(convolutions.shrink(x, options.channels, after)), "discriminator")
