"""Double precision inside a `with` block, on engines where Keras's own operations return float32 for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from keras.src.backend.common.dtypes import BIT64_TO_BIT32_DTYPE

__all__ = ["float64_results"]


@contextlib.contextmanager
def float64_results() -> Iterator[None]:
    """Let Keras's operations on float64 return float64; its own rule comes back at the end.

    Keras has no setting for this: what it returns for 64-bit types stands in one table, which is changed here and
    nowhere else, for as long as the kit compares gradients. It holds for all threads of the process.
    """
    rule = BIT64_TO_BIT32_DTYPE["float64"]
    BIT64_TO_BIT32_DTYPE["float64"] = "float64"
    try:
        yield
    finally:
        BIT64_TO_BIT32_DTYPE["float64"] = rule
