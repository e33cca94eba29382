"""Post-processors of single values: clip, rescale, threshold."""

from __future__ import annotations

import numpy as np

from genloom.data.spec import DataSpec
from genloom.errors import ConfigError
from genloom.postprocess.options import ClipOptions, RescaleOptions, ThresholdOptions

__all__ = ["clip", "rescale", "threshold"]


def clip(samples: np.ndarray, spec: DataSpec, options: ClipOptions) -> tuple[np.ndarray, DataSpec]:
    """Bring values below `low` or above `high` to it; the spec's range shrinks to theirs.

    Raises:
        ConfigError: data without a value range and an option that is absent, or a range upside down.
    """
    known = spec.value_range or (None, None)
    low = known[0] if options.low is None else options.low
    high = known[1] if options.high is None else options.high
    if low is None or high is None:
        raise ConfigError("These data have no value range to clip to.", mend="Write clip:low=VALUE,high=VALUE.")
    if not low < high:
        raise ConfigError(f"clip needs low < high, got {low} and {high}.")
    return samples.clip(low, high), spec.replace(value_range=(low, high))


def rescale(samples: np.ndarray, spec: DataSpec, options: RescaleOptions) -> tuple[np.ndarray, DataSpec]:
    """Map the spec's value range linearly to [low, high].

    Raises:
        ConfigError: data without a value range, or a range upside down.
    """
    low, high = _range(spec, "rescale")
    if not options.low < options.high:
        raise ConfigError(f"rescale needs low < high, got {options.low} and {options.high}.")
    unit = (samples - low) / (high - low)
    return unit * (options.high - options.low) + options.low, spec.replace(value_range=(options.low, options.high))


def threshold(samples: np.ndarray, spec: DataSpec, options: ThresholdOptions) -> tuple[np.ndarray, DataSpec]:
    """Send values at or above the level to the top of the range, the others to its bottom.

    Raises:
        ConfigError: data without a value range.
    """
    low, high = _range(spec, "threshold")
    level = spec.centre if options.level is None else options.level
    return np.where(samples >= level, high, low).astype(samples.dtype), spec


def _range(spec: DataSpec, name: str) -> tuple[float, float]:
    if spec.value_range is None:
        raise ConfigError(f"{name} needs data with a value range; these are unbounded.", mend="Put clip before it.")
    return spec.value_range
