"""The task of hidden ciphers: a letter's code can be known from the examples only."""

from __future__ import annotations

import hashlib

import numpy as np

from genloom.errors import ConfigError
from genloom_language.cipher import alphabets, secrets
from genloom_language.prompting.task import Item, Task

__all__ = ["cipher_task", "open_cipher_task"]

_SHOWN = 8  # letters of one example, the one that is asked for among them
_ROUNDS = 8  # examples that an item has


def open_cipher_task(address: str) -> Task:
    """Return the task of `cipher` or `cipher:N`, of N letters.

    Raises:
        ConfigError: no number of letters from 4 to 26.
    """
    number = address.partition(":")[2] or "16"
    if not number.isdecimal() or not 4 <= int(number) <= 26:
        raise ConfigError(f"A cipher has 4 to 26 letters, got {number!r}.", mend="Write cipher, or cipher:16.")
    return cipher_task(int(number))


def cipher_task(symbols: int = 16, n: int = 500, seed: int = 0) -> Task:
    """Return n questions, each about a cipher of its own that no training data of `cipher` hold.

    An example is a round of eight letters with their codes, or of all where there are fewer, in an order of its own;
    the letter asked for is among them. After k examples it was seen k times, after none nothing was: chance is then
    1 / symbols, and the best that can be had.

    Args:
        symbols: letters, 4 to 26.
        n: questions.
        seed: fixes them.
    """
    letters, codes = alphabets(symbols)
    rng = np.random.default_rng((seed, 2))  # 0 and 1 are the splits of the data
    items = []
    for secret in secrets(rng, n, symbols, held_out=True):
        shown = rng.permutation(symbols)[:_SHOWN]
        rounds = tuple("".join(letters[i] + codes[secret[i]] for i in rng.permutation(shown)) for _ in range(_ROUNDS))
        asked = int(shown[0])
        items.append(Item({"question": letters[asked]}, tuple(codes), int(secret[asked]), rounds))
    digest = hashlib.sha256(repr(items).encode()).hexdigest()[:16]
    return Task("cipher", "choice", tuple(items), "{question}", "{answer}", "", digest=digest)
