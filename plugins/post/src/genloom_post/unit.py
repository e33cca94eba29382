"""From the data's own range to [0, 1] and back: what every filter here works in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom import DataSpec
from genloom.errors import ConfigError

__all__ = ["each_picture", "in_unit_range"]

Floats = NDArray[np.float32]


def in_unit_range(samples: NDArray[Any], spec: DataSpec, change: Callable[[Floats], NDArray[Any]]) -> Floats:
    """Return what `change` makes of the samples scaled to [0, 1], clipped and scaled back; shapes stay.

    Args:
        samples: (n, *spec.shape).
        spec: gives the range.
        change: of an array (n, *spec.shape) in [0, 1], which it may write to.

    Raises:
        ConfigError: data without a value range.
    """
    if spec.value_range is None:
        raise ConfigError("These data have no value range to work in.", mend="Put clip before it.")
    low, high = spec.value_range
    unit = ((np.asarray(samples, np.float32) - low) / (high - low)).clip(0.0, 1.0)
    changed = np.asarray(change(unit), np.float32).clip(0.0, 1.0)
    return (changed * np.float32(high - low) + np.float32(low)).clip(low, high)


def each_picture(samples: NDArray[Any], spec: DataSpec, change: Callable[[Floats], NDArray[Any]]) -> Floats:
    """As `in_unit_range`, with one picture (height, width, channels) at a time.

    Raises:
        ConfigError: also for samples that are no pictures.
    """
    if len(spec.shape) != 3:
        raise ConfigError(f"A picture has the shape (height, width, channels), got {spec.shape}.")
    return in_unit_range(samples, spec, lambda unit: np.stack([change(picture) for picture in unit]))
