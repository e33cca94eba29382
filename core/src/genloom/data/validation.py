"""Held-out batches, finite, padded to one size and masked, and the way to set some training samples aside."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np

from genloom.data.dataset import Batch, Split
from genloom.errors import ConfigError

__all__ = ["ValidationBatches", "split_validation", "validation_batches"]


class ValidationBatches(Sequence[Batch]):
    """The samples of a split in order, each once, in batches of one size.

    Each batch has "mask" float32 (batch_size,), 1 for a sample and 0 for padding, and "index" int32 (batch_size,),
    the row in the split. The last batch is padded by repeating its own last row, so that no value is out of range.
    """

    def __init__(self, split: Split, batch_size: int) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size must be at least 1, got {batch_size}.")
        self.split, self.batch_size = split, batch_size

    def __len__(self) -> int:
        return math.ceil(len(self.split) / self.batch_size)

    @overload
    def __getitem__(self, item: int) -> Batch: ...

    @overload
    def __getitem__(self, item: slice) -> list[Batch]: ...

    def __getitem__(self, item: int | slice) -> Batch | list[Batch]:
        if isinstance(item, slice):
            return [self[i] for i in range(*item.indices(len(self)))]
        number = item + len(self) if item < 0 else item
        if not 0 <= number < len(self):
            raise IndexError(f"batch {item} of {len(self)}")
        places = number * self.batch_size + np.arange(self.batch_size)
        index = np.minimum(places, len(self.split) - 1)
        mask = (places < len(self.split)).astype(np.float32)
        return {**self.split.take(index), "mask": mask, "index": index.astype(np.int32)}

    def __iter__(self) -> Iterator[Batch]:
        return (self[i] for i in range(len(self)))


def validation_batches(split: Split, batch_size: int) -> ValidationBatches:
    """Return the split as a list-like of padded, masked batches (see `ValidationBatches`).

    Raises:
        ConfigError: a batch size below 1.
    """
    return ValidationBatches(split, batch_size)


def split_validation(split: Split, fraction: float, seed: int) -> tuple[Split, Split]:
    """Set a share of a split aside, see `Split.set_aside`.

    Args:
        split: what to divide.
        fraction: share set aside, in (0, 1); at least one sample goes to each part.
        seed: any integer; fixes which samples.

    Returns:
        (train, validation), two splits: together every sample once.

    Raises:
        ConfigError: a fraction outside (0, 1), or fewer than two samples.
    """
    if not 0 < fraction < 1:
        raise ConfigError(f"The validation fraction must lie between 0 and 1, got {fraction}.")
    return split.set_aside(fraction, seed)
