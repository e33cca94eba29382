"""What every array source does at the end: check, describe, split, fingerprint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom.data.dataset import ArraySplit, Dataset
from genloom.data.fingerprint import fingerprint_arrays
from genloom.data.spec import MOST_CLASSES, DataSpec
from genloom.errors import DataError

__all__ = ["Arrays", "assemble", "check_dense", "check_finite", "check_labels", "class_frequencies", "held_out"]

_MANY_CLASSES, _SPARSE = 100, 10  # more classes than this, and than so many times the labels found: they are codes

Arrays = tuple[NDArray[Any], NDArray[Any] | None]


def held_out(n: int, share: float) -> NDArray[np.bool_]:
    """Return a mask (n,) of the rows held out: every k-th in order, so that sorted classes stay represented.

    The share is met to within one row and is at least one row; the first row is never held out.
    """
    places = np.arange(1, n + 1)
    mask = np.floor(places * share) > np.floor((places - 1) * share)
    if not mask.any():
        mask[-1] = True
    mask[0] = False
    return mask


def class_frequencies(label: NDArray[Any], classes: int) -> tuple[float, ...]:
    """Return the share of each class."""
    return tuple(float(count) / len(label) for count in np.bincount(label, minlength=classes))


def check_finite(x: NDArray[Any], name: str) -> None:
    """Refuse NaN and what is infinite in float32, naming the first row that has one.

    Raises:
        DataError: naming `name`, the number of bad rows and the first of them.
    """
    if not np.issubdtype(x.dtype, np.floating):
        return
    with np.errstate(over="ignore"):
        bad = np.flatnonzero(~np.isfinite(x.reshape(len(x), -1).astype(np.float32)).all(axis=1))
    if len(bad):
        raise DataError(
            f"{name} has NaN or infinite values in {len(bad)} of {len(x)} rows, first in row {bad[0]}.",
            mend="Remove or repair those rows; float32 ends at 3.4e38.",
        )


def check_labels(label: NDArray[Any], samples: int, name: str) -> NDArray[np.int32]:
    """Return labels as int32 (n,).

    Raises:
        DataError: not one whole number from 0 up per sample.
    """
    if label.shape != (samples,):
        raise DataError(
            f"{name}: {samples} samples have labels of shape {label.shape}.", mend="Give one label per sample."
        )
    if label.dtype == np.bool_:
        return label.astype(np.int32)  # False is class 0, True class 1
    if np.issubdtype(label.dtype, np.number) and label.size and np.max(label) > np.iinfo(np.int32).max:
        raise DataError(
            f"{name}: labels go up to {np.max(label):,}, and there are at most {MOST_CLASSES:,} classes.",
            mend="Number the classes from 0.",
        )
    whole = label.astype(np.int32) if np.issubdtype(label.dtype, np.number) and np.isfinite(label).all() else None
    if whole is None or (whole != label).any() or (whole < 0).any():
        raise DataError(f"{name}: labels must be whole numbers from 0 up, got {label[:3]} ….", mend="Renumber them.")
    return whole


def check_dense(labels: Sequence[NDArray[Any]], name: str) -> None:
    """Refuse labels that are codes: as classes nearly all of them would be empty.

    Raises:
        DataError: naming `name`, how many distinct labels there are and the largest.
    """
    found, distinct = 1 + max(int(part.max()) for part in labels), len(np.unique(np.concatenate(labels)))
    if found > max(_MANY_CLASSES, _SPARSE * distinct):
        raise DataError(
            f"{name} has {distinct} distinct labels up to {found - 1}, which would be {found} classes.",
            mend=f"Renumber them from 0 to {distinct - 1}, save them as text"
            + (f", or give classes={found}." if found <= MOST_CLASSES else f"; {MOST_CLASSES:,} classes are the most."),
        )


def assemble(
    address: str,
    spec: DataSpec,
    train: Arrays,
    test: Arrays,
    *,
    divisor: float = 1.0,
    notes: tuple[str, ...] = (),
    density: Any = None,
) -> Dataset:
    """Build the data set of arrays in memory.

    Args:
        address: what was opened.
        spec: description of a sample; classes, their frequencies and the condition are filled in from the labels.
        train: x (n, *shape) and label (n,) or None.
        test: the same, held out.
        divisor: what stored values are divided by when taken.
        notes: what a reader should know.
        density: log density, where known.

    Raises:
        DataError: fewer than one sample in a split, NaN, or labels that do not fit.
    """
    for name, (x, label) in (("train", train), ("test", test)):
        if len(x) == 0:
            raise DataError(f"{address} has no samples in {name}.", mend="Give at least two samples.")
        check_finite(x, f"{address} ({name})")
        if label is not None:
            check_labels(label, len(x), f"{address} ({name})")
    if train[1] is not None:
        labels = [part for part in (train[1], test[1]) if part is not None]
        if not spec.classes:
            check_dense(labels, address)
        classes = spec.classes or 1 + max(int(part.max()) for part in labels)
        spec = spec.replace(classes=classes, condition=("label",))  # which refuses too many before they are counted
        spec = spec.replace(class_frequencies=class_frequencies(train[1], classes))
    return Dataset(
        address=address,
        spec=spec,
        train=ArraySplit(*train, divisor=divisor),
        test=ArraySplit(*test, divisor=divisor),
        fingerprint=fingerprint_arrays(spec, *train, *test),
        density=density,
        notes=notes,
    )
