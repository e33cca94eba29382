"""Where a text ends: at the first occurrence of a stop after what was given."""

from __future__ import annotations

import bisect
import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genloom.errors import DataError
from genloom_language.tokens import encode, opening

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["NOTHING", "until", "written"]

#: In the place of a token where none is.
NOTHING = -1


def written(stop: str) -> str:
    r"""Return a stop as a command line writes it, where \n stands for a line's end."""
    return stop.replace("\\n", "\n")


def until(tokenizer: Tokenizer, tokens: NDArray[np.int32], given: NDArray[Any], stop: str) -> NDArray[np.int32]:
    """Return tokens (n, length) of the texts up to `stop`, then `NOTHING`.

    Where a stop begins inside a token, what stands before it is cut into tokens anew. The name of a special token is no
    text: a stop is found there only where it holds the whole name.

    Args:
        tokenizer: which reads them.
        tokens: int32 (n, length).
        given: (n,), how many of them were given; a stop among those ends nothing.
        stop: a text that is not empty.
    """
    names = [token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special]
    hidden = [name for name in names if name not in stop]
    found = np.full_like(tokens, NOTHING)
    for row, (ids, count) in enumerate(zip(tokens.tolist(), given.tolist(), strict=True)):
        kept = _until(tokenizer, [token for token in ids if token != NOTHING], count, stop, hidden)[: len(ids)]
        found[row, : len(kept)] = kept
    return found


def _until(tokenizer: Tokenizer, ids: list[int], given: int, stop: str, hidden: list[str]) -> list[int]:
    """Return tokens of the text before a stop; what they say is always asked of all of them, for it hangs together."""
    whole = _text(tokenizer, ids)
    searched = whole
    for name in hidden:
        searched = searched.replace(name, "\0" * len(name))
    place = searched.find(stop, len(_text(tokenizer, ids[:given])))
    if place < 0:
        return ids
    kept = whole[:place]
    lengths = range(given, len(ids) + 1)
    count = given + bisect.bisect_right(lengths, place, key=lambda k: len(_text(tokenizer, ids[:k]))) - 1
    while count > given and not kept.startswith(_text(tokenizer, ids[:count])):  # it ends in a part of a letter
        count -= 1
    return _completed(tokenizer, ids[:count], kept)


def _completed(tokenizer: Tokenizer, ids: list[int], kept: str) -> list[int]:
    """Return tokens that say what is kept, of which `ids` say the beginning; those alone where no tokens say it."""
    begun, first = _text(tokenizer, ids), opening(tokenizer)
    if kept == begun:
        return ids
    whole = kept.removeprefix(_text(tokenizer, first)) if ids[: len(first)] == first else kept
    for before, rest in ((ids, kept[len(begun) :]), (first, whole)):
        for text in (rest, rest.removeprefix(" ")):  # many tokenizers put a space before each text
            with contextlib.suppress(DataError):  # a part of a word that they do not know
                tried = [*before, *encode(tokenizer, text).tolist()]
                if _text(tokenizer, tried) == kept:
                    return tried
    return ids


def _text(tokenizer: Tokenizer, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=False))
