"""Encoders and decoders: dense for vectors and small images, convolutional for images of any size.

An encoder maps normalised samples to (n, 2 d), mean and log-variance of q(z|x); a decoder maps z (n, d) to
(n, *shape). With `classes`, both have a second input for one-hot labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from genloom import backend

__all__ = ["conv_decoder", "conv_encoder", "mlp_decoder", "mlp_encoder"]

_ACTIVATION = "silu"  # Smooth, so that gradients can be checked by finite differences.


def _inputs(shape: Sequence[int], classes: int) -> list[Any]:
    x = keras.Input(tuple(shape))
    return [x, keras.Input((classes,))] if classes else [x]


def _model(inputs: list[Any], output: Any, name: str) -> keras.Model:
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], output, name=name)


def _with_labels(x: Any, inputs: list[Any]) -> Any:
    return layers.Concatenate()([x, inputs[1]]) if len(inputs) > 1 else x


def _dense(x: Any, widths: Sequence[int]) -> Any:
    for width in widths:
        x = layers.Dense(width, activation=_ACTIVATION, kernel_initializer="he_normal")(x)
    return x


def mlp_encoder(shape: Sequence[int], latent: int, hidden: Sequence[int], classes: int = 0) -> keras.Model:
    """Return a dense encoder: (n, *shape) → (n, 2 latent)."""
    inputs = _inputs(shape, classes)
    x = _dense(_with_labels(layers.Flatten()(inputs[0]), inputs), hidden)
    return _model(inputs, layers.Dense(2 * latent)(x), "encoder")


def mlp_decoder(shape: Sequence[int], latent: int, hidden: Sequence[int], classes: int = 0) -> keras.Model:
    """Return a dense decoder: (n, latent) → (n, *shape)."""
    inputs = _inputs((latent,), classes)
    x = _dense(_with_labels(inputs[0], inputs), list(reversed(hidden)))
    return _model(inputs, layers.Reshape(tuple(shape))(layers.Dense(math.prod(shape))(x)), "decoder")


def _sides(shape: Sequence[int], levels: int) -> list[tuple[int, int]]:
    """Height and width at each level, largest first: every level halves them, rounding up."""
    sides = [(int(shape[0]), int(shape[1]))]
    for _ in range(levels):
        height, width = sides[-1]
        sides.append(((height + 1) // 2, (width + 1) // 2))
    return sides


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

    def conv(self, x: Any, channels: int, stride: int = 1, activation: str | None = _ACTIVATION) -> Any:
        initializer = "he_normal" if activation else "glorot_uniform"
        return layers.Conv2D(
            channels, 3, strides=stride, padding="same", activation=activation, data_format=self.format,
            kernel_initializer=initializer,
        )(x)  # fmt: skip

    def upsample(self, x: Any, height: int, width: int) -> Any:
        """Double the sides and crop to (height, width)."""
        x = layers.UpSampling2D(2, data_format=self.format)(x)
        grown = x.shape[2:4] if self.first else x.shape[1:3]
        crop = ((0, grown[0] - height), (0, grown[1] - width))
        return layers.Cropping2D(crop, data_format=self.format)(x) if crop != ((0, 0), (0, 0)) else x


def conv_encoder(
    shape: Sequence[int], latent: int, channels: Sequence[int], hidden: Sequence[int], classes: int = 0
) -> keras.Model:
    """Return a convolutional encoder: images (n, height, width, c) → (n, 2 latent); each level halves the sides."""
    inputs, layout = _inputs(shape, classes), _Layout()
    x = layout.enter(inputs[0])
    for width in channels:
        x = layout.conv(x, width, stride=2)
    x = _with_labels(layers.Flatten()(layout.leave(x)), inputs)
    return _model(inputs, layers.Dense(2 * latent)(_dense(x, hidden)), "encoder")


def conv_decoder(
    shape: Sequence[int], latent: int, channels: Sequence[int], hidden: Sequence[int], classes: int = 0
) -> keras.Model:
    """Return a convolutional decoder: (n, latent) → (n, height, width, c), the encoder's levels upwards."""
    inputs, layout = _inputs((latent,), classes), _Layout()
    sides = _sides(shape, len(channels))
    x = _dense(_with_labels(inputs[0], inputs), list(reversed(hidden)))
    x = _dense(x, [math.prod(sides[-1]) * channels[-1]])
    x = layout.enter(layers.Reshape((*sides[-1], channels[-1]))(x))
    for level in reversed(range(len(channels))):
        x = layout.conv(layout.upsample(x, *sides[level]), channels[max(level - 1, 0)])
    x = layout.conv(x, int(shape[-1]), activation=None)
    return _model(inputs, layout.leave(x), "decoder")
