"""Generators and discriminators: dense for vectors and small images, convolutional for images of any size.

A generator maps noise (n, d) to normalised samples (n, *shape); a discriminator maps those to logits (n, 1). With
`classes`, both have a second input for one-hot labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from genloom import backend
from genloom.layers import Dropout

__all__ = ["conv_discriminator", "conv_generator", "mlp_discriminator", "mlp_generator"]

_LEAK = 0.2  # Radford et al. 2016, §3.


def _inputs(shape: Sequence[int], classes: int) -> list[Any]:
    x = keras.Input(tuple(shape))
    return [x, keras.Input((classes,))] if classes else [x]


def _model(inputs: list[Any], output: Any, name: str) -> keras.Model:
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], output, name=name)


def _with_labels(x: Any, inputs: list[Any]) -> Any:
    return layers.Concatenate()([x, inputs[1]]) if len(inputs) > 1 else x


def _activate(x: Any, name: str = "leaky_relu") -> Any:
    return (layers.LeakyReLU(_LEAK) if name == "leaky_relu" else layers.Activation(name))(x)


def _dense(x: Any, width: int, activation: str = "leaky_relu") -> Any:
    return _activate(layers.Dense(width, kernel_initializer="he_normal")(x), activation)


def mlp_generator(
    shape: Sequence[int], latent: int, hidden: Sequence[int], classes: int = 0, bounded: bool = True
) -> keras.Model:
    """Return a dense generator: (n, latent) → (n, *shape), in [-1, 1] by tanh when bounded."""
    inputs = _inputs((latent,), classes)
    x = _with_labels(inputs[0], inputs)
    for width in hidden:
        x = _dense(x, width)
    x = layers.Dense(math.prod(shape), activation="tanh" if bounded else None)(x)
    return _model(inputs, layers.Reshape(tuple(shape))(x), "generator")


def mlp_discriminator(
    shape: Sequence[int],
    hidden: Sequence[int],
    classes: int = 0,
    dropout: float = 0.0,
    activation: str = "leaky_relu",
) -> keras.Model:
    """Return a dense discriminator: (n, *shape) → logits (n, 1)."""
    inputs = _inputs(shape, classes)
    x = _with_labels(layers.Flatten()(inputs[0]), inputs)
    for width in hidden:
        x = _dense(x, width, activation)
        x = Dropout(dropout)(x) if dropout else x
    return _model(inputs, layers.Dense(1)(x), "discriminator")


class _Layout:
    """Convolutions in the backend's fastest layout, between channels-last borders."""

    def __init__(self) -> None:
        self.format = backend.image_layout()
        self.first = self.format == "channels_first"

    def enter(self, x: Any) -> Any:
        # A layer in both layouts: initial weights are drawn by a layer's position, which no backend may shift.
        return (layers.Permute((3, 1, 2)) if self.first else layers.Identity())(x)

    def leave(self, x: Any) -> Any:
        return (layers.Permute((2, 3, 1)) if self.first else layers.Identity())(x)

    def conv(self, x: Any, channels: int, **options: Any) -> Any:
        options = {"kernel_initializer": "he_normal", **options}
        return layers.Conv2D(channels, 3, padding="same", data_format=self.format, **options)(x)

    def upsample(self, x: Any, height: int, width: int) -> Any:
        """Double the sides and crop to (height, width)."""
        x = layers.UpSampling2D(2, data_format=self.format)(x)
        grown = x.shape[2:4] if self.first else x.shape[1:3]
        crop = ((0, grown[0] - height), (0, grown[1] - width))
        return layers.Cropping2D(crop, data_format=self.format)(x) if crop != ((0, 0), (0, 0)) else x

    def norm(self, x: Any) -> Any:
        # Momentum 0.9: samples are drawn with the moving statistics, which 0.99 leaves behind in short runs.
        return layers.BatchNormalization(axis=1 if self.first else -1, momentum=0.9)(x)


def _sides(shape: Sequence[int], levels: int) -> list[tuple[int, int]]:
    """Height and width at each level, largest first: every level halves them, rounding up."""
    sides = [(int(shape[0]), int(shape[1]))]
    for _ in range(levels):
        height, width = sides[-1]
        sides.append(((height + 1) // 2, (width + 1) // 2))
    return sides


def conv_generator(
    shape: Sequence[int],
    latent: int,
    channels: Sequence[int],
    classes: int = 0,
    norm: bool = True,
    bounded: bool = True,
) -> keras.Model:
    """Return a convolutional generator: (n, latent) → (n, height, width, c), in [-1, 1] by tanh when bounded.

    Nearest-neighbour growth and a 3×3 convolution stand for the transposed convolutions of Radford et al. 2016, which
    leave a checkerboard (Odena et al. 2016).
    """
    inputs, layout = _inputs((latent,), classes), _Layout()
    sides = _sides(shape, len(channels))
    x = layers.Dense(math.prod(sides[-1]) * channels[-1], kernel_initializer="he_normal")(
        _with_labels(inputs[0], inputs)
    )
    x = layout.enter(layers.Reshape((*sides[-1], channels[-1]))(x))
    for level in reversed(range(len(channels))):
        x = layers.ReLU()(layout.norm(x) if norm else x)
        x = layout.conv(layout.upsample(x, *sides[level]), channels[max(level - 1, 0)])
    x = layers.ReLU()(layout.norm(x) if norm else x)
    x = layout.conv(x, int(shape[-1]), activation="tanh" if bounded else None, kernel_initializer="glorot_uniform")
    return _model(inputs, layout.leave(x), "generator")


def conv_discriminator(
    shape: Sequence[int],
    channels: Sequence[int],
    classes: int = 0,
    norm: bool = False,
    dropout: float = 0.0,
    activation: str = "leaky_relu",
) -> keras.Model:
    """Return a convolutional discriminator: (n, height, width, c) → logits (n, 1).

    The label enters as an extra channel, learned per class (Mirza and Osindero 2014). `norm` puts batch
    normalisation behind all but the first convolution; a critic with a gradient penalty must not have it.
    """
    inputs, layout = _inputs(shape, classes), _Layout()
    x = inputs[0]
    if classes:
        plane = layers.Reshape((*shape[:2], 1))(layers.Dense(shape[0] * shape[1])(inputs[1]))
        x = layers.Concatenate()([x, plane])
    x = layout.enter(x)
    for level, width in enumerate(channels):
        x = layout.conv(x, width, strides=2)
        x = _activate(layout.norm(x) if norm and level else x, activation)
        x = Dropout(dropout)(x) if dropout else x
    x = layers.Flatten()(layout.leave(x))
    return _model(inputs, layers.Dense(1)(x), "discriminator")
