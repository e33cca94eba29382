"""In which order samples are seen: a pure function of (seed, step), so that a killed run finds its place again."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

__all__ = ["epoch_order", "rows_of_step"]

_UINT64 = (1 << 64) - 1


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
