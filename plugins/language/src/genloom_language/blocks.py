"""The transformer's parts: norms, attention with a cache, and the network after it."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from genloom.layers import Dropout, remat
from genloom_language.options import TransformerOptions

__all__ = ["Block", "Norm"]

_ROTARY_BASE = 10_000.0


class Norm(keras.layers.Layer):
    """LayerNorm or RMSNorm over the last axis, with a scale, computed in float32.

    Args:
        kind: "layer" or "rms".
        width: size of the last axis.
        bias: whether LayerNorm adds one.
    """

    def __init__(self, kind: str, width: int, bias: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind = kind
        self.scale = self.add_weight(shape=(width,), initializer="ones", name="scale")
        self.shift: Any = None
        if bias and kind == "layer":
            self.shift = self.add_weight(shape=(width,), initializer="zeros", name="shift")
        self.built = True

    def call(self, x: Any) -> Any:
        """Return x normalised."""
        y = ops.cast(x, "float32")
        if self.kind == "layer":
            y = y - ops.mean(y, axis=-1, keepdims=True)
        y = y * ops.rsqrt(ops.mean(ops.square(y), axis=-1, keepdims=True) + 1e-5)
        y = y * ops.cast(self.scale, "float32")
        return ops.cast(y if self.shift is None else y + ops.cast(self.shift, "float32"), x.dtype)


class Block(keras.layers.Layer):
    """x + attention(norm(x)), then x + network(norm(x)): the pre-norm block of GPT-2.

    Args:
        o: the model's options.
    """

    def __init__(self, o: TransformerOptions, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads, self.size, self.rotary = o.heads, o.width // o.heads, o.position == "rotary"
        self.key_heads = o.key_heads or o.heads
        inner = o.inner or 4 * o.width
        gated = o.activation == "swiglu"
        deep = 0.02 / math.sqrt(2 * o.layers)  # what is added to the residual stream 2 · layers times

        def dense(name: str, inputs: int, units: int, deviation: float = 0.02) -> keras.layers.Dense:
            initial = keras.initializers.RandomNormal(stddev=deviation)
            layer = keras.layers.Dense(units, use_bias=o.bias, kernel_initializer=initial, name=name)
            layer.build((None, inputs))
            return layer

        self.attention_norm = Norm(o.norm, o.width, o.bias, name="attention_norm")
        self.query = dense("query", o.width, o.width)
        self.key = dense("key", o.width, self.key_heads * self.size)
        self.value = dense("value", o.width, self.key_heads * self.size)
        self.mix = dense("mix", o.width, o.width, deep)
        self.network_norm = Norm(o.norm, o.width, o.bias, name="network_norm")
        self.up = dense("up", o.width, inner)
        self.gate = dense("gate", o.width, inner) if gated else None
        self.down = dense("down", inner, o.width, deep)
        self.drop = Dropout(o.dropout) if o.dropout else None
        self.remat = o.remat
        self.built = True

    def call(self, x: Any, place: Any, seen: Any = None, training: bool = False) -> Any:
        """Mix each token with those before it.

        Args:
            x: (n, t, width).
            place: int32 (n, t), the tokens' places, for rotary positions.
            seen: bool (n, 1, t, t), which tokens each may look at; None for all that are earlier.
            training: whether units are left out.
        """

        def mixed(x: Any, place: Any, seen: Any) -> Any:
            return self._mixed(x, place, seen, training)

        return (remat(mixed) if self.remat and training else mixed)(x, place, seen)

    def _mixed(self, x: Any, place: Any, seen: Any, training: bool) -> Any:
        y = self.attention_norm(x)
        q, k, v = self._heads(y, place)
        k, v = self._shared(k), self._shared(v)
        mixed = ops.dot_product_attention(q, k, v, mask=seen, is_causal=seen is None)
        x = x + self._dropped(self.mix(ops.reshape(mixed, (*y.shape[:2], self.heads * self.size))), training)
        return x + self._dropped(self._network(self.network_norm(x)), training)

    def empty_cache(self, n: int, length: int) -> tuple[Any, Any]:
        """Return keys and values (n, length, key_heads, size) of no token."""
        shape = (n, length, self.key_heads, self.size)
        return ops.zeros(shape, dtype=self.compute_dtype), ops.zeros(shape, dtype=self.compute_dtype)

    def after(self, x: Any, i: Any, cache: tuple[Any, Any]) -> tuple[Any, tuple[Any, Any]]:
        """Return what `call` gives for the token x (n, 1, width) at place i, and the cache with its key and value."""
        n, length = int(x.shape[0]), int(cache[0].shape[1])
        places = ops.arange(length, dtype="int32")
        q, k, v = self._heads(self.attention_norm(x), ops.broadcast_to(ops.cast(i, "int32"), (n, 1)))
        here = ops.equal(places, i)[None, :, None, None]
        keys, values = ops.where(here, k, cache[0]), ops.where(here, v, cache[1])
        # Queries in groups that share a key: (n, key_heads, group, size).
        grouped = ops.reshape(q, (n, self.key_heads, self.heads // self.key_heads, self.size))
        scores = ops.cast(ops.einsum("nkgs,ntks->nkgt", grouped, keys), "float32") / math.sqrt(self.size)
        scores = ops.where(ops.less_equal(places, i), scores, -1e30)
        mixed = ops.einsum("nkgt,ntks->nkgs", ops.cast(ops.softmax(scores, axis=-1), x.dtype), values)
        x = x + self.mix(ops.reshape(mixed, (n, 1, self.heads * self.size)))
        return x + self._network(self.network_norm(x)), (keys, values)

    def _heads(self, y: Any, place: Any) -> tuple[Any, Any, Any]:
        """Return queries (n, t, heads, size), keys and values (n, t, key_heads, size)."""
        n, t = int(y.shape[0]), int(y.shape[1])
        q = ops.reshape(self.query(y), (n, t, self.heads, self.size))
        k = ops.reshape(self.key(y), (n, t, self.key_heads, self.size))
        v = ops.reshape(self.value(y), (n, t, self.key_heads, self.size))
        return (_turned(q, place), _turned(k, place), v) if self.rotary else (q, k, v)

    def _shared(self, k: Any) -> Any:
        """Repeat each head of keys or values for the queries that share it."""
        return k if self.key_heads == self.heads else ops.repeat(k, self.heads // self.key_heads, axis=2)

    def _network(self, y: Any) -> Any:
        inner = self.up(y)
        inner = ops.gelu(inner, approximate=True) if self.gate is None else ops.silu(self.gate(y)) * inner
        return self.down(inner)

    def _dropped(self, x: Any, training: bool) -> Any:
        return x if self.drop is None else self.drop(x, training=training)


def _turned(x: Any, place: Any) -> Any:
    """Turn pairs of values by an angle that grows with the place (Su et al. 2021, equation 34; halves as pairs).

    Args:
        x: (n, t, heads, size).
        place: int32 (n, t).
    """
    half = int(x.shape[-1]) // 2
    rates = ops.exp(ops.arange(half, dtype="float32") * (-math.log(_ROTARY_BASE) / half))
    angles = ops.cast(place, "float32")[..., None, None] * rates  # (n, t, 1, half)
    cosines, sines = ops.cast(ops.cos(angles), x.dtype), ops.cast(ops.sin(angles), x.dtype)
    a, b = x[..., :half], x[..., half:]
    return ops.concatenate([a * cosines - b * sines, b * cosines + a * sines], axis=-1)
