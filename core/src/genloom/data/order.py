"""In which order samples are seen, and which ones stand for all: pure functions of a seed."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from genloom.data.dataset import Split

__all__ = ["drawn_over_classes", "drawn_rows", "epoch_order", "rows_of_step"]

_UINT64 = (1 << 64) - 1
_LOOKED_AT = 1024  # samples whose labels are read to find some of every class: a split may be pictures in files


@functools.lru_cache(maxsize=8)
def epoch_order(seed: int, epoch: int, n: int) -> NDArray[np.intp]:
    """Return a permutation of range(n), fresh for every (seed, epoch).

    Sorting raw Philox-4x64 words keeps the order the same in every NumPy version, which `Generator.permutation`
    does not promise; two equal words among n have the odds n²/2⁶⁵ and keep their place.
    """
    words = np.random.Philox(key=np.array([seed & _UINT64, epoch], dtype=np.uint64)).random_raw(n)
    order: NDArray[np.intp] = np.argsort(words, kind="stable")
    order.flags.writeable = False
    return order


def rows_of_step(seed: int, step: int, rows: int, n: int) -> NDArray[np.intp]:
    """Return the (rows,) indices into n samples that step `step` sees.

    Position p of the endless stream is step * rows + j; it lies in epoch p // n at place p % n of that epoch's order.
    """
    first, last = step * rows, (step + 1) * rows
    pieces = []
    for epoch in range(first // n, (last - 1) // n + 1):
        begin, end = max(first - epoch * n, 0), min(last - epoch * n, n)
        pieces.append(epoch_order(seed, epoch, n)[begin:end])
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def drawn_rows(n: int, most: int, seed: int = 0) -> NDArray[np.intp]:
    """Return at most `most` rows of n samples, drawn without replacement by a seed, in ascending order.

    Where a part stands for the whole it is drawn: the first rows of data that are sorted are unlike the others, and so
    are rows at even steps of data that repeat.
    """
    if most >= n:
        return np.arange(n)
    rows: NDArray[np.intp] = np.sort(np.random.default_rng(seed).permutation(n)[:most])
    return rows


def drawn_over_classes(split: Split, most: int, seed: int = 0) -> NDArray[np.intp]:
    """Return at most `most` rows of a split, drawn by a seed, as many of each class as there are to be had.

    Classes follow one another, each in turn; of a split without labels this is any order.
    """
    rows = np.random.default_rng(seed).permutation(len(split))
    near = rows[: max(most, _LOOKED_AT)]
    label = split.take(near).get("label")
    if label is None:
        return near[:most]
    turn = np.zeros(len(near), np.intp)  # how many of its class come before it
    for each in np.unique(label):
        turn[label == each] = np.arange((label == each).sum())
    return near[np.lexsort((label, turn))][:most]
