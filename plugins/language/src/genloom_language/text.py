"""Text as a data set: one long line of tokens, of which each sample is a window."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genloom.data import Dataset, DataSpec, Split
from genloom.errors import ConfigError, DataError
from genloom.messages import tell
from genloom_language.reading import FITTED, TextFiles, halves
from genloom_language.stored import Stretch, append, keep, key_of
from genloom_language.tokens import (
    FILE,
    Encoder,
    characters_of,
    encode,
    load_tokenizer,
    opening,
    room,
    train_tokenizer,
)

__all__ = ["Windows", "beginning_note", "open_play", "open_text", "token_dataset", "token_type"]

_TOKENS = "tokens"  # name of their file: those to train on, then those held out


class Windows(Split):
    """A split of windows (length,) that begin at every `stride`-th token.

    Args:
        tokens: integers (tokens,).
        length: tokens of a window.
        stride: tokens between the beginnings of two windows, at most those of the text in one.
        first: tokens that stand before the text in each.
    """

    def __init__(
        self, tokens: NDArray[np.int32] | Stretch, length: int, stride: int, first: Sequence[int] = ()
    ) -> None:
        self.tokens, self.length, self.first = tokens, length, tuple(first)
        self.size = room(length, len(self.first))
        self.stride = min(stride, self.size)

    def __len__(self) -> int:
        return max(0, (len(self.tokens) - self.size) // self.stride + 1)

    def take(self, indices: ArrayLike) -> dict[str, NDArray[Any]]:
        """Return {"x": int32 (n, length)}."""
        starts = np.asarray(indices, np.intp) * self.stride
        text = self.tokens[starts[:, None] + np.arange(self.size)].astype(np.int32, copy=False)
        first = np.tile(np.array(self.first, np.int32), (len(text), 1))
        return {"x": np.concatenate([first, text], axis=1) if self.first else text}

    def set_aside(self, share: float, seed: int = 0) -> tuple[Windows, Windows]:
        """Return (train, held out): the end of the text is held out, for windows that overlap would be seen twice.

        Held-out windows overlap by one token where nothing stands before them, so that each token is predicted once.
        """
        cut = len(self.tokens) - max(self.length, round(len(self.tokens) * share))
        return (
            Windows(self.tokens[:cut], self.length, self.stride, self.first),
            Windows(self.tokens[cut:], self.length, self.length - 1, self.first),
        )


def open_text(rest: str, **options: Any) -> Dataset:
    """Open a file of UTF-8 text, or a folder of files *.txt; a large text is read a part at a time.

    Args:
        rest: its path.
        **options: see `TextOptions`.

    Raises:
        DataError: no such file, no UTF-8, or too little text.
        ConfigError: an option that does not fit.
    """
    if not rest:
        raise DataError("text: names no file.", mend="Write text:FILE.")
    files = TextFiles.named(rest, "Name a file of UTF-8 text.")
    if not files.held:
        try:
            return _large(f"text:{rest}", files, **options)
        except OSError as error:
            tell(f"tokens cannot be kept ({error}) and are held in memory; set GENLOOM_CACHE to another folder.")
    return _dataset(f"text:{rest}", "".join(files.parts()), **options)


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
    _check_stride(stride, length)
    cut = round(len(text) * (1 - test))
    # Which characters there are is no secret of the text that is held out; how pairs of them are merged would be.
    fitted = train_tokenizer(tokenizer, text if tokenizer == "char" else text[:cut], vocabulary)
    train, held_out = encode(fitted, text[:cut]), encode(fitted, text[cut:])
    return _split(address, fitted, (train, held_out), (len(text), cut), (length, stride))


def _large(
    address: str, files: TextFiles, *, tokenizer: str, vocabulary: int, length: int, stride: int, test: float
) -> Dataset:
    """Do the same from tokens in a file, which are made when they are not there yet."""
    _check_stride(stride, length)
    digest = files.digest()
    given = load_tokenizer(tokenizer).to_str() if tokenizer.endswith(".json") else tokenizer
    folder, about = keep(
        key_of("text", digest, given, vocabulary, test),
        lambda draft: _tokenise(draft, files, digest, tokenizer, vocabulary, test),
    )
    tokens = Stretch(folder / _TOKENS, np.dtype(about["dtype"]), 0, about["train"] + about["held_out"])
    halves = tokens[: about["train"]], tokens[about["train"] :]
    sizes = about["characters"], about["cut"]
    data = _split(address, load_tokenizer(folder / FILE), halves, sizes, (length, stride))
    if tokenizer != "bpe" or about["cut"] <= FITTED:
        return data
    return dataclasses.replace(data, notes=(*data.notes, beginning_note()))


def _tokenise(
    folder: Path, files: TextFiles, digest: str, tokenizer: str, vocabulary: int, test: float
) -> dict[str, Any]:
    letters: set[str] = set()
    characters = 0
    for part in files.parts(digest):
        letters.update(part)
        characters += len(part)
    cut = round(characters * (1 - test))
    learned = "".join(letters) if tokenizer == "char" else halves(files.parts(), min(cut, FITTED))[0]
    fitted = train_tokenizer(tokenizer, learned, vocabulary)
    (folder / FILE).write_text(fitted.to_str(), "utf-8")
    dtype = token_type(fitted)
    encoder = Encoder(fitted)
    with (folder / _TOKENS).open("wb") as file:
        train, held_out = (append(file, encoder.parts(half), dtype) for half in halves(files.parts(digest), cut))
    return {"characters": characters, "cut": cut, "train": train, "held_out": held_out, "dtype": dtype.str}


def beginning_note() -> str:
    """Say that byte pairs of a long text are those of its beginning."""
    return f"Its tokenizer was fitted on the first {FITTED:,} characters."


def token_type(tokenizer: Any) -> np.dtype[Any]:
    """Return the type in which files hold a tokenizer's tokens."""
    return np.dtype("<u2" if max(tokenizer.get_vocab().values()) < 1 << 16 else "<i4")


