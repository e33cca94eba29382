"""Several training steps in one call of the engine: `{"steps": batch}`, whose arrays have a leading axis of steps.

Between two calls an engine hands every variable to Python and back, which on small networks costs as much as a step.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

__all__ = ["next_stack", "stack", "steps_of"]

_NAME = "steps"


def stack(batches: Sequence[Any]) -> tuple[dict[str, Any]]:
    """Return the batches of several steps as the data of one execution.

    Args:
        batches: one or more batches of the same structure and shapes, each as a data adapter hands it over.
    """
    return ({_NAME: keras.tree.map_structure(_joined, *batches)},)


def _joined(*arrays: Any) -> Any:
    on_host = isinstance(arrays[0], np.ndarray)
    return np.stack(arrays) if on_host else keras.ops.stack(arrays)


def next_stack(iterator: Iterator[Any], steps: int) -> tuple[dict[str, Any]]:
    """Return the next batches of an iterator as one execution, fewer where it ends.

    Raises:
        StopIteration: it has ended.
    """
    batches = list(itertools.islice(iterator, steps))
    if not batches:
        raise StopIteration
    return stack(batches)


def steps_of(data: Any) -> Any:
    """Return the stacked batches of an execution, or None when the data is a single batch."""
    while isinstance(data, (tuple, list)):
        data = data[0]
    return data.get(_NAME) if isinstance(data, Mapping) else None
