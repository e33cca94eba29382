"""Blocks of places moved into channels and back, for samples of any rank and sides of any length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

__all__ = ["cropped", "fold", "unfold"]


def fold(x: Any, patch: int) -> Any:
    """Move blocks of side `patch` into channels: (n, *sides, c) -> (n, *counts, patchᵏ c), with k sides.

    A side that does not divide is first continued by zeros: counts are sides / patch, rounded up.
    """
    if patch == 1:
        return x
    *sides, channels = (int(size) for size in x.shape[1:])
    k, counts = len(sides), [-(-side // patch) for side in sides]
    if any(side % patch for side in sides):
        x = ops.pad(x, [(0, 0), *((0, -side % patch) for side in sides), (0, 0)])
    x = ops.reshape(x, (-1, *(size for count in counts for size in (count, patch)), channels))
    x = ops.transpose(x, (0, *range(1, 2 * k, 2), *range(2, 2 * k + 1, 2), 2 * k + 1))
    return ops.reshape(x, (-1, *counts, patch**k * channels))


def unfold(x: Any, patch: int, sides: Sequence[int]) -> Any:
    """Undo `fold`: (n, *counts, patchᵏ c) -> (n, *sides, c), without what continued the sides."""
    if patch == 1:
        return x
    *counts, wide = (int(size) for size in x.shape[1:])
    k = len(counts)
    x = ops.reshape(x, (-1, *counts, *(patch,) * k, wide // patch**k))
    x = ops.transpose(x, (0, *(axis for i in range(1, k + 1) for axis in (i, i + k)), 2 * k + 1))
    x = ops.reshape(x, (-1, *(count * patch for count in counts), wide // patch**k))
    return cropped(x, sides)


def cropped(x: Any, sides: Sequence[int]) -> Any:
    """Cut the sides of x (n, *sides, c) to these, from their ends."""
    if tuple(x.shape[1:-1]) == tuple(sides):
        return x
    return x[(slice(None), *(slice(side) for side in sides))]
