"""Whether samples are what a spec says, in shape, numbers, range and labels: what is not is refused with its value."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom.data.dataset import Split
from genloom.data.spec import DataSpec
from genloom.errors import DataError

__all__ = ["SLACK", "check_batch", "check_split"]

SLACK = 1e-3  # share of the value range that rounding may leave it by
_NO_NUMBERS = "OSUcmM"  # NumPy's kinds of objects, text, complex numbers and times
_AT_ONCE = 1 << 22  # values held in memory at once
_MOST = 1 << 28  # values read of a split in memory: a second's work
_LOOKED_AT = 256  # samples that stand for those in files


def check_batch(batch: Mapping[str, Any], spec: DataSpec, *, labelled: bool = False, values: bool = True) -> None:
    """Refuse a batch that a model of this spec would read wrongly.

    Args:
        batch: "x" (n, *shape), of tokens (n, up to the longest), "label" (n,) where there are classes, and what else
            there is, n rows each; arrays on the host.
        spec: of the model.
        labelled: whether there must be labels.
        values: whether to look at the samples' values.

    Raises:
        DataError: another shape, no numbers, NaN, values outside the range, tokens beyond the vocabulary, labels that
            are missing or none of the classes.
    """
    _check_arrays(batch, spec, labelled)
    if values:
        seen = _Values(spec)
        seen.add(batch["x"])
        seen.refuse("x")


def check_split(split: Split, spec: DataSpec, address: str, *, labelled: bool = False) -> None:
    """Refuse samples that a model of this spec would read wrongly: all of those in memory, some of those in files.

    Raises:
        DataError: as `check_batch`; how many samples have wrong values, and the farthest, is said.
    """
    streamed = split.streamed or spec.holds_tokens
    read = min(len(split), _LOOKED_AT if streamed else max(_LOOKED_AT, _MOST // spec.size))
    rows = np.arange(read) * len(split) // max(read, 1)
    size = max(1, _AT_ONCE // spec.size)
    values = _Values(spec)
    for begin in range(0, read, size):
        batch = split.take(rows[begin : begin + size])
        _check_arrays(batch, spec, labelled)
        values.add(batch["x"])
    values.refuse(address)


def _check_arrays(batch: Mapping[str, Any], spec: DataSpec, labelled: bool) -> None:
    """Refuse shapes, types and labels; values are counted apart."""
    if "x" not in batch:
        raise DataError(f"A batch has {sorted(batch)} and no 'x'.", mend='Give {"x": samples}, and "label" of classes.')
    x = batch["x"]
    _check_shape(x, spec)
    for name, array in batch.items():
        if array.shape[:1] != x.shape[:1]:
            raise DataError(
                f"x has {len(x)} rows, and {name!r} the shape {array.shape}.", mend="Give a row for each sample."
            )
    if "label" in batch and spec.classes:
        _check_label(batch["label"], len(x), spec.classes)
    elif labelled:
        raise DataError(
            f"The model takes one of {spec.classes} classes, and the data have no labels, only {', '.join(batch)}.",
            mend='Give {"x": x, "label": label}, or build the model from a spec without classes.',
        )


def _check_shape(x: NDArray[Any], spec: DataSpec) -> None:
    if x.dtype.kind in _NO_NUMBERS or (spec.holds_tokens and x.dtype.kind not in "iu"):
        kind = "int32" if spec.holds_tokens else "float32"
        raise DataError(f"x holds {x.dtype}, where the model reads numbers.", mend=f"Give x.astype({kind!r}).")
    longest = max(spec.shape[0], spec.maximum_length)
    fits = x.ndim == 2 and x.shape[1] <= longest if spec.holds_tokens else x.shape[1:] == spec.shape
    if x.shape[:1] == (0,):
        raise DataError(f"x has no samples: its shape is {x.shape}.", mend="Give one at least.")
    if not fits or 0 in x.shape:
        raise DataError(f"x has the shape {x.shape}, the model's samples {spec.shape}.", mend=_reshaped(x.shape, spec))


def _reshaped(shape: tuple[int, ...], spec: DataSpec) -> str:
    wanted = ", ".join(map(str, spec.shape))
    if (*shape[1:], 1) == spec.shape:
        return "Add the axis of channels: x[..., None]."
    if shape == spec.shape:
        return "Add the axis of samples: x[None]."
    if math.prod(shape[1:]) == spec.size and 0 not in shape:
        return f"Give x.reshape(-1, {wanted}), if that is how they lie."
    return f"Give (n, {wanted}), or build the model from the spec of these data, as genloom.data.open(x) has it."


@dataclasses.dataclass
class _Values:
    """What is wrong with values, counted over the parts that are added."""

    spec: DataSpec
    samples: int = 0
    not_finite: int = 0
    outside: int = 0
    farthest: float = 0.0
    distance: float = 0.0

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value there may be."""
        if self.spec.holds_tokens:
            return 0, self.spec.vocabulary - 1 if self.spec.vocabulary else math.inf
        return self.spec.value_range or (-math.inf, math.inf)

    def add(self, x: NDArray[Any]) -> None:
        """Count the samples of x (n, …) that have values which are not finite, or outside the bounds."""
        low, high = self.bounds
        slack = 0.0 if self.spec.holds_tokens else SLACK * (high - low)
        self.samples += len(x)
        least, most = float(x.min()), float(x.max())
        if low - slack <= least and most <= high + slack and math.isfinite(most - least):
            return
        flat = x.reshape(len(x), -1).astype(np.float64)
        finite = np.isfinite(flat)
        beyond = np.where(finite, np.maximum(low - flat, flat - high), -math.inf)
        self.not_finite += int((~finite.all(axis=1)).sum())
        self.outside += int((beyond > slack).any(axis=1).sum())
        place = int(beyond.argmax())
        if beyond.flat[place] > self.distance:
            self.farthest, self.distance = float(flat.flat[place]), float(beyond.flat[place])

    def refuse(self, what: str) -> None:
        """Raise DataError if anything is wrong."""
        low, high = self.bounds
        if self.not_finite:
            raise DataError(
                f"{what} has NaN or infinite values in {self.not_finite} of {self.samples} samples.",
                mend="Remove or repair those samples.",
            )
        if self.outside:
            tokens = self.spec.holds_tokens
            raise DataError(
                f"{what} has {'tokens' if tokens else 'values'} outside {low:g} to {high:g} in {self.outside} of "
                f"{self.samples} samples, the farthest {self.farthest:g}.",
                mend="Use the tokenizer of the model's data."
                if tokens
                else "Rescale them, or give their range: value_range=lowest,highest.",
            )


def _check_label(label: NDArray[Any], n: int, classes: int) -> None:
    if label.shape != (n,) or label.dtype.kind not in "iu":
        raise DataError(
            f"label is {label.dtype} of shape {label.shape}, where {n} samples need {n} whole numbers.",
            mend=_relabelled(label, n, classes),
        )
    wrong = label[(label < 0) | (label >= classes)]
    if len(wrong):
        raise DataError(
            f"label has {int(wrong[0])} in {len(wrong)} of {n} rows, the model has {classes} classes, 0 to "
            f"{classes - 1}.",
            mend="Number the classes from 0, or build the model from the spec of these data.",
        )


def _relabelled(label: NDArray[Any], n: int, classes: int) -> str:
    if label.shape == (n, 1):
        return "Give label[:, 0]."
    if label.shape == (n, classes):
        return "Give label.argmax(axis=1)."
    return "Give label.astype('int32')." if label.dtype.kind in "fb" else "Give numbers of classes."
