"""Running totals over the samples of a split, so that data larger than memory can be summarised in one pass."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom.data.dataset import Batch, Split
from genloom.data.spec import DataSpec
from genloom.errors import DataError
from genloom.modalities import modality_of

__all__ = ["MOST_READ", "Summary", "summarise"]

_CHUNK = 256  # samples held in memory at once
#: Samples of a split that are read at most: a text of 200 MB has as many windows as letters.
MOST_READ = 2**21


class Summary:
    """Totals of one split; `add` batches, then read `to_dict` and `hashes`.

    Args:
        spec: gives the value range and the names of the classes.
        samples: of the split, of which some are added.
    """

    def __init__(self, spec: DataSpec, samples: int) -> None:
        self.samples = samples
        self.hashes: list[bytes] = []
        self._spec, self._modality = spec, modality_of(spec)
        self._dtype = ""
        self._count, self._total, self._squares = 0, 0.0, 0.0
        self._low, self._high = np.inf, -np.inf
        self._nan = self._outside = self._constant = 0
        self._classes = np.zeros(spec.classes, dtype=np.int64)
        self._labelled = False
        self._own: dict[str, float] = {}  # totals of what the modality counts

    def add(self, batch: Batch) -> None:
        """Count the samples of one batch (see `summarise`)."""
        x = np.ascontiguousarray(batch["x"])
        self._dtype = str(x.dtype)
        self.hashes += [hashlib.sha256(sample.tobytes()).digest()[:16] for sample in x]
        flat = x.reshape(len(x), -1).astype(np.float64)
        finite = np.isfinite(flat)
        self._add_values(flat[finite])
        for name, numbers in self._modality.summary(x, self._spec).items():
            self._own[name] = self._own.get(name, 0.0) + float(np.sum(numbers, dtype=np.float64))
        self._nan += int((~finite.all(axis=1)).sum())
        self._constant += int((flat.min(axis=1) == flat.max(axis=1)).sum())
        if self._spec.value_range is not None:
            low, high = self._spec.value_range
            self._outside += int(((flat < low) | (flat > high)).any(axis=1).sum())
        if "label" in batch:
            self._labelled = True
            self._add_labels(batch["label"])

    def _add_values(self, values: NDArray[np.float64]) -> None:
        self._count += values.size
        self._total += float(values.sum())
        self._squares += float((values**2).sum())
        self._low = min(self._low, values.min(initial=np.inf))
        self._high = max(self._high, values.max(initial=-np.inf))

    def _add_labels(self, label: NDArray[np.int32]) -> None:
        low, high = int(label.min(initial=0)), int(label.max(initial=-1))
        if low < 0 or high >= len(self._classes):
            raise DataError(
                f"Labels run from {low} to {high}, the data's spec has {len(self._classes)} classes.",
                mend="Number the classes from 0, and give their number in the spec.",
            )
        self._classes += np.bincount(label, minlength=len(self._classes))

    def _span(self) -> dict[str, float | None]:
        """Return where the values lie; tokens, and what else is no amount, have no mean."""
        if not self._count or self._spec.holds_tokens or not self._modality.numeric:
            return dict.fromkeys(("minimum", "maximum", "mean", "deviation"))
        mean = self._total / self._count
        deviation = float(np.sqrt(max(self._squares / self._count - mean**2, 0.0)))
        return {"minimum": float(self._low), "maximum": float(self._high), "mean": mean, "deviation": deviation}

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; see `genloom.data.check.check` for the keys."""
        summary: dict[str, Any] = {
            "samples": self.samples,
            "dtype": self._dtype,
            **self._span(),
            "constant": self._constant,
            "duplicates": len(self.hashes) - len(set(self.hashes)),
            "nan": self._nan,
            "out_of_range": self._outside,
            **{name: total / len(self.hashes) for name, total in self._own.items()},
        }
        if self._labelled:
            names = self._spec.class_names or tuple(str(number) for number in range(len(self._classes)))
            summary["classes"] = {name: int(n) for name, n in zip(names, self._classes, strict=True)}
        return summary


def summarise(split: Split, spec: DataSpec) -> Summary:
    """Read a split once, a few samples at a time; of one larger than `MOST_READ` as many, evenly spaced.

    Raises:
        DataError: a label that is none of the spec's classes.
    """
    summary = Summary(spec, len(split))
    read = min(len(split), MOST_READ)
    for begin in range(0, read, _CHUNK):
        summary.add(split.take(np.arange(begin, min(begin + _CHUNK, read)) * len(split) // read))
    return summary
