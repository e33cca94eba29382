"""The loudness of sounds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom import DataSpec
from genloom.errors import ConfigError
from genloom_post.options import NormaliseOptions

__all__ = ["normalise"]


def normalise(samples: NDArray[Any], spec: DataSpec, options: NormaliseOptions) -> tuple[NDArray[Any], DataSpec]:
    """Scale each sound (n, *shape) so that its largest absolute value is `peak` of the range; silence stays silent.

    Raises:
        ConfigError: data without a value range.
    """
    if spec.value_range is None:
        raise ConfigError("These sounds have no value range to fill.", mend="Put clip before it.")
    sounds = np.asarray(samples, np.float32)
    largest = np.abs(sounds).max(axis=tuple(range(1, sounds.ndim)), keepdims=True)
    wanted = options.peak * min(abs(end) for end in spec.value_range)
    return sounds * np.where(largest > 0, wanted / np.maximum(largest, 1e-12), 1.0).astype(np.float32), spec
