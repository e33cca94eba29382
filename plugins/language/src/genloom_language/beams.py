"""Beam search: the likeliest text among those that the best beginnings lead to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from genloom import backend
from genloom.errors import ConfigError
from genloom_language.choosing import Rules
from genloom_language.decoding import appended, is_end

if TYPE_CHECKING:
    from genloom_language.model import Transformer

__all__ = ["beam_search", "check_beams"]

_NEVER = -1e30


def check_beams(beams: int, penalty: float, rules: Rules) -> None:
    """Refuse numbers out of range, and rules that a search has no use for.

    Raises:
        ConfigError: fewer than one beam, a negative penalty, one without beams, or beams with a rule of drawing.
    """
    if beams < 1 or penalty < 0:
        raise ConfigError(
            f"beams={beams} or length_penalty={penalty} is out of range.", mend="Use 1 or more, 0 or more."
        )
    if beams == 1 and penalty:
        raise ConfigError(f"length_penalty={penalty} has no meaning without beams.", mend="Set beams, such as beams=4.")
    if beams > 1 and rules != Rules():
        raise ConfigError(f"beams={beams} searches and draws nothing, got {rules}.", mend="Leave the other rules out.")


def beam_search(model: Transformer, state: Any, beams: int, penalty: float, steps: Any) -> Any:
    """Return tokens (n, length): of each row's beams the one with the highest log p / ((5 + tokens) / 6)^penalty.

    A beam that has drawn the end token, or filled the context, is finished: it competes as it is (Wu et al. 2016,
    equation 14, without the coverage of a source).

    Args:
        model: whose layers say what is likely.
        state: what `init_state` gives.
        beams: texts that are followed at once, for each row.
        penalty: of equation 14, α.
        steps: tokens to be found, int or int32 scalar.
    """
    tokens, caches, position, _, _ = state
    n, length, vocabulary = int(tokens.shape[0]), model.length, model.spec.vocabulary
    filling = model.ends[0] if model.ends else 0

    def value(score: Any, count: Any) -> Any:
        return score / ops.power((5.0 + ops.cast(count, "float32")) / 6.0, penalty)

    def step(_: Any, state: Any) -> Any:
        tokens, caches, position, score, count, over = state
        logits, caches = model.next_logits(
            ops.repeat(position, beams), ops.reshape(tokens, (n * beams, length)), caches
        )
        log_p = ops.reshape(ops.log_softmax(logits, axis=-1), (n, beams, vocabulary))
        idle = ops.logical_or(over, ops.greater_equal(position, length - 1)[:, None])  # (n, beams)
        # What is finished goes on in one way, which costs nothing.
        nothing = ops.where(ops.equal(ops.arange(vocabulary, dtype="int32"), 0), 0.0, _NEVER)
        total = score[..., None] + ops.where(idle[..., None], nothing, log_p)
        count = count + ops.cast(ops.logical_not(idle), "int32")
        ranks = ops.reshape(value(total, count[..., None]), (n, beams * vocabulary))
        best = ops.cast(ops.top_k(ranks, beams)[1], "int32")
        parent, name = ops.floor_divide(best, vocabulary), ops.mod(best, vocabulary)
        score = ops.take_along_axis(ops.reshape(total, (n, beams * vocabulary)), best, axis=1)
        count, over, idle = (ops.take_along_axis(x, parent, axis=1) for x in (count, over, idle))
        drawn = ops.where(idle, filling, name)
        over = ops.logical_or(over, ops.logical_and(is_end(model, name), ops.logical_not(idle)))
        tokens = ops.take_along_axis(tokens, parent[..., None], axis=1)
        rows = ops.reshape(ops.arange(n, dtype="int32")[:, None] * beams + parent, (n * beams,))
        caches = keras.tree.map_structure(lambda part: ops.take(part, rows, axis=0), caches)
        tokens = appended(tokens, ops.broadcast_to(position[:, None], (n, beams)), drawn)
        return tokens, caches, ops.minimum(position + 1, length - 1), score, count, over

    first = ops.equal(ops.arange(beams, dtype="int32"), 0)  # at first all beams are the same one
    start = (
        ops.repeat(tokens[:, None], beams, axis=1),
        keras.tree.map_structure(lambda part: ops.repeat(part, beams, axis=0), caches),
        position,
        ops.broadcast_to(ops.where(first, 0.0, _NEVER), (n, beams)),
        ops.zeros((n, beams), dtype="int32"),
        ops.zeros((n, beams), dtype="bool"),
    )
    over = (lambda state: ops.all(state[-1])) if model.ends else None
    tokens, _, _, score, count, _ = backend.loop(step, steps, start, over)
    best = ops.argmax(value(score, count), axis=1)
    return ops.take_along_axis(tokens, best[:, None, None], axis=1)[:, 0]
