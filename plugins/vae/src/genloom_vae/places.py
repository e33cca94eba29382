"""Networks whose latent keeps places, a vector at each of a grid: convolutional for images, dense for the rest."""

from __future__ import annotations

import math
from typing import Any

from keras import layers

from genloom.data import DataSpec
from genloom.layers import Convolutions, sides
from genloom.model.networks import Inputs
from genloom_vae.residual import normalised, residual_blocks

__all__ = [
    "conv_grid",
    "decoder_from_places",
    "encoder_to_places",
    "grid_of",
    "grow_places",
    "patch_critic",
    "shrink_to_places",
]

_ACTIVATION = "silu"  # Smooth, so that gradients can be checked by finite differences.


def conv_grid(spec: DataSpec, options: Any) -> tuple[int, int]:
    """Return height and width of the latent of images: each of `options.channels` halves the sides, rounding up."""
    return sides(spec.shape, len(options.channels))[-1]


def shrink_to_places(spec: DataSpec, options: Any, width: int) -> Any:
    """Return a convolutional encoder (n, height, width, c) → (n, *conv_grid, width)."""
    inputs, convolutions = Inputs(spec.shape), Convolutions(_ACTIVATION)
    grid, channels = conv_grid(spec, options), options.channels
    residual = residual_blocks(options.blocks, data_format=convolutions.format)
    x = convolutions.shrink(inputs.x, channels, after=lambda x, level: residual(x))
    return inputs.network(layers.Dense(width)(layers.Reshape((*grid, channels[-1]))(x)), "encoder")


def grow_places(spec: DataSpec, options: Any, width: int, outputs: int) -> Any:
    """Return a convolutional decoder (n, *conv_grid, width) → (n, height, width, outputs), the encoder upwards."""
    inputs, convolutions = Inputs((*conv_grid(spec, options), width)), Convolutions(_ACTIVATION)
    x = layers.Dense(options.channels[-1])(inputs.x)
    residual = residual_blocks(options.blocks, data_format=convolutions.format)
    x = convolutions.grow(x, (*spec.shape[:2], outputs), options.channels, before=residual)
    return inputs.network(x, "decoder")


def grid_of(spec: DataSpec, options: Any) -> tuple[int, ...]:
    """Return how many places the latent has along each side: `conv_grid` of images, else (`options.places`,)."""
    return conv_grid(spec, options) if spec.kind == "image" else (options.places,)


def encoder_to_places(spec: DataSpec, options: Any, width: int, outputs: int) -> Any:
    """Return an encoder (n, *shape) → (n, *grid, width): convolutions for images, dense layers for the rest."""
    if spec.kind == "image":
        return shrink_to_places(spec, options, width)
    inputs = Inputs(spec.shape)
    x = layers.Dense(options.places * width)(_dense(layers.Flatten()(inputs.x), options.hidden))
    return inputs.network(layers.Reshape((options.places, width))(x), "encoder")


def decoder_from_places(spec: DataSpec, options: Any, width: int, outputs: int) -> Any:
    """Return a decoder (n, *grid, width) → (n, *shape[:-1], outputs), the encoder upwards."""
    if spec.kind == "image":
        return grow_places(spec, options, width, outputs)
    inputs, shape = Inputs((options.places, width)), (*spec.shape[:-1], outputs)
    x = _dense(layers.Flatten()(inputs.x), options.hidden[::-1])
    return inputs.network(layers.Reshape(shape)(layers.Dense(math.prod(shape))(x)), "decoder")


def patch_critic(spec: DataSpec, channels: tuple[int, ...]) -> Any:
    """Return a critic (n, height, width, c) → one logit for each patch (n, h, w, 1) (PatchGAN, Isola et al. 2017)."""
    inputs, convolutions = Inputs(spec.shape), Convolutions(_ACTIVATION)
    grid = sides(spec.shape, len(channels))[-1]
    x = convolutions.shrink(
        inputs.x, channels, after=lambda x, level: normalised(x, convolutions.format) if level else x
    )
    return inputs.network(layers.Dense(1)(layers.Reshape((*grid, channels[-1]))(x)), "critic")


def _dense(x: Any, widths: tuple[int, ...]) -> Any:
    for width in widths:
        x = layers.Dense(width, activation=_ACTIVATION, kernel_initializer="he_normal")(x)
    return x
