"""The transformer's parts: norms, attention with a cache, and the network after it."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from genloom import backend
from genloom.layers import Dropout, remat
from genloom_language.options import TransformerOptions

__all__ = ["Block", "Norm", "causal"]


class Norm(keras.layers.Layer):
    """LayerNorm or RMSNorm over the last axis, with a scale, computed in float32.

    Args:
        kind: "layer" or "rms".
        width: size of the last axis.
        bias: whether LayerNorm adds one.
        epsilon: added to the variance.
    """

    def __init__(self, kind: str, width: int, bias: bool, epsilon: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind, self.epsilon = kind, epsilon
        self.scale = self.add_weight(shape=(width,), initializer="ones", name="scale")
        self.shift: Any = None
        if bias and kind == "layer":
            self.shift = self.add_weight(shape=(width,), initializer="zeros", name="shift")
        self.built = True

    def call(self, x: Any) -> Any:
        """Return x normalised."""
        if self.kind == "layer":
            return backend.layer_norm(x, self.scale, self.shift, self.epsilon)
        y = ops.cast(x, keras.config.floatx())
        y = y * ops.rsqrt(ops.mean(ops.square(y), axis=-1, keepdims=True) + self.epsilon)
        return ops.cast(y * ops.cast(self.scale, y.dtype), x.dtype)


class Block(keras.layers.Layer):
    """x + attention(norm(x)), then x + network(norm(x)): the pre-norm block of GPT-2.

    Args:
        o: the model's options.
    """

    def __init__(self, o: TransformerOptions, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads, self.size = o.heads, o.width // o.heads
        self.rotary_base = o.rotary_base if o.position == "rotary" else None
        self.kv_heads = o.kv_heads or o.heads
        mlp_width = o.mlp_width or 4 * o.width
        gated = o.activation == "swiglu"
        deep = o.initializer_range / math.sqrt(2 * o.layers)  # what is added to the residual stream 2 · layers times

        def dense(name: str, inputs: int, units: int, deviation: float = o.initializer_range) -> keras.layers.Dense:
            initial = keras.initializers.RandomNormal(stddev=deviation)
            layer = keras.layers.Dense(units, use_bias=o.bias, kernel_initializer=initial, name=name)
            layer.build((None, inputs))
            return layer

        self.attention_norm = Norm(o.norm, o.width, o.bias, o.epsilon, name="attention_norm")
        self.query = dense("query", o.width, o.width)
        self.key = dense("key", o.width, self.kv_heads * self.size)
        self.value = dense("value", o.width, self.kv_heads * self.size)
        self.mix = dense("mix", o.width, o.width, deep)
        self.network_norm = Norm(o.norm, o.width, o.bias, o.epsilon, name="network_norm")
        self.up = dense("up", o.width, mlp_width)
        self.gate = dense("gate", o.width, mlp_width) if gated else None
        self.down = dense("down", mlp_width, o.width, deep)
        self.drop = Dropout(o.dropout) if o.dropout else None
        self.remat = o.remat
        self.built = True

    def call(self, x: Any, position: Any, seen: Any = None, memory: Any = None, training: bool = False) -> Any:
        """Mix each token with those before it.

        Args:
            x: (n, t, width).
            position: int32 (n, t), the tokens' positions, which rotary heads turn by.
            seen: bool (n, 1, t, t), which tokens each may look at; None for all that are earlier.
            memory: keys and values (1, m, kv_heads, size) that every token may look at as well, or None.
            training: whether units are left out.
        """

        def mixed(x: Any, position: Any, seen: Any, *memory: Any) -> Any:
            return self._mixed(x, position, seen, memory, training)

        return (remat(mixed) if self.remat and training else mixed)(x, position, seen, *(memory or ()))

    def call_with_kv(self, x: Any, position: Any) -> tuple[Any, tuple[Any, Any]]:
        """Return what `call` gives for x, and the keys and values that later tokens look at."""
        q, k, v = self._heads(self.attention_norm(x), position)
        return self._rest(x, self._attended(q, k, v, None), False), (k, v)

    def _mixed(self, x: Any, position: Any, seen: Any, memory: tuple[Any, ...], training: bool) -> Any:
        q, k, v = self._heads(self.attention_norm(x), position)
        if memory:
            seen = _beside(memory, seen, int(x.shape[1]))
            k, v = (_behind(m, own) for m, own in zip(memory, (k, v), strict=True))
        return self._rest(x, self._attended(q, k, v, seen), training)

    def weights_of(self, x: Any, position: Any, memory: Any = None) -> Any:
        """Return the weights (n, heads, t, m + t) by which `call` mixes tokens, in float32.

        Args:
            x: (n, t, width).
            position: int32 (n, t).
            memory: keys and values of m vectors that come first, or None.
        """
        q, k, _ = self._heads(self.attention_norm(x), position)
        t = int(x.shape[1])
        seen = causal(t)[None, None] if memory is None else _beside(memory, None, t)
        k = self._shared(k if memory is None else _behind(memory[0], k))
        scores = ops.cast(ops.einsum("nqhs,nkhs->nhqk", q, k), "float32") / math.sqrt(self.size)
        return ops.softmax(ops.where(seen, scores, -1e30), axis=-1)

    def _attended(self, q: Any, k: Any, v: Any, seen: Any) -> Any:
        mixed = ops.dot_product_attention(q, self._shared(k), self._shared(v), mask=seen, is_causal=seen is None)
        return ops.reshape(mixed, (*mixed.shape[:2], self.heads * self.size))

    def _rest(self, x: Any, mixed: Any, training: bool) -> Any:
        """Return the block's output for what its attention found."""
        x = x + self._dropped(self.mix(mixed), training)
        return x + self._dropped(self._mlp(self.network_norm(x)), training)

    def empty_cache(self, n: int, length: int, memory: Any = None) -> tuple[Any, Any]:
        """Return keys and values (n, kv_heads, m + length, size) of no token, behind m of a memory."""
        shape = (n, length, self.kv_heads, self.size)
        empty = ops.zeros(shape, dtype=self.compute_dtype), ops.zeros(shape, dtype=self.compute_dtype)
        pair = empty if memory is None else (_behind(memory[0], empty[0]), _behind(memory[1], empty[1]))
        return ops.transpose(pair[0], (0, 2, 1, 3)), ops.transpose(pair[1], (0, 2, 1, 3))

    def extend(self, x: Any, position: Any, cache: tuple[Any, Any], before: int = 0) -> tuple[Any, tuple[Any, Any]]:
        """Return what `call` gives for tokens x (n, t, width) at positions (n, t), and the cache with them in.

        The first `before` of the cache are a memory's; after those, what it holds up to a position counts.
        """
        n, t = int(x.shape[0]), int(x.shape[1])
        q, k, v = self._heads(self.attention_norm(x), position)
        keys, values = (_written(part, new, position + before) for part, new in zip(cache, (k, v), strict=True))
        # Queries in groups that share a key: (n, kv_heads, group · t, size).
        group, m = self.heads // self.kv_heads, int(keys.shape[2])
        grouped = ops.transpose(ops.reshape(q, (n, t, self.kv_heads, group, self.size)), (0, 2, 3, 1, 4))
        grouped = ops.reshape(grouped, (n, self.kv_heads, group * t, self.size))
        scores = ops.cast(ops.matmul(grouped, ops.transpose(keys, (0, 1, 3, 2))), "float32") / math.sqrt(self.size)
        seen = ops.less_equal(ops.arange(m, dtype="int32"), position[..., None] + before)  # (n, t, m)
        scores = ops.where(seen[:, None, None], ops.reshape(scores, (n, self.kv_heads, group, t, m)), -1e30)
        p = ops.reshape(ops.cast(ops.softmax(scores, axis=-1), x.dtype), (n, self.kv_heads, group * t, m))
        mixed = ops.reshape(ops.matmul(p, values), (n, self.kv_heads, group, t, self.size))
        mixed = ops.reshape(ops.transpose(mixed, (0, 3, 1, 2, 4)), (n, t, self.heads * self.size))
        return self._rest(x, mixed, False), (keys, values)

    def _heads(self, y: Any, position: Any) -> tuple[Any, Any, Any]:
        """Return queries (n, t, heads, size), keys and values (n, t, kv_heads, size)."""
        n, t = int(y.shape[0]), int(y.shape[1])
        q = ops.reshape(self.query(y), (n, t, self.heads, self.size))
        k = ops.reshape(self.key(y), (n, t, self.kv_heads, self.size))
        v = ops.reshape(self.value(y), (n, t, self.kv_heads, self.size))
        if self.rotary_base is None:
            return q, k, v
        return _rotated(q, position, self.rotary_base), _rotated(k, position, self.rotary_base), v

    def _shared(self, k: Any) -> Any:
        """Repeat each head of keys or values for the queries that share it."""
        return k if self.kv_heads == self.heads else ops.repeat(k, self.heads // self.kv_heads, axis=2)

    def _mlp(self, y: Any) -> Any:
        hidden = self.up(y)
        hidden = ops.gelu(hidden, approximate=True) if self.gate is None else ops.silu(self.gate(y)) * hidden
        return self.down(hidden)

    def _dropped(self, x: Any, training: bool) -> Any:
        return x if self.drop is None else self.drop(x, training=training)


def causal(t: int) -> Any:
    """Return which of t tokens each may look at, bool (t, t): earlier ones and itself."""
    number = ops.arange(t, dtype="int32")
    return ops.greater_equal(number[:, None], number[None])


def _beside(memory: tuple[Any, ...], seen: Any, t: int) -> Any:
    """Return which of a memory and of t tokens each token may look at, bool (n, 1, t, m + t): a memory always."""
    seen = causal(t)[None, None] if seen is None else seen
    return ops.concatenate([ops.ones((*seen.shape[:2], t, int(memory[0].shape[1])), dtype="bool"), seen], axis=-1)


def _behind(memory: Any, own: Any) -> Any:
    """Return a memory (1, m, heads, size) and what follows it (n, t, heads, size), joined for each of n."""
    return ops.concatenate([ops.broadcast_to(memory, (int(own.shape[0]), *memory.shape[1:])), own], axis=1)


def _written(cache: Any, new: Any, position: Any) -> Any:
    """Return a cache (n, heads, m, size) with what is new (n, t, heads, size) at its positions (n, t)."""
    n, heads, m, size = (int(s) for s in cache.shape)
    t = int(new.shape[1])
    # One index, of all rows and heads together: XLA writes such a scatter in place, where a mask copies the cache.
    rows = ops.arange(n * heads, dtype="int32") * m
    index = ops.reshape(rows, (n, heads, 1)) + position[:, None]  # (n, heads, t)
    flat = ops.reshape(cache, (n * heads * m, size))
    new = ops.reshape(ops.transpose(new, (0, 2, 1, 3)), (n * heads * t, size))
    return ops.reshape(ops.scatter_update(flat, ops.reshape(index, (-1, 1)), new), (n, heads, m, size))


def _rotated(x: Any, position: Any, base: float) -> Any:
    """Turn pairs of values by an angle that grows with the position (Su et al. 2021, equation 34; halves as pairs).

    Args:
        x: (n, t, heads, size).
        position: int32 (n, t).
        base: pair i of h turns by position · base^(-i/h).
    """
    half = int(x.shape[-1]) // 2
    floatx = keras.config.floatx()
    rates = ops.exp(ops.arange(half, dtype=floatx) * (-math.log(base) / half))
    angles = ops.cast(position, floatx)[..., None, None] * rates  # (n, t, 1, half)
    cosines, sines = ops.cast(ops.cos(angles), x.dtype), ops.cast(ops.sin(angles), x.dtype)
    a, b = x[..., :half], x[..., half:]
    return ops.concatenate([a * cosines - b * sines, b * cosines + a * sines], axis=-1)
