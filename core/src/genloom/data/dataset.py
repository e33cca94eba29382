"""What a source returns: a spec and two splits that give any rows by index, so order stays the loader's business."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genloom.data.factors import Factors
from genloom.data.order import epoch_order
from genloom.data.spec import DataSpec
from genloom.errors import ConfigError, DataError

__all__ = ["ArraySplit", "Batch", "Dataset", "Split", "Subset"]

Batch = dict[str, NDArray[Any]]

# No training pass ever reaches this epoch, so setting aside never shares an order with one.
_ASIDE = (1 << 63) - 1


class Split(abc.ABC):
    """A finite list of samples with random access; reading must be thread-safe and the same every time."""

    streamed: bool = False
    """Whether taking a row reads a file: such rows are read ahead by more threads."""

    @abc.abstractmethod
    def __len__(self) -> int:
        """Number of samples."""

    @abc.abstractmethod
    def take(self, indices: ArrayLike) -> Batch:
        """Return {"x": (n, *shape)}, float32 in the range or int32 tokens, and "label" int32 (n,) when labelled."""

    def arrays(self, limit: int | None = None) -> Batch:
        """Return the first `limit` samples (None: all) as `take` does."""
        return self.take(np.arange(len(self))[:limit])

    def set_aside(self, share: float, seed: int) -> tuple[Split, Split]:
        """Return (train, held out), a random share in order; a split whose samples overlap cuts otherwise, or it leaks.

        Args:
            share: in (0, 1); at least one sample goes to each part.
            seed: any integer; fixes which samples.

        Raises:
            ConfigError: fewer than two samples.
        """
        n = len(self)
        if n < 2:
            raise ConfigError(
                f"{n} training sample(s) are too few to hold any out for validation.",
                mend="Give more data, or validation=0 (--set training.validation=0).",
            )
        aside = min(max(round(n * share), 1), n - 1)
        order = epoch_order(seed, _ASIDE, n)
        return Subset(self, np.sort(order[aside:])), Subset(self, np.sort(order[:aside]))


class ArraySplit(Split):
    """A split held in memory, in the type it was given, turned into float32 when taken.

    Args:
        x: (n, *shape), any numeric type; uint8 pictures stay bytes in memory.
        label: (n,) integers, or None without labels.
        divisor: what a stored value is divided by when taken: 255 brings bytes to [0, 1].

    Raises:
        DataError: as many labels as samples are needed.
    """

    def __init__(self, x: ArrayLike, label: ArrayLike | None = None, *, divisor: float = 1.0) -> None:
        self._x = np.asarray(x)
        self._label = None if label is None else np.asarray(label, dtype=np.int32)
        self._divisor = np.float32(divisor)
        if self._label is not None and self._label.shape != self._x.shape[:1]:
            raise DataError(
                f"{len(self._x)} samples have labels of shape {self._label.shape}.", mend="Give one label per sample."
            )

    def __len__(self) -> int:
        return len(self._x)

    def take(self, indices: ArrayLike) -> Batch:
        """Return the rows `indices` as float32, with their labels."""
        rows = np.asarray(indices, dtype=np.intp)
        x = self._x.take(rows, axis=0).astype(np.float32, copy=False)
        batch: Batch = {"x": x if self._divisor == 1 else x / self._divisor}
        if self._label is not None:
            batch["label"] = self._label.take(rows)
        return batch


class Subset(Split):
    """Some rows of another split, in the order given; nothing is copied.

    Args:
        split: where the rows live.
        indices: (n,) rows of `split`.
    """

    def __init__(self, split: Split, indices: ArrayLike) -> None:
        self._split = split
        self._indices = np.asarray(indices, dtype=np.intp)
        self.streamed = split.streamed

    def __len__(self) -> int:
        return len(self._indices)

    def take(self, indices: ArrayLike) -> Batch:
        """Return rows of this subset."""
        return self._split.take(self._indices.take(np.asarray(indices, dtype=np.intp)))

    def arrays(self, limit: int | None = None) -> Batch:
        """Return the first `limit` samples (None: all)."""
        return self._split.take(self._indices[:limit])


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set: where it came from, what one sample is, and its two splits.

    Attributes:
        address: what `genloom.data.open` was given, options included, so that a run can name its data.
        spec: description of one sample.
        train: samples to learn from.
        test: held-out samples, never seen in training; floors of metrics come from it.
        fingerprint: first 16 hexadecimal digits of a SHA-256 over spec and content.
        density: log density, (n, *shape) -> (n,) in nats, where the distribution is known; None otherwise.
        notes: what a reader should know: licence, how the split was made, what was resized.
        files: name → content of what a run keeps of it, such as a tokenizer.
        factors: what made each sample, where that is known, as of `toy:shapes`; None otherwise.
    """

    address: str
    spec: DataSpec
    train: Split
    test: Split
    fingerprint: str
    density: Callable[[NDArray[Any]], NDArray[Any]] | None = None
    notes: tuple[str, ...] = ()
    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    factors: Factors | None = None
