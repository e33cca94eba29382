"""Where a text ends: at the first occurrence of a stop after what was given."""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genloom_language.tokens import encode, opening

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["NOTHING", "until"]

#: In the place of a token where none is.
NOTHING = -1


def until(tokenizer: Tokenizer, tokens: NDArray[np.int32], given: NDArray[Any], stop: str) -> NDArray[np.int32]:
    """Return tokens (n, length) of the texts up to `stop`, then `NOTHING`.

    Where a stop begins inside a token, what stands before it is cut into tokens anew.

    Args:
        tokenizer: which reads them.
        tokens: int32 (n, length).
        given: (n,), how many of them were given; a stop among those ends nothing.
        stop: a text that is not empty.
    """
    found = np.full_like(tokens, NOTHING)
    for row, (ids, count) in enumerate(zip(tokens.tolist(), given.tolist(), strict=True)):
        kept = _until(tokenizer, [token for token in ids if token != NOTHING], count, stop)[: len(ids)]
        found[row, : len(kept)] = kept
    return found


def _until(tokenizer: Tokenizer, ids: list[int], given: int, stop: str) -> list[int]:
    def text_of(count: int) -> str:
        return str(tokenizer.decode(ids[:count], skip_special_tokens=False))

    whole = text_of(len(ids))
    place = whole.find(stop, len(text_of(given)))
    if place < 0:
        return ids
    whole = whole[:place]
    count = given + bisect.bisect_right(range(given, len(ids) + 1), place, key=lambda k: len(text_of(k))) - 1
    while count > given and not whole.startswith(text_of(count)):  # it ends in a part of a letter
        count -= 1
    rest = whole[len(text_of(count)) :]
    if not rest:
        return ids[:count]
    kept = [*ids[:count], *encode(tokenizer, rest).tolist()]
    if tokenizer.decode(kept, skip_special_tokens=False) == whole:
        return kept
    return [*opening(tokenizer), *encode(tokenizer, whole).tolist()]  # a tokenizer that puts a space before each text
