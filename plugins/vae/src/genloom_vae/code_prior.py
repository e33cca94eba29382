"""A prior over codes: a causal transformer that predicts each digit from those before it, under a label."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from genloom import backend, random
from genloom.layers import Dropout
from genloom.model.networks import full_precision, one_hot

__all__ = ["CodePrior"]

_NEVER = -1e30  # a logit of what cannot be


class CodePrior(keras.layers.Layer):
    """log p(c|y) = Σ_i log p(c_i | c_<i, y) over the digits of all places, row by row (van den Oord et al. 2017, §3.3).

    Digits of several levels have rows of their own in one alphabet, so that places of a code are never confused.

    Args:
        places: how many codes a sample has.
        levels: values of each digit of a code.
        classes: labels, 0 without.
        layers: transformer blocks.
        heads: attention heads, which divide the width.
        width: size of a digit's vector.
        dropout: share of units left out in training.
    """

    def __init__(
        self,
        places: int,
        levels: tuple[int, ...],
        classes: int = 0,
        *,
        layers: int = 2,
        heads: int = 4,
        width: int = 128,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.length, self.width, self.alphabet = places * len(levels), width, sum(levels)
        firsts = np.cumsum([0, *levels[:-1]]).astype("int32")
        self.firsts, self.levels = np.tile(firsts, places), np.tile(np.asarray(levels, "int32"), places)  # (length,)
        self.classes = classes
        self.start = keras.layers.Embedding(max(classes, 1), width)
        self.digit = keras.layers.Embedding(self.alphabet, width)
        self.place = keras.layers.Embedding(self.length, width)
        for embedding in (self.start, self.digit, self.place):
            embedding.build((None,))
        self.blocks = [_Block(heads, width, dropout) for _ in range(layers)]
        self.norm = keras.layers.LayerNormalization()
        self.norm.build((None, None, width))
        self.head = _dense(width, self.alphabet, "zeros")
        self.built = True

    def log_prob(self, digits: Any, labels: Any = None, training: bool = False) -> Any:
        """Return log p(c|y) per sample (n,) in nats: digits int32 (n, length), labels int32 (n,) or None."""
        letters = digits + ops.convert_to_tensor(self.firsts)
        logits = self.logits(letters, labels, training)
        each = ops.sum(ops.log_softmax(logits, axis=-1) * one_hot(letters, self.alphabet), axis=-1)
        return ops.sum(each, axis=-1)

    def logits(self, letters: Any, labels: Any, training: bool = False) -> Any:
        """Return logits (n, length, alphabet) of every letter from those before it, in full precision."""
        before = ops.concatenate([self._first(labels, int(letters.shape[0])), self.digit(letters[:, :-1])], axis=1)
        x = before + self.place(ops.arange(self.length, dtype="int32"))
        for block in self.blocks:
            x = block(x, training=training)
        return self._allowed(full_precision(self.head(self.norm(x))), ops.arange(self.length, dtype="int32"))

    def sample(self, keys: Any, labels: Any = None, temperature: float = 1.0) -> Any:
        """Draw digits int32 (n, length) for keys (n, 2), each by one uniform number; at temperature 0 the likeliest."""
        n = int(keys.shape[0])
        x = self._first(labels, n) + self.place(ops.zeros((1,), "int32"))
        caches = {f"{part}{j}": block.empty(n, self.length) for j, block in enumerate(self.blocks) for part in "kv"}

        def step(i: Any, state: dict[str, Any]) -> dict[str, Any]:
            i, x = ops.cast(i, "int32"), state["x"]
            kept = {}
            for j, block in enumerate(self.blocks):
                x, kept[f"k{j}"], kept[f"v{j}"] = block.extend(x, state[f"k{j}"], state[f"v{j}"], i)
            here = ops.reshape(i, (1,))
            logits = self._allowed(full_precision(self.head(self.norm(x))), here)[:, 0]
            letter = self._drawn(random.fold(state["keys"], i), logits, here, temperature)  # (n, 1)
            now = ops.equal(ops.arange(self.length, dtype="int32"), i)
            x = self.digit(letter) + self.place(ops.minimum(here + 1, self.length - 1))
            return {**state, **kept, "x": x, "letters": ops.where(now, letter, state["letters"])}

        letters = ops.zeros((n, self.length), "int32")
        drawn = backend.loop(step, self.length, {"keys": keys, "x": x, "letters": letters, **caches})["letters"]
        return drawn - ops.convert_to_tensor(self.firsts)

    def _first(self, labels: Any, n: int) -> Any:
        """Return what stands before the first letter (n, 1, width): the label's vector, or one for all."""
        none = labels is None or not self.classes
        return self.start(ops.zeros((n, 1), "int32") if none else ops.cast(labels, "int32")[:, None])

    def _allowed(self, logits: Any, places: Any) -> Any:
        """Put out of reach what is no letter of its place: logits (n, places, alphabet) at places int32 (places,)."""
        first, levels = (ops.take(ops.convert_to_tensor(of), places)[:, None] for of in (self.firsts, self.levels))
        letter = ops.arange(self.alphabet, dtype="int32")
        within = ops.logical_and(ops.greater_equal(letter, first), ops.less(letter, first + levels))
        return ops.where(within, logits, _NEVER)

    def _drawn(self, keys: Any, logits: Any, place: Any, temperature: float) -> Any:
        """Draw letters int32 (n, 1) from logits (n, alphabet), by the inverse of their distribution function."""
        if temperature == 0.0:
            return ops.cast(ops.argmax(logits, axis=-1), "int32")[:, None]
        below = ops.cumsum(ops.softmax(logits / temperature, axis=-1), axis=-1)
        u = random.uniform(keys, (1,)) * below[:, -1:]  # rounding leaves a sum beside 1
        letter = ops.sum(ops.cast(ops.less_equal(below, u), "int32"), axis=-1, keepdims=True)
        first, levels = (ops.take(ops.convert_to_tensor(of), place) for of in (self.firsts, self.levels))
        return ops.minimum(letter, first + levels - 1)


