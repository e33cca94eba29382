"""Text as a data set: one long line of tokens, of which each sample is a window."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genloom.data import Dataset, DataSpec
from genloom.errors import ConfigError, DataError
from genloom_language.tokens import FILE, encode, train_tokenizer

__all__ = ["Windows", "open_play", "open_text", "token_dataset"]


class Windows:
    """A split of windows (length,) that begin at every `stride`-th token.

    Args:
        tokens: int32 (tokens,).
        length: tokens of a window.
        stride: tokens between the beginnings of two windows.
    """

    def __init__(self, tokens: NDArray[np.int32], length: int, stride: int) -> None:
        self.tokens, self.length, self.stride = tokens, length, stride

    def __len__(self) -> int:
        return max(0, (len(self.tokens) - self.length) // self.stride + 1)

    def take(self, indices: ArrayLike) -> dict[str, NDArray[Any]]:
        """Return {"x": int32 (n, length)}."""
        starts = np.asarray(indices, np.intp) * self.stride
        return {"x": self.tokens[starts[:, None] + np.arange(self.length)]}

    def arrays(self, limit: int | None = None) -> dict[str, NDArray[Any]]:
        """Return the first `limit` windows (None: all)."""
        return self.take(np.arange(len(self))[:limit])

    def set_aside(self, share: float) -> tuple[Windows, Windows]:
        """Return (train, held out): the end of the text is held out, for windows that overlap would be seen twice.

        Held-out windows overlap by one token, so that each token is predicted once.
        """
        cut = len(self.tokens) - max(self.length, round(len(self.tokens) * share))
        return (
            Windows(self.tokens[:cut], self.length, self.stride),
            Windows(self.tokens[cut:], self.length, self.length - 1),
        )


def open_text(rest: str, **options: Any) -> Dataset:
    """Open a file of UTF-8 text.

    Args:
        rest: its path.
        **options: see `TextOptions`.

    Raises:
        DataError: no such file, no UTF-8, or too little text.
        ConfigError: an option that does not fit.
    """
    if not rest:
        raise DataError("text: names no file.", mend="Write text:FILE.")
    try:
        text = Path(rest).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{rest!r} cannot be read as text: {error}.", mend="Name a file of UTF-8 text.") from error
    return _dataset(f"text:{rest}", text, **options)


def open_play(rest: str = "", **options: Any) -> Dataset:
    """Open the embedded text.

    Args:
        rest: nothing.
        **options: see `PlayOptions`.

    Raises:
        DataError: something after the colon.
    """
    if rest:
        raise DataError(f"play takes nothing after it, got {rest!r}.", mend="Write play.")
    return _dataset("play", resources.files("genloom_language").joinpath("data/play.txt").read_text("utf-8"), **options)


def _dataset(
    address: str, text: str, *, tokenizer: str, vocabulary: int, length: int, stride: int, test: float
) -> Dataset:
    if stride > length:
        raise ConfigError(f"stride={stride} leaves tokens out between samples of length={length}.")
    cut = round(len(text) * (1 - test))
    # Which characters there are is no secret of the text that is held out; how pairs of them are merged would be.
    fitted = train_tokenizer(tokenizer, text if tokenizer == "char" else text[:cut], vocabulary)
    train, held_out = encode(fitted, text[:cut]), encode(fitted, text[cut:])
    for name, tokens in (("to train on", train), ("held out", held_out)):
        if len(tokens) < 2 * length:
            raise DataError(
                f"{address} has {len(tokens)} tokens {name}, fewer than two samples of {length}.",
                mend="Give more text, or a smaller length.",
            )
    rate = (len(text) - cut) / len(held_out)
    note = f"{len(text):,} characters, {len(train):,} tokens to train on and {len(held_out):,} held out."
    splits = Windows(train, length, stride), Windows(held_out, length, length - 1)
    return token_dataset(address, fitted, *splits, length, rate, (train, held_out), note)


def token_dataset(
    address: str,
    tokenizer: Any,
    train: Any,
    test: Any,
    length: int,
    rate: float,
    content: tuple[NDArray[np.int32], NDArray[np.int32]],
    note: str,
) -> Dataset:
    """Describe windows of tokens, and let the run keep their tokenizer.

    Args:
        address: what was opened.
        tokenizer: which made the tokens.
        train: the split to learn from.
        test: the split held out.
        length: tokens of a window.
        rate: characters per token of held-out text, by which losses per token become losses per character.
        content: all tokens of both splits, for the fingerprint.
        note: what a reader should know.
    """
    kept = tokenizer.to_str().encode()
    spec = DataSpec(
        (length,),
        kind="text",
        dtype="int32",
        value_range=None,
        vocabulary=tokenizer.get_vocab_size(),
        rate=rate,
        maximum_length=length,
    )
    whole = repr(spec).encode() + kept + b"".join(tokens.tobytes() for tokens in content)
    digest = hashlib.sha256(whole).hexdigest()[:16]
    return Dataset(address, spec, train, test, digest, notes=(note,), files={FILE: kept})
