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

from genloom.data import Dataset
from genloom.errors import DataError
from genloom_language.text import token_dataset
from genloom_language.tokens import encode, train_tokenizer

__all__ = ["Pairs", "alphabets", "open_cipher", "secrets"]

_HELD_OUT = 8  # one permutation in so many is kept from training
_TESTS = 1024  # texts of the test split


@dataclasses.dataclass(frozen=True)
class Pairs:
    """A split of texts.

    Attributes:
        x: tokens int32 (n, 2 · pairs).
    """

    x: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.x)

    def take(self, indices: ArrayLike) -> dict[str, NDArray[Any]]:
        """Return {"x": int32, "weight": float32}, each (n, 2 · pairs): codes are to be predicted, letters are drawn."""
        x = self.x[np.asarray(indices, np.intp)]
        codes = (np.arange(x.shape[1]) % 2 == 1).astype(np.float32)
        return {"x": x, "weight": np.broadcast_to(codes, x.shape).copy()}

    def arrays(self, limit: int | None = None) -> dict[str, NDArray[Any]]:
        """Return the first `limit` texts (None: all)."""
        return self.take(np.arange(len(self))[:limit])


def open_cipher(rest: str = "", *, symbols: int, pairs: int, n: int, seed: int) -> Dataset:
    """Generate texts in hidden ciphers.

    Many texts ask for few of the letters, so that what was told comes back soon: learning begins with those.

    Args:
        rest: nothing.
        symbols: letters, and as many codes.
        pairs: letters with their codes in a text.
        n: texts to train on.
        seed: fixes all texts.

    Raises:
        DataError: something after the colon.
    """
    if rest:
        raise DataError(f"cipher takes nothing after it, got {rest!r}.", mend="Write cipher.")
    letters, codes = alphabets(symbols)
    tokenizer = train_tokenizer("char", letters + codes)
    names = encode(tokenizer, letters), encode(tokenizer, codes)
    train = _texts(np.random.default_rng((seed, 0)), n, pairs, names, held_out=False)
    test = _texts(np.random.default_rng((seed, 1)), _TESTS, pairs, names, held_out=True)
    note = (
        f"{n:,} texts of {pairs} pairs, each in a cipher of its own; those of the test split never occur in training."
    )
    # Codes alone count: nats per character are nats per code.
    return token_dataset("cipher", tokenizer, Pairs(train), Pairs(test), 2 * pairs, 1.0, (train, test), note)


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


def _texts(rng: np.random.Generator, n: int, pairs: int, names: tuple[Any, Any], held_out: bool) -> NDArray[np.int32]:
    letters, codes = names
    symbols = len(letters)
    secret = secrets(rng, n, symbols, held_out)
    # How many letters a text asks for is log-uniform from 2 to all of them.
    few = np.exp(rng.uniform(np.log(2), np.log(symbols + 1), (n, 1))).astype(np.intp)
    few = np.full_like(few, symbols) if held_out else np.minimum(few, symbols)
    order = rng.permuted(np.tile(np.arange(symbols), (n, 1)), axis=1)
    asked = np.take_along_axis(order, rng.integers(0, few, (n, pairs)), axis=1)
    told = np.take_along_axis(secret, asked, axis=1)
    return np.stack([letters[asked], codes[told]], axis=2).reshape(n, 2 * pairs).astype(np.int32)
