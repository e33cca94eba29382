"""The U-Net shared by families that map an image to an image under a time and a label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from genloom import backend
from genloom.errors import ConfigError
from genloom.layers.attention import SelfAttention
from genloom.layers.embedding import ConditionEmbedding
from genloom.layers.normalisation import GroupNorm
from genloom.layers.residual import ResidualBlock

__all__ = ["UNet"]


@keras.saving.register_keras_serializable(package="genloom")
class UNet(keras.Model):
    """An image-to-image U-Net (Ronneberger et al. 2015) in the form of Ho et al. 2020, app. B.

    Weights and borders are channels-last; inside, the convolutions run in the engine's fastest layout
    (`backend.image_layout`), with one transposition at each end.

    Args:
        shape: image shape (height, width, channels); the sides must be divisible by patch × 2^(levels - 1).
        channels: channels of each level, finest first.
        blocks: residual blocks per level on the way down; one more on the way up.
        attention: levels (0 the finest) with self-attention; the middle always has it.
        embedding: width of the vector of time and label.
        classes: number of labels, 0 for none.
        patch: side of the pixel squares folded into channels first (space to depth): 2 costs a quarter.
        dropout: rate in the residual blocks.
        heads: attention heads.
        times: how many times it is given.
        longest: highest angular frequency of a time: a network that is differentiated by it needs a low one.

    Raises:
        ConfigError: sides that do not divide, or a shape that is no image.
    """

    def __init__(
        self,
        shape: Sequence[int],
        channels: Sequence[int] = (32, 64),
        blocks: int = 1,
        attention: Sequence[int] = (),
        embedding: int = 128,
        classes: int = 0,
        patch: int = 1,
        dropout: float = 0.0,
        heads: int = 1,
        times: int = 1,
        longest: float = 1000.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        _check(tuple(shape), patch * 2 ** (len(channels) - 1))
        self.image, self.patch, self.heads, self.classes = tuple(shape), patch, heads, classes
        self.settings = {
            "shape": list(shape), "channels": list(channels), "blocks": blocks, "attention": list(attention),
            "embedding": embedding, "classes": classes, "patch": patch, "dropout": dropout, "heads": heads,
            "times": times, "longest": longest,
        }  # fmt: skip
        self.layout = backend.image_layout()
        self.embedding = ConditionEmbedding(embedding, classes, longest, times)
        self.stem = self._convolution(channels[0])
        self.down = [self._level(c, blocks, i in attention, dropout) for i, c in enumerate(channels)]
        self.shrink = [self._convolution(c, strides=2) for c in channels[:-1]]
        self.middle = [ResidualBlock(channels[-1], self.layout, dropout), self._attention(),
                       ResidualBlock(channels[-1], self.layout, dropout)]  # fmt: skip
        self.up = [self._level(c, blocks + 1, i in attention, dropout) for i, c in enumerate(channels)]
        self.grow = [self._convolution(c) for c in channels[:-1]]
        self.enlarge = keras.layers.UpSampling2D(2, data_format=self.layout)
        self.norm = GroupNorm(axis=self._axis)
        self.head = self._convolution(shape[-1] * patch**2, kernel_initializer="zeros")
        label = keras.KerasTensor((1,), "int32") if classes else None
        self(keras.KerasTensor((1, *shape)), keras.KerasTensor((1, times)), label)  # creates every weight

    def build(self, *shapes: Any) -> None:
        """Nothing to do: the first, symbolic call in the constructor creates the weights."""
        self.built = True

    @property
    def _axis(self) -> int:
        return -1 if self.layout == "channels_last" else 1

    def _convolution(self, filters: int, **options: Any) -> keras.Layer:
        return keras.layers.Conv2D(filters, 3, padding="same", data_format=self.layout, **options)

    def _attention(self) -> keras.Layer:
        return SelfAttention(self.heads, self.layout)

    def _level(self, filters: int, blocks: int, attends: bool, dropout: float) -> list[list[keras.Layer]]:
        """Return per block the residual block and, where the level attends, its attention."""
        tail = [self._attention] if attends else []
        return [[ResidualBlock(filters, self.layout, dropout), *(make() for make in tail)] for _ in range(blocks)]

    def call(self, x: Any, t: Any, label: Any = None, training: bool = False) -> Any:
        """Map x (n, h, w, c), times t (n,) or (n, times) in [0, 1] and labels (n,) in 0 … classes to (n, h, w, c)."""
        e = self.embedding(t, label)  # (n, embedding)
        y = self.stem(self._to_layout(fold(x, self.patch)))
        kept = [y]
        for i, level in enumerate(self.down):
            for block in level:
                y = _run(block, y, e, training)
                kept.append(y)
            if i < len(self.shrink):
                y = self.shrink[i](y)
                kept.append(y)
        y = _run(self.middle, y, e, training)
        for i in reversed(range(len(self.up))):
            for block in self.up[i]:
                y = _run(block, ops.concatenate([y, kept.pop()], axis=self._axis), e, training)
            if i:
                y = self.grow[i - 1](self.enlarge(y))
        y = self.head(ops.silu(self.norm(y)))
        return unfold(self._from_layout(y), self.patch)

    def _to_layout(self, x: Any) -> Any:
        return x if self.layout == "channels_last" else ops.transpose(x, (0, 3, 1, 2))

    def _from_layout(self, x: Any) -> Any:
        return x if self.layout == "channels_last" else ops.transpose(x, (0, 2, 3, 1))

    def get_config(self) -> dict[str, Any]:
        """Return the configuration; the layout is not part of it."""
        return {"name": self.name, **self.settings}


def _check(shape: tuple[int, ...], multiple: int) -> None:
    if len(shape) != 3:
        raise ConfigError(f"A U-Net takes images (height, width, channels), got the shape {shape}.")
    if shape[0] % multiple or shape[1] % multiple:
        raise ConfigError(
            f"Images of {shape[0]}×{shape[1]} do not halve evenly here: the sides must be divisible by {multiple}.",
            mend="Use fewer levels (channels=…), a smaller patch, or another image size.",
        )


def _run(block: Sequence[keras.Layer], y: Any, e: Any, training: bool) -> Any:
    for layer in block:
        y = layer(y, e, training=training) if isinstance(layer, ResidualBlock) else layer(y)
    return y


def fold(x: Any, patch: int) -> Any:
    """Move patch × patch squares into channels: (n, h, w, c) -> (n, h/p, w/p, p²c)."""
    if patch == 1:
        return x
    _, h, w, c = x.shape
    x = ops.reshape(x, (-1, h // patch, patch, w // patch, patch, c))
    return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, h // patch, w // patch, patch * patch * c))


def unfold(x: Any, patch: int) -> Any:
    """Undo `fold`: (n, h/p, w/p, p²c) -> (n, h, w, c)."""
    if patch == 1:
        return x
    _, h, w, c = x.shape
    x = ops.reshape(x, (-1, h, w, patch, patch, c // patch**2))
    return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, h * patch, w * patch, c // patch**2))
