"""Arrays of Python objects, as a table's columns and lists of mixed values are, as arrays of one kind."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom.errors import DataError, listed

__all__ = ["without_objects"]


def without_objects(value: Any, what: str) -> NDArray[Any]:
    """Return an array of numbers or of text.

    Args:
        value: what `numpy.asarray` takes.
        what: the value is called in errors.

    Raises:
        DataError: text beside numbers, which NumPy would turn into text, or other objects, such as None.
    """
    array = np.asarray(value)
    if array.dtype != object and not (array.dtype.kind == "U" and isinstance(value, (list, tuple))):
        return array
    items = np.asarray(value, dtype=object).ravel().tolist()
    for kind in (str, numbers.Real):
        if all(isinstance(item, kind) for item in items):
            return np.asarray(array.tolist())
    kinds = sorted({type(item).__name__ for item in items})
    raise DataError(f"{what} holds {listed(kinds)}.", mend="Give numbers only, or text only.")
