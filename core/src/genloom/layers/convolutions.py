"""Convolutions: one by its number of axes, and those that halve an image level by level, or make one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import layers, ops

from genloom import backend

__all__ = ["Convolutions", "channels_first", "channels_last", "convolution", "sides"]

_BY_AXES = {1: layers.Conv1D, 2: layers.Conv2D, 3: layers.Conv3D}


def convolution(axes: int, filters: int, side: int = 3, **options: Any) -> keras.Layer:
    """Return a convolution over one, two or three axes that keeps their length, or divides it by its `strides`."""
    return _BY_AXES[axes](int(filters), side, padding="same", **options)


def channels_first(x: Any) -> Any:
    """Return (n, *sides, c) as (n, c, *sides)."""
    last = len(x.shape) - 1
    return ops.transpose(x, (0, last, *range(1, last)))


def channels_last(x: Any) -> Any:
    """Return (n, c, *sides) as (n, *sides, c)."""
    return ops.transpose(x, (0, *range(2, len(x.shape)), 1))


def sides(shape: Sequence[int], levels: int) -> list[tuple[int, int]]:
    """Return height and width at each level, largest first: every level halves them, rounding up."""
    found = [(int(shape[0]), int(shape[1]))]
    for _ in range(levels):
        height, width = found[-1]
        found.append(((height + 1) // 2, (width + 1) // 2))
    return found


class Convolutions:
    """3×3 convolutions for networks in Keras's functional form, in the engine's fastest layout.

    Images are channels-last (n, height, width, c) where they enter and leave.

    Args:
        activation: of every convolution but the last; None where one is put in by hand.
    """

    def __init__(self, activation: str | None = None) -> None:
        self.activation = activation
        self.format = backend.image_layout()
        self.first = self.format == "channels_first"

    def shrink(self, x: Any, channels: Sequence[int], after: Callable[[Any, int], Any] | None = None) -> Any:
        """Halve the sides once for each of `channels`; return the features flat (n, d).

        Args:
            x: images.
            channels: channels of each level, largest image first.
            after: `after(x, level)` follows each convolution, such as a normalisation.
        """
        x = self._enter(x)
        for level, width in enumerate(channels):
            x = self._conv(x, width, strides=2)
            x = after(x, level) if after else x
        return layers.Flatten()(self._leave(x))

    def grow(
        self,
        x: Any,
        shape: Sequence[int],
        channels: Sequence[int],
        before: Callable[[Any], Any] | None = None,
        last: str | None = None,
    ) -> Any:
        """Double the sides once for each of `channels`, from their last to their first; return images (n, *shape).

        Nearest-neighbour growth and a convolution stand for transposed convolutions (Radford et al. 2016), which leave
        a checkerboard (Odena et al. 2016).

        Args:
            x: features (n, h × w × c), with (h, w) the last of `sides` and c the last of `channels`.
            shape: height, width and channels of the images.
            channels: as in `shrink`, whose levels are undone.
            before: goes before each step, such as a normalisation.
            last: activation of the last convolution.
        """
        levels = sides(shape, len(channels))
        x = self._enter(layers.Reshape((*levels[-1], channels[-1]))(x))
        for level in reversed(range(len(channels))):
            x = self._upsample(before(x) if before else x, *levels[level])
            x = self._conv(x, channels[max(level - 1, 0)])
        x = before(x) if before else x
        return self._leave(self._conv(x, shape[-1], activation=last, kernel_initializer="glorot_uniform"))

    def batch_norm(self, x: Any) -> Any:
        """Normalise each channel over the batch, between two convolutions."""
        # Momentum 0.9: samples are drawn with the moving statistics, which 0.99 leaves behind in short runs.
        return layers.BatchNormalization(axis=1 if self.first else -1, momentum=0.9)(x)

    def _conv(self, x: Any, channels: int, **options: Any) -> Any:
        options = {"activation": self.activation, "kernel_initializer": "he_normal", **options}
        return layers.Conv2D(int(channels), 3, padding="same", data_format=self.format, **options)(x)

    def _upsample(self, x: Any, height: int, width: int) -> Any:
        """Double the sides and crop to (height, width)."""
        x = layers.UpSampling2D(2, data_format=self.format)(x)
        grown = x.shape[2:4] if self.first else x.shape[1:3]
        crop = ((0, grown[0] - height), (0, grown[1] - width))
        return layers.Cropping2D(crop, data_format=self.format)(x) if crop != ((0, 0), (0, 0)) else x

    def _enter(self, x: Any) -> Any:
        # A layer in both layouts: initial weights are drawn by a layer's position, which no backend may shift.
        return (layers.Permute((3, 1, 2)) if self.first else layers.Identity())(x)

    def _leave(self, x: Any) -> Any:
        return (layers.Permute((2, 3, 1)) if self.first else layers.Identity())(x)
