"""The U-Net shared by families that map images, signals or videos to their like under a time and a label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from genloom import backend
from genloom.errors import ConfigError
from genloom.layers.attention import SelfAttention
from genloom.layers.convolutions import channels_first, channels_last, convolution
from genloom.layers.embedding import ConditionEmbedding
from genloom.layers.folding import cropped, fold, unfold
from genloom.layers.normalisation import GroupNorm
from genloom.layers.residual import ResidualBlock

__all__ = ["UNet"]


@keras.saving.register_keras_serializable(package="genloom")
class UNet(keras.Model):
    """A U-Net (Ronneberger et al. 2015) in the form of Ho et al. 2020, app. B, of one, two or three axes.

    Weights and borders are channels-last; inside, the convolutions run in the engine's fastest layout
    (`backend.image_layout`), with one transposition at each end. Sides may be of any length: each level halves them,
    rounding up.

    Args:
        shape: shape of a sample: (length, channels), (height, width, channels) or (frames, height, width, channels).
        channels: channels of each level, finest first.
        blocks: residual blocks per level on the way down; one more on the way up.
        attention: levels (0 the finest) with self-attention; the middle always has it.
        embedding: width of the vector of time and label.
        classes: number of labels, 0 for none.
        patch: side of the blocks folded into channels first (space to depth): 2 costs a quarter of an image.
        dropout: rate in the residual blocks.
        heads: attention heads.
        times: how many times it is given.
        longest: highest angular frequency of a time: a network that is differentiated by it needs a low one.

    Raises:
        ConfigError: a shape without channels, or of more than three axes beside them.
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
        self.sides = _sides(tuple(shape))
        self.patch, self.heads, self.classes = patch, heads, classes
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
        self.middle = [self._residual(channels[-1], dropout), self._attention(), self._residual(channels[-1], dropout)]
        self.up = [self._level(c, blocks + 1, i in attention, dropout) for i, c in enumerate(channels)]
        self.grow = [self._convolution(c) for c in channels[:-1]]
        self.norm = GroupNorm(axis=self._axis)
        self.head = self._convolution(shape[-1] * patch ** len(self.sides), kernel_initializer="zeros")
        label = keras.KerasTensor((1,), "int32") if classes else None
        self(keras.KerasTensor((1, *shape)), keras.KerasTensor((1, times)), label)  # creates every weight

    def build(self, *shapes: Any) -> None:
        """Nothing to do: the first, symbolic call in the constructor creates the weights."""
        self.built = True

    @property
    def _axis(self) -> int:
        return -1 if self.layout == "channels_last" else 1

    def _convolution(self, filters: int, **options: Any) -> keras.Layer:
        return convolution(len(self.sides), filters, data_format=self.layout, **options)

    def _residual(self, filters: int, dropout: float) -> keras.Layer:
        return ResidualBlock(filters, self.layout, dropout, axes=len(self.sides))

    def _attention(self) -> keras.Layer:
        return SelfAttention(self.heads, self.layout)

    def _level(self, filters: int, blocks: int, attends: bool, dropout: float) -> list[list[keras.Layer]]:
        """Return per block the residual block and, where the level attends, its attention."""
        tail = [self._attention] if attends else []
        return [[self._residual(filters, dropout), *(make() for make in tail)] for _ in range(blocks)]

    def call(self, x: Any, t: Any, label: Any = None, training: bool = False) -> Any:
        """Map x (n, *shape), times t (n,) or (n, times) in [0, 1] and labels (n,) in 0 … classes to (n, *shape)."""
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
                y = self.grow[i - 1](self._doubled(y, kept[-1]))
        y = self.head(ops.silu(self.norm(y)))
        return unfold(self._from_layout(y), self.patch, self.sides)

    def _doubled(self, y: Any, like: Any) -> Any:
        """Double the sides, and cut them to those of the level above."""
        y, like = self._from_layout(y), self._from_layout(like)
        for axis in range(1, 1 + len(self.sides)):
            y = ops.repeat(y, 2, axis=axis)
        return self._to_layout(cropped(y, like.shape[1:-1]))

    def _to_layout(self, x: Any) -> Any:
        return x if self.layout == "channels_last" else channels_first(x)

    def _from_layout(self, x: Any) -> Any:
        return x if self.layout == "channels_last" else channels_last(x)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration; the layout is not part of it."""
        return {"name": self.name, **self.settings}


def _sides(shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) not in (2, 3, 4):
        raise ConfigError(
            f"A U-Net takes one to three axes and channels, such as images (height, width, channels), got {shape}.",
        )
    return shape[:-1]


def _run(block: Sequence[keras.Layer], y: Any, e: Any, training: bool) -> Any:
    for layer in block:
        y = layer(y, e, training=training) if isinstance(layer, ResidualBlock) else layer(y)
    return y