class _Block(keras.layers.Layer):
    """x + attention(norm(x)), then x + network(norm(x)): each place sees itself and those before it.

    Args:
        heads: of the attention.
        width: size of a place's vector.
        dropout: share of units left out in training.
    """

    def __init__(self, heads: int, width: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.attention_norm, self.network_norm = keras.layers.LayerNormalization(), keras.layers.LayerNormalization()
        for norm in (self.attention_norm, self.network_norm):
            norm.build((None, None, width))
        self.query_key_value, self.mix = _dense(width, 3 * width), _dense(width, width)
        self.up, self.down = _dense(width, 4 * width), _dense(4 * width, width)
        self.drop = Dropout(dropout)
        self.built = True

    def call(self, x: Any, training: bool = False) -> Any:
        """Map x (n, length, width) to the same shape."""
        place = ops.arange(int(x.shape[1]), dtype="int32")
        q, k, v = self._heads(x)
        return self._rest(x, self._attended(q, k, v, ops.greater_equal(place[:, None], place)), training)

    def empty(self, n: int, length: int) -> Any:
        """Return keys, or values, of no place (n, length, heads, size)."""
        return ops.zeros((n, length, self.heads, self.size), self.compute_dtype)

    def extend(self, x: Any, keys: Any, values: Any, i: Any) -> tuple[Any, Any, Any]:
        """Return what `call` gives for place i alone, x (n, 1, width), and the keys and values with its own in."""
        q, k, v = self._heads(x)
        place = ops.arange(int(keys.shape[1]), dtype="int32")
        now = ops.equal(place, i)[:, None, None]
        keys, values = ops.where(now, k, keys), ops.where(now, v, values)
        return self._rest(x, self._attended(q, keys, values, ops.less_equal(place, i)[None]), False), keys, values

    def _heads(self, x: Any) -> tuple[Any, Any, Any]:
        """Return queries, keys and values (n, length, heads, size)."""
        parts = self.query_key_value(self.attention_norm(x))
        parts = ops.reshape(parts, (int(x.shape[0]), int(x.shape[1]), 3, self.heads, self.size))
        return parts[:, :, 0], parts[:, :, 1], parts[:, :, 2]

    def _attended(self, q: Any, k: Any, v: Any, seen: Any) -> Any:
        scores = full_precision(ops.einsum("nqhs,nkhs->nhqk", q, k)) / math.sqrt(self.size)
        scores = ops.where(seen, scores, _NEVER)
        shares = ops.cast(ops.exp(scores - ops.logsumexp(scores, axis=-1, keepdims=True)), v.dtype)
        mixed = ops.einsum("nhqk,nkhs->nqhs", shares, v)
        return ops.reshape(mixed, (int(q.shape[0]), int(q.shape[1]), self.heads * self.size))

    def _rest(self, x: Any, mixed: Any, training: bool) -> Any:
        x = x + self.drop(self.mix(mixed), training=training)
        hidden = ops.gelu(self.up(self.network_norm(x)), approximate=True)
        return x + self.drop(self.down(hidden), training=training)


def _dense(inputs: int, units: int, initializer: str = "glorot_uniform") -> keras.layers.Dense:
    layer = keras.layers.Dense(units, use_bias=False, kernel_initializer=initializer)
    layer.build((None, inputs))
    return layer
