"""Check what every metric takes: two finite sets of feature vectors of one size, as float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genloom.errors import DataError

__all__ = ["feature_pair", "features", "slices"]


def features(x: ArrayLike, *, minimum: int = 1) -> NDArray[np.float64]:
    """Return features (n, d) as float64, a vector (n,) becoming (n, 1).

    Raises:
        DataError: another rank, fewer than `minimum` rows, or values that are not finite.
    """
    array = np.asarray(x, np.float64)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or len(array) < minimum:
        raise DataError(f"A metric needs features of shape (n ≥ {minimum}, d), got {array.shape}.")
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array).all(axis=1)).sum())
        raise DataError(f"{bad} of {len(array)} samples hold NaN or infinite features.")
    return array


def feature_pair(x: ArrayLike, y: ArrayLike, *, minimum: int = 1) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two sets of features (n, d) and (m, d) as float64.

    Raises:
        DataError: the sizes d differ, or one set is refused by `features`.
    """
    first, second = features(x, minimum=minimum), features(y, minimum=minimum)
    if first.shape[1] != second.shape[1]:
        raise DataError(f"The two sets have {first.shape[1]} and {second.shape[1]} features.")
    return first, second


def slices(n: int, rows: int) -> list[slice]:
    """Cut range(n) into slices of at most `rows`, to bound the memory of pairwise work."""
    return [slice(start, min(start + rows, n)) for start in range(0, n, max(rows, 1))]
