"""Whether the values of arrays are levels, evenly from lowest to highest, and how many: bits are counted of these."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom.errors import DataError

__all__ = ["check_levels", "found_levels"]

_MOST_FOUND = 256  # of values that happen to be whole; finer ones are asked for
_OFF = 1e-3  # of a step, which rounding to float32 may leave a level by


def found_levels(x: NDArray[Any], value_range: tuple[float, float] | None) -> int:
    """Return the levels of stored values (n, …) that are whole, from whole bounds; 0 where they are not.

    Bytes from 0 to 255 have 256; what has the two bounds alone, as masks and binarised pictures do, has 2.
    """
    if value_range is None or not all(float(bound).is_integer() for bound in value_range):
        return 0
    if ((x == value_range[0]) | (x == value_range[1])).all():
        return 2
    levels = int(value_range[1] - value_range[0]) + 1
    whole = x.dtype.kind in "biu" or (levels <= _MOST_FOUND and bool((x == np.floor(x)).all()))
    return levels if whole and levels <= _MOST_FOUND else 0


def check_levels(x: NDArray[Any], value_range: tuple[float, float], levels: int, name: str) -> None:
    """Refuse values (n, …) that are on none of so many levels.

    Raises:
        DataError: how many values are off, and the first of them.
    """
    low, high = value_range
    place = (np.asarray(x, np.float64) - low) * ((levels - 1) / (high - low))
    off = np.abs(place - np.round(place)) > _OFF
    if off.any():
        raise DataError(
            f"{name}: {int(off.sum())} of {off.size} values are on none of {levels} levels from {low:g} to {high:g}, "
            f"the first {float(x[off].flat[0]):g}.",
            mend="Give the number of levels that the values have, or leave it out.",
        )
