"""The network that diffusers calls UNet2DModel, in `keras.ops`, its parts under the same names.

Two resolutions, one residual block each on the way down and two on the way up, self-attention in the middle. Pictures
go in and out channels last; inside they have the engine's fastest layout.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from tasks import TIMES, UNET2D_CHANNELS, UNET2D_GROUPS, UNET2D_HEAD

from genloom import backend
from genloom.layers import GroupNorm

LAYOUT = backend.image_layout()
AXIS = 1 if LAYOUT == "channels_first" else -1


def conv(channels: int, size: int = 3) -> layers.Conv2D:
    """A convolution that keeps the size."""
    return layers.Conv2D(channels, size, padding="same", data_format=LAYOUT)


def norm() -> GroupNorm:
    """Group normalisation of the channels."""
    return GroupNorm(UNET2D_GROUPS, AXIS)


class Resnet(layers.Layer):
    """A residual block under a time."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1, self.conv1, self.time_emb_proj = norm(), conv(outputs), layers.Dense(outputs)
        self.norm2, self.conv2 = norm(), conv(outputs)
        self.conv_shortcut = conv(outputs, 1) if inputs != outputs else None

    def call(self, x: Any, t: Any) -> Any:
        """X and t (n, embedding) -> like x with `outputs` channels."""
        t = self.time_emb_proj(ops.silu(t))
        h = self.conv1(ops.silu(self.norm1(x)))
        h = self.conv2(ops.silu(self.norm2(h + (t[:, :, None, None] if AXIS == 1 else t[:, None, None]))))
        return h + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class Attention(layers.Layer):
    """Residual self-attention over the positions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = channels // UNET2D_HEAD
        self.group_norm, self.to_q, self.to_k, self.to_v = norm(), *(layers.Dense(channels) for _ in range(3))
        self.to_out = [layers.Dense(channels)]

    def call(self, x: Any) -> Any:
        """X -> like x."""
        y = self.group_norm(x)
        y = ops.transpose(y, (0, 2, 3, 1)) if AXIS == 1 else y
        _, height, width, channels = y.shape
        tokens = ops.reshape(y, (-1, height * width, channels))
        q, k, v = (
            ops.reshape(project(tokens), (-1, height * width, self.heads, UNET2D_HEAD))
            for project in (self.to_q, self.to_k, self.to_v)
        )
        mixed = ops.dot_product_attention(q, k, v, scale=1 / math.sqrt(UNET2D_HEAD))
        mixed = self.to_out[0](ops.reshape(mixed, (-1, height * width, channels)))
        out = ops.reshape(mixed, (-1, height, width, channels))
        return x + (ops.transpose(out, (0, 3, 1, 2)) if AXIS == 1 else out)


class Resize(layers.Layer):
    """Halve or double the sides by a convolution, padded as torch pads."""

    def __init__(self, channels: int, doubles: bool) -> None:
        super().__init__()
        self.resize = (layers.UpSampling2D if doubles else layers.ZeroPadding2D)(
            2 if doubles else 1, data_format=LAYOUT
        )
        strides, padding = (1, "same") if doubles else (2, "valid")
        self.conv = layers.Conv2D(channels, 3, strides, padding=padding, data_format=LAYOUT)

    def call(self, x: Any) -> Any:
        """X -> x of half or double the sides."""
        return self.conv(self.resize(x))


class Down(layers.Layer):
    """One resolution on the way down."""

    def __init__(self, inputs: int, outputs: int, last: bool) -> None:
        super().__init__()
        self.resnets = [Resnet(inputs, outputs)]
        self.downsamplers = [] if last else [Resize(outputs, doubles=False)]

    def call(self, x: Any, t: Any) -> list[Any]:
        """X and t -> what each layer leaves for the way up."""
        left = [self.resnets[0](x, t)]
        return left + [shrink(left[-1]) for shrink in self.downsamplers]


class Middle(layers.Layer):
    """The lowest resolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.resnets = [Resnet(channels, channels) for _ in range(2)]
        self.attentions = [Attention(channels)]

    def call(self, x: Any, t: Any) -> Any:
        """X and t -> like x."""
        return self.resnets[1](self.attentions[0](self.resnets[0](x, t)), t)


class Up(layers.Layer):
    """One resolution on the way up."""

    def __init__(self, inputs: tuple[int, int], outputs: int, last: bool) -> None:
        super().__init__()
        self.resnets = [Resnet(channels, outputs) for channels in inputs]
        self.upsamplers = [] if last else [Resize(outputs, doubles=True)]

    def call(self, x: Any, left: list[Any], t: Any) -> Any:
        """X, what the way down left, t -> x with `outputs` channels, doubled unless it is the last."""
        for resnet, skip in zip(self.resnets, reversed(left), strict=True):
            x = resnet(ops.concatenate([x, skip], axis=AXIS), t)
        for enlarge in self.upsamplers:
            x = enlarge(x)
        return x


class Embedding(layers.Layer):
    """Turn times of a thousand into vectors: cosines and sines, then two dense layers."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.frequencies = np.exp(-math.log(10000) * np.arange(size // 2) / (size // 2)).astype("float32")
        self.linear_1, self.linear_2 = layers.Dense(4 * size), layers.Dense(4 * size)

    def call(self, t: Any) -> Any:
        """Times (n,) -> (n, 4 size)."""
        angles = ops.cast(t, "float32")[:, None] * ops.convert_to_tensor(self.frequencies)
        waves = ops.concatenate([ops.cos(angles), ops.sin(angles)], axis=-1)
        return self.linear_2(ops.silu(self.linear_1(waves)))


class UNet2D(keras.Model):
    """The network."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        high, low = UNET2D_CHANNELS
        self.conv_in, self.time_embedding = conv(high), Embedding(high)
        self.down_blocks = [Down(high, high, last=False), Down(high, low, last=True)]
        self.mid_block = Middle(low)
        self.up_blocks = [Up((2 * low, low + high), low, last=False), Up((low + high, 2 * high), high, last=True)]
        self.conv_norm_out, self.conv_out = norm(), conv(shape[-1])
        self(ops.zeros((1, *shape)), ops.zeros((1,), "int32"))

    def call(self, x: Any, t: Any, label: Any = None, training: bool = False) -> Any:
        """X (n, h, w, c) and times t (n,) of a thousand -> the noise in x."""
        t = self.time_embedding(t)
        left = [self.conv_in(ops.transpose(x, (0, 3, 1, 2)) if AXIS == 1 else x)]
        for down in self.down_blocks:
            left += down(left[-1], t)
        y = self.mid_block(left[-1], t)
        for up in self.up_blocks:
            left, skips = left[: -len(up.resnets)], left[-len(up.resnets) :]
            y = up(y, skips, t)
        y = self.conv_out(ops.silu(self.conv_norm_out(y)))
        return ops.transpose(y, (0, 2, 3, 1)) if AXIS == 1 else y


def times_of(position: Any) -> Any:
    """Return the times (n,) of a thousand at positions in [0, 1]."""
    return ops.cast(ops.round(position * TIMES), "int32")
