"""Prompts: text turned into the tokens that a sample keeps, by the tokenizer of its run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom.errors import ConfigError, RunError
from genloom.files import bounded

__all__ = ["FILE", "prompted"]

#: In the format of the library tokenizers; sources of text leave it in a run.
FILE = "tokenizer.json"

_MOST_BYTES = 1 << 28  # of that file: many times the largest


def prompted(file: Path | None, prompt: Any, n: int, length: int) -> NDArray[np.int32]:
    """Return tokens int32 (n, length) that begin with a prompt, -1 after it.

    Args:
        file: the tokenizer which reads it, None where there is none.
        prompt: one text, or n of them.
        n: number of samples.
        length: tokens of one.

    Raises:
        ConfigError: no tokenizer, more tokens than a sample has, or a text that the tokenizer does not know.
        RunError: the tokenizer is damaged.
    """
    if file is None:
        raise ConfigError("This model has no tokenizer to read a prompt with.", mend='Give "tokens".')
    tokenizer = _tokenizer(file)
    tokens = np.full((n, length), -1, np.int32)
    for row, text in enumerate(np.broadcast_to(np.asarray(prompt, dtype=object), (n,))):
        ids = _ids(tokenizer, str(text))
        if len(ids) > length:
            raise ConfigError(f"The prompt {str(text)[:40]!r} has {len(ids)} tokens; a sample has {length}.")
        tokens[row, : len(ids)] = ids
    return tokens


def _tokenizer(file: Path) -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ConfigError("Prompts are read by the library tokenizers.", mend="genloom install language") from error
    try:
        tokenizer = Tokenizer.from_str(bounded.content(file, _MOST_BYTES).decode("utf-8"))
    except Exception as error:  # what the library raises is the plain Exception
        raise RunError(f"{str(file)!r} is no tokenizer: {error}.", mend="Restore it from a copy.") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _ids(tokenizer: Any, text: str) -> list[int]:
    """Return the tokens of a text behind those that stand before every text, without what ends one."""
    try:
        read = tokenizer.encode(text)
    except Exception as error:  # what the library raises is the plain Exception
        raise ConfigError(f"The prompt {text[:40]!r} cannot be read: {error}.") from error
    special = list(read.special_tokens_mask)
    while special and special[-1]:
        special.pop()
    return list(read.ids[: len(special)])
