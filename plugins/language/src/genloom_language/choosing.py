"""Which token comes next: what is left out of the distribution, and the draw from the rest."""

from __future__ import annotations

from typing import Any

from keras import ops

from genloom import random

__all__ = ["choose", "left_out"]

_NEVER = -1e30


def choose(keys: Any, logits: Any, temperature: float, top_k: int, top_p: float, min_p: float) -> Any:
    """Return tokens int32 (n,) drawn from logits (n, vocabulary) by keys (n, 2); the likeliest at temperature 0."""
    if temperature == 0:
        return ops.cast(ops.argmax(logits, axis=-1), "int32")
    kept = left_out(logits / temperature, top_k, top_p, min_p)
    return ops.cast(random.categorical(keys, kept), "int32")


def left_out(logits: Any, top_k: int, top_p: float, min_p: float) -> Any:
    """Return logits (n, vocabulary) with those of tokens that are not to be drawn far below all others."""
    if not top_k and top_p >= 1.0 and not min_p:
        return logits
    p = ops.softmax(logits, axis=-1)
    ordered = ops.flip(ops.sort(p, axis=-1), axis=-1)  # the likeliest first
    least = ops.zeros_like(ordered[:, :1])  # tokens below it are left out
    if top_k:
        least = ops.maximum(least, ordered[:, min(top_k, int(p.shape[-1])) - 1, None])
    if top_p < 1.0:
        before = ops.cumsum(ordered, axis=-1) - ordered  # of all likelier tokens: the first that passes top_p stays
        inside = ops.where(ops.less(before, top_p), ordered, ops.ones_like(ordered))
        least = ops.maximum(least, ops.min(inside, axis=-1, keepdims=True))
    if min_p:
        least = ops.maximum(least, min_p * ordered[:, :1])
    return ops.where(ops.less(p, least), ops.full_like(logits, _NEVER), logits)
