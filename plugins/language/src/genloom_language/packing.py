"""Documents packed into windows: several share one, none sees another; windows in memory or in a file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genloom.data import Split
from genloom_language.stored import Stretch
from genloom_language.tokens import room

__all__ = ["Packed", "Packer", "has_before", "held", "pack", "window_type"]

_OPEN = 32  # windows that the next document may still go into


def window_type(length: int, tokens: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type of one window as it is held: fields "x", "document", "position", "weight", as small as they fit.

    Args:
        length: tokens of a window.
        tokens: type of a token.
    """
    counts = np.min_scalar_type(-length)
    fields = {"x": tokens, "document": counts, "position": counts, "weight": np.uint8}
    return np.dtype([(name, kind, (length,)) for name, kind in fields.items()])


@dataclasses.dataclass(frozen=True)
class Packed(Split):
    """A split of packed windows.

    Attributes:
        windows: (n,) of a `window_type`.
    """

    windows: NDArray[Any] | Stretch

    def __len__(self) -> int:
        return len(self.windows)

    @property
    def x(self) -> NDArray[np.int32]:
        """Tokens (n, length), filled up with the token of an end."""
        return np.asarray(self.windows)["x"].astype(np.int32)

    @property
    def document(self) -> NDArray[np.int32]:
        """The number of the document in its window (n, length), -1 where there is none."""
        return np.asarray(self.windows)["document"].astype(np.int32)

    @property
    def position(self) -> NDArray[np.int32]:
        """The position within the document (n, length)."""
        return np.asarray(self.windows)["position"].astype(np.int32)

    @property
    def weight(self) -> NDArray[np.float32]:
        """1 where a token is to be predicted (n, length); never a document's first."""
        return np.asarray(self.windows)["weight"].astype(np.float32)

    def take(self, indices: ArrayLike) -> dict[str, NDArray[Any]]:
        """Return {"x", "document", "position": int32, "weight": float32}, each (n, length)."""
        windows = self.windows[np.asarray(indices, np.intp)]
        kinds = {"x": np.int32, "document": np.int32, "position": np.int32, "weight": np.float32}
        return {name: windows[name].astype(kind) for name, kind in kinds.items()}

    def pieces(self) -> Iterator[NDArray[Any]]:
        """Yield all windows, some at a time."""
        return self.windows.pieces() if isinstance(self.windows, Stretch) else iter([self.windows])


class Packer:
    """Puts documents into windows, each into the first that has room; longer ones than a window are cut.

    What a tokenizer puts before a text stands before each piece of one: a model never reads on without it.

    Attributes:
        windows: how many were begun.
        filled: tokens in them.
        counted: those of weight 1.

    Args:
        kind: a `window_type`.
        end: token that fills a window up.
        keep: gets the number of each window that nothing is added to any more, and the window; in no order.
        first: what stands before each document, and each part of one that is cut.
    """

    def __init__(
        self, kind: np.dtype[Any], end: int, keep: Callable[[int, NDArray[Any]], object], first: Sequence[int] = ()
    ) -> None:
        self.windows = self.filled = self.counted = 0
        self._empty = np.zeros((), kind)
        self._empty["x"], self._empty["document"] = end, -1
        self._length = self._empty["x"].shape[0]
        self._first = np.asarray(first, np.int32)
        self._keep = keep
        self._open: dict[int, NDArray[Any]] = {}
        self._room: dict[int, int] = {}
        self._documents: dict[int, int] = {}

    def add(self, tokens: NDArray[np.int32], counts: NDArray[np.bool_]) -> None:
        """Take a document: its tokens, and which of them count."""
        first = len(self._first)
        counts = counts & has_before(len(tokens), self._length, first)
        size, given = room(self._length, first), np.zeros(first, bool)
        for start in range(0, len(tokens), size):
            here = slice(start, start + size)
            self._put(np.concatenate([self._first, tokens[here]]), np.concatenate([given, counts[here]]))

    def close(self) -> None:
        """Let the last windows go."""
        for number in list(self._open):
            self._let_go(number)

    def _put(self, tokens: NDArray[np.int32], counts: NDArray[np.bool_]) -> None:
        number = next((n for n, left in self._room.items() if left >= len(tokens)), None)
        number = self._begin() if number is None else number
        window, begin = self._open[number], self._length - self._room[number]
        here = slice(begin, begin + len(tokens))
        window["x"][here], window["document"][here] = tokens, self._documents[number]
        window["position"][here], window["weight"][here] = np.arange(len(tokens)), counts
        self._documents[number] += 1
        self._room[number] -= len(tokens)
        self.filled += len(tokens)
        self.counted += int(window["weight"][here].sum())

    def _begin(self) -> int:
        number, self.windows = self.windows, self.windows + 1
        self._open[number], self._room[number], self._documents[number] = self._empty.copy(), self._length, 0
        if len(self._room) > _OPEN:
            self._let_go(min(self._room, key=lambda n: self._room[n]))
        return number

    def _let_go(self, number: int) -> None:
        del self._room[number], self._documents[number]
        self._keep(number, self._open.pop(number))


def has_before(tokens: int, length: int, first: int = 0) -> NDArray[np.bool_]:
    """Return which tokens of a document have others before them in their window, by which they are predicted.

    Args:
        tokens: how many the document has.
        length: tokens of a window.
        first: tokens that stand before each part of the document.
    """
    return np.full(tokens, True) if first else np.arange(tokens) % length > 0


def pack(documents: list[tuple[NDArray[np.int32], NDArray[np.bool_]]], length: int, end: int) -> Packed:
    """Put documents into windows, as `Packer` does, in memory.

    Args:
        documents: (tokens, which of them count) of each.
        length: tokens of a window.
        end: token that fills a window up.
    """
    windows: dict[int, NDArray[Any]] = {}
    kind = window_type(length, np.dtype(np.int32))
    packer = Packer(kind, end, windows.__setitem__)
    for tokens, counts in documents:
        packer.add(tokens, counts)
    packer.close()
    return held(windows, kind)


def held(windows: dict[int, NDArray[Any]], kind: np.dtype[Any]) -> Packed:
    """Return windows by number as a split in memory."""
    return Packed(np.array([windows[number] for number in range(len(windows))], kind))
