"""The network of masked tokens: a transformer in which every place sees all others."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from genloom import DataSpec, backend
from genloom.layers import Dropout
from genloom_diffusion.masked_options import MaskedOptions

__all__ = ["TokenTransformer", "alphabet", "token_network_for"]


def alphabet(spec: DataSpec) -> tuple[int, int]:
    """Return how many tokens a sample has, and how many values each: those of a vocabulary, or of levels."""
    return (spec.shape[0], spec.vocabulary) if spec.vocabulary else (spec.size, spec.levels)


def token_network_for(spec: DataSpec, options: MaskedOptions, classes: int) -> keras.Model:
    """Return a network `z, label` -> logits, for int32 tokens z (n, length); the number behind the last is the mask."""
    length, vocabulary = alphabet(spec)
    return TokenTransformer(length, vocabulary, options.layers, options.heads, options.width, options.dropout, classes)


class _Norm(keras.layers.Layer):
    """LayerNorm over the last axis, with a scale (Ba et al. 2016)."""

    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = self.add_weight(shape=(width,), initializer="ones", name="scale")
        self.built = True

    def call(self, x: Any) -> Any:
        return backend.layer_norm(x, self.scale, None, 1e-5)


class _Block(keras.layers.Layer):
    """x + attention(norm(x)), then x + network(norm(x)).

    Args:
        heads: of the attention.
        width: size of a token's vector.
        dropout: share of units left out in training.
    """

    def __init__(self, heads: int, width: int, dropout: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads, self.size = heads, width // heads
        self.attention_norm, self.network_norm = _Norm(width), _Norm(width)
        self.query_key_value = _dense(width, 3 * width)
        self.mix = _dense(width, width)
        self.up = _dense(width, 4 * width)
        self.down = _dense(4 * width, width)
        self.drop = Dropout(dropout)
        self.built = True

    def call(self, x: Any, training: bool = False) -> Any:
        """Map x (n, length, width) to the same shape."""
        x = x + self.drop(self._attended(self.attention_norm(x)), training=training)
        hidden = ops.gelu(self.up(self.network_norm(x)), approximate=True)
        return x + self.drop(self.down(hidden), training=training)

    def _attended(self, y: Any) -> Any:
        length, width = int(y.shape[1]), int(y.shape[2])
        parts = ops.reshape(self.query_key_value(y), (-1, length, 3, self.heads, self.size))
        mixed = ops.dot_product_attention(_rotated(parts[:, :, 0]), _rotated(parts[:, :, 1]), parts[:, :, 2])
        return self.mix(ops.reshape(mixed, (-1, length, width)))


class TokenTransformer(keras.Model):
    """A transformer without a causal mask (Devlin et al. 2019), which is told no time: z shows it (Ou et al. 2025).

    Places are rotary, for what stands beside what (Su et al. 2021), and learned from zero, for where all are masked.

    Args:
        length: tokens of a sample.
        vocabulary: numbers of a token, beside which there is the mask.
        layers: transformer blocks.
        heads: attention heads, each an even part of the width.
        width: size of a token's vector.
        dropout: share of units left out in training.
        classes: number of labels, 0 for none.
    """

    def __init__(
        self,
        length: int,
        vocabulary: int,
        layers: int,
        heads: int,
        width: int,
        dropout: float = 0.0,
        classes: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.token = keras.layers.Embedding(vocabulary + 1, width)
        self.position = keras.layers.Embedding(length, width, embeddings_initializer="zeros")
        self.token.build((None,))
        self.position.build((None,))
        self.label = keras.layers.Embedding(classes + 1, width) if classes else None
        if self.label is not None:
            self.label.build((None,))
        self.blocks = [_Block(heads, width, dropout) for _ in range(layers)]
        self.norm = _Norm(width)
        self.head = _dense(width, vocabulary, "zeros")
        self.built = True

    def call(self, z: Any, label: Any = None, training: bool = False) -> Any:
        """Map tokens z (n, length) to logits (n, length, vocabulary) of the token at each place, never the mask.

        Labels (n,) are numbers from 0 to `classes`, the last for none.
        """
        x = self.token(z) + self.position(ops.arange(int(z.shape[1]), dtype="int32"))
        if self.label is not None:
            x = x + self.label(label)[:, None]
        for block in self.blocks:
            x = block(x, training=training)
        return self.head(self.norm(x))


def _dense(inputs: int, units: int, initializer: str = "glorot_uniform") -> keras.layers.Dense:
    layer = keras.layers.Dense(units, use_bias=False, kernel_initializer=initializer)
    layer.build((None, inputs))
    return layer


def _rotated(x: Any) -> Any:
    """Turn pairs of values of x (n, length, heads, size) by angles that grow with the place (Su et al. 2021)."""
    half, floatx = int(x.shape[-1]) // 2, keras.config.floatx()
    rates = ops.exp(ops.arange(half, dtype=floatx) * (-math.log(1e4) / half))
    angles = (ops.arange(int(x.shape[1]), dtype=floatx)[:, None] * rates)[:, None]  # (length, 1, half)
    cosines, sines = ops.cast(ops.cos(angles), x.dtype), ops.cast(ops.sin(angles), x.dtype)
    a, b = x[..., :half], x[..., half:]
    return ops.concatenate([a * cosines - b * sines, b * cosines + a * sines], axis=-1)
