"""Tokens one after the other: what is given is read in parts, then a token is chosen for each position that is left.

Each row goes on from its own last token, so that prompts of different lengths stand in one batch, and the loops' counts
are tensors, so that no length is compiled for itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keras import ops

from genloom import backend, random
from genloom_language.choosing import Rules, choose, penalised

if TYPE_CHECKING:
    from genloom_language.model import Transformer

__all__ = ["appended", "decode", "init_state", "is_end", "prefill", "steps_left"]

_PART = 32  # tokens read at once: on a CPU they take the time of three, for a step waits for the weights


def init_state(model: Transformer, tokens: Any, given: Any, keys: Any, cache: bool = True) -> Any:
    """Return the state that `decode` goes on from, with what is given read.

    Args:
        model: whose layers read it.
        tokens: int32 (n, length).
        given: int32 (n,), how many of them count, 1 at least.
        keys: (n, 2), one for each row's draws.
        cache: keep keys and values of earlier tokens.
    """
    tokens, given = ops.cast(tokens, "int32"), ops.cast(given, "int32")
    if model.ends:  # what no loop comes to, for all texts have ended, reads as ended
        known = ops.less(ops.arange(int(tokens.shape[1]), dtype="int32"), given[:, None])
        tokens = ops.where(known, tokens, model.ends[0])
    caches = prefill(model, tokens, given, model.init_caches(int(tokens.shape[0]))) if cache else []
    return tokens, caches, given - 1, given, keys


def prefill(model: Transformer, tokens: Any, given: Any, caches: list[Any]) -> list[Any]:
    """Return the caches with keys and values of what is given; what they hold of later positions is written over."""
    if not caches:
        return caches
    n, length = (int(size) for size in tokens.shape)
    size = min(_PART, length)

    def step(i: Any, state: Any) -> Any:
        tokens, caches = state
        first = ops.minimum(ops.cast(i, "int32") * size, length - size)  # the last part may begin inside the one before
        position = ops.broadcast_to(first + ops.arange(size, dtype="int32"), (n, size))
        return tokens, model.extend(ops.take_along_axis(tokens, position, axis=1), position, caches)[1]

    # A row's last token is read where the one after it is chosen.
    parts = ops.floor_divide(ops.max(given) + (size - 2), size)
    return backend.loop(step, parts, (tokens, caches))[1]


def steps_left(length: int, given: Any, most: int) -> Any:
    """Return how many tokens the row with most positions left has still to draw, an int32 scalar; `most` 0 for all."""
    positions = length - ops.min(ops.cast(given, "int32"))
    return ops.minimum(positions, most) if most else positions


def decode(model: Transformer, state: Any, rules: Rules, steps: Any) -> Any:
    """Return the state after so many more tokens of each row, fewer where all have ended; a full row stays as it is.

    Args:
        model: whose layers say what is likely.
        state: tokens (n, length), caches, position int32 (n,) of each row's last token, given int32 (n,), keys (n, 2).
        rules: how a token is chosen.
        steps: int or int32 scalar.
    """

    def step(_: Any, state: Any) -> Any:
        # Keys and what is given go along as state: a step that closed over them would be captured for each anew.
        tokens, caches, position, given, keys = state
        logits, caches = model.next_logits(position, tokens, caches)
        if rules.repetition != 1:
            logits = penalised(logits, _seen(tokens, position, model.spec.vocabulary), rules)
        drawn = choose(random.fold(keys, position), logits, rules)
        if model.ends:
            drawn = ops.where(ended(tokens, position, given), model.ends[0], drawn)
        return appended(tokens, position, drawn), caches, ops.minimum(position + 1, model.length - 1), given, keys

    def ended(tokens: Any, position: Any, given: Any) -> Any:
        last = ops.take_along_axis(tokens, position[:, None], axis=1)[:, 0]
        return ops.logical_and(is_end(model, last), ops.greater_equal(position, given))

    def over(state: Any) -> Any:
        tokens, _, position, given, _ = state
        return ops.all(ops.logical_or(ended(tokens, position, given), ops.equal(position, model.length - 1)))

    return backend.loop(step, steps, state, over if model.ends else None)


def is_end(model: Transformer, tokens: Any) -> Any:
    """Return which tokens end a text, bool of their shape."""
    found = ops.zeros_like(tokens, dtype="bool")
    for end in model.ends:
        found = ops.logical_or(found, ops.equal(tokens, end))
    return found


def appended(tokens: Any, position: Any, drawn: Any) -> Any:
    """Return tokens (…, length) with those drawn (…) after a position (…); nothing changes after the last."""
    here = ops.equal(ops.arange(int(tokens.shape[-1]), dtype="int32"), position[..., None] + 1)
    return ops.where(here, drawn[..., None], tokens)


def _seen(tokens: Any, position: Any, vocabulary: int) -> Any:
    """Return how often each token (n, vocabulary) is among those up to a position (n,)."""
    known = ops.less_equal(ops.arange(int(tokens.shape[1]), dtype="int32"), position[:, None])
    same = ops.logical_and(ops.equal(tokens[..., None], ops.arange(vocabulary, dtype="int32")), known[..., None])
    return ops.sum(ops.cast(same, "float32"), axis=1)  # of (n, length, vocabulary)
