"""`cipher`: texts in a code of their own, which can be known from the text alone.

A text is a series of pairs, a letter and the capital that stands for it: a, π(a), b, π(b). The permutation π is drawn
anew for every text, and those of the held-out texts never occur in training: who memorises learns nothing, who looks up
where a letter stood before knows its code (the induction of Olsson et al. 2022, on functions in context as in Garg et
al. 2022).
"""

from __future__ import annotations

import dataclasses
import string
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genloom.data import Dataset, Split
from genloom.errors import DataError
from genloom_language.text import token_dataset
from genloom_language.tokens import encode, train_tokenizer

__all__ = ["Pairs", "alphabets", "open_cipher", "secrets"]

_HELD_OUT = 8  # one permutation in so many is kept from training
_TESTS = 1024  # texts of the test split


@dataclasses.dataclass(frozen=True)
class Pairs(Split):
    """A split of windows, each of one text or of several that do not see one another.

    Attributes:
        x: tokens int32 (n, 2 · pairs).
        text: int32 (n, 2 · pairs), the number of a token's text in its window.
        position: int32 (n, 2 · pairs), its position in it.
    """

    x: NDArray[np.int32]
    text: NDArray[np.int32]
    position: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.x)

    def take(self, indices: ArrayLike) -> dict[str, NDArray[Any]]:
        """Return {"x", "document", "position", "weight"}, each (n, 2 · pairs): codes are predicted, letters drawn."""
        rows = np.asarray(indices, np.intp)
        x = self.x[rows]
        weight = np.broadcast_to((np.arange(x.shape[1]) % 2 == 1).astype(np.float32), x.shape).copy()
        return {"x": x, "document": self.text[rows], "position": self.position[rows], "weight": weight}


def open_cipher(rest: str = "", *, symbols: int, pairs: int, n: int, seed: int) -> Dataset:
    """Generate texts in hidden ciphers.

    Many texts are short and ask for few of the letters, so that what was told comes back soon: learning begins with
    those, and several share a window. Held-out windows are one text each, which asks for all letters.

    Args:
        rest: nothing.
        symbols: letters, and as many codes.
        pairs: letters with their codes in a window.
        n: windows to train on.
        seed: fixes all texts.

    Raises:
        DataError: something after the colon.
    """
    if rest:
        raise DataError(f"cipher takes nothing after it, got {rest!r}.", mend="Write cipher.")
    letters, codes = alphabets(symbols)
    tokenizer = train_tokenizer("char", letters + codes)
    names = encode(tokenizer, letters), encode(tokenizer, codes)
    train = _training(np.random.default_rng((seed, 0)), n, pairs, names)
    test = _held_out(np.random.default_rng((seed, 1)), pairs, names)
    note = f"{n:,} windows of {pairs} pairs; every text has a cipher of its own, and those held out never occur here."
    # Codes alone count: nats per character are nats per code.
    return token_dataset("cipher", tokenizer, train, test, 2 * pairs, 1.0, (train.x, test.x), note)


def alphabets(symbols: int) -> tuple[str, str]:
    """Return the letters and their possible codes."""
    return string.ascii_lowercase[:symbols], string.ascii_uppercase[:symbols]


def secrets(rng: np.random.Generator, n: int, symbols: int, held_out: bool) -> NDArray[np.intp]:
    """Return n permutations (n, symbols), all of those kept from training or all of the others."""
    found = np.zeros((0, symbols), np.intp)
    while len(found) < n:
        drawn = rng.permuted(np.tile(np.arange(symbols), (n, 1)), axis=1)
        aside = drawn @ np.arange(symbols) % _HELD_OUT == 0
        found = np.concatenate([found, drawn[aside == held_out]])
    return found[:n]


def _training(rng: np.random.Generator, n: int, pairs: int, names: tuple[Any, Any]) -> Pairs:
    """Return windows of one text and, as many, of texts whose lengths are log-uniform from 3 pairs on."""
    total = n * pairs
    lengths = np.exp(rng.uniform(np.log(3), np.log(pairs + 1), total // 3 + 1)).astype(np.intp)
    starts = np.zeros(total, bool)
    ends = np.cumsum(lengths)
    starts[ends[ends < total]] = True
    starts[np.arange(total) // pairs % 2 == 0] = False  # every other window is one text
    starts[::pairs] = True
    text = np.cumsum(starts) - 1  # of every pair, over all windows
    lengths = np.bincount(text)
    symbols = len(names[0])
    # A text asks for so few letters, log-uniform from 2, that each comes twice on average.
    most = np.clip(lengths // 2, 2, symbols)
    few = np.minimum(np.exp(rng.uniform(np.log(2), np.log(most + 1))).astype(np.intp), most)
    x = _written(rng, text, few, secrets(rng, len(lengths), symbols, held_out=False), names)
    position = 2 * (np.arange(total) - np.flatnonzero(starts)[text])
    number = text - np.repeat(text[::pairs], pairs)
    return Pairs(
        *(_by_window(part, n, pairs) for part in (x, np.stack([number] * 2, 1), np.stack([position, position + 1], 1)))
    )


def _held_out(rng: np.random.Generator, pairs: int, names: tuple[Any, Any]) -> Pairs:
    """Return windows of one text each."""
    symbols = len(names[0])
    text = np.repeat(np.arange(_TESTS), pairs)
    secret = secrets(rng, _TESTS, symbols, held_out=True)
    x = _by_window(_written(rng, text, np.full(_TESTS, symbols), secret, names), _TESTS, pairs)
    return Pairs(x, np.zeros_like(x), np.broadcast_to(np.arange(2 * pairs, dtype=np.int32), x.shape).copy())


def _written(rng: np.random.Generator, text: Any, few: Any, secret: Any, names: tuple[Any, Any]) -> NDArray[Any]:
    """Return tokens (pairs, 2) of letters and codes: a text asks for `few` letters of its own, by its secret."""
    letters, codes = names
    order = rng.permuted(np.tile(np.arange(len(letters)), (len(few), 1)), axis=1)
    asked = order[text, (rng.random(len(text)) * few[text]).astype(np.intp)]
    return np.stack([letters[asked], codes[secret[text, asked]]], axis=1)


def _by_window(part: NDArray[Any], n: int, pairs: int) -> NDArray[np.int32]:
    return part.reshape(n, 2 * pairs).astype(np.int32)