def _check_stride(stride: int, length: int) -> None:
    if stride > length:
        raise ConfigError(f"stride={stride} leaves tokens out between samples of length={length}.")


def _split(
    address: str,
    tokenizer: Any,
    halves: tuple[NDArray[np.int32] | Stretch, NDArray[np.int32] | Stretch],
    sizes: tuple[int, int],
    window: tuple[int, int],
) -> Dataset:
    """Return windows of both halves of a text; of `sizes`, its characters and those to train on."""
    (train, held_out), (characters, cut), (length, stride) = halves, sizes, window
    for name, tokens in (("to train on", train), ("held out", held_out)):
        if len(tokens) < 2 * length:
            raise DataError(
                f"{address} has {len(tokens)} tokens {name}, fewer than two samples of {length}.",
                mend="Give more text, or a smaller length.",
            )
    rate = characters_of(tokenizer, characters - cut, _pieces(held_out)) / len(held_out)
    note = f"{characters:,} characters, {len(train):,} tokens to train on and {len(held_out):,} held out."
    first = opening(tokenizer)
    splits = Windows(train, length, stride, first), Windows(held_out, length, length - 1, first)
    content = itertools.chain([np.array(first, np.int32)], _pieces(train), _pieces(held_out))
    return token_dataset(address, tokenizer, *splits, length, rate, content, note)


def _pieces(tokens: NDArray[np.int32] | Stretch) -> Iterator[NDArray[Any]]:
    return tokens.pieces() if isinstance(tokens, Stretch) else iter([tokens])


def token_dataset(
    address: str,
    tokenizer: Any,
    train: Any,
    test: Any,
    length: int,
    rate: float,
    content: Iterable[NDArray[Any]],
    *notes: str,
) -> Dataset:
    """Describe windows of tokens, and let the run keep their tokenizer.

    Args:
        address: what was opened.
        tokenizer: which made the tokens.
        train: the split to learn from.
        test: the split held out.
        length: tokens of a window.
        rate: characters per token of held-out text, by which losses per token become losses per character.
        content: all tokens of both splits in pieces, for the fingerprint.
        *notes: what a reader should know.
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
    digest = hashlib.sha256(repr(spec).encode() + kept)
    for tokens in content:
        digest.update(np.ascontiguousarray(tokens, np.int32).data)
    return Dataset(address, spec, train, test, digest.hexdigest()[:16], notes=notes, files={FILE: kept})
