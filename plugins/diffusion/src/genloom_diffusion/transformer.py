"""The diffusion transformer of Peebles and Xie 2023: patches as tokens, and blocks that begin as the identity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from genloom import DataSpec, backend
from genloom.errors import ConfigError
from genloom.layers import ConditionEmbedding, Dropout, fold, unfold
from genloom_diffusion.options import DiTOptions

__all__ = ["Block", "DiffusionTransformer", "places", "transformer_for"]

_EPSILON = 1e-6  # of the norms, as Peebles and Xie have it
_LONGEST = 10_000.0  # of the wavelengths of places, over 2π patches (Vaswani et al. 2017, sec. 3.5)


def transformer_for(spec: DataSpec, options: DiTOptions, classes: int, times: int = 1) -> keras.Model:
    """Return a network `(x, t, label=None)` -> like x, for x (n, *spec.shape) and t (n,) or (n, times) in [0, 1]."""
    return DiffusionTransformer(
        spec.shape, options.width, options.depth, options.heads, options.patch, classes, options.dropout, times,
        options.frequency,
    )  # fmt: skip


def places(counts: Sequence[int], width: int) -> NDArray[np.float32]:
    """Return sines and cosines of the places of a grid (∏ counts, width): an even share of the width for each axis.

    What the axes do not divide evenly stays zero.
    """
    share = 2 * (width // (2 * len(counts)))
    rates = _LONGEST ** -(np.arange(share // 2) / max(1, share // 2))
    grid = np.stack(np.meshgrid(*map(np.arange, counts), indexing="ij"), -1).reshape(-1, len(counts), 1)
    angles = grid * rates  # (places, axes, share / 2)
    features = np.concatenate([np.sin(angles), np.cos(angles)], -1).reshape(len(grid), -1)
    return np.pad(features, ((0, 0), (0, width - features.shape[1]))).astype("float32")


class Block(keras.layers.Layer):
    """Attention and a network over tokens, whose norms and outputs a vector scales (Peebles and Xie 2023, fig. 3).

    The scales come from a layer that starts at zero (adaLN-Zero), so that the block starts as the identity.

    Args:
        width: size of a token.
        heads: attention heads, which must divide the width.
        embedding: size of the vector.
        dropout: rate after the attention and after the network.
    """

    def __init__(self, width: int, heads: int, embedding: int, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if width % heads:
            raise ConfigError(f"A width of {width} cannot be cut into {heads} heads.", mend="Make heads a divisor.")
        self.heads = heads
        self.query_key_value, self.mix = _dense(width, 3 * width), _dense(width, width)
        self.up, self.down = _dense(width, 4 * width), _dense(4 * width, width)
        self.modulation = _dense(embedding, 6 * width, "zeros")
        self.drop = Dropout(dropout)
        self.built = True

    def call(self, x: Any, e: Any, training: bool = False) -> Any:
        """Map tokens x (n, p, width) under the vector e (n, embedding) to tokens of the same shape."""
        parts = ops.split(self.modulation(ops.silu(e))[:, None], 6, axis=-1)
        shift, scale, gate, shift2, scale2, gate2 = parts  # each (n, 1, width)
        x = x + gate * self.drop(self.mix(self._attended(_modulated(x, shift, scale))), training=training)
        hidden = ops.gelu(self.up(_modulated(x, shift2, scale2)), approximate=True)
        return x + gate2 * self.drop(self.down(hidden), training=training)

    def _attended(self, y: Any) -> Any:
        _, p, width = y.shape
        parts = ops.reshape(self.query_key_value(y), (-1, p, 3, self.heads, width // self.heads))
        mixed = ops.dot_product_attention(parts[:, :, 0], parts[:, :, 1], parts[:, :, 2])
        return ops.reshape(mixed, (-1, p, width))


@keras.saving.register_keras_serializable(package="genloom_diffusion")
class DiffusionTransformer(keras.Model):
    """A transformer over the patches of a signal, an image or a video (Peebles and Xie 2023, DiT with adaLN-Zero).

    Sides may be of any length: one that the patch does not divide is continued by zeros, and cut again.

    Args:
        shape: shape of a sample, channels last; a vector (length,) has one channel.
        width: size of a token.
        depth: blocks.
        heads: attention heads, which must divide the width.
        patch: side of the blocks of places that become a token each.
        classes: number of labels, 0 for none.
        dropout: rate in the blocks.
        times: how many times it is given.
        longest: highest angular frequency of a time: a network that is differentiated by it needs a low one.

    Raises:
        ConfigError: heads that do not divide the width.
    """

    def __init__(
        self,
        shape: Sequence[int],
        width: int = 384,
        depth: int = 12,
        heads: int = 6,
        patch: int = 2,
        classes: int = 0,
        dropout: float = 0.0,
        times: int = 1,
        longest: float = 1000.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.settings = {
            "shape": list(shape), "width": width, "depth": depth, "heads": heads, "patch": patch, "classes": classes,
            "dropout": dropout, "times": times, "longest": longest,
        }  # fmt: skip
        self.sample_shape, self.patch = tuple(shape), patch
        *self.sides, self.channels = (*shape, 1) if len(shape) == 1 else shape
        self.counts = [math.ceil(side / patch) for side in self.sides]
        self.places = places(self.counts, width)
        self.embedding = ConditionEmbedding(width, classes, longest, times)
        wide = patch ** len(self.sides) * self.channels
        self.stem = _dense(wide, width)
        self.blocks = [Block(width, heads, width, dropout) for _ in range(depth)]
        self.modulation, self.head = _dense(width, 2 * width, "zeros"), _dense(width, wide, "zeros")
        label = keras.KerasTensor((1,), "int32") if classes else None
        self(keras.KerasTensor((1, *shape)), keras.KerasTensor((1, times)), label)  # creates every weight

    def build(self, *shapes: Any) -> None:
        """Nothing to do: the first, symbolic call in the constructor creates the weights."""
        self.built = True

    def call(self, x: Any, t: Any, label: Any = None, training: bool = False) -> Any:
        """Map x (n, *shape), times t (n,) or (n, times) in [0, 1] and labels (n,) in 0 … classes to (n, *shape)."""
        e = self.embedding(t, label)  # (n, width)
        folded = fold(ops.reshape(x, (-1, *self.sides, self.channels)), self.patch)
        y = self.stem(ops.reshape(folded, (-1, math.prod(self.counts), folded.shape[-1])))  # (n, p, width)
        y = y + ops.cast(ops.convert_to_tensor(self.places), y.dtype)
        for block in self.blocks:
            y = block(y, e, training=training)
        shift, scale = ops.split(self.modulation(ops.silu(e))[:, None], 2, axis=-1)
        y = ops.reshape(self.head(_modulated(y, shift, scale)), (-1, *folded.shape[1:]))
        return ops.reshape(unfold(y, self.patch, self.sides), (-1, *self.sample_shape))

    def get_config(self) -> dict[str, Any]:
        """Return the configuration."""
        return {"name": self.name, **self.settings}


def _modulated(x: Any, shift: Any, scale: Any) -> Any:
    """Return x (n, p, width) with mean 0 and variance 1 in each token, scaled and shifted by (n, 1, width)."""
    ones = ops.ones((int(x.shape[-1]),), dtype=x.dtype)
    return backend.layer_norm(x, ones, None, _EPSILON) * (1.0 + scale) + shift


def _dense(inputs: int, units: int, kernel: str = "glorot_uniform") -> keras.layers.Dense:
    layer = keras.layers.Dense(units, kernel_initializer=kernel)
    layer.build((None, inputs))
    return layer
