"""Old samples beside new ones: what replay and A-GEM are fed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genloom.data import Batch, Split
from genloom.errors import DataError

__all__ = ["MEMORY", "Mixed", "Paired"]

#: What the names of old samples in a batch begin with.
MEMORY = "memory_"


class _Old:
    """Samples of several data sets, an equal share of each, evenly spread over it."""

    def __init__(self, splits: Sequence[Split], count: int) -> None:
        self.splits, self.count = list(splits), count

    def take(self, numbers: NDArray[np.intp]) -> Batch:
        """Return rows by their numbers, 0 to count - 1."""
        sources = len(self.splits)
        parts = []
        for source, split in enumerate(self.splits):
            own = numbers[numbers % sources == source] // sources
            most = -(-self.count // sources)
            parts.append(split.take(own * len(split) // most) if len(own) else None)
        order = np.argsort(numbers % sources, kind="stable")
        found = [part for part in parts if part is not None]
        joined = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
        back = np.argsort(order, kind="stable")
        return {name: array[back] for name, array in joined.items()}


class Mixed(Split):
    """All new samples, and so many old ones that these are a given share.

    Args:
        new: what is to be learned.
        old: what is not to be forgotten, each with an equal part of the share.
        share: of old samples among all, in (0, 1).

    Raises:
        DataError: old and new samples hold different arrays.
    """

    def __init__(self, new: Split, old: Sequence[Split], share: float) -> None:
        _check_alike(new, old)
        self.new = new
        self.old = _Old(old, max(1, round(len(new) * share / (1 - share))))
        self.streamed = any(split.streamed for split in (new, *old))

    def __len__(self) -> int:
        return len(self.new) + self.old.count

    def take(self, indices: ArrayLike) -> Batch:
        """Return rows: the new ones first, the old ones after them."""
        rows = np.asarray(indices, np.intp)
        is_old = rows >= len(self.new)
        parts = []
        if not is_old.all():
            parts.append((np.flatnonzero(~is_old), self.new.take(rows[~is_old])))
        if is_old.any():
            parts.append((np.flatnonzero(is_old), self.old.take(rows[is_old] - len(self.new))))
        places = np.argsort(np.concatenate([place for place, _ in parts]), kind="stable")
        return {name: np.concatenate([part[name] for _, part in parts])[places] for name in parts[0][1]}


class Paired(Split):
    """Every new sample with an old one, whose arrays' names begin with `MEMORY`.

    Args:
        new: what is to be learned.
        old: what is not to be forgotten.

    Raises:
        DataError: old and new samples hold different arrays.
    """

    def __init__(self, new: Split, old: Sequence[Split]) -> None:
        _check_alike(new, old)
        self.new, self.old = new, _Old(old, len(new))
        self.streamed = any(split.streamed for split in (new, *old))

    def __len__(self) -> int:
        return len(self.new)

    def take(self, indices: ArrayLike) -> dict[str, Any]:
        """Return new rows and, under other names, as many old ones."""
        rows = np.asarray(indices, np.intp)
        old = {MEMORY + name: array for name, array in self.old.take(rows).items()}
        return {**self.new.take(rows), **old}


def _check_alike(new: Split, old: Sequence[Split]) -> None:
    if not old:
        raise DataError("Replay needs earlier training data.", mend="Start from a run that was trained on some.")
    own = {name: array.shape[1:] for name, array in new.take([0]).items()}
    for split in old:
        other = {name: array.shape[1:] for name, array in split.take([0]).items()}
        if own != other:
            raise DataError(
                f"Old samples hold {other}, new ones {own}: they do not go into one batch.",
                mend="Open the new data with the options of the old.",
            )
