"""How likely a model finds continuations of contexts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from genloom import backend
from genloom.errors import ConfigError, DataError
from genloom_language.tokens import encode, opening, shortened

__all__ = ["Scorer", "Scores", "encode_pair", "encode_text", "score"]


@dataclasses.dataclass(frozen=True)
class Scores:
    """What a model makes of n continuations.

    Attributes:
        log_likelihood: float64 (n,), log p(continuation | context) in nats.
        greedy: bool (n,), whether every token of the continuation is the likeliest.
        tokens: int (n,), tokens of the continuations.
        cut: int (n,), tokens that the context lost at its beginning, for want of room.
    """

    log_likelihood: NDArray[np.float64]
    greedy: NDArray[np.bool_]
    tokens: NDArray[np.intp]
    cut: NDArray[np.intp]


def score(model: Any, contexts: Sequence[str], continuations: Sequence[str], batch_size: int = 32) -> Scores:
    """Score each continuation after its context.

    Args:
        model: with `logits`, `tokenizer`, `start` and `length`, such as an opened `language/transformer`.
        contexts: n texts, each behind what the tokenizer puts before a text; an empty one without that is the token
            that the model's texts begin with.
        continuations: n texts, none of them empty.
        batch_size: how many are scored at once; results do not depend on it.

    Raises:
        ConfigError: unequal numbers, an empty continuation, one longer than the model's context, or a model without a
            tokenizer.
    """
    return Scorer(model, batch_size)(contexts, continuations)


class Scorer:
    """`score` for several calls, compiled once.

    Args:
        model: see `score`.
        batch_size: see `score`.
    """

    def __init__(self, model: Any, batch_size: int = 32) -> None:
        if model.tokenizer is None:
            raise ConfigError("This model has no tokenizer to read texts with.", mend="Open a run that keeps one.")
        self.model, self.batch_size = model, batch_size
        self._sums = backend.compiled(self._of_batch, model)

    def __call__(self, contexts: Sequence[str], continuations: Sequence[str]) -> Scores:
        """Return the scores of n continuations after n contexts; see `score`."""
        if len(contexts) != len(continuations):
            raise ConfigError(f"{len(contexts)} contexts have {len(continuations)} continuations.")
        n, length, first = len(contexts), self.model.length, len(opening(self.model.tokenizer))
        # What fills a window up stands after all that counts, so that nothing sees it.
        x, counts = np.full((n, length), self.model.start, np.int32), np.zeros((n, length - 1), np.float32)
        tokens, cut = np.zeros(n, np.intp), np.zeros(n, np.intp)
        for row, (context, continuation) in enumerate(zip(contexts, continuations, strict=True)):
            before, after = encode_pair(self.model, context, continuation)
            window = shortened(np.concatenate([before, after]), length, first)
            tokens[row], cut[row] = len(after), len(before) + len(after) - len(window)
            x[row, : len(window)] = window
            counts[row, len(window) - 1 - len(after) : len(window) - 1] = 1
        sums, greedy = self._all(x, counts)
        return Scores(sums, greedy, tokens, cut)

    def _all(self, x: NDArray[np.int32], counts: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        sums, greedy = np.zeros(len(x)), np.zeros(len(x), bool)
        for start in range(0, len(x), self.batch_size):
            rows = np.arange(start, start + self.batch_size)
            inside = rows[rows < len(x)]
            batch = np.minimum(rows, len(x) - 1)  # one shape: the last batch repeats its last row
            found = self._sums(ops.convert_to_tensor(x[batch]), ops.convert_to_tensor(counts[batch]))
            log_p, likeliest = (np.asarray(ops.convert_to_numpy(part)) for part in found)
            sums[inside], greedy[inside] = log_p[: len(inside)], likeliest[: len(inside)]
        return sums, greedy

    def _of_batch(self, x: Any, counts: Any) -> tuple[Any, Any]:
        """Return log p (n,) of those tokens of x (n, length) that count, and whether all of them are the likeliest."""
        logits, following = self.model.logits(x[:, :-1]), x[:, 1:]
        nats = ops.sparse_categorical_crossentropy(following, logits, from_logits=True)
        likeliest = ops.cast(ops.equal(ops.cast(ops.argmax(logits, axis=-1), "int32"), following), "float32")
        return -ops.sum(nats * counts, axis=1), ops.equal(ops.sum((1.0 - likeliest) * counts, axis=1), 0)


def encode_pair(model: Any, context: str, continuation: str) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the tokens of a context, what its tokenizer puts before a text among them, and of its continuation.

    Each has one at least.

    Raises:
        ConfigError: an empty continuation, one longer than the model's context, or an unknown character.
    """
    if not continuation:
        raise ConfigError(f"The continuation of {context[-40:]!r} is empty.", mend="Give a text to score.")
    # Both are read as one text, for pairs merge across the boundary; a tokenizer that puts a space before a word makes
    # other tokens of "a " + "b" than of "a" + " b", so spaces at the end of a context belong to the continuation. This
    # is how lm-evaluation-harness divides them (`_encode_pair`).
    kept = context.rstrip()
    whole, before = encode_text(model, context + continuation), encode_text(model, kept)
    boundary = min(len(before), len(whole) - 1)  # where all merges into one token, that one is scored
    before, after = whole[:boundary], whole[boundary:]
    first = opening(model.tokenizer)
    before = np.array([*first, *before] or [model.start], np.int32)
    most = model.length - max(len(first), 1)
    if len(after) > most:
        raise ConfigError(
            f"The continuation {continuation[:40]!r} has {len(after)} tokens; this model takes {most}.",
            mend="Shorten it, or train on a larger length.",
        )
    return before, after


def encode_text(model: Any, text: str) -> NDArray[np.int32]:
    """Return the tokens of a text, int32 (tokens,), by the model's tokenizer.

    Raises:
        ConfigError: a character that it does not know.
    """
    try:
        return encode(model.tokenizer, text)
    except DataError as error:
        raise ConfigError(f"{text[-40:]!r} cannot be read: {error}") from error
